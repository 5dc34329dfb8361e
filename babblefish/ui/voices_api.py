"""The HTTP routes of one's own voice: agree, record, hear, save, choose, withdraw, delete.

Bearer of every route: the participant's key. A participant acts on their own data only: on the
person whom they enrolled in this seat, or whose profile key they showed when they joined; being
recognised by voice opens nothing. Knows no pages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from babblefish.audio import to_float32, wav_file
from babblefish.engine import enrolment_prompts, voice_matching
from babblefish.engine.consent_texts import consent_text
from babblefish.engine.reference_material import Progress
from babblefish.engine.stages import PLAYOUT_RATE
from babblefish.engine.voice_samples import VoiceSamples
from babblefish.errors import RoomError, TransportError
from babblefish.storage.records import Purpose
from babblefish.ui.access import Access
from babblefish.ui.api import Body, Code, Desk, ErrorAnswer
from babblefish.ui.recordings import Recordings, body_of
from rooms import voice_choice
from rooms.collected_clips import progress
from rooms.enrolment import MOST_SECONDS, PROMPTS, Enrolment, Take, TakeName

if TYPE_CHECKING:
    from babblefish.engine.engine import Engine
    from rooms.hub import Hub
    from rooms.member import Member

"""of recordings, for a voice like somebody's own"""

Language = Annotated[str, Field(min_length=2, max_length=35)]


# --- what phones send -------------------------------------------------------------------------


class EnrolBody(Body):
    name: str = Field(min_length=1, max_length=200)
    language: Language
    """of the prompts and of the consent's wording"""
    purposes: list[Purpose] = Field(max_length=3)
    """what was agreed to; "voiceprint" must be among them"""


class WithdrawBody(Body):
    purpose: Purpose


class NameBody(Body):
    name: str = Field(min_length=1, max_length=200)


class ChoiceBody(Body):
    voice: str = Field(min_length=1, max_length=200)
    """"closest", "neutral", or one of VoicesAnswer.voices"""
    language: str = Field("", max_length=35)
    """in which; required for a voice, empty: "closest" or "neutral" in all of them"""


# --- what phones get --------------------------------------------------------------------------


class FaultAnswer(BaseModel):
    code: Literal["silent", "too_short", "too_quiet", "clipped", "noisy", "muffled", "two_voices"]
    message: str
    """in English: what is wrong and what to do about it"""


class TakeAnswer(BaseModel):
    take: TakeName
    good: bool
    seconds: float
    speech_seconds: float
    faults: list[FaultAnswer]
    """most important first; empty when it is good"""


class EnrolmentAnswer(BaseModel):
    name: str
    language: str
    purposes: list[Purpose]
    sentences: list[str]
    """the text of takes "1", "2" and "3" """
    sentences_language: str
    note: str
    """said beside the sentences where there are none in the language asked for; else empty"""
    takes: list[TakeAnswer]
    """those recorded so far"""
    complete: bool
    """whether it can be saved: three good prompts, or a good upload; also without any recording
    where "cloning" and "passive_collection" were agreed to"""
    most_seconds: dict[TakeName, float]


class ConsentAnswer(BaseModel):
    version: int
    language: str
    """of the words: English where there are none in the language asked for"""
    title: str
    statements: list[str]
    """all of them are to be shown"""
    purposes: dict[Purpose, list[str]]
    """the statements that each purpose is about"""
    agree: str
    """the button's label"""
    sentences: list[str]
    """to be read aloud"""
    sentences_language: str
    note: str


class ProgressAnswer(BaseModel):
    percent: int
    seconds: float
    needed: float


class VoiceAnswer(BaseModel):
    """What this server knows of the participant's voice."""

    keeps: bool
    """False: this server keeps nothing, so nobody can be enrolled"""
    enrolled: bool
    name: str
    """under which it is kept; empty when not enrolled"""
    agreed: list[Purpose]
    samples: int
    """voiceprints"""
    clips: int
    """recordings for a voice like one's own"""
    progress: ProgressAnswer | None
    """towards a voice like one's own; None without consent to it"""
    choice: Literal["closest", "neutral", "chosen"]
    chosen: dict[str, str]
    """language → voice that was asked for; the other languages have the closest"""
    languages: list[str]
    """into which the participant is translated now: those in which a voice is heard"""
    enrolment: EnrolmentAnswer | None
    """one that is going on"""


class OfferedVoice(BaseModel):
    voice: str
    """send it back as it is; no words for people"""
    number: int
    """from 1, the same at every call"""
    pitch: float | None
    """Hertz, None: not known"""
    depth: Literal["deep", "middle", "high"] | None


class VoicesAnswer(BaseModel):
    language: str
    current: str | None
    """what this participant is spoken with in this language now"""
    voices: list[OfferedVoice]


