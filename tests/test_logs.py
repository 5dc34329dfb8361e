"""Log lines tell where an error came from, and nothing that anybody said."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.test_architecture import ROOT

_PROGRAM = """
import structlog
from babblefish import logs

log = structlog.get_logger("test")
logs.configure("text")

def interpret(transcript):
    raise ValueError(f"cannot say: {transcript}")

try:
    interpret("the merger is on")
except ValueError:
    log.exception("interpretation failed")
try:
    interpret("the merger is off")
except ValueError as error:
    log.warning("again", exc_info=error)
"""


def test_an_error_is_logged_with_its_kind_and_place_and_without_words() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True
    )
    first, second = done.stderr.splitlines()
    assert "interpretation failed" in first
    for line in (first, second):
        assert "ValueError" in line
        assert "<string>:" in line
        assert "merger" not in line
    assert done.stdout == ""


_FOREIGN = """
import asyncio, logging, sys, threading, warnings
import structlog
from babblefish import logs

logs.configure(sys.argv[1])

def interpret(transcript):
    raise ValueError(f"cannot say: {transcript}")

try:
    interpret("the merger is on")
except ValueError:
    logging.getLogger("uvicorn.error").error("Exception in ASGI application\\n", exc_info=True)
    logging.getLogger("babblefish.ui.rtc").exception("A room failed on one connection's sound")
logging.getLogger("aiortc").warning("no such candidate: %s", "the merger of 10.0.0.3")
logging.getLogger("rooms.hub").warning("%d rooms", 3)
logging.getLogger("httpx").info("GET /r/SECRET?the=merger")
logging.getLogger("rooms.hub").info("%s %s", "too few")
log = structlog.get_logger("babblefish.engine.workers")
log.warning("worker died", pool="vad", path=logs.Path("x"))
warnings.warn("the merger is deprecated")
thread = threading.Thread(target=interpret, args=("the merger is off",))
thread.start(), thread.join()

async def lose():
    task = asyncio.create_task(asyncio.to_thread(interpret, "the merger again"))
    await asyncio.wait([task])

asyncio.run(lose())
import gc; gc.collect()
"""


def _lines(*arguments: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stderr.splitlines()


def test_every_library_s_lines_become_json_and_lose_what_was_filled_in() -> None:
    lines = _lines(_FOREIGN, "json")
    events = [json.loads(line) for line in lines]
    assert "merger" not in "".join(lines) and "SECRET" not in "".join(lines)
    for event in events:
        assert {"time", "level", "logger", "event"} <= set(event)
        assert event["time"].endswith("Z")
    by_logger = {event["logger"]: event for event in events}
    assert by_logger["uvicorn.error"]["event"] == "Exception in ASGI application"
    assert by_logger["uvicorn.error"]["error"] == "ValueError"
    assert "<string>:" in by_logger["uvicorn.error"]["at"]
    assert by_logger["babblefish.ui.rtc"]["event"] == "A room failed on one connection's sound"
    assert by_logger["babblefish.ui.rtc"]["error"] == "ValueError"
    assert by_logger["aiortc"] == by_logger["aiortc"] | {
        "event": "no such candidate: %s", "level": "warning",
    }  # fmt: skip
    hub = [event["event"] for event in events if event["logger"] == "rooms.hub"]
    assert hub == ["3 rooms", "a log line was lost"] and by_logger["rooms.hub"]["at"]
    assert by_logger["babblefish.engine.workers"]["pool"] == "vad"
    assert by_logger["babblefish.engine.workers"]["path"] == "x"
    assert by_logger["warnings"]["error"] == "UserWarning"
    assert by_logger["threading"]["error"] == "ValueError"
    assert by_logger["asyncio"]["event"] == "Task exception was never retrieved"
    assert by_logger["asyncio"]["error"] == "ValueError"
    assert len(events) == 9, "httpx's own lines stay away"


def test_the_same_lines_for_reading() -> None:
    lines = _lines(_FOREIGN, "text")
    assert len(lines) == 9 and not any(line.startswith("{") for line in lines)
    assert "merger" not in "".join(lines)
    assert "Exception in ASGI application" in lines[0] and "ValueError" in lines[0]


def test_without_a_terminal_the_log_is_json() -> None:
    (line,) = _lines(
        "import structlog; from babblefish import logs; logs.configure();"
        "structlog.get_logger().info('here')"
    )
    assert json.loads(line)["event"] == "here"


_REQUESTS = """
import asyncio, logging
from babblefish import logs
from tests.served import served

logs.configure("json")

async def main():
    async with served() as server:
        later = []

        @server.app.get("/api/slow")
        async def slow():
            async def after():
                await done.wait()
                logging.getLogger("babblefish.later").info("after the answer")
            logging.getLogger("babblefish.route").info("in the request")
            later.append(asyncio.create_task(after()))
            return {}

        done = asyncio.Event()
        first, second = [await server.http.get("/api/slow?name=Marie") for _ in range(2)]
        await server.http.get("/health")
        done.set()
        await asyncio.gather(*later)
        print(first.headers["x-request-id"], second.headers["x-request-id"])

asyncio.run(main())
"""


def test_lines_of_one_request_share_the_id_that_its_answer_has() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _REQUESTS], cwd=ROOT, capture_output=True, text=True, check=True
    )
    events = [json.loads(line) for line in done.stderr.splitlines()]
    assert "Marie" not in done.stderr
    for id_ in done.stdout.split():
        mine = [e["event"] for e in events if e.get("request_id") == id_]
        assert mine[0] == "in the request"
        assert mine[1].startswith("GET /api/slow 200 ") and len(mine) == 2
    after = [e for e in events if e["logger"] == "babblefish.later"]
    assert len(after) == 2 and not any("request_id" in e for e in after)
    assert not any("/health" in e["event"] for e in events), "polled all the time"


def test_a_worker_process_logs_like_the_server() -> None:
    lines = _lines(
        "import asyncio; from babblefish import logs;"
        "from babblefish.engine.stages import StageSpec;"
        "from babblefish.engine.workers import WorkerPool; logs.configure('json');"
        "pool = WorkerPool('x', StageSpec('tests.fake_stages:WarningStage'));"
        "asyncio.run(pool.start())"
    )
    warned = [json.loads(line) for line in lines]
    assert [e["error"] for e in warned if e["logger"] == "warnings"] == ["UserWarning"]
    assert "Marie" not in "".join(lines)


def test_every_entry_point_configures_its_log() -> None:
    for name in ("app.py", "babblefish/accelerator/cli.py"):
        assert "logs.configure()" in (ROOT / name).read_text(encoding="utf-8"), name
