"""What the owner's page shows, as HTML: state, memory, languages, queue, the last requests.

Pure: figures in, text out. Texts and names that were spoken are not known here.
"""

from __future__ import annotations

import base64
import html
import time
from collections.abc import Iterable
from dataclasses import dataclass

from babblefish.accelerator.reception import Spoken
from babblefish.accelerator_protocol import Health
from babblefish.languages import english_name

_OUTCOMES = {
    "speaking": "speaking…",
    "done": "spoken",
    "cancelled": "not needed any more",
    "unknown_voice": "the voice was not known yet",
    "unknown_language": "a language it does not speak",
    "busy": "too much to do",
    "not_ready": "it was not ready",
}
_WAYS = {"http": "called by the server", "websocket": "over its own connection", "page": "here"}
_MANY = 8
"""languages that are named before the rest is folded away"""


@dataclass(frozen=True, slots=True)
class Connection:
    """How it stands with the room server, in words."""

    good: bool
    sentence: str
    server: str = ""
    fingerprint: str = ""
    note: str = ""


def _language(code: str) -> str:
    try:
        return english_name(code)
    except ValueError:  # what a server calls a language may be none
        return code


def esc(text: object) -> str:
    return html.escape(str(text), quote=True)


def state_card(health: Health, connection: Connection) -> str:
    if health.ready and connection.good:
        tag, title = "bl-good", "Connected. Cloning ready"
    elif health.ready:
        tag, title = "bl-wait", "Ready, but not connected"
    else:
        tag, title = "bl-wait", "Getting ready"
    lines = [connection.sentence]
    if not health.ready or health.message:
        lines.insert(0, health.message or "The weights are being loaded.")
    if connection.note:
        lines.append(connection.note)
    facts = [("This laptop", health.name)]
    if connection.server:
        facts.append(("Room server", connection.server))
    if connection.fingerprint:
        facts.append(("Its fingerprint", connection.fingerprint))
    return (
        f'<section class="bl-card"><h2><span class="bl-dot {tag}"></span>{esc(title)}</h2>'
        + "".join(f"<p>{esc(line)}</p>" for line in lines)
        + _facts(facts)
        + "</section>"
    )


def work_card(health: Health) -> str:
    facts = [("Runs on", health.device or "not known yet")]
    bar = ""
    if health.memory_used_mb is not None and health.memory_total_mb:
        used, total = health.memory_used_mb / 1024, health.memory_total_mb / 1024
        facts.append(("Memory in use", f"{used:.1f} of {total:.1f} GB"))
        bar = (
            f'<meter class="bl-meter" min="0" max="{total:.2f}" high="{total * 0.9:.2f}" '
            f'value="{min(used, total):.2f}" aria-label="Memory in use"></meter>'
        )
    waiting = "nobody waits" if not health.waiting else f"{health.waiting} to do"
    if health.waiting and health.expected_wait_s >= 0.05:
        waiting += f", the next one begins in {health.expected_wait_s:.1f} s"
    facts.append(("Queue", waiting))
    if health.real_time_factor:
        facts.append(("One second of speech takes", f"{health.real_time_factor:.2f} s"))
    if health.first_clause_s is not None:
        facts.append(("First sound after", f"{health.first_clause_s:.2f} s"))
    facts.append(("Voices in memory", str(health.voices)))
    return (
        f'<section class="bl-card"><h2>At work</h2>{_facts(facts)}{bar}'
        f"<h3>Languages</h3>{_languages(health.languages)}</section>"
    )


def _languages(codes: Iterable[str]) -> str:
    names = sorted(_language(code) for code in codes)
    if not names:
        return "<p>None yet.</p>"
    shown = "".join(f"<li>{esc(name)}</li>" for name in names[:_MANY])
    rest = "".join(f"<li>{esc(name)}</li>" for name in names[_MANY:])
    more = (
        f'<details><summary>{len(names) - _MANY} more</summary><ul class="bl-list">{rest}</ul>'
        "</details>"
        if rest
        else ""
    )
    return f'<ul class="bl-list">{shown}</ul>{more}'


def last_card(spoken: Iterable[Spoken]) -> str:
    rows = "".join(_row(entry) for entry in spoken)
    body = (
        '<div class="bl-scroll"><table><thead><tr><th>When</th><th>Language</th><th>Speech</th>'
        "<th>First sound</th><th>All of it</th><th>How it went</th><th>Asked</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
        if rows
        else "<p>Nothing has been asked for yet.</p>"
    )
    lead = '<p class="bl-muted">What was said, and by whom, is not kept.</p>'
    return f'<section class="bl-card"><h2>Last requests</h2>{lead}{body}</section>'


def _row(entry: Spoken) -> str:
    cells = (
        time.strftime("%H:%M:%S", time.localtime(entry.at)),
        _language(entry.language),
        f"{entry.seconds:.1f} s" if entry.clauses else "–",
        "–" if entry.first_s is None else f"{entry.first_s:.2f} s",
        "–" if entry.took_s is None else f"{entry.took_s:.2f} s",
        _OUTCOMES.get(entry.outcome, "it did not work"),
        _WAYS[entry.transport],
    )
    return "<tr>" + "".join(f"<td>{esc(cell)}</td>" for cell in cells) + "</tr>"


def spoken_card(wav: bytes, took_s: float, first_s: float) -> str:
    """wav: the whole file; it travels inside the page and lies on no disk."""
    sound = base64.b64encode(wav).decode()
    return (
        '<section class="bl-card bl-heard"><p>Spoken in '
        f"{took_s:.1f} s; the first clause was there after {first_s:.1f} s. The copy of the voice "
        "that this took is deleted.</p>"
        f'<audio controls src="data:audio/wav;base64,{sound}"></audio></section>'
    )


def problem_card(message: str) -> str:
    return f'<section class="bl-card bl-problem" role="alert"><p>{esc(message)}</p></section>'


def _facts(facts: Iterable[tuple[str, str]]) -> str:
    rows = "".join(f"<dt>{esc(what)}</dt><dd>{esc(value)}</dd>" for what, value in facts)
    return f'<dl class="bl-facts">{rows}</dl>'
