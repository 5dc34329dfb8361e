"""What ``/api/openapi.json`` says is what the server does: schemathesis asks every route, with what
it describes and with what it does not, and looks for answers of 500 and more, and for answers that
are not described.

One server of scripted stages, and the same questions at every run.
"""

from __future__ import annotations

import asyncio
import re
import sys

import pytest

from babblefish.ui.access import Access
from tests.program_server import ProgramServer, program_server

EXAMPLES = 4
"""questions for each route besides those at the bounds of what it describes"""
CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance",
    "response_schema_conformance", "response_headers_conformance", "ignored_auth",
)  # fmt: skip
CONFIG = """
seed = 1

[generation]
deterministic = true
database = "none"
max-examples = {examples}
no-shrink = true

[phases.coverage]
unexpected-methods = []

[phases.fuzzing]
extra-data-sources.responses = false
error-feedback.enabled = false

[parameters]
"path.code" = "{code}"

[headers]
Authorization = "Bearer {key}"

[[operations]]
include-path-regex = "^/api/rooms/.code.(/join|/transcript.*)?$"
headers = {{ Authorization = "Bearer {token}" }}

[[operations]]
include-path-regex = "^/api/rooms/.code./(voice.*|offer|place)$"
headers = {{ Authorization = "Bearer {member}" }}

[[operations]]
# as long and detailed as "pair" and "join", of which they are variants
include-path = ["/api/accelerators/ask", "/api/rooms/{{code}}/return"]
phases.coverage.enabled = false
headers = {{ Authorization = "Bearer {leaver}" }}

[[operations]]
include-path = "/api/rooms/{{code}}/leave"
headers = {{ Authorization = "Bearer {leaver}" }}
"""


async def config(server: ProgramServer) -> str:
    """With what opens each route."""
    room = server.hub.create("Fuzzed")
    who = {"speaks": "fr", "hears": "en", "microphone": True}
    member, leaver = room.join(name="Marie", **who), room.join(name="Pierre", **who)
    return CONFIG.format(
        examples=EXAMPLES, code=room.code, key=await server.key(), token=room.token,
        member=member.key, leaver=leaver.key,
    )  # fmt: skip


@pytest.fixture
def patient(monkeypatch):
    """Limits as if all these questions took their time."""
    for name in ("hit", "check", "spend"):
        monkeypatch.setattr(Access, name, lambda *_, **__: None)


@pytest.mark.timeout(900)  # some 20 s where nothing else runs
async def test_every_answer_is_described_and_none_is_a_server_error(patient, tmp_path):
    async with program_server(data_dir=tmp_path / "data", max_members=100_000) as server:
        chosen = tmp_path / "schemathesis.toml"
        chosen.write_text(await config(server))
        document = (await server.http.get("/api/openapi.json")).json()
        routes = sum(map(len, document["paths"].values()))
        running = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "schemathesis.cli", "--config-file", str(chosen), "--no-color",
            "run", f"{server.base}/api/openapi.json", "--phases", "examples,coverage,fuzzing",
            "--checks", ",".join(CHECKS), "--warnings", "off",
            "--suppress-health-check", "all", "--request-timeout", "60",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=tmp_path,
        )  # fmt: skip
        said, _ = await running.communicate()
    assert running.returncode == 0, said.decode()[-6000:]
    assert re.search(rf"Tested: {routes}$", said.decode(), re.M), "every route was asked"
