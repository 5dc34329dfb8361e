"""HTML of the programs tab: keys of programs and what they may do in, escaped markup out.

Pure functions. What a button does is in its ``data-do`` attribute, which host.js sends to the page.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from babblefish.ui.host.views import count, esc

if TYPE_CHECKING:
    from babblefish.storage.records import StoredKey

FIELD = "bf-program-action"
SCOPES = {
    "translate": "Translate text",
    "transcribe": "Transcribe recordings",
    "speak": "Speak text",
    "rooms": "Join rooms",
    "watch": "Watch the server",
}
"""scope → what it lets a program do"""


@dataclass(frozen=True, slots=True)
class ProgramState:
    """A key and what its program does now."""

    key: StoredKey
    open: int
    """connections"""


def button(
    label: str, do: str, key: str = "", kind: str = "", confirm: str = "", detail: str = ""
) -> str:
    asked = f' data-confirm="{esc(confirm)}" data-detail="{esc(detail)}"' if confirm else ""
    return (
        f'<button type="button" class="bf-button {kind}" data-field="{FIELD}" data-do="{esc(do)}" '
        f'data-room="{esc(key)}"{asked}>{esc(label)}</button>'
    )


def trouble(problem: str, unsaved: bool) -> str:
    """What the host has to know when the storage does not keep the keys."""
    if not problem:
        return ""
    what = (
        "A key was revoked, but the disk does not know it yet. It opens nothing now; if the "
        "server stopped, it would work again."
        if unsaved
        else "Keys cannot be made at the moment. Programs that were let in before go on working."
    )
    return f'<div class="bf-banner" role="alert"><strong>{what}</strong> {esc(problem)}</div>'


def fresh_card(name: str, key: str) -> str:
    """A key that was just made, for the only time."""
    return (
        '<section class="bf-card bf-fresh" aria-label="New key"><h3>The key of '
        f'<span dir="auto">{esc(name)}</span></h3>'
        "<p>Copy it into the program now. It is not kept here, and cannot be shown again.</p>"
        f'<p class="bf-link bf-key" dir="ltr">{esc(key)}</p>'
        '<div class="bf-actions"><button type="button" class="bf-button bf-primary" '
        f'data-copy="{esc(key)}">Copy key</button>{button("Done", "done")}</div></section>'
    )


def use_card(bases: Sequence[str], own_certificate: bool) -> str:
    """bases: where programs may find this server, the likeliest first."""
    base = esc(bases[0])
    others = ""
    if len(bases) > 1:
        rest = ", ".join(f"<code>{esc(one)}</code>" for one in bases[1:])
        others = f'<p class="bf-muted">Or {rest}.</p>'
    trust = ""
    if own_certificate:
        trust = (
            '<p class="bf-muted">Programs have to trust this server’s certificate: give them the '
            'file <a href="/trust/ca.pem">babblefish-ca.pem</a>.</p>'
        )
    return (
        '<section class="bf-card bf-use"><h3>What to tell the program</h3>'
        f"<dl><dt>Address</dt><dd><code>{base}</code></dd>"
        f"<dt>For clients of OpenAI</dt><dd><code>{base}/v1</code></dd>"
        "<dt>With each request</dt><dd><code>Authorization: Bearer <em>key</em></code></dd></dl>"
        f"{others}{trust}</section>"
    )


def key_list(programs: Iterable[ProgramState], now: float) -> str:
    """now: Unix time."""
    cards = [_key(program, now) for program in programs]
    return "".join(cards) or (
        '<section class="bf-card bf-welcome"><h2>No program yet</h2><p>Kiosks, telephone bridges '
        "and scripts may translate, transcribe and speak with this server. Make a key for each "
        "of them: it says what they may do, and can be revoked on its own.</p></section>"
    )


def _key(program: ProgramState, now: float) -> str:
    key = program.key
    tags = "".join(
        f'<li class="bf-tag">{esc(words)}</li>'
        for scope, words in SCOPES.items()
        if scope in key.scopes
    )
    revoke = button(
        "Revoke", "revoke", key.id, "bf-danger", confirm=f"Revoke the key of {key.name}?",
        detail="The program is not let in any more. To let it in again, make a new key.",
    )  # fmt: skip
    facts = {
        "Last used": ago(key.used, now),
        "Made": _day(key.made),
        "Requests a minute": f"at most {key.per_minute}",
        "Open at once": f"{program.open} of {key.connections}",
    }
    tiles = "".join(
        f"<div><dt>{name}</dt><dd>{esc(value)}</dd></div>" for name, value in facts.items()
    )
    return (
        f'<section class="bf-card bf-program" aria-label="{esc(key.name)}">'
        f'<div class="bf-head"><div><h2 dir="auto">{esc(key.name)}</h2>'
        f'<p class="bf-muted">Its key begins with <code>bf_{esc(key.id)}</code></p></div>'
        f'<div class="bf-actions">{revoke}</div></div>'
        f'<ul class="bf-scopes" aria-label="It may">{tags}</ul>'
        f'<dl class="bf-tiles">{tiles}</dl></section>'
    )


def ago(at: float | None, now: float) -> str:
    """Such as "3 minutes ago"; coarse, so that the page seldom changes."""
    if at is None:
        return "never"
    minutes = max(0, int((now - at) / 60))
    if minutes < 1:
        return "just now"
    if minutes < 60:
        return f"{count(minutes, 'minute', 'minutes')} ago"
    if minutes < 24 * 60:
        return f"{count(minutes // 60, 'hour', 'hours')} ago"
    return _day(at)


def _day(at: float) -> str:
    return time.strftime("%d %b %Y", time.localtime(at)).lstrip("0")
