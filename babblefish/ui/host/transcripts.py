"""Transcripts on the host page: how long they are kept, read and searched, downloaded, deleted.

Gradio shows the choice and the links; reading has a plain page of its own, which works for rooms
that are closed, too. Deleting is done by the rooms tab, which asks first.
"""

from __future__ import annotations

import html
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import gradio as gr
from fastapi import FastAPI
from fastapi.responses import HTMLResponse, Response
from starlette.exceptions import HTTPException

from babblefish.errors import RoomError, TransportError
from babblefish.languages import direction, english_name
from babblefish.storage.records import Retention, StoredRoom, TranscriptEntry, TranslatedLine
from babblefish.ui.host.guard import PLAIN_HEADERS
from babblefish.ui.host.views import button, esc
from babblefish.ui.transcript_files import SHEETS, Format
from babblefish.ui.transcripts import Language, Library, Words

if TYPE_CHECKING:
    from rooms.hub import Hub
    from rooms.room import Room

_DAYS = (1, 7, 30, 90, 365)
_LINES = 200
"""on one page"""


# --- the rooms tab --------------------------------------------------------------------------


def choice(retention: Retention) -> str:
    """``retention`` as the value of the list."""
    return str(retention.days) if retention.kind == "days" else retention.kind


def chosen(value: str) -> Retention:
    """What a value of the list means. Raises RoomError("setting")."""
    if value in ("off", "until_close"):
        return Retention(value)
    if not value.isdecimal():
        raise RoomError("setting", "Choose how long the transcript is kept.")
    return Retention("days", int(value))


def update(room: Room, kept_here: bool) -> dict[str, dict[str, Any]]:
    """What the parts of the tab show for ``room``. kept_here: this server can keep anything."""
    retention = room.kept.archive.retention
    days = sorted({*_DAYS, retention.days} if retention.kind == "days" else _DAYS)
    choices = [
        ("Not kept", "off"), ("Until the room closes", "until_close"),
        *((f"{n} day" if n == 1 else f"{n} days", str(n)) for n in days),
    ]  # fmt: skip
    return {
        "retention": {"choices": choices, "value": choice(retention), "visible": kept_here},
        "transcript": {"value": _card(room)},
    }


def _card(room: Room) -> str:
    if room.kept.archive.retention.kind == "off":
        return '<p class="bf-muted">Nothing that is said here is kept.</p>'
    return (
        f'<div class="bf-actions">{_links(room.code)}'
        + button(
            "Delete transcript", "forget", room.code, kind="bf-danger",
            confirm="Delete this transcript?",
            detail="Everything said in this room until now is deleted for good. What people have "
            "on their screens stays until they close the page.",
        )
        + "</div>"
    )  # fmt: skip


def closed_rooms(rooms: tuple[StoredRoom, ...]) -> str:
    """Those of which a transcript is still kept."""
    if not rooms:
        return ""
    items = []
    for room in rooms:
        when = time.strftime("%d %b %Y, %H:%M", time.localtime(room.closed or room.created))
        delete = button(
            "Delete", "forget", room.code, kind="bf-quiet",
            aria=f"Delete transcript of {room.name}",
            confirm=f"Delete the transcript of “{room.name}”?",
            detail="Everything said in it is deleted for good.",
        )  # fmt: skip
        items.append(
            f'<li><span class="bf-name" dir="auto">{esc(room.name)}</span>'
            f'<span class="bf-muted">closed {when}</span>'
            f'<div class="bf-actions">{_links(room.code)}{delete}</div></li>'
        )
    return (
        '<section class="bf-card"><h3>Kept transcripts</h3>'
        f'<ul class="bf-kept">{"".join(items)}</ul></section>'
    )


def _links(code: str) -> str:
    return (
        f'<a class="bf-button" href="/admin/transcripts/{esc(code)}" target="_blank" '
        'rel="noopener">Read and download</a>'
    )


def create_controls(shown: dict[str, Any]) -> None:
    """In the panel of one room."""
    with gr.Accordion("Transcript", open=False, elem_classes="bf-settings"):
        shown["retention"] = gr.Dropdown(
            label="What is said here is kept", filterable=False,
            info="People see this on their phones. Choosing less deletes the rest at once.",
        )  # fmt: skip
        shown["transcript"] = gr.HTML(padding=False)


# --- the page to read it --------------------------------------------------------------------


