"""HTML of the rooms tab: rooms and people in, escaped markup out.

Pure functions. What a button does is in its ``data-do`` attribute, which host.js sends to the
page; nothing here acts, and every text that people typed is escaped.
"""

from __future__ import annotations

import html
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from babblefish.languages import english_name
from babblefish.ui.host.links import Links, qr_data_uri

if TYPE_CHECKING:
    from rooms.admission import Place
    from rooms.member import Member
    from rooms.room import Room

_MICROPHONE = (
    '<svg viewBox="0 0 24 24" width="18" height="18" aria-hidden="true" fill="none" '
    'stroke="currentColor" stroke-width="2" stroke-linecap="round">'
    '<rect x="9" y="3" width="6" height="11" rx="3"/><path d="M5 11a7 7 0 0 0 14 0M12 18v3"/>'
)
_MICROPHONE_ON = _MICROPHONE + "</svg>"
_MICROPHONE_OFF = _MICROPHONE + '<path d="M4 4l16 16"/></svg>'
_LOCK = (
    '<svg viewBox="0 0 24 24" width="16" height="16" aria-hidden="true" fill="none" '
    'stroke="currentColor" stroke-width="2" stroke-linecap="round">'
    '<rect x="5" y="11" width="14" height="9" rx="2"/><path d="M8 11V8a4 4 0 0 1 8 0v3"/></svg>'
)


def esc(text: object) -> str:
    return html.escape(str(text), quote=True)


def count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def people(number: int) -> str:
    return count(number, "person", "people")


def button(
    label: str, do: str, room: Room | str, *, member: str = "", kind: str = "", confirm: str = "",
    detail: str = "", aria: str = "",
) -> str:  # fmt: skip
    """A button of the page. ``room``: it or its code. ``confirm``: a question to ask first,
    ``detail``: its consequence."""
    code = room if isinstance(room, str) else room.code
    attributes = {
        "data-do": do, "data-room": code, "data-member": member, "data-confirm": confirm,
        "data-detail": detail, "aria-label": aria,
    }  # fmt: skip
    given = "".join(f' {name}="{esc(value)}"' for name, value in attributes.items() if value)
    return f'<button type="button" class="bf-button {kind}"{given}>{esc(label)}</button>'


def notice(text: str, number: int, problem: bool) -> str:
    """What is said to the host for a while; ``number`` tells it from the one before."""
    role, kind = ("alert", " bf-problem") if problem else ("status", "")
    return f'<div class="bf-notice{kind}" role="{role}" data-number="{number}">{esc(text)}</div>'


def room_list(rooms: Mapping[str, Room], selected: str) -> str:
    if not rooms:
        return '<p class="bf-empty">No room is open.</p>'
    items = []
    for room in sorted(rooms.values(), key=lambda r: r.created_at, reverse=True):
        current = ' aria-current="true"' if room.code == selected else ""
        lock = f'<span class="bf-lock" title="locked">{_LOCK}</span>' if room.locked else ""
        items.append(
            f'<li><button type="button" class="bf-room" data-do="select" '
            f'data-room="{esc(room.code)}"{current}><span class="bf-room-name" dir="auto">'
            f'{esc(room.name)}</span>{lock}<span class="bf-muted">{people(len(room.members))}'
            "</span></button></li>"
        )
    return f'<ul class="bf-rooms">{"".join(items)}</ul>'


def header(room: Room) -> str:
    """Name, state and what can be done with the whole room."""
    since = time.strftime("%H:%M", time.localtime(room.created_at))
    state = "Open: anybody with the link can join"
    if room.settings.waiting_list:
        state = "Open: you admit those who join with the link"
    if room.locked:
        state = "Locked: nobody new can join"
    lock = f"{_LOCK} " if room.locked else ""
    toggle = ("Unlock", "unlock") if room.locked else ("Lock", "lock")
    buttons = [
        button(*toggle, room),
        button(
            "New link", "renew", room, confirm="Make a new link?",
            detail="The QR code and link shown until now stop working. People in the room stay.",
        ),
        button(
            "Close room", "close", room, kind="bf-danger", confirm=f"Close “{room.name}”?",
            detail=f"{people(len(room.members))} will be disconnected. This cannot be undone."
            if room.members
            else "Its link stops working.",
        ),
    ]  # fmt: skip
    return (
        f'<header class="bf-head"><div><h2 dir="auto">{esc(room.name)}</h2>'
        f'<p class="bf-muted"><span class="bf-state">{lock}{state}</span>'
        f"<span> · since {since}</span></p></div>"
        f'<div class="bf-actions">{"".join(buttons)}</div></header>'
    )


