"""Would a session's evidence name an enrolled owner whose single utterances do not?

Everybody who is enrolled with 10 s as recorded speaks up to ten times for 3 s, in one condition for
the whole session (the same telephone, noise or room throughout), and so does everybody else.
Prints, for bars that 1 % of the strangers' sessions pass, how many of the owners' pass them.

    python -m bench.identification_sessions [--extra FOLDER …]
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from babblefish.engine.identification import Sample, combined, unit
from babblefish.engine.speakers import Ge2eEncoder
from babblefish.errors import SpeakerError
from babblefish.settings import load_settings
from bench import speaker_corpus
from bench.calibration import Print, embed, enrolments, pair
from bench.identification import Simulation
from bench.speaker_corpus import CONDITIONS, worsened

_SECONDS = 3.0
_MOST = 10
_DRAWS = 4
_STRANGERS = 99.0
"""percentile of the strangers' sessions that is the bar"""
_RULES: dict[str, Callable[[np.ndarray], float]] = {
    "mean of the session": lambda found: float(np.mean(found)),
    "its highest": lambda found: float(np.max(found)),
    "its second highest": lambda found: float(np.sort(found)[-2]),
}


@dataclass(frozen=True, slots=True)
class Session:
    own: bool
    condition: str
    llrs: np.ndarray
    """of each utterance, for the owner"""


def recorded(
    encoder: Ge2eEncoder, prints: list[Print]
) -> Iterator[tuple[str, str, list[tuple[Print, np.ndarray]]]]:
    """Speaker, condition, and voiceprints of what they say in it, with where it was cut."""
    for name in sorted({p.piece.speaker for p in prints}):
        pieces = [
            p for p in prints
            if (p.piece.speaker, p.piece.seconds, p.piece.condition) == (name, _SECONDS, "clean")
        ][:_MOST]  # fmt: skip
        for condition in CONDITIONS if len(pieces) > 1 else ():
            found = []
            for each in pieces:
                random = np.random.default_rng(zlib.crc32(f"{name} {condition}".encode()))
                try:
                    voiceprint = encoder.embed(worsened(each.piece.samples, condition, random))
                except SpeakerError:
                    continue
                found.append((each, voiceprint))
            yield name, condition, found


def sessions(sim: Simulation, encoder: Ge2eEncoder) -> Iterator[Session]:
    """Calibrations are fitted without the people concerned."""
    for speaker, condition, found in recorded(encoder, sim.prints):
        for owner in sorted(sim.models):
            calibration = sim.capabilities(*{owner, speaker}).calibration
            assert calibration is not None
            average = np.array(calibration.average or (0.0,), np.float32)
            for draw in range(_DRAWS):
                model = sim.models[owner][draw % len(sim.models[owner])]
                known = combined([Sample(p.voiceprint, p.piece.seconds) for p in model], average)
                llrs = [
                    calibration.elsewhere.of(
                        float(known.voiceprint @ unit(voiceprint - average)), _SECONDS,
                        known.seconds,
                    )
                    for at, voiceprint in found
                    if not any(at.piece.overlaps(used.piece) for used in model)
                ]  # fmt: skip
                if len(llrs) > 1:
                    yield Session(owner == speaker, condition, np.array(llrs))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--extra", type=Path, nargs="*", default=[])
    encoder = Ge2eEncoder(load_settings().weights_dir, threads=1)
    prints = embed(encoder, speaker_corpus.load(arguments.parse_args().extra))
    models = enrolments(prints, np.random.default_rng(4))
    sim = Simulation(prints, models, pair(prints, models, np.random.default_rng(5)))
    found = list(sessions(sim, encoder))
    own, others = [s for s in found if s.own], [s for s in found if not s.own]
    print(f"{len(own)} sessions of owners, {len(others)} of strangers")
    for name, rule in _RULES.items():
        bar = float(np.percentile([rule(s.llrs) for s in others], _STRANGERS))
        shares = {
            c: round(float(np.mean([rule(s.llrs) > bar for s in own if s.condition == c])), 3)
            for c in CONDITIONS
        }
        print(f"{name}: bar {bar:.2f}, owners {shares}")
    bar = float(np.percentile(np.concatenate([s.llrs for s in others]), _STRANGERS))
    shares = {
        c: round(float(np.mean(np.concatenate([s.llrs for s in own if s.condition == c]) > bar)), 3)
        for c in CONDITIONS
    }
    print(f"each utterance alone: bar {bar:.2f}, owners {shares}")
    within = float(np.sqrt(np.mean([s.llrs.var(ddof=1) for s in others])))
    between = float(np.std([s.llrs.mean() for s in others]))
    print(
        f"strangers' LLR: standard deviation {within:.1f} in a session, {between:.1f} of sessions"
    )


if __name__ == "__main__":
    main()