def add_routes(app: FastAPI, hub: Hub) -> None:
    """``/admin/transcripts/{code}``, and the same as a file."""
    library = Library(hub)

    def name_of(code: str) -> str | None:
        if code in hub.rooms:
            return hub.rooms[code].name
        return next((room.name for room in hub.closed_rooms if room.code == code), None)

    @app.get("/admin/transcripts/{code}", include_in_schema=False)
    async def read(code: str, words: Words = "", after: int = 0) -> Response:
        name = name_of(code)
        if name is None:
            return HTMLResponse(_page("No such transcript", _GONE), 404, PLAIN_HEADERS)
        try:
            await library.note("admin", "transcript_read", code)
            entries = await library.entries(code, words, max(0, after), _LINES + 1)
        except TransportError as error:
            problem = f'<p class="problem" role="alert">{esc(error.message)}</p>'
            return HTMLResponse(_page(name, problem), 503, PLAIN_HEADERS)
        return HTMLResponse(_page(name, _reading(code, words, entries)), 200, PLAIN_HEADERS)

    @app.get("/admin/transcripts/{code}/file", include_in_schema=False)
    async def file(
        code: str, format: Format = "txt", language: Language = "", words: Words = ""
    ) -> Response:
        name = name_of(code)
        if name is None:
            raise HTTPException(404, "There is no transcript of this room")
        return await library.download("admin", code, name, format, language, words)


def _reading(code: str, words: str, entries: list[TranscriptEntry]) -> str:
    shown = entries[:_LINES]
    lines = "".join(_line(entry) for entry in shown)
    empty = "Nothing was found." if words else "Nothing has been said yet, or nothing is kept."
    body = f'<ol class="lines">{lines}</ol>' if lines else f'<p class="empty">{empty}</p>'
    more = ""
    if len(entries) > _LINES:
        query = urlencode({"words": words, "after": shown[-1].spoken.sequence})
        more = f'<p><a class="button" href="?{html.escape(query)}">Go on reading</a></p>'
    return (
        '<form class="search" method="get" role="search">'
        '<label for="words">Search words and names</label>'
        f'<input id="words" name="words" type="search" maxlength="200" value="{esc(words)}">'
        f"<button>Search</button></form>{_downloads(code, words, shown)}{body}{more}"
    )


def _downloads(code: str, words: str, entries: list[TranscriptEntry]) -> str:
    languages = {entry.spoken.language for entry in entries}
    languages |= {t.language for entry in entries for t in entry.translations}
    options = "".join(
        f'<option value="{esc(language)}">{esc(english_name(language))}</option>'
        for language in sorted(languages, key=english_name)
    )
    buttons = "".join(
        f'<button name="format" value="{kind}">{kind.upper()}</button>' for kind in SHEETS
    )
    return (
        f'<form class="download" method="get" action="/admin/transcripts/{esc(code)}/file">'
        f'<input type="hidden" name="words" value="{esc(words)}">'
        '<label for="language">Download</label><select id="language" name="language">'
        '<option value="">Original and all translations</option>'
        f'<option value="original">As it was said</option>{options}</select>{buttons}</form>'
    )


def _line(entry: TranscriptEntry) -> str:
    said = entry.spoken
    clock = time.strftime("%d %b, %H:%M:%S", time.localtime(said.start))
    translations = "".join(
        f'<p class="translation"><span class="language">{esc(english_name(t.language))}</span> '
        f"{_words(t.language, t.text)}{_marks(t)}</p>"
        for t in entry.translations
    )
    return (
        f'<li><p class="who"><bdi>{esc(said.speaker_name or "Unknown")}</bdi> '
        f"<time>{clock}</time></p><p>{_words(said.language, said.text)}</p>{translations}</li>"
    )


def _words(language: str, text: str) -> str:
    return f'<span lang="{esc(language)}" dir="{direction(language)}">{esc(text)}</span>'


def _marks(line: TranslatedLine) -> str:
    voice = "own voice, synthetic" if line.own_voice else "synthetic voice"
    marks = (voice, line.synthetic), ("basic translation", line.quality == "basic")
    return "".join(f' <span class="mark">{mark}</span>' for mark, true in marks if true)


def _page(name: str, body: str) -> str:
    return _HEAD.replace("{name}", esc(name)) + body + "</main></body></html>"


_HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Transcript · BabbleFish</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/web/base.css">
<link rel="stylesheet" href="/web/transcript.css">
</head>
<body>
<main>
<p class="back"><a href="/admin/">Host page</a></p>
<h1 dir="auto">{name}</h1>
"""
_GONE = '<p class="empty">It has been deleted, or the room does not exist.</p>'
