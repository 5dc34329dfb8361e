"""HTML of the laptops tab: laptops and what they do in, escaped markup out.

Pure functions. What a button does is in its ``data-do`` attribute, which host.js sends to the page,
or laptops.js after it has asked for a name; nothing here acts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from babblefish.languages import english_name
from babblefish.ui.host.views import count, esc

if TYPE_CHECKING:
    from babblefish.engine.cloning_messages import LaptopState
    from babblefish.ui.pairing import Guest

FIELD = "bf-laptop-action"
_TAGS = {
    "connecting": ("Connecting", ""),
    "ready": ("Ready", "bf-fine"),
    "preparing": ("Getting ready", ""),
    "resting": ("Resting", ""),
    "away": ("Away", ""),
    "refused": ("Not allowed", "bf-bad"),
}
_MOST_LANGUAGES = 6
"""named; the rest is counted"""


def button(
    label: str, do: str, laptop: str = "", kind: str = "", confirm: str = "", detail: str = "",
    more: str = "",
) -> str:  # fmt: skip
    """``more``: further attributes, escaped."""
    asked = f' data-confirm="{esc(confirm)}" data-detail="{esc(detail)}"' if confirm else ""
    return (
        f'<button type="button" class="bf-button {kind}" data-field="{FIELD}" data-do="{esc(do)}" '
        f'data-room="{esc(laptop)}"{asked}{more}>{esc(label)}</button>'
    )


# --- pairing --------------------------------------------------------------------------------


def command(base: str, code: str, fingerprint: str) -> str:
    """With a fingerprint the laptop makes sure by itself that it found this server."""
    trust = f" --trust {fingerprint}" if fingerprint else ""
    return f"python accelerator_app.py --server {base} --pair {code}{trust}"


def pair_card(bases: Sequence[str], code: str, fingerprint: str) -> str:
    """bases: where laptops may find this server, the likeliest first."""
    line = command(bases[0], code, fingerprint)
    shown = esc(line)
    for whole in filter(None, (code, fingerprint)):
        shown = shown.replace(esc(whole), f"<span>{esc(whole)}</span>")
    others = ""
    if len(bases) > 1:
        rest = ", ".join(f"<code>{esc(base)}</code>" for base in bases[1:])
        others = f'<p class="bf-muted">If the laptop cannot find that address, try {rest}.</p>'
    seen = (
        '<p class="bf-muted">By hand you may leave out <code>--trust</code>: the laptop then '
        "shows the fingerprint of the server that it found, to be compared with the one "
        "above.</p>"
        if fingerprint
        else ""
    )
    return (
        '<section class="bf-card bf-pair"><h3>Add a laptop</h3>'
        "<p>On the laptop, in BabbleFish's folder, once: "
        '<code>make accelerator ARGS="--fetch base"</code>. Then:</p>'
        f'<p class="bf-link bf-command" dir="ltr">{shown}</p>'
        f'<div class="bf-actions"><button type="button" class="bf-button bf-primary" '
        f'data-copy="{esc(line)}">Copy command</button></div>'
        '<p class="bf-muted">The code is for one laptop. It holds while this page is open and a '
        "quarter of an hour longer.</p>"
        f"{others}{seen}{_plain(bases[0])}</section>"
    )


def _plain(base: str) -> str:
    """A laptop sends no voice over a connection that others can read."""
    if base.startswith("https:"):
        return ""
    return (
        '<p class="bf-fault">This server runs without https: laptops refuse it, unless they run '
        "on this very machine. Start it without <code>--http</code>.</p>"
    )


def look_card(on: bool, minutes: int, problem: str) -> str:
    """minutes: until it ends by itself."""
    if on:
        tag = f'<span class="bf-tag bf-fine">on, {count(minutes, "minute", "minutes")} more</span>'
        words = "Start the laptop's program without a code: it finds this server and asks here."
        switch = button("Stop looking", "quiet")
    else:
        tag = ""
        words = (
            "Without a command to copy: the server says in this network that it is here, for ten "
            "minutes, and you confirm the laptops that ask."
        )
        switch = button("Look for laptops", "look")
    trouble = f'<p class="bf-fault" role="alert">{esc(problem)}</p>' if problem else ""
    return (
        f'<section class="bf-card bf-look"><h3>On this network {tag}</h3><p>{words}</p>{trouble}'
        f'<div class="bf-actions">{switch}</div></section>'
    )


def guest_card(guests: Sequence[Guest]) -> str:
    """guests: laptops that ask to be let in."""
    if not guests:
        return ""
    items = "".join(_guest(guest) for guest in guests)
    asking = count(len(guests), "laptop asks", "laptops ask")
    return (
        f'<section class="bf-card bf-door"><h3>{asking} to be added</h3>'
        '<p class="bf-muted">Confirm only where the laptop shows the same number.</p>'
        f'<ul class="bf-guests">{items}</ul></section>'
    )


def _guest(guest: Guest) -> str:
    name = guest.introduction.name[:40]
    device = guest.introduction.health.device
    number = f"{guest.number[:3]} {guest.number[3:]}"
    facts = " · ".join(esc(part) for part in (device, guest.address) if part)
    label = f' aria-label="{esc(f"Confirm {name}, number {number}")}"'
    other = f' aria-label="{esc(f"Refuse {name}, number {number}")}"'
    yes = button("Confirm", "confirm", guest.id, "bf-primary", more=label)
    no = button("Refuse", "refuse", guest.id, more=other)
    return (
        f'<li><span class="bf-number" aria-label="number">{esc(number)}</span>'
        f'<span class="bf-who"><span class="bf-name" dir="auto">{esc(name)}</span>'
        f'<span class="bf-muted">{facts}</span></span>'
        f'<span class="bf-actions">{yes}{no}</span></li>'
    )


# --- the laptops ----------------------------------------------------------------------------


def trouble(problem: str, unsaved: bool) -> str:
    """What the host has to know when the storage does not keep the laptops."""
    if not problem:
        return ""
    what = (
        "A change to the laptops is not on the disk yet. They work, but what you changed is "
        "forgotten if the server stops now."
        if unsaved
        else "The list of laptops cannot be read or written at the moment."
    )
    return f'<div class="bf-banner" role="alert"><strong>{what}</strong> {esc(problem)}</div>'


def laptop_list(laptops: Sequence[LaptopState]) -> str:
    if not laptops:
        return (
            '<section class="bf-card bf-welcome"><h2>No laptop yet</h2><p>Meetings work without '
            "one. With a laptop that has a small graphics card, people who agreed to it are heard "
            "in their own voice. It may come and go at any time.</p></section>"
        )
    return "".join(_laptop(laptop) for laptop in laptops)


def _laptop(laptop: LaptopState) -> str:
    word, kind = _TAGS.get(laptop.condition, (laptop.condition, ""))
    rename = (
        f'<button type="button" class="bf-button" data-laptop-rename="{esc(laptop.id)}" '
        f'data-name="{esc(laptop.name)}">Rename</button>'
    )
    remove = button(
        "Remove", "remove", laptop.id, "bf-danger", confirm=f"Remove {laptop.name}?",
        detail="It is told to forget all voices, and is not used any more. To use it again, pair "
        "it anew.",
    )  # fmt: skip
    tiles = "".join(
        f"<div><dt>{esc(name)}</dt><dd>{esc(value)}</dd></div>" for name, value in facts(laptop)
    )
    owed = ""
    if laptop.owed_deletions:
        voices = count(laptop.owed_deletions, "voice", "voices")
        owed = f'<p class="bf-muted">It has to forget {voices} as soon as it is back.</p>'
    return (
        f'<section class="bf-card bf-laptop" aria-label="{esc(laptop.name)}">'
        f'<div class="bf-head"><div><h2 dir="auto">{esc(laptop.name)}</h2>'
        f'<p class="bf-state"><span class="bf-tag {kind}">{esc(word)}</span> '
        f"{esc(laptop.message)}</p></div>"
        f'<div class="bf-actions">{rename}{remove}</div></div>'
        f'{owed}<dl class="bf-tiles">{tiles}</dl></section>'
    )


def facts(laptop: LaptopState) -> list[tuple[str, str]]:
    """(what, how much) of a laptop, as far as it is known."""
    health, figures = laptop.health, laptop.figures
    known: list[tuple[str, str]] = []
    if health is not None:
        known.append(("Device", health.device or "not told"))
        if health.memory_total_mb:
            used, total = (health.memory_used_mb or 0) / 1024, health.memory_total_mb / 1024
            known.append(("Video memory", f"{used:.1f} of {total:.1f} GB"))
        known.append(("Languages", languages(health.languages)))
        known.append(("Queue", str(health.waiting)))
        known.append(("Wait", _seconds(health.expected_wait_s)))
        if health.real_time_factor is not None:
            known.append(("For a second of speech", _seconds(health.real_time_factor)))
    if figures.first_clause_s is not None:
        known.append(("First sound after", _seconds(figures.first_clause_s)))
    if figures.asked:
        known.append(("In time", f"{figures.spoken} of {figures.asked}"))
    ways = {"https": "called by this server", "websocket": "dialled in"}
    known.append(("Connection", ways.get(laptop.transport, "none")))
    return known


def languages(codes: Sequence[str]) -> str:
    if not codes:
        return "none yet"
    names = sorted(english_name(code) for code in codes)
    if len(names) > _MOST_LANGUAGES:
        return (
            f"{', '.join(names[: _MOST_LANGUAGES - 1])} and {len(names) - _MOST_LANGUAGES + 1} more"
        )
    return ", ".join(names)


def _seconds(value: float) -> str:
    return f"{value * 1000:.0f} ms" if value < 0.995 else f"{value:.1f} s"
