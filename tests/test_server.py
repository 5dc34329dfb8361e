"""What the terminal says when the server starts, fails and stops: a process of its own."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

from babblefish.network import bind
from babblefish.settings import Settings
from babblefish.ui.server import create_app
from tests.e2e.real_server import free_port
from tests.fakes_rooms import FakeEngine, FakeHub
from tests.patience import PATIENCE

ROOT = Path(__file__).parent.parent
SCRIPT = """
import sys
from pathlib import Path
from babblefish.errors import BabbleFishError, WeightsError
from babblefish.settings import Settings
from babblefish.ui.server import serve
from tests.fakes_rooms import FakeEngine, FakeHub

class Broken(FakeEngine):
    async def start(self):
        raise WeightsError("weights_missing", "Weights are missing: make run fetches them.")

kind, folder, port = sys.argv[1:]
settings = Settings(data_dir=Path(folder), port=int(port), http=kind == "http")
def admin(app, settings, hub, engine, on_new_code):
    on_new_code("ABCD-EFGH")
try:
    serve(settings, FakeHub(), Broken() if kind == "broken" else FakeEngine(), admin)
except BabbleFishError as error:
    sys.exit(error.message)
"""


def start(kind: str, folder: Path, port: int) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, kind, str(folder), str(port)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        env={"PYTHONIOENCODING": "utf-8", "PATH": "/usr/bin:/bin"},
    )


def test_the_terminal_shows_where_to_go(tmp_path):
    port = free_port()
    process = start("https", tmp_path, port)
    lines = []
    for line in process.stdout:
        lines.append(line.rstrip())
        if "Ctrl-C" in line:
            break
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=PATIENCE)
    text = "\n".join(lines)
    assert lines[0] == "Loading models…"
    assert re.search(r"Ready in \d+ s\.", text)
    links = re.findall(rf"  https://(\S+):{port}/r/\w+#t=[\w-]+", text)
    assert links[-1] == "localhost"
    assert "█" in text
    assert f"https://localhost:{port}/admin   admin code: ABCD-EFGH" in text
    assert "/trust" in text
    assert process.returncode == 0
    assert rest.strip() == "Stopped."


def test_an_engine_that_cannot_start_ends_the_server_with_its_message(tmp_path):
    process = start("broken", tmp_path, free_port())
    text, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "make run fetches them" in text
    assert "Traceback" not in text


def test_a_taken_port_ends_the_server_before_anything_is_loaded(tmp_path):
    with bind("127.0.0.1", 0) as listener:
        listener.listen()
        process = start("https", tmp_path, listener.getsockname()[1])
        text, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "--port" in text
    assert "Loading" not in text


def test_an_app_is_made_without_side_effects(tmp_path):
    settings = Settings(data_dir=tmp_path / "data", weights_dir=tmp_path / "weights")
    create_app(settings, FakeHub(), FakeEngine())
    assert not list(tmp_path.iterdir())
