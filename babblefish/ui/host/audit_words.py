"""The audit for people: what was done with personal data, when and by whom, never its content.

Pure functions, audit lines in and HTML out.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from babblefish.storage.records import AuditEntry
from babblefish.ui.host.views import esc

_ACTORS = {"admin": "The admin", "self": "A participant", "server": "BabbleFish"}
_PURPOSES = {
    "voiceprint": "a voiceprint",
    "cloning": "a copy of their voice",
    "passive_collection": "recordings during meetings",
}
_ACTS = {
    "clip_added": "stored a recording",
    "clip_deleted": "deleted a recording",
    "database_set_aside": "set a damaged database aside and began a new one",
    "embedding_added": "stored a voiceprint",
    "embedding_deleted": "deleted a voiceprint",
    "key_made": "made a key for a program",
    "key_revoked": "revoked the key of a program",
    "laptop_confirmed": "confirmed a laptop that asked to be added",
    "laptop_paired": "added a laptop",
    "laptop_refused": "refused a laptop that asked to be added",
    "laptop_removed": "removed a laptop",
    "laptop_renamed": "renamed a laptop",
    "laptop_replaced": "replaced an earlier entry of the same laptop",
    "password_changed": "changed the host's password",
    "password_set": "chose the host's password",
    "room_deleted": "deleted a room and what was said in it",
    "set_aside_discarded": "discarded a damaged database",
    "sign_in_blocked": "stopped sign-ins after too many wrong tries",
    "signed_in_by_code": "signed in with a code from the terminal",
    "signed_in_by_password": "signed in with the password",
    "signed_out": "signed out",
    "speaker_added": "added a person",
    "speaker_deleted": "deleted a person",
    "speaker_merged_away": "removed the second of two entries for one person",
    "speaker_merged_into": "merged two entries for one person",
    "speaker_renamed": "renamed a person",
    "speaker_split": "split an entry into two people",
    "transcript_downloaded": "downloaded a transcript",
    "transcript_read": "read a transcript",
    "transcripts_deleted": "deleted the transcript of a room",
    "transcripts_expired": "deleted a transcript whose time was over",
} | {
    f"consent_{given}_{purpose}": f"{verb} the consent to {words}"
    for purpose, words in _PURPOSES.items()
    for given, verb in (("given", "recorded"), ("withdrawn", "withdrew"))
}
_SHOWN_OF_ID = 8


@dataclass(slots=True)
class Line:
    """What was done once, or several times in a row."""

    newest: AuditEntry
    oldest: AuditEntry
    times: int = 1


def in_words(actor: str, act: str) -> str:
    """Such as "The admin deleted a person". An act without words of its own is spelled out."""
    return f"{_ACTORS.get(actor, 'Somebody')} {_ACTS.get(act) or act.replace('_', ' ')}"


def lines(entries: Iterable[AuditEntry]) -> list[Line]:
    """The same by the same to the same, without anything between, is one line."""
    found: list[Line] = []
    for entry in entries:
        last = found[-1] if found else None
        if last and _alike(last.oldest, entry):
            last.oldest, last.times = entry, last.times + 1
        else:
            found.append(Line(entry, entry))
    return found


def _alike(one: AuditEntry, other: AuditEntry) -> bool:
    same = (one.actor, one.act, one.subject) == (other.actor, other.act, other.subject)
    return same and _day(one.at) == _day(other.at)


def table(entries: Iterable[AuditEntry]) -> str:
    """The newest first, a heading for each day; times as on the server's clock."""
    days: dict[str, list[str]] = {}
    for line in lines(entries):
        days.setdefault(_day(line.newest.at), []).append(_item(line))
    if not days:
        return (
            '<p class="bf-empty">Nothing yet. Each act on people\'s data leaves a line here: what '
            "was done and when, never what was in it.</p>"
        )
    return "".join(
        f'<h4>{day}</h4><ul class="bf-audit">{"".join(items)}</ul>' for day, items in days.items()
    )


def _item(line: Line) -> str:
    entry = line.newest
    clock = _clock(entry.at)
    if _clock(line.oldest.at) != clock:
        clock = f"{_clock(line.oldest.at)}–{clock}"
    times = f' <span class="bf-tag">{line.times} times</span>' if line.times > 1 else ""
    subject = ""
    if entry.subject:
        subject = f' <span class="bf-muted bf-id">{esc(entry.subject[:_SHOWN_OF_ID])}</span>'
    words = esc(in_words(entry.actor, entry.act))
    return f'<li><span class="bf-clock">{clock}</span><span>{words}{times}{subject}</span></li>'


def _clock(at: float) -> str:
    return time.strftime("%H:%M", time.localtime(at))


def _day(at: float) -> str:
    return time.strftime("%d %B %Y", time.localtime(at)).lstrip("0")
