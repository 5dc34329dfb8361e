"""How far something long has come, on the command line: a bar on a terminal, lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from tqdm import tqdm

_SHAPE = "{percentage:3.0f}%|{bar:12}| {n_fmt}/{total_fmt}, {rate_fmt}, {remaining} to go  {desc}"
_LINE_SECONDS = 5.0


class ProgressBar:
    """A progress bar with speed and time left on a terminal; elsewhere a line every few seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._bar: tqdm | None = None
        self._clock = clock
        self._said, self._said_at = "", -_LINE_SECONDS

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def __call__(self, what: str, done: int, total: int) -> None:
        if sys.stderr.isatty():
            self._draw(what, done, total)
        elif what != self._said or self._clock() - self._said_at >= _LINE_SECONDS:
            share = f"{100 * done / total:3.0f} %  {amount(done)} of {amount(total)}"
            print(f"  {share}  {what}", file=sys.stderr, flush=True)
            self._said, self._said_at = what, self._clock()

    def _draw(self, what: str, done: int, total: int) -> None:
        if self._bar is None or done < self._bar.n:
            self.__exit__()
            self._bar = tqdm(
                initial=done, total=total, file=sys.stderr, leave=False, bar_format=_SHAPE,
                unit="B", unit_scale=True, dynamic_ncols=True,
            )  # fmt: skip
            self._said = ""
        self._bar.total = total
        if what != self._said:
            self._bar.set_description_str(what)
            self._said = what
        self._bar.update(done - self._bar.n)


def amount(size: float) -> str:
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"
