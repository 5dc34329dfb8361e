"""Every stage does what its Protocol says: with its real weights, or with those of a toy."""

from __future__ import annotations

import pytest

from tests.stage_conformance import CHECKS, STAGES


@pytest.mark.parametrize("name", STAGES)
def test_conforms(name, big_weights_dir):
    listed = STAGES[name]
    options = {} if listed.faithful else {"faithful": False}
    CHECKS[listed.kind](listed.load(big_weights_dir), **options)
