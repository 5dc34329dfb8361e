"""HTML of the people tab: people and what is kept of them in, escaped markup out.

Pure functions. What a button does is in its ``data-people`` attribute, which people.js reads;
nothing here acts, and every text that people typed or said is escaped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from babblefish.engine.reference_material import Progress
from babblefish.languages import direction, english_name
from babblefish.storage.records import Clip, Consent, Embedding, Purpose
from babblefish.ui.host.views import count, esc
from rooms.collected_clips import progress
from rooms.people import KnownPerson

_PURPOSES: Mapping[Purpose, tuple[str, str]] = {
    "voiceprint": ("Voiceprint", "Their name appears beside what they say."),
    "cloning": ("Own voice", "Recordings are kept, for a voice like their own."),
    "passive_collection": ("Meetings", "Recordings are also taken from what they say in meetings."),
}
_LOST: Mapping[Purpose, str] = {
    "voiceprint": "Their voiceprints are deleted; they are not recognised by voice any more.",
    "cloning": "Their recordings are deleted; they are spoken with a neutral voice.",
    "passive_collection": "What was collected in meetings is deleted.",
}
_SOURCES = {"enrolment": "read aloud", "upload": "uploaded", "meeting": "from a meeting"}
_PLAY = (
    '<svg viewBox="0 0 24 24" width="18" height="18" aria-hidden="true" fill="currentColor">'
    '<path d="M8 5v14l11-7z"/></svg>'
)


@dataclass(frozen=True, slots=True)
class PersonPage:
    """Everything that is kept of one person."""

    known: KnownPerson
    consents: Sequence[Consent]
    embeddings: Sequence[Embedding]
    clips: Sequence[Clip]


def action(label: str, do: str, *, kind: str = "", html: str = "", **data: str) -> str:
    """A button for people.js; ``data`` become its data attributes."""
    given = "".join(f' data-{key}="{esc(value)}"' for key, value in data.items())
    return (
        f'<button type="button" class="bf-button {kind}" data-people="{do}"{given}>'
        f"{html}{esc(label)}</button>"
    )


def enrol_button() -> str:
    return action("Enrol somebody", "enrol", kind="bf-primary bf-enrol")


def ring(percent: int) -> str:
    """How far somebody is on the way to a voice like their own."""
    return (
        f'<svg class="bf-ring" viewBox="0 0 36 36" width="36" height="36" role="img" '
        f'aria-label="{percent} per cent of the recordings for their own voice">'
        '<circle cx="18" cy="18" r="15.9" pathLength="100"/>'
        f'<circle class="bf-done" cx="18" cy="18" r="15.9" pathLength="100" '
        f'stroke-dasharray="{percent} 100" transform="rotate(-90 18 18)"/>'
        f'<text x="18" y="22" text-anchor="middle">{percent}</text></svg>'
    )


def people_list(
    people: Sequence[KnownPerson], selected: str, progress_of: Callable[[str], Progress | None]
) -> str:
    """progress_of: of a speaker id, None for who did not agree to a voice of their own."""
    if not people:
        return '<p class="bf-empty">Nobody is enrolled.</p>'
    items = []
    for known in people:
        speaker = known.speaker
        current = ' aria-current="true"' if speaker.id == selected else ""
        spoken = sum(sample.seconds for sample in known.samples)
        words = f"{count(len(known.samples), 'voiceprint', 'voiceprints')}, {spoken:.0f} s"
        agreed = " · ".join(_PURPOSES[p][0] for p in get_args(Purpose) if p in known.agreed)
        shown = ring(found.percent) if (found := progress_of(speaker.id)) else ""
        items.append(
            f'<li><button type="button" class="bf-room bf-person" data-people="select" '
            f'data-person="{esc(speaker.id)}"{current}>'
            f'<span class="bf-dot" data-color="{speaker.color % 12}"></span>'
            f'<span class="bf-who"><span class="bf-name" dir="auto">{esc(speaker.name)}</span>'
            f'<span class="bf-muted">{words if known.samples else "no voiceprint"}</span>'
            f'<span class="bf-muted">{agreed or "agreed to nothing"}</span></span>'
            f"{shown}</button></li>"
        )
    return f'<ul class="bf-rooms">{"".join(items)}</ul>'


def welcome() -> str:
    return (
        '<section class="bf-card bf-welcome"><h2>Know people by their voices</h2><p>Whoever '
        "agrees reads three short texts aloud. From then on their name stands beside what they "
        "say, on any phone, and their translations get a voice that is near to theirs. They can "
        "do it on their own phone, too. Everything else works without it.</p></section>"
    )


def nothing_kept() -> str:
    return (
        '<section class="bf-card bf-welcome"><h2>Nothing is kept</h2><p>This server runs without '
        "a storage, so nobody can be enrolled.</p></section>"
    )


def trouble(message: str) -> str:
    return f'<section class="bf-card" role="alert"><p class="bf-fault">{esc(message)}</p></section>'


def person(page: PersonPage, people: Sequence[KnownPerson]) -> str:
    """Who it is, what they agreed to, what is kept, and all that can be done with it."""
    parts = _header(page, people) + _consents(page) + _recordings(page)
    return f'<div class="bf-person-panel">{parts}</div>'


def _header(page: PersonPage, people: Sequence[KnownPerson]) -> str:
    speaker = page.known.speaker
    others = [p.speaker for p in people if p.speaker.id != speaker.id]
    of_whom = {"person": speaker.id, "name": speaker.name}
    kept = [
        count(len(page.embeddings), "voiceprint", "voiceprints"),
        count(len(page.clips), "recording", "recordings"),
        count(len(page.consents), "consent", "consents"),
    ]
    detail = (
        f"{', '.join(kept)}, and what they said in stored meetings are deleted. "
        "This cannot be undone."
    )
    agreed = " ".join(sorted(page.known.agreed))
    buttons = [
        action("Record again", "enrol", **of_whom, agreed=agreed),
        action("Rename", "rename", **of_whom),
    ]
    if others:
        buttons.append(action("Merge", "merge", **of_whom))
    buttons.append(action("Delete", "delete", kind="bf-danger", **of_whom, detail=detail))
    since = time.strftime("%d %B %Y", time.localtime(speaker.created)).lstrip("0")
    choices = "".join(
        f'<option value="{esc(other.id)}">{esc(other.name)}</option>' for other in others
    )
    return (
        f'<header class="bf-head"><div><h2 dir="auto"><span class="bf-dot" '
        f'data-color="{speaker.color % 12}"></span> {esc(speaker.name)}</h2>'
        f'<p class="bf-muted">known since {since}</p></div>'
        f'<div class="bf-actions">{"".join(buttons)}</div>'
        f'<template id="bf-others">{choices}</template></header>'
    )


def _consents(page: PersonPage) -> str:
    items = []
    for purpose in get_args(Purpose):
        title, words = _PURPOSES[purpose]
        given = [c for c in page.consents if c.form.purpose == purpose and c.withdrawn is None]
        if given:
            last = given[-1]
            when = time.strftime("%d %B %Y, %H:%M", time.localtime(last.given)).lstrip("0")
            language = english_name(last.form.language)
            state = (
                f"Agreed {when}, in {esc(language)} "
                f"(wording {esc(last.form.version)}) · <bdi>{esc(last.form.given_by)}</bdi>"
            )
            button = action(
                "Withdraw", "withdraw", kind="bf-quiet", person=page.known.speaker.id,
                purpose=purpose, title=f"{title}: not agreed to any more?", detail=_LOST[purpose],
            )  # fmt: skip
        else:
            state, button = "Not agreed to", ""
        mark = "bf-yes" if given else "bf-no"
        items.append(
            f'<li><span class="bf-mark {mark}" aria-hidden="true"></span><div class="bf-who">'
            f'<span class="bf-name">{title}</span><span class="bf-muted">{words}</span>'
            f'<span class="bf-muted">{state}</span></div>{button}</li>'
        )
    return (
        '<section class="bf-card"><h3>What they agreed to</h3>'
        f'<ul class="bf-people">{"".join(items)}</ul></section>'
    )


def _recordings(page: PersonPage) -> str:
    rows = [_clip(clip) for clip in page.clips] + [_print(made) for made in page.embeddings]
    shown = ""
    if "cloning" in page.known.agreed:
        found = progress(page.clips)
        shown = (
            f'<p class="bf-progress">{ring(found.percent)}'
            f"<span>Own {found.text} recorded</span></p>"
        )
    if not rows:
        body = '<p class="bf-empty">Nothing is recorded yet.</p>'
    else:
        split = action(
            "The ticked ones are somebody else's", "split", person=page.known.speaker.id,
            name=page.known.speaker.name,
        )  # fmt: skip
        body = f'<ul class="bf-people bf-clips">{"".join(rows)}</ul><p class="bf-split">{split}</p>'
    return (
        '<section class="bf-card"><h3>What is kept '
        f'<span class="bf-count">{len(rows)}</span></h3>{shown}{body}</section>'
    )


def _clip(clip: Clip) -> str:
    made = time.strftime("%d %b", time.localtime(clip.made)).lstrip("0")
    play = (
        f'<button type="button" class="bf-button bf-play" data-people="play" '
        f'data-src="/admin/people/clips/{esc(clip.id)}" aria-label="Play">{_PLAY}</button>'
    )
    facts = f"Recording · {clip.seconds:.1f} s · {_SOURCES[clip.source]} · {made}"
    return _row(
        "clip", clip.id, f'<span class="bf-said" lang="{esc(clip.language)}" '
        f'dir="{direction(clip.language)}">{esc(clip.text) or "…"}</span>', facts, play
    )  # fmt: skip


def _print(made: Embedding) -> str:
    when = time.strftime("%d %b", time.localtime(made.made)).lstrip("0")
    facts = f"{made.seconds:.1f} s of speech · {_SOURCES[made.source]} · {when}"
    return _row("embedding", made.id, '<span class="bf-said">Voiceprint</span>', facts, "")


def _row(kind: str, id_: str, title: str, facts: str, more: str) -> str:
    return (
        f'<li><input type="checkbox" class="bf-tick" data-{kind}="{esc(id_)}" '
        f'aria-label="Belongs to somebody else"><div class="bf-who">{title}'
        f'<span class="bf-muted">{facts}</span></div>{more}</li>'
    )
