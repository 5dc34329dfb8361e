"""Every error BabbleFish raises on purpose: a stable code, a sentence for people, the stage.

The engine and the rooms raise these; the user interface renders them. This
module does not know HTTP status codes, screens or log formats.
"""


class BabbleFishError(Exception):
    """An expected failure. ``message`` says what is wrong and names the fix; it never holds
    speech, names or room codes, so that it may be logged."""

    stage = "app"

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def __reduce__(self):
        return type(self), (self.code, self.message)


class SettingsError(BabbleFishError):
    stage = "settings"


class AudioError(BabbleFishError):
    stage = "audio"


class WeightsError(BabbleFishError):
    stage = "weights"


class RecognitionError(BabbleFishError):
    stage = "recognition"


class TranslationError(BabbleFishError):
    stage = "translation"


class SynthesisError(BabbleFishError):
    stage = "synthesis"


class CloningError(BabbleFishError):
    """No laptop says this in the speaker's own voice, or not in time: say it in the neutral one.

    Codes: "nobody" (no laptop to ask), "late", "unreachable", "refused" (the laptop does not know
    this server), "bad_answer", "bad_audio", "bad_request", "forgotten", "closed", and those of the
    laptop itself (``accelerator_protocol.Failed.code``)."""

    stage = "cloning"


class SpeakerError(BabbleFishError):
    stage = "speaker"


class WorkerError(BabbleFishError):
    """A worker process died, hung or was too busy; the job it held did not finish."""

    stage = "worker"


class RoomError(BabbleFishError):
    stage = "room"


class StorageError(BabbleFishError):
    stage = "storage"


class TransportError(BabbleFishError):
    stage = "transport"


class SignInError(BabbleFishError):
    """The admin cannot be let in, or a password not be taken."""

    stage = "sign_in"
