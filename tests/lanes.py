"""The whole suite in lanes at the same time: ``python -m tests.lanes``, as ``make test`` does.

Most tests wait: for browsers, for servers, for the clock. Each lane is a pytest of its own with
some of the modules; those that depend most on being served in time come first at the processor,
those that only compute come last. What a lane says is shown when it is over, and a lane that fails
fails the run. Arguments are pytest's; with any, there is one lane with everything.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

import psutil

TESTS = Path(__file__).parent
NICE = {"computing": 9, "meetings": 0, "clock": 0, "servers": 0, "host pages": 4, "phone pages": 4}
"""lane → how far it stands back: whole meetings with real browsers; whatever is said, waited for or
given up by the clock; servers and their clients; pages in browsers; what only computes"""
_HOST_PAGES, _PHONE_PAGES = ("test_host_", "test_accelerator_page"), "test_web_"
_CLOCK = {
    "accelerator_scheduling", "attribution", "bleed", "cloning", "cloning_faults", "cloning_socket",
    "collection", "drafts", "engine", "foresight", "hub", "hush", "interruption", "interview",
    "lasting_rooms", "lasting_transcripts", "membership", "mms", "nllb", "offers",
    "own_voice_parts", "own_voices", "presets", "recordings", "room_glossary", "rooms",
    "rooms_socket", "rooms_socket_speech", "rooms_socket_voices", "rtc", "rtc_rooms",
    "shared_phone", "speaking", "standstill", "synthesiser", "three_languages", "two_tier",
    "voice_recordings", "voice_samples", "workers",
}  # fmt: skip
_COMPUTING = {
    "accelerator_environment", "accelerator_protocol", "access", "architecture", "bench",
    "catalogue", "claims", "clauses", "deployment", "enrolment_speech", "enrolment_texts", "espeak",
    "f5", "f5_checkpoints", "f5_text", "fetching", "fetching_copies", "files", "frame_resampler",
    "guards", "identification", "kept_graph", "kokoro", "kokoro_graph", "large_profiles", "marks",
    "models", "models_cli", "originals", "palette", "people", "pitch", "playout", "precision",
    "processor", "profiles", "protocol", "pyannote_encoder", "recording_quality",
    "reference_material", "reference_voices", "seamless", "secret", "segmenter", "sentence_wise",
    "sound", "speakers", "splicing", "stage_conformance", "stage_processes", "storage_laptops",
    "storage_migrations", "storage_people", "strain", "subtitles", "synthesiser_weights",
    "term_bias", "term_protection", "text_language", "text_translation", "vad", "voice_matching",
    "voice_reference", "voices", "whisper", "whisper_model",
}  # fmt: skip
"""modules of tests for which it does not matter how long anything takes"""
LANE_BYTES = 3e9
"""memory that the tests of one lane may take; where there is less, fewer lanes run at once; never
more than there are cores, since meetings in real time need one of their own"""
_LOOK_S, _TELL_S, _END_S = 0.2, 60.0, 30.0


def lane_of(module: Path) -> str:
    name = module.stem.removeprefix("test_")
    if module.parent != TESTS:
        return "meetings"
    if module.stem.startswith(_HOST_PAGES):
        return "host pages"
    if module.stem.startswith(_PHONE_PAGES):
        return "phone pages"
    return "computing" if name in _COMPUTING else "clock" if name in _CLOCK else "servers"


def modules() -> dict[str, list[str]]:
    """lane → the files of its tests"""
    found: dict[str, list[str]] = {lane: [] for lane in NICE}
    for path in sorted(TESTS.rglob("test_*.py")):
        found[lane_of(path)].append(str(path.relative_to(TESTS.parent)))
    return found


class Lane:
    def __init__(self, name: str, files: list[str]) -> None:
        self.name, self._files = name, files
        self.process: subprocess.Popen | None = None
        self.code: int | None = None

    def start(self, told: IO[str]) -> None:
        # Hundreds of processes are started, which need not all compile the same files.
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        self.told = told
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *self._files],
            stdin=subprocess.DEVNULL, stdout=told, stderr=subprocess.STDOUT, env=environment,
            start_new_session=True, preexec_fn=lambda: os.nice(NICE[self.name]),
        )  # fmt: skip

    @property
    def runs(self) -> bool:
        return self.process is not None and self.code is None

    def has_ended(self) -> bool:
        """True once."""
        if not self.runs or self.process.poll() is None:
            return False
        self.code = self.process.returncode
        return True

    def text(self) -> str:
        self.told.seek(0)
        return self.told.read()

    def progress(self) -> str:
        share = ["0"]
        if self.process is not None:
            size = os.fstat(self.told.fileno()).st_size
            lately = os.pread(self.told.fileno(), 20_000, max(0, size - 20_000))
            share += re.findall(r"\[ *(\d+)%\]", lately.decode(errors="replace"))
        return f"{self.name} {share[-1]} %"

    def end(self) -> None:
        """Where the run is broken off: with all that it has started."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(_END_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def main(arguments: list[str]) -> int:
    if arguments:
        command = [sys.executable, "-m", "pytest", *arguments]
        return subprocess.run(command, check=False).returncode
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    lanes = [Lane(name, files) for name, files in modules().items()]
    room = int(psutil.virtual_memory().available / LANE_BYTES)
    at_once = max(1, min(len(lanes), room, max(2, os.cpu_count() or 1)))
    print(f"Testing in {at_once} lanes. Each of these is shown when it is over: {', '.join(NICE)}.")
    begun = told_at = time.monotonic()
    with contextlib.ExitStack() as ending:
        while any(lane.code is None for lane in lanes):
            for lane in lanes:
                if lane.process is None and sum(one.runs for one in lanes) < at_once:
                    lane.start(ending.enter_context(tempfile.TemporaryFile("w+")))
                    ending.callback(lane.end)
            time.sleep(_LOOK_S)
            for lane in lanes:
                if lane.has_ended():
                    print(f"\n=== {lane.name}\n{lane.text()}", flush=True)
            if time.monotonic() > told_at + _TELL_S:
                told_at += _TELL_S
                shares = ", ".join(lane.progress() for lane in lanes)
                print(f"{(told_at - begun) / 60:.0f} min: {shares}", flush=True)
    failed = [lane.name for lane in lanes if lane.code]
    minutes, seconds = divmod(round(time.monotonic() - begun), 60)
    words = f"FAILED: {', '.join(failed)}," if failed else "PASSED"
    print(f"{words} after {minutes} min {seconds} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
