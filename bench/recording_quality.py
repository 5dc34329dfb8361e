"""What the quality check of recordings lets through: real speech, and the same speech damaged.

Clean clips must be accepted; noise at known signal-to-noise ratios, clipping, telephone
bandwidth, two people one after the other, and silence must be refused for that very reason.

    python -m bench.recording_quality
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from babblefish.audio import rms
from babblefish.engine.recording_quality import (
    ENROLMENT,
    REFERENCE,
    PartVoice,
    RecordingQuality,
    Requirements,
    VoiceActivity,
    assess,
    parts,
)
from babblefish.engine.speakers import Ge2eEncoder
from babblefish.engine.vad import FRAME, SileroVad
from babblefish.errors import SpeakerError
from babblefish.settings import load_settings
from bench.damage import RATE, clipped, noisy, telephone
from bench.speakers import Recording, recordings

_SNRS = (30, 20, 15, 10, 5, 0)
_NOISES = ("white", "pink", "murmur", "music")
_JUDGED = replace(ENROLMENT, speech_seconds=1.6)
"""the clips are sentences: that many are shorter than a prompt is no finding"""
_SPANS = (4.0, 6.0, 10.0)
"""seconds of the recordings that are cut from the clips"""


class Judge:
    """``assess`` with the models that the server has in its worker processes."""

    def __init__(self) -> None:
        weights = load_settings().weights_dir
        self._vad, self.encoder = SileroVad(weights), Ge2eEncoder(weights)

    def activity(self, samples: np.ndarray) -> VoiceActivity:
        return VoiceActivity(self._vad.whole(samples), FRAME)

    def voices(self, samples: np.ndarray, activity: VoiceActivity) -> list[PartVoice]:
        mask, found = activity.mask(len(samples)), []
        for start, end in parts(activity):
            try:
                voiceprint = self.encoder.embed(samples[start:end])
            except SpeakerError:
                continue
            found.append(PartVoice(voiceprint, float(mask[start:end].sum()) / RATE))
        return found

    def __call__(
        self, samples: np.ndarray, voices: bool = False, required: Requirements = _JUDGED
    ) -> RecordingQuality:
        activity = self.activity(samples)
        found = self.voices(samples, activity) if voices else []
        return assess(samples, activity, found, self.encoder.capabilities, required)


def main() -> None:
    judge, clips = Judge(), recordings(load_settings().weights_dir)
    rows: dict[str, list[RecordingQuality]] = defaultdict(list)
    for name, samples in cases(clips):
        rows[name].append(judge(samples, voices=name.startswith(("clean", "two "))))
        if name == "clean":
            rows["clean, as reference"].append(judge(samples, required=REFERENCE))
    print(table(rows))


def cases(clips: list[Recording]) -> Iterator[tuple[str, np.ndarray]]:
    """(what it is, samples): each clip whole, and cut, and in every damaged form."""
    random = np.random.default_rng(7)
    for clip in clips:
        yield "clean", clip.samples
        for seconds in _SPANS:
            size = int(seconds * RATE)
            for start in range(0, len(clip.samples) - size + 1, size):
                yield "clean", clip.samples[start : start + size]
        whole = clip.samples[: 8 * RATE]
        for kind in _NOISES:
            for snr in _SNRS:
                yield f"{kind} noise at {snr} dB", noisy(whole, kind, snr, clips, random)
        for share in (0.02, 0.05, 0.1):
            yield f"clipped, {share:.0%} of the sound", clipped(whole, share)
        yield "telephone", telephone(whole)
        yield "silence", np.zeros(5 * RATE, np.float32)
        yield "quiet, -50 dB", whole * np.float32(10 ** (-50 / 20) / max(rms(whole), 1e-6))
        if clip.speaker:
            other = random.choice([c for c in clips if c.speaker not in ("", clip.speaker)])
            for seconds in (2, 3, 5):
                if min(clip.seconds, other.seconds) >= seconds:
                    yield f"two people, {seconds} s each", two_people(clip, other, seconds)
            yield "two at once, as loud", at_once(clip, other, 0.0)
            yield "two at once, -10 dB", at_once(clip, other, -10.0)


def two_people(one: Recording, two: Recording, seconds: int) -> np.ndarray:
    size = seconds * RATE
    level = rms(one.samples[:size]) / max(rms(two.samples[:size]), 1e-6)
    return np.concatenate([one.samples[:size], two.samples[:size] * np.float32(level)])


def at_once(one: Recording, two: Recording, level_db: float) -> np.ndarray:
    size = min(len(one.samples), len(two.samples))
    first, second = one.samples[:size], two.samples[:size]
    second = second * np.float32(rms(first) / max(rms(second), 1e-6) * 10 ** (level_db / 20))
    return first + second


def table(rows: dict[str, list[RecordingQuality]]) -> str:
    lines = [
        "| recording | n | accepted | refused as | SNR found, dB |",
        "|---|---:|---:|---|---:|",
    ]
    for name, found in rows.items():
        codes = Counter(fault.code for quality in found for fault in quality.faults)
        share = sum(quality.good for quality in found) / len(found)
        reasons = ", ".join(f"{code} {count / len(found):.0%}" for code, count in codes.items())
        snr = float(np.median([quality.snr_db for quality in found]))
        lines.append(f"| {name} | {len(found)} | {share:.1%} | {reasons or '–'} | {snr:.0f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
