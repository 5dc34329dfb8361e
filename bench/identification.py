"""How well people are told apart by their voices; and the calibration that makes it work.

Fits, on real speech cut to 1 … 5 s, as recorded and made worse, how a cosine similarity becomes
a log-likelihood ratio (``babblefish/engine/ge2e_calibration.py``, which ``--write`` writes), and
prints the figures of ``babblefish/engine/identification.py``. No figure comes from a calibration
that saw any of the speakers it is measured on. More voices than ``../shared/speech`` holds make the
calibration better: a meeting's recordings with RTTM files come in the source package of
pyannote.audio, read voices in f5-tts's.

    python -m bench.identification [--write] [--extra FOLDER …]
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path

import numpy as np

from babblefish.engine.identification import OWNER, UNKNOWN, Enrolled, Identifier, Sample
from babblefish.engine.speakers import Ge2eEncoder
from babblefish.engine.stages import SpeakerEncoder, SpeakerEncoderCapabilities
from babblefish.settings import load_settings
from bench import speaker_corpus
from bench.calibration import (
    DRAWS,
    FOLDS,
    MODULE,
    Data,
    Print,
    cross_validated,
    embed,
    enrolments,
    fit,
    module,
    pair,
    tests_of,
)
from bench.speaker_corpus import CONDITIONS

_RESULTS = Path(__file__).with_name("results") / "identification.json"
_ORDERS = 12
"""in which somebody's utterances are heard"""


class Simulation:
    """Meetings of people who never took part in the calibration they are judged by."""

    def __init__(self, prints: list[Print], models: list[list[Print]], data: Data) -> None:
        self.prints, self.data = prints, data
        self.names = sorted({p.piece.speaker for p in prints})
        self.models: dict[str, list[list[Print]]] = defaultdict(list)
        for model in models:
            self.models[model[0].piece.speaker].append(model)
        self.random = np.random.default_rng(3)
        self._fitted: dict[frozenset[str], SpeakerEncoderCapabilities] = {}

    def capabilities(self, *without: str) -> SpeakerEncoderCapabilities:
        """With a calibration that saw none of these, and where they are few, none of their folds
        either, which saves fits."""
        if len(without) <= 2:
            folds = {self.names.index(name) % FOLDS for name in without}
            without = tuple(n for i, n in enumerate(self.names) if i % FOLDS in folds)
        key = frozenset(without)
        if key not in self._fitted:
            fitted = fit(self.data, {self.names.index(name) for name in key})
            able = Ge2eEncoder.capabilities
            self._fitted[key] = SpeakerEncoderCapabilities(
                able.name, able.dimension, able.min_seconds, able.same_speaker, fitted
            )
        return self._fitted[key]

    def people(self, draw: int, names: list[str]) -> tuple[list[Enrolled], list[Print]]:
        people, used = [], []
        for name in names:
            model = self.models[name][draw % len(self.models[name])]
            used += model
            samples = tuple(Sample(p.voiceprint, p.piece.seconds) for p in model)
            people.append(Enrolled(name, samples))
        return people, used

    def enrolled(
        self, names: list[str], where: str, seconds: float, conditions: tuple[str, ...]
    ) -> dict[str, float]:
        """Everybody of ``names`` enrolled with 10 s: who is named right, wrong, not at all."""
        able, counts = self.capabilities(*names), defaultdict(int)
        for draw in range(DRAWS):
            people, used = self.people(draw, names)
            for name in names:
                others = [n for n in names if n != name]
                owner = name if where == "own phone" else str(self.random.choice(others))
                owner = None if where == "phone of nobody enrolled" else owner
                for test in tests_of(name, seconds, used, self.prints):
                    if test.piece.condition not in conditions:
                        continue
                    found = Identifier(able, owner, people).identify(test.voiceprint, seconds)
                    right = found.person == name
                    counts["right" if right else "wrong" if found.person else "unnamed"] += 1
        return _shares(counts)

    def strangers(
        self, names: list[str], where: str, seconds: float, conditions: tuple[str, ...]
    ) -> dict[str, float]:
        """Somebody not enrolled speaks: how often is a name of an enrolled person put to it?"""
        counts = defaultdict(int)
        for stranger in self.names:
            if stranger in names:
                continue
            able = self.capabilities(*names, stranger)
            for draw in range(DRAWS):
                people, _ = self.people(draw, names)
                owner = (
                    str(self.random.choice(names)) if where == "an enrolled owner's phone" else None
                )
                for test in tests_of(stranger, seconds, [], self.prints):
                    if test.piece.condition not in conditions:
                        continue
                    found = Identifier(able, owner, people).identify(test.voiceprint, seconds)
                    counts["wrong" if found.person else "no name"] += 1
        return _shares(counts)

    def alternating(self, names: list[str], seconds: float) -> dict[str, float]:
        """Two who are not enrolled take turns at one phone; the first is its owner."""
        counts: dict[str, int] = defaultdict(int)
        for one, two in itertools.permutations(names, 2):
            lists = [self._of(name, seconds, CONDITIONS[:1]) for name in (one, two)]
            if min(map(len, lists)) < 3:
                continue
            able = self.capabilities(one, two)
            identifier = Identifier(able)
            for turn in zip(*(found[:8] for found in lists), strict=False):
                for expected, test in enumerate(turn):
                    voice = identifier.identify(test.voiceprint, seconds).voice
                    right = voice == expected
                    counts["right" if right else "unknown" if voice == UNKNOWN else "wrong"] += 1
        return _shares(counts)

    def alone(self, seconds: float, conditions: tuple[str, ...]) -> dict[str, float]:
        """One who is not enrolled speaks at their own phone: in many orders, as what was heard
        first weighs most."""
        counts: dict[str, int] = defaultdict(int)
        for name in self.names:
            able, own = self.capabilities(name), self._of(name, seconds, conditions)
            if len(own) < 3:
                continue
            for _ in range(_ORDERS):
                identifier = Identifier(able)
                for n in self.random.permutation(len(own)):
                    voice = identifier.identify(own[n].voiceprint, seconds).voice
                    right = voice == OWNER
                    counts["right" if right else "unknown" if voice == UNKNOWN else "wrong"] += 1
        return _shares(counts)

    def _of(self, name: str, seconds: float, conditions: tuple[str, ...]) -> list[Print]:
        """In the order in which they were said."""
        return [
            p for p in self.prints
            if p.piece.speaker == name and p.piece.seconds == seconds
            and p.piece.condition in conditions
        ]  # fmt: skip


