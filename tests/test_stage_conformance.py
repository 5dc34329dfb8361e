"""Every stage, with its real weights, does what its Protocol says."""

from __future__ import annotations

import pytest

from tests.stage_conformance import CHECKS, STAGES


@pytest.mark.parametrize("name", STAGES)
def test_conforms(name, weights_dir):
    kind, load = STAGES[name]
    CHECKS[kind](load(weights_dir))
