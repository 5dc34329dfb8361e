"""Tests in real time on a machine that stands still now and then.

Some promises are about real time: how long a listener waits, whether a voice has a gap. Where the
whole machine stood still meanwhile, such a test says nothing about the program. A test marked
``real_time`` that failed while the machine stood still is therefore made again, and the run says
so at its end; wherever else, a failure is a failure at once.
"""

from __future__ import annotations

import pytest
from _pytest.runner import runtestprotocol

from tests.patience import standstills

TRIES = 4


class Again:
    """pytest plugin; see the module."""

    def __init__(self) -> None:
        standstills()
        self.repeated: list[str] = []

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None):
        if item.get_closest_marker("real_time") is None:
            return None
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for number in range(1, TRIES + 1):
            before = standstills()
            reports = runtestprotocol(item, nextitem=nextitem, log=False)
            lost = standstills() - before
            if not lost or number == TRIES or not any(report.failed for report in reports):
                break
            why = next(str(report.longrepr) for report in reports if report.failed)
            self.repeated.append(f"{item.nodeid}: {lost:.1f} s\n{why[-1500:]}\n")
            if reports[0].failed:  # else the fixture that failed would be remembered as failed
                item.session._setupstate.teardown_exact(None)
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def pytest_terminal_summary(self, terminalreporter) -> None:
        if self.repeated:
            terminalreporter.section("made again, because the machine stood still")
            terminalreporter.write_line("\n".join(self.repeated))
