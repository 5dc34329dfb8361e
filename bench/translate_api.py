"""What ``/translate`` costs over the translation itself: real HTTP against the bare stage.

Every sentence is translated twice right after one another, once by the translator in this process
and once by a server of its own through HTTP, so that whatever else the machine does concerns both.

    python -m bench.translate_api [--rounds 6]
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import itertools
import json
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from babblefish.engine.apertium import ApertiumTranslator
from babblefish.settings import load_settings
from babblefish.storage.storage import Storage
from babblefish.ui.programs.keys import new_key
from bench.measures import summary
from bench.server import Server

HERE = Path(__file__).parent
PAIRS = (("en", "es"), ("es", "en"), ("fr", "en"), ("es", "pt"))
_AT_ONCE = (1, 4, 16)
_MANY = 1_000_000
_ROUNDS = 6
_CLEAR = "The report is ready, but we still have to check the numbers."


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--rounds", type=int, default=_ROUNDS, metavar="N")
    rounds = parser.parse_args().rounds
    settings = load_settings(profile="compact")
    with tempfile.TemporaryDirectory() as folder:
        key = asyncio.run(_make_key(Path(folder)))
        with Server(settings, Path(folder)) as server:
            figures = measure(server.port, key, rounds)
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    (results / "translate_api.json").write_text(json.dumps(figures, indent=1) + "\n")
    print(json.dumps(figures, indent=1))


async def _make_key(folder: Path) -> str:
    stored, key = new_key("bench", ["translate"], 100_000, 100, time.time())
    storage = Storage(folder)
    await storage.start()
    try:
        await storage.add_key(stored)
    finally:
        await storage.close()
    return key


def measure(port: int, key: str, rounds: int) -> dict[str, Any]:
    """Figures in milliseconds, and texts a second."""
    rows = json.loads((HERE / "translation_references.json").read_text(encoding="utf-8"))
    work = [(row[source], source, target) for row in rows for source, target in PAIRS]
    program, translator = Program(port, key), ApertiumTranslator(keep=40, warm=())
    for text, source, target in work[:8]:  # both load their dictionaries
        assert program.translate(text, source, target) == bare(translator, text, source, target)
    program.translate(_CLEAR, "auto", "en")
    times: dict[str, list[float]] = {}

    def timed(name: str, call: Callable[[], object]) -> float:
        begun = time.perf_counter()
        call()
        took = 1000 * (time.perf_counter() - begun)
        times.setdefault(name, []).append(took)
        return took

    for text, source, target in work * rounds:
        alone = timed("stage", lambda: bare(translator, text, source, target))  # noqa: B023
        asked = timed("http", lambda: program.translate(text, source, target))  # noqa: B023
        times.setdefault("overhead", []).append(asked - alone)
        timed("nothing to translate", lambda: program.translate(text, source, source))  # noqa: B023
        timed("language told", lambda: program.translate(_CLEAR, "auto", "en"))
        timed("live", lambda: program.get("/health/live"))
    rate = [len(work) / sum(times["stage"][: len(work)]) * 1000]
    translator.close()
    return {
        "milliseconds": {name: summary(values) for name, values in times.items()},
        "texts a second": {
            "stage": round(rate[0], 1),
            **{f"{n} programs": round(throughput(port, key, work, n), 1) for n in _AT_ONCE},
            "in batches of 40": round(batched(program, work), 1),
        },
    }


def bare(translator: ApertiumTranslator, text: str, source: str, target: str) -> str:
    return translator.translate([text], source, target)[0]


def throughput(port: int, key: str, work: Sequence[tuple[str, str, str]], programs: int) -> float:
    """Texts a second of so many programs that ask one after the other."""
    waiting, lock = iter(work * 2), threading.Lock()

    def ask() -> None:
        program = Program(port, key)
        for text, source, target in _taken(waiting, lock):
            program.translate(text, source, target)

    threads = [threading.Thread(target=ask) for _ in range(programs)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return 2 * len(work) / (time.perf_counter() - begun)


def _taken(waiting: Iterator[tuple[str, str, str]], lock: threading.Lock):
    while True:
        with lock:
            item = next(waiting, None)
        if item is None:
            return
        yield item


def batched(program: Program, work: Sequence[tuple[str, str, str]]) -> float:
    begun = time.perf_counter()
    for (source, target), group in itertools.groupby(
        sorted(work, key=lambda item: item[1:]), key=lambda item: item[1:]
    ):
        texts = [text for text, _, _ in group]
        answer = program.post(
            "/translate/batch",
            {"texts": texts, "source_lang": source, "target_langs": [target]},
        )
        assert answer["failed"] == 0 and len(answer["results"]) == len(texts)
    return len(work) / (time.perf_counter() - begun)


class Program:
    """Somebody with a key and one connection."""

    def __init__(self, port: int, key: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._connection.connect()
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def post(self, path: str, body: object) -> dict[str, Any]:
        # one write: headers and body apart would wait for one another (Nagle's algorithm)
        return self._ask("POST", path, json.dumps(body).encode())

    def get(self, path: str) -> dict[str, Any]:
        return self._ask("GET", path, None)

    def translate(self, text: str, source: str, target: str) -> str:
        body = {"text": text, "source_lang": source, "target_lang": target}
        return self.post("/translate", body)["translation"]

    def _ask(self, method: str, path: str, body: bytes | None) -> dict[str, Any]:
        self._connection.request(method, path, body, self._headers)
        answer = self._connection.getresponse()
        said = json.loads(answer.read())
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {said}")
        return said


if __name__ == "__main__":
    main()
