"""Scripted answers of the routes of one's own voice, for tests of the phone page.

Their shapes are those of ``babblefish.ui.voices_api``; what they say is decided by the test through
``VoiceScript``. A recording is judged by its loudness and length alone.
"""

from __future__ import annotations

import io
import wave
from typing import Any

import numpy as np
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response

from babblefish.engine.consent_texts import consent_text
from babblefish.engine.enrolment_prompts import prompts
from babblefish.ui.access import Access

NEEDED = 20.0
_MESSAGES = {"silent": "Nothing was recorded.", "too_short": "Too short."}


class VoiceScript:
    """What the server knows of the one participant's voice, and what was asked of it."""

    def __init__(self) -> None:
        self.keeps, self.enrolled = True, False
        self.agreed: list[str] = []
        self.seconds, self.samples, self.clips = 0.0, 0, 0
        self.choice = "closest"
        self.chosen: dict[str, str] = {}
        self.takes: dict[str, bytes] = {}
        self.purposes: list[str] | None = None
        """of the enrolment that is going on"""
        self.body: dict[str, Any] = {}
        """of the last enrolment"""
        self.least_seconds = 0.5
        self.calls: list[str] = []
        self.failure: tuple[int, str] | None = None
        """status and code of the next answer to anything but the page's regular question"""
        self.erasing = False
        """what is deleted is still on the disk"""

    def state(self) -> dict[str, Any]:
        progress = {
            "percent": min(100, int(100 * self.seconds / NEEDED)),
            "seconds": self.seconds,
            "needed": NEEDED,
        }
        return {
            "keeps": self.keeps, "enrolled": self.enrolled, "name": "Dan" if self.enrolled else "",
            "agreed": sorted(self.agreed), "samples": self.samples, "clips": self.clips,
            "progress": progress if self.enrolled and "cloning" in self.agreed else None,
            "choice": self.choice, "chosen": self.chosen, "languages": ["fr"], "enrolment": None,
        }  # fmt: skip

    def judge(self, name: str, sound: bytes) -> dict[str, Any]:
        self.takes[name] = sound
        with wave.open(io.BytesIO(sound)) as file:
            assert (file.getnchannels(), file.getsampwidth()) == (1, 2)
            seconds = file.getnframes() / file.getframerate()
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        faults = []
        if np.abs(samples).max(initial=0) < 33:
            faults = ["silent"]
        elif seconds < self.least_seconds:
            faults = ["too_short"]
        return {
            "take": name, "good": not faults, "seconds": seconds, "speech_seconds": seconds,
            "faults": [{"code": code, "message": _MESSAGES[code]} for code in faults],
        }  # fmt: skip

    def save(self) -> dict[str, Any]:
        assert self.purposes is not None
        self.enrolled, self.agreed = True, self.purposes
        self.samples = len(self.takes)
        self.clips = len(self.takes) if "cloning" in self.agreed else 0
        self.seconds = 14.0 if self.clips else 0.0
        self.purposes, self.takes = None, {}
        return {"profile": "s1.key", "voice": self.state()}

    def withdraw(self, purpose: str) -> dict[str, Any]:
        self.agreed = [other for other in self.agreed if other != purpose]
        if purpose == "cloning":
            self.seconds, self.clips = 0.0, 0
        return self.state()

    def choose(self, voice: str, language: str) -> dict[str, Any]:
        if language:
            self.choice, self.chosen = "chosen", {**self.chosen, language: voice}
        else:
            self.choice, self.chosen = voice, {}
        return self.state()

    def delete(self) -> None:
        self.enrolled, self.agreed = False, []
        self.seconds, self.samples, self.clips = 0.0, 0, 0
        self.choice, self.chosen = "closest", {}


def add_voice_routes(app: FastAPI, voices: dict[str, VoiceScript]) -> None:
    """In front of the application's own. voices: member key → what is known of them."""
    base = "/api/rooms/{code}/voice"
    before = len(app.router.routes)

    async def answer(request: Request) -> Response:
        path = request.url.path.partition("/voice")[2]
        script = voices.setdefault(Access.bearer(request, "member_key"), VoiceScript())
        script.calls.append(f"{request.method} {path}")
        if script.failure is not None and (request.method, path) != ("GET", ""):
            (status, code), script.failure = script.failure, None
            return JSONResponse({"error": {"code": code, "message": "English words."}}, status)
        return await _answer(script, request, f"{request.method} {path}")

    methods = ["GET", "POST", "PUT", "DELETE"]
    app.add_api_route(base, answer, methods=methods, include_in_schema=False)
    app.add_api_route(base + "/{rest:path}", answer, methods=methods, include_in_schema=False)
    routes = app.router.routes
    routes[:] = [*routes[before:], *routes[:before]]


async def _answer(script: VoiceScript, request: Request, asked: str) -> Response:
    language = request.query_params.get("language", "en")
    match asked.split("/"):
        case ["GET "]:
            return JSONResponse(script.state())
        case ["DELETE "]:
            script.delete()
            if script.erasing:
                error = {"code": "erasing", "message": "English words."}
                return JSONResponse({"error": error}, 503)
            return Response(status_code=204)
        case ["GET ", "consent"]:
            return JSONResponse(_consent(language))
        case ["POST ", "enrolment"]:
            script.body = await request.json()
            script.purposes, script.takes = script.body["purposes"], {}
            return JSONResponse(_consent(script.body["language"]))
        case ["DELETE ", "enrolment"]:
            script.purposes, script.takes = None, {}
            return Response(status_code=204)
        case ["PUT ", "enrolment", "takes", name]:
            return JSONResponse(script.judge(name, await request.body()))
        case ["GET ", "enrolment", "takes", name]:
            return Response(script.takes[name], media_type="audio/wav")
        case ["POST ", "enrolment", "save"]:
            return JSONResponse(script.save())
        case ["POST ", "withdraw"]:
            return JSONResponse(script.withdraw((await request.json())["purpose"]))
        case ["POST ", "choice"]:
            return JSONResponse(script.choose(**await request.json()))
        case ["GET ", "voices"]:
            return JSONResponse(_voices(language))
        case ["GET ", "sample"]:
            return Response(_tone(), media_type="audio/wav")
    return JSONResponse({"error": {"code": "not_found", "message": asked}}, 404)


def _tone(seconds: float = 1.0, rate: int = 48000) -> bytes:
    """A WAV file."""
    samples = (9000 * np.sin(np.arange(int(seconds * rate)) / 20)).astype("<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(1)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        writer.writeframes(samples.tobytes())
    return file.getvalue()


def _consent(language: str) -> dict[str, Any]:
    words, read = consent_text(language), prompts(language)
    return {
        "version": words.version, "language": words.language, "title": words.title,
        "statements": list(words.statements), "purposes": words.purposes, "agree": words.agree,
        "sentences": list(read.sentences), "sentences_language": read.language, "note": read.note,
    }  # fmt: skip


def _voices(language: str) -> dict[str, Any]:
    depths = ("high", "deep", None)
    voices = [
        {"voice": f"{language}_{n}", "number": n, "pitch": None, "depth": depth}
        for n, depth in enumerate(depths, 1)
    ]
    return {"language": language, "current": f"{language}_1", "voices": voices}
