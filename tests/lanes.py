"""The whole suite in lanes at the same time: ``python -m tests.lanes``, as ``make test`` does.

Most tests wait: for browsers, for servers, for the clock. Each lane is a pytest of its own with
some of the modules; those that depend most on being served in time come first at the processor,
those that only compute come last. What a lane says is shown when it is over, and a lane that fails
fails the run. Arguments are pytest's; with any, there is one lane with everything.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).parent
NICE = {"meetings": 0, "clock": 0, "browsers": 4, "computing": 9}
"""lane → how far it stands back: whole meetings; whatever is said, waited for or given up by the
clock; pages in browsers; what only computes"""
_BROWSERS = ("test_host_", "test_web_", "test_accelerator_page")
_COMPUTING = {
    "accelerator_environment", "accelerator_protocol", "architecture", "bench", "catalogue",
    "claims", "clauses", "enrolment_speech", "enrolment_texts", "espeak", "f5", "f5_checkpoints",
    "f5_text", "files", "guards", "identification", "kept_graph", "kokoro", "kokoro_graph",
    "marks", "models", "originals", "palette", "people", "pitch", "playout", "precision",
    "processor", "profiles", "protocol", "pyannote_encoder", "recording_quality",
    "reference_material", "reference_voices", "seamless", "secret", "segmenter", "sentence_wise",
    "sound", "speakers", "splicing", "stage_conformance", "storage_laptops", "storage_migrations",
    "storage_people", "strain", "subtitles", "synthesiser_weights", "term_bias", "term_protection",
    "vad", "voice_matching", "voice_reference", "voices", "whisper", "whisper_model",
}  # fmt: skip
"""modules of tests for which it does not matter how long anything takes"""
_LOOK_S = 0.2


def lane_of(module: Path) -> str:
    if module.parent != TESTS:
        return "meetings"
    if module.stem.startswith(_BROWSERS):
        return "browsers"
    return "computing" if module.stem.removeprefix("test_") in _COMPUTING else "clock"


def modules() -> dict[str, list[str]]:
    """lane → the files of its tests"""
    found: dict[str, list[str]] = {lane: [] for lane in NICE}
    for path in sorted(TESTS.rglob("test_*.py")):
        found[lane_of(path)].append(str(path.relative_to(TESTS.parent)))
    return found


def main(arguments: list[str]) -> int:
    command = [sys.executable, "-m", "pytest"]
    if arguments:
        return subprocess.run([*command, *arguments], check=False).returncode
    begun, codes, lanes = time.monotonic(), {}, {}
    with contextlib.ExitStack() as ending:
        for name, files in modules().items():
            told = ending.enter_context(tempfile.TemporaryFile("w+"))
            lane = subprocess.Popen(
                [*command, "-p", "no:cacheprovider", *files], stdin=subprocess.DEVNULL,
                stdout=told, stderr=subprocess.STDOUT,
                preexec_fn=lambda by=NICE[name]: os.nice(by),
            )  # fmt: skip
            ending.callback(lane.wait)
            ending.callback(lane.terminate)
            lanes[name] = lane, told
        print(f"Testing in lanes: {', '.join(lanes)}. Each is shown when it is over.", flush=True)
        while len(codes) < len(lanes):
            time.sleep(_LOOK_S)
            for name, (lane, told) in lanes.items():
                if name not in codes and lane.poll() is not None:
                    codes[name] = lane.returncode
                    told.seek(0)
                    print(f"\n=== {name}\n{told.read()}", flush=True)
    failed = [name for name, code in codes.items() if code]
    minutes, seconds = divmod(round(time.monotonic() - begun), 60)
    print(f"{f'FAILED: {failed}' if failed else 'PASSED'} after {minutes} min {seconds} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