class SavedAnswer(BaseModel):
    profile: str
    """to be kept on the phone and shown as JoinBody.profile; opens one's own voice data only"""
    voice: VoiceAnswer


# --- routes -----------------------------------------------------------------------------------


def create_voices_router(hub: Hub, engine: Engine, access: Access) -> APIRouter:
    """The routes under ``/api/rooms/{code}/voice``."""
    errors: dict[int | str, dict[str, Any]] = {
        status: {"model": ErrorAnswer} for status in (401, 403, 404, 409, 413, 422, 429, 503)
    }
    router = APIRouter(prefix="/api/rooms/{code}/voice", tags=["voice"], responses=errors)
    desk = Desk(hub, access)
    recordings, samples = Recordings(), VoiceSamples(engine)

    def seat(request: Request, code: str, action: str = "voice") -> Member:
        return desk.member(request, code, action, Access.bearer(request, "member_key"))

    def own(member: Member) -> str:
        """The person whose data the participant may act on."""
        if member.speaker is None or hub.people.get(member.speaker) is None:
            raise RoomError("not_enrolled", "Nothing is kept of your voice.")
        return member.speaker

    def going_on(member: Member) -> Enrolment:
        if (found := hub.enrolments.of(member.id)) is None:
            raise RoomError("enrolment", "This enrolment is over. Start again, it takes a minute.")
        return found

    async def state(member: Member) -> VoiceAnswer:
        return await voice_state(hub, member)

    @router.get("")
    async def voice(code: Code, request: Request) -> VoiceAnswer:
        """What is known of my voice, and the enrolment that is going on."""
        return await state(seat(request, code))

    @router.delete("", status_code=204, response_class=Response)
    async def delete(code: Code, request: Request) -> Response:
        """Delete everything about me: voiceprints, recordings, consents, what I said in stored
        meetings."""
        await hub.profiles.delete(own(seat(request, code)), "self")
        return Response(status_code=204)

    @router.get("/consent")
    async def consent(code: Code, request: Request, language: Language) -> ConsentAnswer:
        """What there is to agree to, and the prompts, in a language."""
        seat(request, code)
        return consent_answer(language)

    @router.post("/enrolment")
    async def begin(code: Code, body: EnrolBody, request: Request) -> EnrolmentAnswer:
        """I agree to these purposes. Forgets an enrolment of mine that is not saved yet."""
        member = seat(request, code)
        made = hub.enrolments.begin(
            name=body.name, language=body.language, purposes=body.purposes, actor="self",
            given_by=f"{member.name}, on their own phone", owner=member.id,
            speaker=member.speaker, color=member.color, voice=member.chosen_voice,
        )  # fmt: skip
        return enrolment_answer(made)

    @router.get("/enrolment")
    async def enrolment(code: Code, request: Request) -> EnrolmentAnswer:
        return enrolment_answer(going_on(seat(request, code)))

    @router.delete("/enrolment", status_code=204, response_class=Response)
    async def cancel(code: Code, request: Request) -> Response:
        """Forget it with all its recordings."""
        if found := hub.enrolments.of(seat(request, code).id):
            hub.enrolments.cancel(found.id)
        return Response(status_code=204)

    @router.put("/enrolment/takes/{take}")
    async def record(code: Code, take: TakeName, request: Request) -> TakeAnswer:
        """A recording, in any usual format, as the request's body."""
        found = going_on(seat(request, code, "take"))
        heard = await recordings.read(await body_of(request), MOST_SECONDS[take])
        return take_answer(take, await hub.enrolments.take(found, take, heard))

    @router.get("/enrolment/takes/{take}", response_class=Response)
    async def play(code: Code, take: TakeName, request: Request) -> Response:
        """The recording, as WAV."""
        return Response(going_on(seat(request, code)).audio(take), media_type="audio/wav")

    @router.delete("/enrolment/takes/{take}", status_code=204, response_class=Response)
    async def discard(code: Code, take: TakeName, request: Request) -> Response:
        going_on(seat(request, code)).discard(take)
        return Response(status_code=204)

    @router.post("/enrolment/save")
    async def save(code: Code, request: Request) -> SavedAnswer:
        """Keep it; from now on I am known."""
        member = seat(request, code)
        speaker = await hub.enrolments.save(going_on(member))
        hub.profiles.seat(member, speaker.id)
        return SavedAnswer(profile=hub.profiles.key(speaker.id), voice=await state(member))

    @router.post("/withdraw")
    async def withdraw(code: Code, body: WithdrawBody, request: Request) -> VoiceAnswer:
        """I do not agree to this any more: what was kept for it is deleted."""
        member = seat(request, code)
        await hub.profiles.withdraw(own(member), body.purpose, "self")
        return await state(member)

    @router.post("/name")
    async def rename(code: Code, body: NameBody, request: Request) -> VoiceAnswer:
        """The name under which I am known by voice."""
        member = seat(request, code)
        await hub.profiles.rename(own(member), body.name, "self")
        return await state(member)

    @router.post("/choice")
    async def choose(code: Code, body: ChoiceBody, request: Request) -> VoiceAnswer:
        """With which voice my translations are spoken; enrolled or not."""
        member = seat(request, code)
        await hub.profiles.choose_voice(member, body.voice, body.language)
        return await state(member)

    @router.get("/voices")
    async def voices(code: Code, request: Request, language: Language) -> VoicesAnswer:
        """The voices of a language, and the one that I have."""
        member = seat(request, code)
        return VoicesAnswer(
            language=language, current=member.room.conversation.voice_of(member, language),
            voices=offered(engine, language),
        )  # fmt: skip

    @router.get("/sample", response_class=Response)
    async def sample(
        code: Code, request: Request, language: Language,
        voice: Annotated[str, Field(max_length=200)],
    ) -> Response:  # fmt: skip
        """A few words in a voice, as WAV. The first time takes some seconds."""
        seat(request, code, "sample")
        if not engine.ready:
            raise TransportError("starting", "The server is still starting. One moment, please.")
        heard = await samples.sample(language, voice)
        return Response(wav_file(to_float32(heard), PLAYOUT_RATE), media_type="audio/wav")

    return router