def share(room: Room, links: Links) -> str:
    """QR code and link of the room."""
    link = links.join(room.code, room.token)
    trust = ""
    if links.own_certificate:
        trust = (
            '<p class="bf-muted bf-note">Phones that see BabbleFish for the first time warn about '
            'the connection. <a href="/trust" target="_blank">Why, and what to do</a></p>'
        )
    return (
        '<section class="bf-card bf-share"><h3>Join by phone</h3>'
        f'<img class="bf-qr" alt="QR code of the link to this room" src="{qr_data_uri(link)}">'
        f'<p class="bf-link" dir="ltr">{esc(link)}</p><div class="bf-actions">'
        f'<button type="button" class="bf-button" data-copy="{esc(link)}">Copy link</button>'
        f'<a class="bf-button bf-primary" href="/admin/projector/{esc(room.code)}" '
        f'target="_blank" rel="noopener">Show on projector</a></div>{trust}</section>'
    )


def door(room: Room) -> str:
    """Who waits to be let in; nothing when nobody does."""
    waiting = room.admission.waiting
    if not waiting:
        return ""
    everybody = button("Admit all", "admit_all", room) if len(waiting) > 1 else ""
    items = "".join(
        f'<li><div class="bf-who"><span class="bf-name" dir="auto">{esc(place.name)}</span>'
        f'<span class="bf-muted">{esc(_languages(room, place))}</span></div>'
        + button("Admit", "admit", room, member=place.id, kind="bf-primary",
                 aria=f"Admit {place.name}")
        + button("Refuse", "refuse", room, member=place.id, kind="bf-quiet",
                 aria=f"Refuse {place.name}")
        + "</li>"
        for place in waiting
    )  # fmt: skip
    return (
        '<section class="bf-card bf-door" role="status"><div class="bf-door-head">'
        f'<h3>Waiting to come in <span class="bf-count">{len(waiting)}</span></h3>{everybody}</div>'
        f'<ul class="bf-people">{items}</ul></section>'
    )


def roster(room: Room) -> str:
    members = list(room.members.values())
    title = f'<h3>People <span class="bf-count">{len(members)}</span></h3>'
    if members and not any(room.may_speak(member) for member in members):
        title += '<p class="bf-muted">Nobody is heard yet: make those who talk presenters.</p>'
    if not members:
        body = (
            '<p class="bf-empty">Nobody is here yet. Let people scan the QR code; '
            "they appear here as they join.</p>"
        )
    else:
        body = f'<ul class="bf-people">{"".join(_person(room, m) for m in members)}</ul>'
    return f'<section class="bf-card">{title}{body}</section>'


def _person(room: Room, member: Member) -> str:
    presents = room.settings.listen_only and room.may_speak(member)
    if member.microphone and room.may_speak(member):
        microphone = f'<span class="bf-mic on" title="microphone on">{_MICROPHONE_ON}'
        microphone += '<span class="bf-sr">microphone on</span></span>'
    else:
        microphone = f'<span class="bf-mic" title="listening only">{_MICROPHONE_OFF}'
        microphone += '<span class="bf-sr">listening only</span></span>'
    away = "" if member.connected else '<span class="bf-tag">away</span>'
    remove = button(
        "Remove", "remove", room, member=member.id, kind="bf-quiet", aria=f"Remove {member.name}",
        confirm=f"Remove {member.name}?",
        detail="Their phone tells them. If they come back with the link, they wait until you "
        "admit them.",
    )  # fmt: skip
    floor = ""
    if room.settings.listen_only:
        label, do = ("Stop presenting", "listen") if presents else ("Make presenter", "present")
        floor = button(label, do, room, member=member.id, aria=f"{label}: {member.name}")
        floor = f'<span class="bf-floor">{floor}</span>'
    presenter = '<span class="bf-tag bf-presenter">presenter</span>' if presents else ""
    return (
        f'<li class="{"" if member.connected else "bf-away"}">'
        f'<span class="bf-dot" data-color="{int(member.color) % 12}"></span>'
        f'<div class="bf-who"><span class="bf-name" dir="auto">{esc(member.name)}</span>'
        f"{presenter}{away}"
        f'<span class="bf-muted">{esc(_languages(room, member))}</span>{floor}</div>'
        f"{microphone}{remove}</li>"
    )


def _languages(room: Room, who: Member | Place) -> str:
    if who.also and room.settings.two_on_a_phone:
        return f"two people: {english_name(who.hears)} and {english_name(who.also)}"
    known = who.speaks and who.speaks != "auto"
    spoken = english_name(who.speaks or "") if known else "any language"
    return f"speaks {spoken} · hears {english_name(who.hears)}"


def summary_tiles(tiles: Iterable[tuple[str, str]]) -> str:
    """(label, value) pairs as a row of small figures."""
    cells = "".join(f"<div><dt>{esc(k)}</dt><dd>{esc(v)}</dd></div>" for k, v in tiles)
    return f'<dl class="bf-tiles">{cells}</dl>'
