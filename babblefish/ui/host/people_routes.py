"""What the people tab's own dialogs ask for: enrol, play, rename, merge, split, withdraw, delete.

JSON and recordings below ``/admin/people``, behind the wall of ``guard.py``; every change is the
admin's, and the storage writes its audit line. Knows no Gradio and draws nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from babblefish.engine import consent_texts
from babblefish.errors import StorageError
from babblefish.languages import direction, english_name
from babblefish.storage.records import ConsentForm, Purpose
from babblefish.ui.api import Body
from babblefish.ui.recordings import Recordings, body_of
from babblefish.ui.voices_api import (
    ConsentAnswer,
    EnrolmentAnswer,
    TakeAnswer,
    consent_answer,
    enrolment_answer,
    take_answer,
)
from rooms.enrolment import MOST_SECONDS, TakeName

if TYPE_CHECKING:
    from babblefish.storage.storage import Storage
    from rooms.hub import Hub

_COLORS = 12


class EnrolBody(Body):
    name: str = Field(max_length=200)
    language: str = Field(min_length=2, max_length=35)
    purposes: list[Purpose] = Field(max_length=3)
    speaker: str | None = Field(None, max_length=64)
    """somebody who is known already and records anew"""
    replace: bool = True


class NameBody(Body):
    name: str = Field(max_length=200)


class PurposeBody(Body):
    purpose: Purpose


class MergeBody(Body):
    other: str = Field(max_length=64)


class SplitBody(Body):
    name: str = Field(max_length=200)
    language: str = Field(min_length=2, max_length=35)
    purposes: list[Purpose] = Field(max_length=3)
    """what the new person agrees to"""
    clips: list[str] = Field(max_length=1000)
    embeddings: list[str] = Field(max_length=1000)


class LanguageAnswer(BaseModel):
    code: str
    name: str


class HostConsentAnswer(ConsentAnswer):
    direction: str
    sentences_direction: str
    languages: list[LanguageAnswer]
    """in which there is a text"""


class HostEnrolmentAnswer(EnrolmentAnswer):
    id: str


class PersonAnswer(BaseModel):
    speaker: str
    name: str


def add_routes(app: FastAPI, hub: Hub) -> None:
    recordings = Recordings()

    def storage() -> Storage:
        if hub.storage is None:
            raise StorageError("no_storage", "This server keeps nothing about people.")
        return hub.storage

    @app.get("/admin/people/consent/{language}", include_in_schema=False)
    async def consent(language: str) -> HostConsentAnswer:
        answer = consent_answer(language)
        codes = sorted(consent_texts.languages(), key=english_name)
        return HostConsentAnswer(
            **answer.model_dump(), direction=direction(answer.language),
            sentences_direction=direction(answer.sentences_language),
            languages=[LanguageAnswer(code=code, name=english_name(code)) for code in codes],
        )  # fmt: skip

    @app.post("/admin/people/enrolments", include_in_schema=False)
    async def begin(body: EnrolBody) -> HostEnrolmentAnswer:
        known = hub.people.get(body.speaker)
        name = known.speaker.name if known else body.name
        made = hub.enrolments.begin(
            name=name, language=body.language, purposes=body.purposes, actor="admin",
            given_by=f"{name}, at the host's computer", speaker=body.speaker,
            replace=body.replace, color=_free_color(hub),
        )  # fmt: skip
        return HostEnrolmentAnswer(id=made.id, **enrolment_answer(made).model_dump())

    @app.delete("/admin/people/enrolments/{id}", include_in_schema=False)
    async def cancel(id: str) -> Response:
        hub.enrolments.cancel(id)
        return Response(status_code=204)

    @app.put("/admin/people/enrolments/{id}/takes/{take}", include_in_schema=False)
    async def record(id: str, take: TakeName, request: Request) -> TakeAnswer:
        found = hub.enrolments.get(id)
        heard = await recordings.read(await body_of(request), MOST_SECONDS[take])
        return take_answer(take, await hub.enrolments.take(found, take, heard))

    @app.get("/admin/people/enrolments/{id}/takes/{take}", include_in_schema=False)
    async def play(id: str, take: TakeName) -> Response:
        return Response(hub.enrolments.get(id).audio(take), media_type="audio/wav")

    @app.delete("/admin/people/enrolments/{id}/takes/{take}", include_in_schema=False)
    async def discard(id: str, take: TakeName) -> Response:
        hub.enrolments.get(id).discard(take)
        return Response(status_code=204)

    @app.post("/admin/people/enrolments/{id}/save", include_in_schema=False)
    async def save(id: str) -> PersonAnswer:
        speaker = await hub.enrolments.save(hub.enrolments.get(id))
        return PersonAnswer(speaker=speaker.id, name=speaker.name)

    @app.get("/admin/people/clips/{clip}", include_in_schema=False)
    async def listen(clip: str) -> Response:
        """A recording that is kept; that somebody listened to it is noted."""
        audio = await storage().clip_audio(clip)
        await storage().note("admin", "clip_played", clip)
        return Response(audio, media_type="audio/wav")

    @app.post("/admin/people/{speaker}/rename", include_in_schema=False)
    async def rename(speaker: str, body: NameBody) -> Response:
        await hub.profiles.rename(speaker, body.name, "admin")
        return Response(status_code=204)

    @app.post("/admin/people/{speaker}/withdraw", include_in_schema=False)
    async def withdraw(speaker: str, body: PurposeBody) -> Response:
        await hub.profiles.withdraw(speaker, body.purpose, "admin")
        return Response(status_code=204)

    @app.post("/admin/people/{speaker}/delete", include_in_schema=False)
    async def delete(speaker: str) -> Response:
        await hub.profiles.delete(speaker, "admin")
        return Response(status_code=204)

    @app.post("/admin/people/{speaker}/merge", include_in_schema=False)
    async def merge(speaker: str, body: MergeBody) -> Response:
        """``other`` turned out to be this person."""
        await hub.profiles.merge(speaker, body.other, "admin")
        return Response(status_code=204)

    @app.post("/admin/people/{speaker}/split", include_in_schema=False)
    async def split(speaker: str, body: SplitBody) -> PersonAnswer:
        """Some recordings are somebody else's, who agrees."""
        words = consent_texts.consent_text(body.language)
        given_by = f"{body.name}, at the host's computer"
        forms = [
            ConsentForm(purpose, given_by, words.wording, str(words.version), words.language)
            for purpose in dict.fromkeys(body.purposes)
        ]
        made = await hub.profiles.split(
            speaker, body.name, clips=body.clips, embeddings=body.embeddings, forms=forms,
            actor="admin",
        )  # fmt: skip
        return PersonAnswer(speaker=made.id, name=made.name)


def _free_color(hub: Hub) -> int:
    """The one that the fewest have."""
    used = [known.speaker.color % _COLORS for known in hub.people.known.values()]
    return min(range(_COLORS), key=lambda color: (used.count(color), color))
