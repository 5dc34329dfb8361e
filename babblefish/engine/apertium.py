"""Rule-based translation by Apertium: installed language pairs, and chains of them.

Looks at which translation modes are installed, works out which languages can be reached from
which over at most three of them, and keeps the pipelines in use running. Speech, rooms and how a
pair is offered to people are not its business.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import re
import shutil
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from pathlib import Path

from babblefish import languages
from babblefish.engine import text_repair
from babblefish.engine.pipeline import Pipeline
from babblefish.engine.stages import TranslatorCapabilities
from babblefish.errors import BabbleFishError, TranslationError
from babblefish.protocol import Quality

MODES_DIR = Path("/usr/share/apertium/modes")
"""where Debian installs translation modes"""
MAX_HOPS = 3
_MODE = re.compile(r"([a-z]{2,3})-([a-z]{2,3})(_[A-Z]{2})?")
_VARIANTS = {"pt": "_BR", "en": "_US"}
"""preferred variant of a target language"""
_MACRO = {"hbs": ("sr", "hr", "bs")}
"""one code of Apertium's for what everybody else calls several languages"""
_CLOSE = (
    frozenset({"es", "ca", "pt", "gl", "oc", "ast", "an", "fr", "it", "ro"}),
    frozenset({"da", "no", "nn", "sv"}),
    frozenset({"id", "ms"}),
    frozenset({"ru", "uk", "be"}),
    frozenset({"mk", "bg", "sr", "hr", "bs", "sl"}),
    frozenset({"af", "nl"}),
)
"""languages whose sentences map nearly word by word: little is lost between them"""
_NEARLY_SAME = frozenset(
    {
        frozenset({"es", "ca"}), frozenset({"es", "gl"}), frozenset({"es", "pt"}),
        frozenset({"pt", "gl"}), frozenset({"es", "ast"}), frozenset({"es", "an"}),
        frozenset({"no", "nn"}),
    }
)  # fmt: skip
"""pairs that Apertium translates well enough to publish after a light edit"""
_COST = {"near": 1.0, "close": 1.3, "far": 1.8}
_MEASURED = {("fr", "es"): 2.6, ("es", "fr"): 2.6, ("ca", "en"): 2.9}
"""pairs that lose more than a detour does: see bench/results/translation_routes.md"""
_STAND_INS = (
    "Daniel", "Robert", "Thomas", "David", "Martin", "Patrick", "Victor", "Simon", "Hugo", "Peter",
    "Albert", "Oscar", "Edgar", "Arthur", "Igor", "Eric", "Ivan", "Olga",
)  # fmt: skip
"""names that every pair installed here knows or leaves alone, and none inflects"""
_LONGEST = 1500
"""characters given to a pipeline at once"""
_SENTENCE = re.compile(r"(?<=[.!?…])\s+")


class ApertiumTranslator:
    """A ``Translator``. One process chain per mode in use, at most ``keep`` of them."""

    def __init__(
        self,
        modes_dir: Path | str = MODES_DIR,
        keep: int = 16,
        timeout: float = 2.5,
        start_timeout: float = 6.0,
        warm: Iterable[str] = ("en", "es"),
    ) -> None:
        """Starts what the pairs of languages in ``warm`` need; others start when ``prepare`` asks
        for them or when first used, which takes up to a second. A pipeline holds 40–650 MB, so
        at most ``keep`` live.

        timeout, start_timeout: see ``Pipeline``. An installation without Apertium or without
        pairs serves no pair; nothing is raised.
        """
        self._modes = find_modes(Path(modes_dir)) if shutil.which("lt-proc") else {}
        self._paths = shortest_paths(self._modes)
        self._keep, self._timeouts = keep, (timeout, start_timeout)
        self._pipelines: OrderedDict[Path, Pipeline] = OrderedDict()
        self.capabilities = TranslatorCapabilities(
            {pair: quality(path) for pair, path in self._paths.items()}, _STAND_INS
        )
        self._warm_up(warm)

    def translate(self, texts: Sequence[str], source: str, target: str) -> list[str]:
        """See ``Translator.translate``; also TranslationError("unavailable")."""
        path = self._paths.get((source, target))
        if path is None:
            raise TranslationError(
                "pair",
                f"Apertium does not translate {source} into {target}. Install a package such as "
                f"apertium-{source}-{target}, if there is one.",
            )
        return [self._text(text, path) for text in texts]

    def prepare(self, source: str, target: str) -> None:
        """See ``Translator.prepare``. What is in use is not ended for it."""
        for hop in itertools.pairwise(self._paths.get((source, target), ())):
            mode = self._modes[hop]
            if mode in self._pipelines or len(self._pipelines) < self._keep:
                with contextlib.suppress(OSError):  # reported when somebody needs it
                    self._pipeline(mode).start()

    def close(self) -> None:
        """Ends all processes; the next call starts them again."""
        while self._pipelines:
            self._pipelines.popitem()[1].close()

    def __del__(self) -> None:
        if hasattr(self, "_pipelines"):
            self.close()

    def _warm_up(self, warm: Iterable[str]) -> None:
        paths = [self._paths.get(pair, ()) for pair in itertools.permutations(warm, 2)]
        hops = {self._modes[hop] for path in paths for hop in itertools.pairwise(path)}
        pipelines = [self._pipeline(mode) for mode in sorted(hops)]
        for pipeline in pipelines:
            pipeline.start()
        for pipeline in pipelines:
            with contextlib.suppress(TranslationError):  # reported when somebody needs it
                pipeline.warm_up()

    def _text(self, text: str, path: Sequence[str]) -> str:
        text = text.replace("\0", "")
        return "\n".join(self._line(line, path) for line in text.split("\n"))

    def _line(self, line: str, path: Sequence[str]) -> str:
        if not any(c.isalnum() for c in line):
            return line
        return " ".join(self._piece(piece, path) for piece in _pieces(line))

    def _piece(self, text: str, path: Sequence[str]) -> str:
        for source, target in itertools.pairwise(path):
            raw = self._pipeline(self._modes[source, target]).translate(
                text_repair.before(text, source)
            )
            text = text_repair.after(raw, text, target)
        return text

    def _pipeline(self, mode: Path) -> Pipeline:
        pipeline = self._pipelines.pop(mode, None) or Pipeline(mode, *self._timeouts)
        self._pipelines[mode] = pipeline
        while len(self._pipelines) > self._keep:
            self._pipelines.popitem(last=False)[1].close()
        return pipeline


