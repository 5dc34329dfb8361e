"""The status tab: what it says, what it draws, and what it looks like in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from playwright.sync_api import Page, expect

from babblefish.ui.host import status, status_views
from babblefish.ui.host.plots import Plot, Series, nice, plot
from babblefish.ui.host.remarks import remarks
from tests.history import QUIET, SAMPLE, laptop, meeting, pools, spoken
from tests.host_browser import DESKTOP, PHONE, Visitor, shoot
from tests.host_server import HostServer, host_server

# --- in words -------------------------------------------------------------------------------


def said(*samples, sound: tuple[float, ...] = (), sentences: int = 0) -> list[str]:
    return [remark.text for remark in remarks(samples, sound, sentences)]


def reading(**changes):
    return replace(SAMPLE, reading=replace(QUIET, **changes))


def test_a_server_that_does_well_needs_no_words():
    assert said(SAMPLE, SAMPLE, sound=(0.8, 1.4, 1.9), sentences=50) == []
    assert "All is well" in status_views.top([SAMPLE], spoken(0)[0])


@pytest.mark.parametrize(
    ("sample", "words"),
    [
        (reading(ready=False), "Models are being loaded"),
        (reading(storage_ok=False, storage_message="The disk is full."), "The disk is full."),
        (reading(strain=1.2), "The machine is busy"),
        (reading(strain=1.6), "The machine is overloaded"),
        (reading(lag_worst=7.6), "Somebody hears the translation 8 s late"),
        (replace(SAMPLE, loop_lag=0.2), "sound may stutter"),
        (reading(laptops=(laptop(name="Ann's"),)), "Laptop “Ann's”: Not reachable"),
        (reading(pools=pools(2)), "The recogniser failed and was started again 2 times"),
        (replace(SAMPLE, failed=1.0), "1 sentence could not be interpreted"),
    ],
)
def test_each_trouble_is_told_in_words(sample, words):
    before = replace(SAMPLE, reading=replace(QUIET, pools=pools(0)))
    (only,) = said(before, sample)
    assert words in only


def test_slow_translations_are_told_once_there_are_some():
    assert said(SAMPLE, sound=(1.0, 2.6, 3.0), sentences=4) == []
    (only,) = said(SAMPLE, sound=(1.0, 2.6, 3.0), sentences=5)
    assert "takes over 2.6 s" in only


def test_the_worst_comes_first_and_laptops_that_do_well_are_no_matter():
    told = said(reading(laptops=(laptop("ready"), laptop("away")), ready=False))
    assert len(told) == 2 and told[0].startswith("Models")


def test_names_are_escaped():
    page = status_views.top([reading(laptops=(laptop(name="<script>x</script>"),))])
    assert "<script>" not in page and "&lt;script&gt;" in page


# --- plots ----------------------------------------------------------------------------------


def test_a_scale_ends_at_a_round_number():
    assert [nice(v) for v in (0, 0.3, 1, 1.1, 2.2, 3, 4.5, 7, 11, 240)] == [
        1, 0.4, 1, 2, 4, 4, 5, 10, 20, 400,
    ]  # fmt: skip


def test_a_line_is_interrupted_where_nothing_was_measured():
    points = [(60.0, 1.0), (55.0, 2.0), (20.0, 1.0), (15.0, 0.0)]
    drawn = plot(Plot("T", [Series("A", points)], str, least=2.0))
    assert 'd="M840 50.0L845 0.0M880 50.0L885 100.0"' in drawn


def test_areas_are_stacked_and_bars_and_dots_stand_where_they_belong():
    a, b = [(10.0, 1.0), (5.0, 2.0)], [(10.0, 2.0), (5.0, 2.0)]
    drawn = plot(Plot("T", [Series("A", a, "area"), Series("B", b, "area")], str, stacked=True))
    assert 'bf-area bf-s2" d="M890 25.0L895 0.0V100H890Z"' in drawn
    assert drawn.index("bf-area bf-s2") < drawn.index("bf-area bf-s1")
    assert ">2.0</b>" in drawn, "the legend has the series' own value"
    drawn = plot(Plot("T", [Series("A", a, "dots"), Series("B", b, "bars")], str, least=4.0))
    assert 'bf-dots bf-s1" d="M890 75.0h0M895 50.0h0"' in drawn
    assert 'bf-bars bf-s2" d="M890 100V50.0M895 100V50.0"' in drawn


def test_a_plot_without_points_says_so():
    drawn = plot(Plot("T", [Series("A", [])], str, empty="Nobody <yet>."))
    assert "Nobody &lt;yet&gt;." in drawn and "<svg" not in drawn and "<b>–</b>" in drawn


def test_problems_are_counted_in_stretches_of_half_a_minute():
    samples = [replace(SAMPLE, at=900.0 + 5 * n, failed=float(n // 2)) for n in range(12)]
    drawn = status_views.plots(samples, spoken(0)[0])
    bars = re.search(r'bf-bars bf-s1" d="([^"]*)"', drawn)
    assert bars and bars[1].count("M") == 2 and "<b>5</b>" in drawn


def test_steps_are_listed_with_their_quantiles():
    turns, stages = spoken()
    page = status_views.tables(meeting(), turns, stages)
    for name in ("Waiting", "Recognising", "Translating", "To hearing it"):
        assert f'scope="row">{name}<small>' in page
    assert "Own voice" not in page, "no laptop was asked"
    assert "The recogniser<small>1 process</small>" in page


# --- in a browser ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[HostServer]:
    with host_server() as running:
        yield running


@pytest.fixture
def page(host: Visitor) -> Iterator[Page]:
    """Nothing may go wrong or leave the server."""
    yield host.page
    assert host.problems == [] and host.outside == []


def past(server: HostServer, monkeypatch, samples, turns_and_stages) -> None:
    """Show these instead of what the quiet server has seen."""
    turns, stages = turns_and_stages
    views = status.status_views
    top, drawn, tables = views.top, views.plots, views.tables
    monkeypatch.setattr(views, "top", lambda _: top(samples, turns))
    monkeypatch.setattr(views, "plots", lambda _: drawn(samples, turns))
    monkeypatch.setattr(views, "tables", lambda _: tables(samples, turns, stages))


def open_tab(page: Page) -> None:
    page.get_by_role("tab", name="Rooms").click()
    page.get_by_role("tab", name="Status").click()


def test_it_shows_what_the_server_itself_has_seen(page, server):
    server.call(server.hub.create, "Weekly")
    server.call(server.app.state.watch.look)
    open_tab(page)
    expect(page.locator(".bf-now")).to_contain_text("in 1 room", timeout=60_000)
    expect(page.get_by_text("Every sentence becomes a dot here")).to_be_visible()
    server.call(server.hub.create, "Another")
    server.call(server.app.state.watch.look)
    expect(page.locator(".bf-now")).to_contain_text("in 2 rooms", timeout=60_000)


def test_a_meeting_looks_well_in_every_size_and_theme(page, server, monkeypatch):
    past(server, monkeypatch, meeting(), spoken())
    for theme in ("light", "dark"):
        page.evaluate(f"document.body.classList.toggle('dark', {str(theme == 'dark').lower()})")
        page.set_viewport_size(DESKTOP)
        open_tab(page)
        expect(page.locator(".bf-verdict")).to_contain_text("All is well", timeout=60_000)
        expect(page.locator(".bf-plot svg")).to_have_count(6)
        shoot(page, f"status_{theme}", (DESKTOP, PHONE))
        page.set_viewport_size({"width": 1280, "height": 2000})
        page.wait_for_timeout(150)
        page.locator(".bf-plots").scroll_into_view_if_needed()
    page.evaluate("document.body.classList.remove('dark')")
    page.set_viewport_size(DESKTOP)


def test_the_pointer_reads_a_moment_off_a_plot(page, server, monkeypatch):
    samples = meeting()
    past(server, monkeypatch, samples, spoken())
    open_tab(page)
    area = page.locator("figure", has_text="Connected").locator(".bf-plot-area")
    area.scroll_into_view_if_needed(timeout=60_000)
    box = area.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 3, box["y"] + 20)
    legend = page.locator("figure", has_text="Connected").locator(".bf-key b").first
    third = samples[len(samples) // 3].reading.connected
    expect(legend).to_have_text(str(third), timeout=60_000)
    expect(area.locator(".bf-cursor")).to_have_text(
        re.compile(r"^10 min 0\d s ago|^9 min 5\d s ago")
    )
    page.mouse.move(5, 5)
    expect(area.locator(".bf-cursor")).to_have_count(0)
    expect(legend).to_have_text(str(samples[-1].reading.connected))


def test_trouble_is_at_the_top(page, server, monkeypatch):
    past(server, monkeypatch, meeting(trouble=True), spoken(slow=2.5))
    open_tab(page)
    expect(page.locator(".bf-verdict")).to_contain_text("The machine is overloaded", timeout=60_000)
    expect(page.locator(".bf-verdict")).to_contain_text("Laptop “Marie's laptop”")
    shoot(page, "status_trouble", (DESKTOP, PHONE))
    page.set_viewport_size(DESKTOP)
