"""HTML of the status tab: samples of the last minutes in; a verdict, figures, plots, tables out.

Pure functions; what is on the page is escaped. Measures nothing.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence

from babblefish.metrics import STAGES, TURNS, Durations, quantile
from babblefish.ui.host.plots import Plot, Point, Series, plot
from babblefish.ui.host.remarks import Remark, remarks, stage
from babblefish.ui.host.views import count, esc
from babblefish.ui.watch import Sample

_BAR_S = 30.0
"""of the plot of problems"""
_GOAL_S = 1.2
_STEPS = {
    "endpoint": ("Waiting", "for the pause that ends a sentence"),
    "recognise": ("Recognising", "what was said"),
    "translate": ("Translating", "into one language"),
    "first_clause": ("First words spoken", "of a translation"),
    "speak": ("All words spoken", "of a translation"),
    "own_voice": ("Own voice", "from a laptop, its first words"),
}  # fmt: skip
_TURNS = {
    "caption": ("To the caption", "from the last sound of a sentence"),
    "sound": ("To the first sound", "made, from the same moment"),
    "heard": ("To hearing it", "by the first listener, from the same moment"),
}
_CORES = os.cpu_count() or 1


def seconds(value: float) -> str:
    if abs(2 * value - round(2 * value)) < 1e-6:
        return f"{value:g} s"
    return f"{value:.2f} s" if value < 9.95 else f"{value:.0f} s"


def _plain(value: float) -> str:
    return f"{value:.0f}" if value >= 9.95 or value == int(value) else f"{value:.1f}"


def _percent(value: float) -> str:
    return f"{value:.0f} %"


def _gigabytes(value: float) -> str:
    return f"{value:.1f} GB" if 0 < value < 9.95 and value % 1 else f"{value:.0f} GB"


# --- above: how it goes ---------------------------------------------------------------------


def top(samples: Sequence[Sample], turns: Durations = TURNS) -> str:
    sound = turns.quantiles("heard") or turns.quantiles("sound")
    sentences = len(turns.recent("heard") or turns.recent("sound"))
    return _verdict(remarks(samples, sound, sentences)) + _tiles(samples, turns)


def _verdict(found: Sequence[Remark]) -> str:
    worst = found[0].grade if found else "fine"
    title = {
        "fine": "All is well", "note": "Starting", "fair": "It works, with something to know",
        "bad": "Something needs you",
    }[worst]  # fmt: skip
    items = "".join(f'<li class="bf-{r.grade}">{esc(r.text)}</li>' for r in found)
    told = f"<ul>{items}</ul>" if items else ""
    return (
        f'<section class="bf-card bf-verdict bf-{worst}" role="status"><h2>'
        f'<span class="bf-lamp" aria-hidden="true"></span>{title}</h2>{told}</section>'
    )


def _tiles(samples: Sequence[Sample], turns: Durations) -> str:
    if not samples:
        return ""
    now = samples[-1].reading
    heard = turns.quantiles("heard")
    away = f", {now.away} away" if now.away else ""
    cells = [
        ("People", str(now.connected), f"in {count(now.rooms, 'room', 'rooms')}{away}"),
        ("Speaking", str(now.speaking), "at this moment"),
        ("To hearing it", seconds(heard[0]) if heard else "–", "half of all sentences"),
        ("Mostly", seconds(heard[1]) if heard else "–", "95 of 100 sentences"),
        ("Behind", seconds(now.lag_worst), "whoever is most"),
        ("Processor", _percent(100 * _share(samples[-1])), f"of {count(_CORES, 'core', 'cores')}"),
    ]  # fmt: skip
    tiles = "".join(
        f"<div><dt>{esc(name)}</dt><dd>{esc(value)}<small>{esc(more)}</small></dd></div>"
        for name, value, more in cells
    )
    return f'<dl class="bf-tiles bf-now">{tiles}</dl>'


def _share(sample: Sample) -> float:
    return min(1.0, (sample.server_cpu + sample.models_cpu) / _CORES)


# --- the plots ------------------------------------------------------------------------------


def plots(samples: Sequence[Sample], turns: Durations = TURNS) -> str:
    given = [_waiting_for_words(turns), *_people(samples), *_machine(samples), *_trouble(samples)]
    return f'<div class="bf-plots">{"".join(plot(one) for one in given)}</div>'


def _waiting_for_words(turns: Durations) -> Plot:
    def legend(points: Sequence[Point]) -> str:
        if not points:
            return "–"
        ordered = sorted(value for _, value in points)
        return f"half within {seconds(quantile(ordered, 0.5))}"

    heard = turns.recent("heard") or turns.recent("sound")
    captions = turns.recent("caption")
    return Plot(
        "How long people wait after a sentence",
        [
            Series("Heard", heard, "dots", legend(heard)),
            Series("Caption", captions, "dots", legend(captions)),
        ],
        seconds, "s", least=2.0, goal=(_GOAL_S, "goal 1.2 s"), wide=True,
        empty="Every sentence becomes a dot here, as soon as somebody speaks.",
    )  # fmt: skip


def _people(samples: Sequence[Sample]) -> list[Plot]:
    return [
        Plot(
            "People",
            [
                Series("Connected", _of(samples, lambda s: s.reading.connected), "area"),
                Series("Speaking", _of(samples, lambda s: s.reading.speaking)),
            ],
            _plain, "", least=4.0,
        ),
        Plot(
            "How far behind listeners are",
            [
                Series("Most", _of(samples, lambda s: s.reading.lag_worst)),
                Series("Usually", _of(samples, lambda s: s.reading.lag_median)),
            ],
            seconds, "s", least=5.0,
        ),
    ]  # fmt: skip


def _machine(samples: Sequence[Sample]) -> list[Plot]:
    measured = samples[1:]  # what a share needs is a sample before

    def share(of: Callable[[Sample], float]) -> list[Point]:
        return _of(measured, lambda sample: 100 * of(sample) / _CORES)

    def memory(of: Callable[[Sample], int]) -> list[Point]:
        return _of(samples, lambda sample: of(sample) / 1e9)

    return [
        Plot(
            "Processor",
            [
                Series("Server", share(lambda s: s.server_cpu), "area"),
                Series("Models", share(lambda s: s.models_cpu), "area"),
            ],
            _percent, "%", least=100.0, stacked=True,
        ),
        Plot(
            "Memory",
            [
                Series("Server", memory(lambda s: s.reading.server.memory), "area"),
                Series("Models", memory(lambda s: s.reading.models.memory), "area"),
            ],
            _gigabytes, "GB", least=1.0, stacked=True,
        ),
    ]  # fmt: skip


def _trouble(samples: Sequence[Sample]) -> list[Plot]:
    failed = _grown(samples, lambda s: s.failed)
    dropped = _grown(samples, lambda s: s.dropped)
    restarts = _grown(samples, lambda s: s.restarts)
    if not any(value for _, value in (*failed, *dropped, *restarts)):
        failed = dropped = restarts = []
    return [
        Plot(
            "Waiting to be worked on",
            [
                Series("Jobs", _of(samples, lambda s: s.reading.waiting)),
                Series("Sentences in work", _of(samples, lambda s: s.reading.utterances)),
            ],
            _plain, "", least=4.0,
        ),
        Plot(
            "Problems in half a minute",
            [
                Series("Sentences that failed", failed, "bars", _sum(failed)),
                Series("Left out under load", dropped, "bars", _sum(dropped)),
                Series("Restarts", restarts, "bars", _sum(restarts)),
            ],
            _plain, "", least=4.0, stacked=True, empty="None in the last 15 minutes.",
        ),
    ]  # fmt: skip


def _of(samples: Sequence[Sample], value: Callable[[Sample], float]) -> list[Point]:
    if not samples:
        return []
    now = samples[-1].at
    return [(now - sample.at, value(sample)) for sample in samples]


def _grown(samples: Sequence[Sample], value: Callable[[Sample], float]) -> list[Point]:
    """By how much a count grew in each stretch of ``_BAR_S``; stretches stay where they are."""
    if not samples:
        return []
    now = samples[-1].at
    grown: dict[int, float] = {}
    for before, after in itertools.pairwise(samples):
        stretch = int(after.at // _BAR_S)
        grown[stretch] = grown.get(stretch, 0.0) + value(after) - value(before)
    return [(max(0.0, now - (stretch + 0.5) * _BAR_S), value) for stretch, value in grown.items()]


def _sum(points: Sequence[Point]) -> str:
    return _plain(sum(value for _, value in points))


# --- below: stages and workers ----------------------------------------------------------------


def tables(samples: Sequence[Sample], turns: Durations = TURNS, stages: Durations = STAGES) -> str:
    if not samples:
        return ""
    return f'<div class="bf-status-tables">{_steps(turns, stages)}{_workers(samples)}</div>'


def _steps(turns: Durations, stages: Durations) -> str:
    rows = [
        (*names, kind.quantiles(value), len(kind.recent(value)))
        for kind, known in ((stages, _STEPS), (turns, _TURNS)) for value, names in known.items()
        if kind.recent(value)
    ]  # fmt: skip
    title = "<h3>Steps of a sentence <span>last 15 minutes</span></h3>"
    if not rows:
        body = '<p class="bf-empty">Nobody has said anything in the last 15 minutes.</p>'
        return f'<section class="bf-card">{title}{body}</section>'
    longest = max(times[2] for *_, times, _ in rows)
    body = "".join(
        f'<tr><th scope="row">{esc(name)}<small>{esc(more)}</small></th>'
        + _cell("times", str(number))
        + "".join(
            _cell(label, seconds(value))
            for label, value in zip(("half", "95 %", "99 %"), times, strict=True)
        )
        + f'<td class="bf-bar-cell">{_bar(times, longest)}</td></tr>'
        for name, more, times, number in rows
    )
    return (
        f'<section class="bf-card">{title}<table class="bf-figures"><thead><tr><th>Step</th>'
        "<th>Times</th><th>Half within</th><th>95 % within</th><th>99 % within</th>"
        f'<th class="bf-bar-cell"></th></tr></thead><tbody>{body}</tbody></table></section>'
    )


def _cell(label: str, value: str, kind: str = "") -> str:
    return f'<td data-label="{label}" class="{kind}">{esc(value)}</td>'


def _bar(times: Sequence[float], longest: float) -> str:
    half, most = (f"{100 * times[i] / longest:.1f}" for i in (0, 1))
    return (
        '<svg class="bf-range" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
        f'<path class="bf-range-most" d="M0 4H{most}"/>'
        f'<path class="bf-range-half" d="M0 4H{half}"/>'
        "</svg>"
    )


def _workers(samples: Sequence[Sample]) -> str:
    now, first = samples[-1], samples[0]
    passed = now.at - first.at
    before = {pool.name: pool.busy_seconds for pool in first.reading.pools}
    rows = []
    for pool in now.reading.pools:
        busy = pool.busy_seconds - before.get(pool.name, 0.0)
        share = 100 * busy / passed / max(1, len(pool.pids)) if passed else 0.0
        name = stage(pool.name)
        rows.append(
            f'<tr><th scope="row">{esc(name[0].upper() + name[1:])}'
            f"<small>{count(len(pool.pids), 'process', 'processes')}</small></th>"
            + _cell("busy", _percent(min(100.0, share)))
            + _cell("waiting", str(pool.waiting))
            + _cell("done", f"{pool.calls:,}".replace(",", " "))
            + _cell("failed", str(pool.errors), _warn(pool.errors))
            + _cell("restarts", str(pool.restarts), _warn(pool.restarts))
            + "</tr>"
        )
    if not rows:
        return ""
    up = _age(now.at - samples[0].at)
    return (
        f'<section class="bf-card"><h3>Workers <span>busy: last {up}; counts: since the start'
        '</span></h3><table class="bf-figures"><thead><tr><th>Model</th><th>Busy</th>'
        "<th>Waiting</th><th>Done</th><th>Failed</th><th>Restarts</th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></section>"
    )


def _warn(number: int) -> str:
    return "bf-some" if number else ""


def _age(passed: float) -> str:
    return count(max(1, round(passed / 60)), "minute", "minutes")