def find_modes(directory: Path) -> dict[tuple[str, str], Path]:
    """(source, target) → mode file, of those that translate between two languages."""
    modes: dict[tuple[str, str], Path] = {}
    for path in sorted(directory.glob("*.mode")):
        match = _MODE.fullmatch(path.stem)
        if match is None:
            continue
        for source in _codes(match[1]):
            for target in _codes(match[2]):
                variant = match[3] or ""
                wanted = _VARIANTS.get(target, "")
                known = (source, target) in modes
                if source != target and (variant == wanted or (not variant and not known)):
                    modes[source, target] = path
    return modes


def shortest_paths(modes: Iterable[tuple[str, str]]) -> dict[tuple[str, str], tuple[str, ...]]:
    """(source, target) → the languages to go through, both ends included; cheapest loss first."""
    onward: dict[str, list[str]] = {}
    for source, target in modes:
        onward.setdefault(source, []).append(target)
    paths: dict[tuple[str, str], tuple[str, ...]] = {}
    for start in onward:
        queue: list[tuple[float, tuple[str, ...]]] = [(0.0, (start,))]
        while queue:
            cost, path = heapq.heappop(queue)
            *_, end = path
            if len(path) > 1:
                if (start, end) in paths:
                    continue
                paths[start, end] = path
            if len(path) <= MAX_HOPS:
                for target in onward.get(end, ()):
                    if target not in path:
                        hop = _loss(end, target)
                        heapq.heappush(queue, (cost + hop, (*path, target)))
    return paths


def quality(path: Sequence[str]) -> Quality:
    """``good`` only for one hop between languages that are nearly the same."""
    return "good" if len(path) == 2 and _distance(*path) == "near" else "basic"


def _loss(source: str, target: str) -> float:
    return _MEASURED.get((source, target), _COST[_distance(source, target)])


def _distance(source: str, target: str) -> str:
    pair = frozenset({source, target})
    if pair in _NEARLY_SAME:
        return "near"
    return "close" if any(pair <= family for family in _CLOSE) else "far"


def _codes(code: str) -> tuple[str, ...]:
    if code in _MACRO:
        return _MACRO[code]
    try:
        return (languages.normalise(code),)
    except BabbleFishError:
        return ()


def _pieces(line: str) -> list[str]:
    """``line`` cut between sentences, or between words where a sentence never ends."""
    if len(line) <= _LONGEST:
        return [line]
    pieces: list[str] = []
    for sentence in _SENTENCE.split(line):
        while len(sentence) > _LONGEST:
            cut = sentence.rfind(" ", 1, _LONGEST)
            cut = cut if cut > 0 else _LONGEST
            pieces.append(sentence[:cut])
            sentence = sentence[cut:].lstrip()
        if pieces and len(pieces[-1]) + len(sentence) < _LONGEST:
            pieces[-1] += " " + sentence
        else:
            pieces.append(sentence)
    return [piece for piece in pieces if piece]