def _shares(counts: dict[str, int]) -> dict[str, float]:
    total = max(1, sum(counts.values()))
    return {key: round(100 * n / total, 2) for key, n in sorted(counts.items())} | {"n": total}


def timed(encoder: SpeakerEncoder, prints: list[Print], people: list[Enrolled]) -> dict[str, float]:
    """Milliseconds for an utterance of 3 s: voiceprint on one thread, and decision."""
    able = Ge2eEncoder.capabilities
    identifier, pieces = Identifier(able, None, people), [p for p in prints if p.piece.seconds == 3]
    embedding, decision = [], []
    for each in pieces[:40]:
        start = time.perf_counter()
        voiceprint = encoder.embed(each.piece.samples)
        between = time.perf_counter()
        identifier.identify(voiceprint, 3.0)
        embedding.append(between - start)
        decision.append(time.perf_counter() - between)
    return {
        "voiceprint_ms": round(1000 * float(np.median(embedding)), 1),
        "decision_ms": round(1000 * float(np.median(decision)), 2),
    }


def measure(sim: Simulation, readers: list[str]) -> dict[str, dict[str, float]]:
    groups = {"5 readers": readers, "all who have 10 s": sorted(sim.models)}
    kinds = {"as recorded": ("clean",), "made worse": CONDITIONS[1:]}
    figures = {}
    for (group, names), (kind, conditions) in itertools.product(groups.items(), kinds.items()):
        for where, seconds in itertools.product(
            ("own phone", "another's phone", "phone of nobody enrolled"), (1.5, 3.0, 5.0)
        ):
            title = f"enrolled: {group}, {kind}, {where}, {seconds:g} s"
            figures[title] = sim.enrolled(names, where, seconds, conditions)
        for where, seconds in itertools.product(
            ("an enrolled owner's phone", "own phone"), (1.5, 3.0, 5.0)
        ):
            title = f"stranger: {group} enrolled, {kind}, {where}, {seconds:g} s"
            figures[title] = sim.strangers(names, where, seconds, conditions)
    for seconds in (1.5, 2.0, 3.0):
        for group, names in (("5 readers", readers), ("all", sim.names)):
            figures[f"two of {group} alternating, {seconds:g} s"] = sim.alternating(names, seconds)
        figures[f"one alone, as recorded, {seconds:g} s"] = sim.alone(seconds, CONDITIONS[:1])
        figures[f"one alone, noise comes and goes, {seconds:g} s"] = sim.alone(
            seconds, ("clean", "noise", "room")
        )
    return figures


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--extra", type=Path, nargs="*", default=[])
    arguments.add_argument("--write", action="store_true", help="the module with the calibration")
    options = arguments.parse_args()
    speakers = speaker_corpus.load(options.extra)
    if len(speakers) < 2 * FOLDS:
        raise SystemExit("There are too few speakers. Set BABBLEFISH_SPEECH_DIR, or use --extra.")
    encoder = Ge2eEncoder(load_settings().weights_dir, threads=1)
    prints = embed(encoder, speakers)
    models = enrolments(prints, np.random.default_rng(4))
    data = pair(prints, models, np.random.default_rng(5))
    sim = Simulation(prints, models, data)
    chosen = [name for name in sim.models if name.isdigit()]
    people, _ = sim.people(0, sorted(sim.models))
    report = {
        "speakers": len(speakers), "voiceprints": len(prints), "pairs": len(data.trials.same),
        "calibration": asdict(fit(data)),
        "by_length": cross_validated(data),
        "figures": measure(sim, chosen),
        "time": timed(encoder, prints, people),
    }  # fmt: skip
    print(f"{len(speakers)} speakers, {len(prints)} voiceprints, {len(data.trials.same)} pairs")
    print("fitted on all:", report["calibration"]["here"], report["calibration"]["elsewhere"])
    print(f"cross-validated, {FOLDS} folds without a speaker in common:")
    for name, row in report["by_length"].items():
        print(f"  {name:6} {row}")
    print("shares in %, calibrations fitted without the people concerned:")
    for name, row in report["figures"].items():
        print(f"  {name:62} {row}")
    print(report["time"])
    if options.write:
        MODULE.write_text(module(fit(data), len(speakers), len(data.trials.same)), "utf-8")
    _RESULTS.write_text(json.dumps(report, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