# --- answers ----------------------------------------------------------------------------------


async def voice_state(hub: Hub, member: Member) -> VoiceAnswer:
    known = hub.people.get(member.speaker)
    clips = await hub.storage.clips(known.speaker.id) if known and hub.storage else []
    chosen = dict(voice_choice.by_language(member.chosen_voice))
    neutral = voice_choice.is_neutral(member.chosen_voice)
    going_on = hub.enrolments.of(member.id)
    listeners = [m for m in member.room.members.values() if m is not member or m.pair]
    hearing = {ear.hears for m in listeners for ear in m.ears}
    return VoiceAnswer(
        keeps=hub.storage is not None,
        enrolled=known is not None,
        name=known.speaker.name if known else "",
        agreed=sorted(known.agreed) if known else [],
        samples=len(known.samples) if known else 0,
        clips=len(clips),
        progress=progress_answer(progress(clips)) if known and "cloning" in known.agreed else None,
        choice="neutral" if neutral else "chosen" if chosen else "closest",
        chosen=chosen,
        languages=sorted(hearing - {member.heard_language}),
        enrolment=enrolment_answer(going_on) if going_on else None,
    )


def progress_answer(found: Progress) -> ProgressAnswer:
    return ProgressAnswer(
        percent=found.percent, seconds=round(found.seconds, 1), needed=found.wanted_seconds
    )


def consent_answer(language: str) -> ConsentAnswer:
    words, prompts = consent_text(language), enrolment_prompts.prompts(language)
    return ConsentAnswer(
        version=words.version, language=words.language, title=words.title,
        statements=list(words.statements), agree=words.agree, purposes=words.purposes,
        sentences=list(prompts.sentences), sentences_language=prompts.language, note=prompts.note,
    )  # fmt: skip


def enrolment_answer(found: Enrolment) -> EnrolmentAnswer:
    return EnrolmentAnswer(
        name=found.name, language=found.language, purposes=sorted(found.purposes),
        sentences=list(found.prompts.sentences), sentences_language=found.prompts.language,
        note=found.prompts.note, complete=found.complete, most_seconds=MOST_SECONDS,
        takes=[
            take_answer(name, found.takes[name])
            for name in (*PROMPTS, "upload") if name in found.takes
        ],
    )  # fmt: skip


def take_answer(name: TakeName, take: Take) -> TakeAnswer:
    quality = take.quality
    return TakeAnswer(
        take=name, good=quality.good, seconds=round(quality.seconds, 1),
        speech_seconds=round(quality.speech_seconds, 1),
        faults=[FaultAnswer(code=f.code, message=f.message) for f in quality.faults],
    )  # fmt: skip


def offered(engine: Engine, language: str) -> list[OfferedVoice]:
    """The voices of a language, with what is known of how deep they are."""
    known = voice_matching.table()
    found = []
    for number, name in enumerate(engine.voices(language), 1):
        pitch = known.pitch(language, name)
        found.append(
            OfferedVoice(
                voice=name, number=number, pitch=None if pitch is None else round(pitch),
                depth=None if pitch is None else _depth(pitch),
            )
        )  # fmt: skip
    return found


def _depth(pitch: float) -> Literal["deep", "middle", "high"]:
    return "deep" if pitch < 145 else "middle" if pitch < 185 else "high"
