"""What a connection may be told of its own member's speech beyond captions: an interface alone."""

from __future__ import annotations

from typing import Protocol

from babblefish.protocol import Transcript, Utterance


class Witness(Protocol):
    """Called on the event loop; must neither block nor raise. Times are seconds of audio that the
    member's session has received."""

    def speaking(self, active: bool) -> None:
        """Speech began or ended, at ``Session.turned_at``."""
        ...

    def draft(self, transcript: Transcript) -> None:
        """What it sounds like so far."""
        ...

    def said(self, utterance: Utterance, transcript: Transcript) -> None:
        """What it was in the end, before the caption is out; its text is empty where nothing
        intelligible was said."""
        ...
