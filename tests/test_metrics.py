"""``/metrics``: what is counted while people talk, and that it tells nothing about them."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
import yaml
from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_families
from prometheus_client.parser import text_string_to_metric_families as families

from babblefish import metrics
from babblefish.accelerator_protocol import Health
from babblefish.engine.cloning_messages import LaptopFigures, LaptopState
from babblefish.metrics import Durations, Labels, quantile
from babblefish.settings import Settings
from babblefish.ui.server import create_app
from rooms.hub import Hub
from tests.phones import Phone, join, tone
from tests.served import running, served

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass
class Watched:
    http: httpx.AsyncClient
    hub: Hub
    app: FastAPI
    key: dict[str, str]

    async def figures(self) -> dict[str, float]:
        """Sample with its labels, as written → value."""
        answer = await self.http.get("/metrics", headers=self.key)
        assert answer.status_code == 200, answer.text
        return {
            sample.name + "".join(f"|{value}" for _, value in sorted(sample.labels.items())):
            sample.value
            for family in families(answer.text) for sample in family.samples
        }  # fmt: skip

    async def text(self) -> str:
        return (await self.http.get("/metrics", headers=self.key)).text


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def watched(engine) -> AsyncIterator[Watched]:
    """Real rooms and worker processes behind real HTTP."""
    hub = Hub(Settings(), engine)
    app = create_app(Settings(http=True, requests_per_address=100_000), hub, engine)
    engine.start = engine.close = nothing  # the fixture's business
    async with running(app) as base, httpx.AsyncClient(base_url=base, timeout=60) as http:
        await app.state.ready.wait()
        _, key = await app.state.keys.make("Prometheus", ["watch"], 100_000, 30)
        yield Watched(http, hub, app, {"Authorization": f"Bearer {key}"})


async def nothing() -> None:
    pass


async def test_a_conversation_is_counted_by_stage_and_end_to_end(watched):
    before = await watched.figures()
    room = watched.hub.create("Board of Directors")
    async with (
        Phone(join(room, "Marie Curie", "fr")) as marie,
        Phone(join(room, "Dan", "en")) as dan,
    ):
        during = asyncio.create_task(speaker_seen(watched))
        marie.say(tone(800, 1.0))
        await dan.until(lambda: len(dan.finals) == 1)
        assert await during == 1
        await dan.until(lambda: room.conversation.traces and room.conversation.traces[-1].voices)
        after = await watched.figures()
        text = await watched.text()
    await watched.hub.close_room(room.code)

    def grew(name: str) -> float:
        return after[name] - before.get(name, 0.0)

    for until in ("transcript", "caption", "sound", "heard"):
        assert grew(f"babblefish_turn_seconds_count|{until}") == 1, until
        assert 0 < after[f"babblefish_turn_recent_seconds|0.95|{until}"] < 60
    for stage in ("endpoint", "recognise", "translate", "first_clause", "speak"):
        assert grew(f"babblefish_stage_seconds_count|{stage}") == 1, stage
        assert f"babblefish_stage_recent_seconds|0.5|{stage}" in after
    assert grew("babblefish_utterances_total|spoken") == 1
    assert grew("babblefish_worker_calls_total|recogniser") >= 1
    assert after["babblefish_people|connected"] == 2
    assert after["babblefish_connections|websocket"] + after["babblefish_connections|webrtc"] == 2
    assert after["babblefish_rooms"] == before["babblefish_rooms"] + 1
    assert after["babblefish_ready"] == 1
    assert after["babblefish_memory_bytes|models"] > 1e6
    for secret in ("Marie", "Curie", "Dan", "Board", room.code, room.token, "said 800", "800 for"):
        assert secret not in text


async def speaker_seen(watched) -> float:
    async with asyncio.timeout(60):
        while True:
            figures = await watched.figures()
            if figures["babblefish_active_speakers"]:
                return figures["babblefish_active_speakers"]


@pytest.mark.parametrize(
    ("hertz", "stage", "code"),
    [(6000, "worker", "stage_crashed"), (6400, "recognition", "bad_audio")],
)
async def test_what_fails_is_counted_by_its_code(watched, hertz, stage, code):
    before = await watched.figures()
    room = watched.hub.create("A")
    async with Phone(join(room, "Marie", "fr")) as marie, Phone(join(room, "Dan", "en")):
        marie.say(tone(hertz, 1.0))
        await marie.until(lambda: [e for e in marie.events if e.type == "warn"])
        await marie.until(lambda: len(room.conversation.traces) == 1)
    await watched.hub.close_room(room.code)
    after = await watched.figures()
    name = f"babblefish_errors_total|{code}|{stage}"
    assert after[name] - before.get(name, 0.0) == 1
    failed = "babblefish_utterances_total|failed"
    assert (
        after[failed]
        - before.get(failed, 0.0)
        + after.get("babblefish_utterances_total|empty", 0.0)
        - before.get("babblefish_utterances_total|empty", 0.0)
        == 1
    )


async def test_a_worker_that_dies_is_counted(watched, engine):
    before = await watched.figures()
    pool = engine.pools[-1]
    restarts = f"babblefish_worker_restarts_total|{pool.name}"
    pool._processes[0].kill()
    async with asyncio.timeout(60):
        while (after := await watched.figures())[restarts] == before[restarts]:
            await asyncio.sleep(0.02)
    assert after[restarts] == before[restarts] + 1


async def test_a_listener_who_is_behind_is_shown_and_what_is_left_out_is_counted(watched):
    room = watched.hub.create("A")
    member = join(room, "Dan", "en")
    async with Phone(member, running=False):
        before = await watched.figures()
        for number in range(3):
            member.playout.open(f"u{number}", number, ended_ago=30.0 - number)
            member.playout.add(f"u{number}", tone(400, 1.0), last=True)
        behind = await watched.figures()
        assert behind["babblefish_lag_seconds|worst"] == pytest.approx(30.0, abs=1.0)
        assert behind["babblefish_lag_seconds|median"] == pytest.approx(29.0, abs=1.0)
        member.playout.next_frame()
        after = await watched.figures()
        name = "babblefish_dropped_total|translation_sound"
        assert after[name] - before[name] == 3
        name = "babblefish_dropped_total|microphone_frame"
        member.session.hear(tone(400, 1.0)[:0].astype("float32"))
        assert after[name] == before[name]
    await watched.hub.close_room(room.code)


async def test_microphone_frames_that_nobody_took_are_counted(watched):
    room = watched.hub.create("A")
    member = join(room, "Dan", "en")
    member.task.cancel()
    before = await watched.figures()
    member.session.hear(tone(400, 11.0)[::3].astype("float32"))
    after = await watched.figures()
    name = "babblefish_dropped_total|microphone_frame"
    assert after[name] - before[name] == member.session.dropped_frames > 0
    assert after["babblefish_queue_depth|microphone_frames"] == 300
    await watched.hub.close_room(room.code)


async def test_requests_are_counted_by_route_and_status_and_carry_an_id(watched):
    room = watched.hub.create("A")
    before = await watched.figures()
    answers = [await watched.http.get(f"/api/rooms/{room.code}") for _ in range(3)]
    answers.append(await watched.http.get("/nothing/" + room.token))
    await watched.http.request("BREW", "/health")
    after = await watched.figures()
    await watched.hub.close_room(room.code)
    route = "babblefish_http_requests_total|GET|/api/rooms/{code}|401"
    assert after[route] - before.get(route, 0.0) == 3
    nowhere = "babblefish_http_requests_total|GET|-|404"
    assert after[nowhere] - before.get(nowhere, 0.0) == 1
    assert after["babblefish_http_requests_total|other|/health|405"] >= 1
    token = "babblefish_errors_total|room_token|room"
    assert after[token] - before.get(token, 0.0) == 3
    ids = [answer.headers["x-request-id"] for answer in answers]
    assert len(set(ids)) == 4 and all(re.fullmatch("[0-9a-f]{16}", id_) for id_ in ids)


def laptop(id_: str, condition: str) -> LaptopState:
    figures = LaptopFigures(asked=7, spoken=4, failed=2, given_up=1, first_clause_s=0.4)
    health = Health(ready=True, memory_used_mb=1024)
    return LaptopState(
        id_, "Marie's laptop", condition, "", condition == "ready", "https", health, 1.0, figures, 0
    )


@pytest.fixture
def two_laptops(watched, monkeypatch) -> None:
    states = (laptop("a1", "ready"), laptop("b2", "away"))
    monkeypatch.setattr(type(watched.hub.laptops), "states", property(lambda self: states))


async def test_laptops_are_shown_by_what_they_do(watched, two_laptops):
    figures = await watched.figures()
    assert figures["babblefish_laptops|ready"] == figures["babblefish_laptops|away"] == 1
    assert figures["babblefish_laptops|refused"] == 0
    assert figures["babblefish_laptop_ready|a1"] == 1 and figures["babblefish_laptop_ready|b2"] == 0
    assert figures["babblefish_laptop_requests_total|a1|failed"] == 2
    assert figures["babblefish_laptop_first_clause_seconds|a1"] == 0.4
    assert figures["babblefish_laptop_memory_used_bytes|a1"] == 2**30
    assert "Marie" not in await watched.text()


async def test_others_add_figures_of_their_own(watched):
    watched.app.state.metrics.gauge("guests", "Who came.", lambda: 3.0)
    assert (await watched.figures())["babblefish_guests"] == 3.0


async def test_only_a_key_that_may_watch_opens_it(watched):
    assert (await watched.http.get("/metrics")).status_code == 401
    _, other = await watched.app.state.keys.make("Kiosk", ["translate"], 600, 30)
    other = await watched.http.get("/metrics", headers={"Authorization": f"Bearer {other}"})
    assert other.status_code == 403 and other.json()["error"]["code"] == "scope"
    wrong = await watched.http.get("/metrics", headers={"Authorization": "Bearer wrong"})
    assert wrong.status_code == 401 and wrong.json()["error"]["code"] == "api_key"


async def test_it_comes_in_both_of_prometheus_formats(watched):
    plain = await watched.http.get("/metrics", headers=watched.key)
    assert plain.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert plain.headers["cache-control"] == "no-store"
    for accept in (
        "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5",
        "application/openmetrics-text;version=nonsense",
    ):
        answer = await watched.http.get("/metrics", headers=watched.key | {"Accept": accept})
        assert answer.headers["content-type"].startswith("application/openmetrics-text")
        assert {f.name for f in open_families(answer.text)} >= {"babblefish_rooms"}
    odd = await watched.http.get(
        "/metrics", headers=watched.key | {"Accept": "text/plain;version=a.b"}
    )
    assert odd.status_code == 200


DEPLOY = Path(__file__).resolve().parents[1] / "deploy"


def dashboard() -> dict:
    return json.loads((DEPLOY / "grafana" / "babblefish.json").read_text(encoding="utf-8"))


def alerts() -> list[dict]:
    text = (DEPLOY / "prometheus" / "babblefish-alerts.yml").read_text(encoding="utf-8")
    return [rule for group in yaml.safe_load(text)["groups"] for rule in group["rules"]]


def queries() -> list[str]:
    targets = [target for panel in dashboard()["panels"] for target in panel.get("targets", ())]
    return [target["expr"] for target in targets] + [rule["expr"] for rule in alerts()]


async def test_the_dashboard_and_the_alerts_ask_for_what_is_there(watched, two_laptops):
    text = await watched.text()
    found = {family.name: family for family in families(text)}
    labels = {
        sample.name: set(sample.labels) for family in found.values() for sample in family.samples
    }
    there = set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE))
    there |= {name + end for name in there for end in ("_bucket", "_count", "_sum")}
    assert len(queries()) > 50
    for query in queries():
        assert query.count("(") == query.count(")") and query.count("{") == query.count("}")
        named = re.findall(r"(babblefish_\w+)(?:\{([^}]*)\})?", query)
        assert named or query.startswith("up{"), query
        grouped = set(re.findall(r"by \(([^)]*)\)", query)) | {""}
        wanted = {label.strip() for group in grouped for label in group.split(",")} - {""}
        for name, selector in named:
            assert name in there, f"{name} of {query}"
            if name in labels:
                selected = set(re.findall(r"(\w+)\s*[=!]", selector))
                assert selected <= labels[name] | {"instance", "job"}, query
        if all(name in labels for name, _ in named):
            known = set().union(*(labels[name] for name, _ in named))
            assert wanted <= known | {"instance", "job"}, query


async def test_every_figure_is_on_the_dashboard(watched):
    text = await watched.text()
    there = set(re.findall(r"^# TYPE (babblefish_\S+) ", text, re.MULTILINE))
    asked = {
        re.sub("_(bucket|count|sum)$", "", name)
        for query in queries() for name in re.findall(r"babblefish_\w+", query)
    }  # fmt: skip
    watched_elsewhere = {"babblefish_stage_recent_seconds", "babblefish_guests"}
    created = {name for name in there if name.endswith("_created")}
    assert there - asked - created == watched_elsewhere & there


async def test_the_dashboard_is_one_that_grafana_takes():
    board = dashboard()
    assert board["schemaVersion"] >= 39 and board["id"] is None and board["uid"]
    source, server = board["templating"]["list"]
    assert (source["type"], source["query"]) == ("datasource", "prometheus")
    assert server["type"] == "query" and server["datasource"]["uid"] == "${datasource}"
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y) for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }  # fmt: skip
        assert not cells & taken and max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells
        for target in panel.get("targets", ()):
            assert target["datasource"]["uid"] == panel["datasource"]["uid"] == "${datasource}"
        refs = [target["refId"] for target in panel.get("targets", ())]
        assert len(set(refs)) == len(refs)
    assert {panel["type"] for panel in panels} == {"row", "stat", "timeseries"}
    for rule in alerts():
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"] and rule["annotations"]["description"]


async def test_scripted_rooms_can_be_watched_too():
    async with served() as server:
        server.hub.create("A")
        server.app.state.watch.look()
        assert server.app.state.watch.samples[-1].reading.rooms == 1


# --- the counters themselves ----------------------------------------------------------------


async def test_labels_stay_few_and_plain():
    labels = Labels(most=2)
    assert [labels.of(v) for v in ("late", "Late!", "bonjour Marie", "", "x" * 41, "busy")] == [
        "late", "other", "other", "other", "other", "busy",
    ]  # fmt: skip
    assert labels.of("third") == "other" and labels.of("late") == "late"


async def test_quantiles_are_of_the_last_minutes():
    now = [0.0]
    durations = Durations("t", "Test.", "of", CollectorRegistry(), clock=lambda: now[0])
    for tenth in range(1, 101):
        durations.observe("a", tenth / 10)
    assert durations.quantiles("a") == (5.0, 9.5, 9.9)
    now[0] = metrics.RECENT_S - 1
    durations.observe("a", 42.0)
    assert durations.quantiles("a")[2] == 10.0 and durations.quantiles("a", 60) == (42.0,) * 3
    now[0] += 2
    assert durations.quantiles("a") == (42.0,) * 3
    now[0] += metrics.RECENT_S
    assert durations.quantiles("a") == () and durations.quantiles("b") == ()


async def test_a_quantile_is_one_of_the_values():
    assert [quantile([1.0, 2.0, 3.0, 4.0], share) for share in (0.0, 0.5, 0.95, 1.0)] == [
        1.0, 2.0, 4.0, 4.0,
    ]  # fmt: skip
