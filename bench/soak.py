"""A long time under change: people come and go, programs call and hang up, and nothing may grow.

``python -m bench.soak`` (``make soak``) starts the real server, lets phones talk in it, others pass
through, and programs translate, speak, send files and open sockets, some of which break off; then
everybody leaves. What is left then is compared with what there was before: memory, tasks, files,
sockets, threads, processes, temporary files. Exits with status 1 where something grew.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import httpx
import numpy as np
import psutil
from prometheus_client.parser import text_string_to_metric_families

from babblefish.settings import Settings, load_settings
from bench.client import Phone
from bench.clips import Clip, load_clips
from bench.conversation import Turn, all_heard, observe, take_turn
from bench.server import Server
from bench.soak_programs import Programs

_OUT = Path(__file__).with_name("out")
_ROOT = Path(__file__).resolve().parents[1]
_WARM_SHARE = 0.3
"""of the time, after which memory should not grow any more"""
_SETTLE_S = 60.0
_EVERY_S = 5.0
_SLOPE_MB = {"server": 1.0, "models": 2.0}
"""a minute, at most: what is kept for people who come back (captions, traces) is bounded, but
fills within such a time"""
_LATE_S = 60.0
"""for which captions that are late, on a machine that is busy, are waited for"""
_GRACE_S = "5"
"""for which the seat of somebody who broke off is kept"""


@dataclass(slots=True)
class Standing:
    """What the server holds at one moment."""

    at: float
    """seconds since the start"""
    server_mb: float
    models_mb: float
    tasks: int
    threads: int
    open_files: int
    connections: int
    """inet sockets that are not listening"""
    processes: int
    people: int


@dataclass(slots=True)
class Soak:
    server: Server
    key: str
    data: Path
    clips: list[Clip]
    seconds: float
    begun: float = field(default_factory=time.monotonic)
    standings: list[Standing] = field(default_factory=list)
    done: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)

    @property
    def left(self) -> float:
        return self.seconds - (time.monotonic() - self.begun)

    async def run(self) -> tuple[Standing, Standing]:
        """Before anybody came (but once, so that everything is loaded), and after they left."""
        async with httpx.AsyncClient(base_url=self.server.base, timeout=120) as http:
            http.headers["Authorization"] = f"Bearer {self.key}"
            programs = Programs(http, self.server, self.key, self.clips, self.done, self.wrong)
            await self._everything_once(programs)
            before = await self._settled(http)
            self.begun = time.monotonic()
            async with asyncio.TaskGroup() as group:
                group.create_task(self._again("turn", 1.0, self._conversation))
                group.create_task(self._again("phone passed through", 2.0, self._passer_by))
                for name, every, work in programs.kinds():
                    group.create_task(self._again(name, every, work))
                group.create_task(self._look(http))
            after = await self._settled(http, before)
        return before, after

    async def _everything_once(self, programs: Programs) -> None:
        until, self.seconds = self.seconds, 15.0
        await self._conversation()
        await self._passer_by()
        for _, _, work in programs.kinds():
            await work()
        self.seconds = until
        self.done.clear()

    async def _again(self, name: str, every: float, work: Callable[[], Awaitable[None]]) -> None:
        while self.left > 0:
            try:
                async with asyncio.timeout(240):
                    await work()
                self.done[name] += 1
            except Exception as error:  # counted, and reported at the end
                self.wrong[f"{name}: {type(error).__name__}"] += 1
            await asyncio.sleep(every)

    # --- phones ---------------------------------------------------------------------------------

    async def _conversation(self) -> None:
        """Two people talk for about a minute, then leave."""
        french = [clip for clip in self.clips if clip.language == "fr"]
        english = [clip for clip in self.clips if clip.language == "en"]
        until = min(60.0, self.left)
        begun = time.monotonic()
        async with (
            Phone(self.server.base, self.server.link, "Marie", "fr", "fr") as marie,
            Phone(self.server.base, self.server.link, "Dan", "en", "en") as dan,
        ):
            turns: list[tuple[Turn, Phone]] = []
            while time.monotonic() - begun < until:
                number = len(turns)
                speaker, listener = (marie, dan) if number % 2 else (dan, marie)
                clips = french if number % 2 else english
                clip = clips[number // 2 % len(clips)].varied(number)
                turns.append((await take_turn(speaker, [listener], clip), listener))
            await all_heard(turns, _LATE_S)
            for turn, listener in turns:
                self.done["sentence"] += 1
                if not observe(turn, listener).captions:
                    self.wrong["sentence without a caption"] += 1

    async def _passer_by(self) -> None:
        """Joins, listens, leaves; every other one breaks off without a word."""
        phone = Phone(self.server.base, self.server.link, "Guest", "en", "en")
        await phone.__aenter__()
        try:
            await asyncio.sleep(3.0)
        finally:
            breaks_off = self.done["phone passed through"] % 2
            await (phone._close() if breaks_off else phone.__aexit__(None, None, None))

    # --- what the server holds --------------------------------------------------------------------

    async def _look(self, http: httpx.AsyncClient) -> None:
        while self.left > 0:
            self.standings.append(await self._standing(http))
            now = self.standings[-1]
            print(
                f"{now.at:5.0f} s  {now.people:2} people  server {now.server_mb:6.1f} MB  models "
                f"{now.models_mb:7.1f} MB  {now.tasks:4} tasks  {now.open_files:4} files  "
                f"{sum(self.done.values()):5} done  {dict(self.wrong) or ''}",
                flush=True,
            )  # fmt: skip
            await asyncio.sleep(_EVERY_S)

    async def _standing(self, http: httpx.AsyncClient) -> Standing:
        answer = (await http.get("/metrics")).raise_for_status()
        figures = {
            "|".join([sample.name, *sample.labels.values()]): sample.value
            for family in text_string_to_metric_families(answer.text) for sample in family.samples
        }  # fmt: skip
        process = psutil.Process(self.server.pid)
        sockets = [c for c in process.net_connections("inet") if c.status != "LISTEN"]
        return Standing(
            round(time.monotonic() - self.begun, 1),
            round(figures["babblefish_memory_bytes|server"] / 1e6, 2),
            round(figures["babblefish_memory_bytes|models"] / 1e6, 1),
            int(figures["babblefish_tasks"]), int(figures["babblefish_threads"]),
            int(figures["babblefish_open_files"]), len(sockets),
            len(process.children(recursive=True)), int(figures["babblefish_people|connected"]),
        )  # fmt: skip

    async def _settled(self, http: httpx.AsyncClient, like: Standing | None = None) -> Standing:
        """Once nothing has changed for a while; with ``like``, once it is as it was then."""
        calm, last = 0, None
        until = time.monotonic() + _SETTLE_S
        while time.monotonic() < until and calm < 3:
            await asyncio.sleep(3.0)
            now = await self._standing(http)
            same = last is not None and (now.tasks, now.open_files, now.people) == (
                last.tasks, last.open_files, last.people,
            )  # fmt: skip
            calm = calm + 1 if same and (like is None or not grown(like, now)) else 0
            last = now
        assert last is not None
        return last

    def temporary(self) -> list[str]:
        """Files of the data folder that belong to nothing that is kept."""
        kept = ("babblefish.db", "tls", "secret", "voices", "admin")
        return sorted(
            str(path.relative_to(self.data)) for path in self.data.rglob("*")
            if path.is_file() and not path.relative_to(self.data).parts[0].startswith(kept)
        )  # fmt: skip


def grown(before: Standing, after: Standing) -> dict[str, tuple[int, int]]:
    """Of what comes with each visitor, what is more than it was."""
    names = ("tasks", "threads", "open_files", "connections", "processes", "people")
    pairs = {name: (getattr(before, name), getattr(after, name)) for name in names}
    return {name: (was, now) for name, (was, now) in pairs.items() if now > was}


def slope(points: list[tuple[float, float]]) -> float:
    """Theil and Sen's: the median of all pairs' slopes, which outliers do not move. Per minute."""
    slopes = [
        (after - before) / (later - earlier) * 60
        for i, (earlier, before) in enumerate(points) for later, after in points[i + 1 :]
        if later > earlier
    ]  # fmt: skip
    return float(np.median(slopes)) if slopes else 0.0


def main(minutes: float, path: Path) -> int:
    settings = load_settings()
    with tempfile.TemporaryDirectory(prefix="babblefish-soak-") as folder:
        data = Path(folder)
        key = _key(settings, data)
        with Server(settings, data, BABBLEFISH_GRACE_SECONDS=_GRACE_S) as server:
            clips = load_clips(settings.weights_dir, 7.0)
            soak = Soak(server, key, data, clips, minutes * 60)
            files = soak.temporary()
            try:
                before, after = asyncio.run(soak.run())
            except BaseException:
                print(f"The server: {server.ended=}\n{server.output[-4000:]}")
                raise
            left = [name for name in soak.temporary() if name not in files]
            lines = [line for line in server.output.splitlines() if '"level": "error"' in line]
    late = [s for s in soak.standings if s.at > _WARM_SHARE * soak.seconds]
    slopes = {
        part: round(slope([(s.at, getattr(s, f"{part}_mb")) for s in late]), 3)
        for part in _SLOPE_MB
    }
    figures = {
        "minutes": minutes, "slope_mb_per_minute": slopes, "before": asdict(before),
        "after": asdict(after), "grown": grown(before, after), "temporary_files": left,
        "done": dict(soak.done), "wrong": dict(soak.wrong), "error_lines": lines[:20],
        "peak": {part: max(getattr(s, f"{part}_mb") for s in soak.standings)
                 for part in _SLOPE_MB},
    }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=2))
    steep = [part for part, most in _SLOPE_MB.items() if slopes[part] > most]
    bad = steep or figures["grown"] or left or soak.wrong
    print("Something grew, or went wrong." if bad else "Nothing grew.")
    return 1 if bad else 0


def _key(settings: Settings, data: Path) -> str:
    made = subprocess.run(
        [sys.executable, str(_ROOT / "app.py"), "keys", "make", "soak", "--per-minute", "6000"],
        env={**os.environ, "BABBLEFISH_DATA_DIR": str(data)}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    return made.stdout.strip()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--json", type=Path, default=_OUT / "soak.json")
    arguments = parser.parse_args()
    sys.exit(main(arguments.minutes, arguments.json))
