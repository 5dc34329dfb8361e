"""Plots of the last minutes as SVG inside HTML: numbers in, markup out.

The drawing stretches to whatever width there is; its letters do not, since they are HTML beside
it. Colours are the style sheet's. What a pointer shows, ``status.js`` reads from ``data-plot``.
Knows nothing of what is plotted.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from babblefish.ui.host.views import esc

Point = tuple[float, float]
"""(seconds ago, value)"""
_HEIGHT = 100.0
_TICKS_MINUTES = (15, 10, 5, 0)
_GAP_S = 20.0
"""between samples from which a line is interrupted"""


@dataclass(frozen=True, slots=True)
class Series:
    name: str
    points: Sequence[Point]
    """the oldest first"""
    kind: Literal["line", "area", "dots", "bars"] = "line"
    now: str | None = None
    """what the legend says; None: the newest value"""


@dataclass(frozen=True, slots=True)
class Plot:
    title: str
    series: Sequence[Series]
    show: Callable[[float], str]
    """a value in words, with its unit"""
    unit: str = ""
    """for the pointer: "s", "%" … ; see status.js"""
    least: float = 1.0
    """the scale reaches at least so far"""
    span: float = 900.0
    """seconds shown"""
    stacked: bool = False
    goal: tuple[float, str] | None = None
    """a line to compare with, and its name"""
    wide: bool = False
    empty: str = ""
    """said in place of the drawing where there are no points"""


def nice(value: float) -> float:
    """The next of 1, 2, 4, 5 × a power of ten."""
    if value <= 0:
        return 1.0
    power = 10 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 5, 10) if step * power >= value * 0.999)


def plot(given: Plot) -> str:
    drawn = _stack(given.series) if given.stacked else list(given.series)
    top = nice(max([given.least, *(v for s in drawn for _, v in s.points)]))
    body = _drawing(given, drawn, top) if any(s.points for s in drawn) else _nothing(given)
    kind = " bf-wide" if given.wide else ""
    return (
        f'<figure class="bf-card bf-plot{kind}"><figcaption><h3>{esc(given.title)}</h3>'
        f"{_legend(given)}</figcaption>{body}</figure>"
    )


def _nothing(given: Plot) -> str:
    words = given.empty or "Nothing yet."
    return f'<div class="bf-plot-area"><p class="bf-plot-empty">{esc(words)}</p></div>'


def _legend(given: Plot) -> str:
    items = []
    for number, series in enumerate(given.series, 1):
        now = series.now
        if now is None:
            now = given.show(series.points[-1][1]) if series.points else "–"
        items.append(
            f'<li class="bf-key bf-s{number} bf-{series.kind}"><span>{esc(series.name)}</span> '
            f"<b>{esc(now)}</b></li>"
        )
    return f'<ul class="bf-legend">{"".join(items)}</ul>'


def _drawing(given: Plot, drawn: Sequence[Series], top: float) -> str:
    levels = [top * part for part in (0.0, 0.5, 1.0)]
    grid = "".join(
        f'<path class="bf-grid" d="M0 {_y(level, top)}H{given.span:.0f}"/>' for level in levels
    )
    grid += "".join(
        f'<path class="bf-grid" d="M{given.span - 60 * m:.0f} 0V{_HEIGHT:.0f}"/>'
        for m in _TICKS_MINUTES[1:-1]
    )
    goal = ""
    if given.goal is not None and given.goal[0] < top:
        at = _y(given.goal[0], top)
        grid += f'<path class="bf-goal" d="M0 {at}H{given.span:.0f}"/>'
        goal = f'<span class="bf-goal-name" style="top:{at}%">{esc(given.goal[1])}</span>'
    # what is stacked on top is drawn first, so that what lies below covers it
    lines = "".join(
        _DRAW[series.kind](series.points, number, top, given.span)
        for number, series in reversed(list(enumerate(drawn, 1)))
    )
    scale = "".join(
        f'<span style="top:{_y(level, top)}%">{esc(given.show(level))}</span>' for level in levels
    )
    minutes = "".join(
        f'<span style="left:{100 - 6000 * ago / given.span:.1f}%">'
        f"{f'−{ago} min' if ago else 'now'}</span>"
        for ago in _TICKS_MINUTES
    )
    return (
        f'<div class="bf-plot-area" data-plot="{esc(_data(given))}">'
        f'<svg viewBox="0 0 {given.span:.0f} {_HEIGHT:.0f}" preserveAspectRatio="none" role="img" '
        f'aria-label="{esc(_spoken(given))}">{grid}{lines}</svg>'
        f'<div class="bf-scale" aria-hidden="true">{scale}</div>{goal}'
        f'<div class="bf-minutes" aria-hidden="true">{minutes}</div></div>'
    )


def _spoken(given: Plot) -> str:
    """The plot in words, for those who cannot see it."""
    parts = [
        f"{s.name}: at most {given.show(max(v for _, v in s.points))}"
        for s in given.series if s.points
    ]  # fmt: skip
    return f"{given.title} in the last {given.span / 60:.0f} minutes. {'; '.join(parts)}."


def _data(given: Plot) -> str:
    series = [
        {"kind": s.kind, "points": [[round(ago), _short(value)] for ago, value in s.points]}
        for s in given.series
    ]
    whole = {"span": given.span, "unit": given.unit, "series": series}
    return json.dumps(whole, separators=(",", ":"))


def _short(value: float) -> float:
    return float(f"{value:.3g}")


# --- lines, areas, dots, bars ---------------------------------------------------------------


def _y(value: float, top: float) -> str:
    return f"{_HEIGHT * (1 - min(value, top) / top):.1f}"


def _runs(points: Iterable[Point], top: float, span: float) -> list[list[tuple[float, str]]]:
    """(x, y) of stretches without a gap."""
    runs: list[list[tuple[float, str]]] = []
    before = math.inf
    for ago, value in points:
        if ago > span:
            continue
        if before - ago > _GAP_S or not runs:
            runs.append([])
        runs[-1].append((span - ago, _y(value, top)))
        before = ago
    return runs


def _path(run: Sequence[tuple[float, str]]) -> str:
    return "M" + "L".join(f"{x:.0f} {y}" for x, y in run)


def _line(points: Sequence[Point], number: int, top: float, span: float) -> str:
    path = "".join(_path(run) for run in _runs(points, top, span))
    return f'<path class="bf-line bf-s{number}" d="{path}"/>' if path else ""


def _area(points: Sequence[Point], number: int, top: float, span: float) -> str:
    whole = "".join(
        f"{_path(run)}V{_HEIGHT:.0f}H{run[0][0]:.0f}Z" for run in _runs(points, top, span)
    )
    return f'<path class="bf-area bf-s{number}" d="{whole}"/>' + _line(points, number, top, span)


def _dots(points: Sequence[Point], number: int, top: float, span: float) -> str:
    """Lines without length: their round ends stay round in whatever the drawing is stretched to."""
    marks = "".join(f"M{span - ago:.0f} {_y(value, top)}h0" for ago, value in points if ago <= span)
    return f'<path class="bf-dots bf-s{number}" d="{marks}"/>' if marks else ""


def _bars(points: Sequence[Point], number: int, top: float, span: float) -> str:
    marks = "".join(
        f"M{span - ago:.0f} {_HEIGHT:.0f}V{_y(value, top)}"
        for ago, value in points if ago <= span and value > 0
    )  # fmt: skip
    return f'<path class="bf-bars bf-s{number}" d="{marks}"/>' if marks else ""


_DRAW = {"line": _line, "area": _area, "dots": _dots, "bars": _bars}


def _stack(series: Sequence[Series]) -> list[Series]:
    """Each on top of those before it; all have the same times."""
    stacked: list[Series] = []
    below: dict[float, float] = {}
    for one in series:
        points = [(ago, value + below.get(ago, 0.0)) for ago, value in one.points]
        below = dict(points)
        stacked.append(Series(one.name, points, one.kind))
    return stacked
