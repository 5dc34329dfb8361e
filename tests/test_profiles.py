"""How a profile is chosen and how it shares out the machine."""

from __future__ import annotations

import itertools

import pytest

from babblefish.engine.profiles import choose, installed_profile, plan_threads, without_drafts
from babblefish.errors import SettingsError, WeightsError
from babblefish.settings import Settings, load_settings


def test_threads_are_shared_out_for_any_machine():
    for cores in range(1, 257):
        plan = plan_threads(cores)
        used = (
            plan.recognisers * plan.recogniser_threads
            + plan.synthesisers * plan.synthesiser_threads + plan.speaker_threads
        )  # fmt: skip
        assert min(plan.recogniser_threads, plan.synthesiser_threads, plan.speaker_threads) >= 1
        if cores > 4:
            assert used <= cores
    big = plan_threads(128)
    assert big.synthesiser_threads == 16 and big.synthesisers >= 4 and big.speaker_threads == 4
    assert big.recognisers * big.recogniser_threads == 32
    totals = [plan_threads(c).synthesisers * plan_threads(c).synthesiser_threads for c in (8, 32)]
    assert all(a < b for a, b in itertools.pairwise(totals))


def test_nothing_delays_the_transcript_that_all_else_waits_for():
    profile = choose(Settings())
    own_voice, plain_voice = profile.synthesisers
    others = (profile.speaker_encoder, profile.drafter, own_voice)
    assert all(plan.nice > profile.recogniser.nice + 5 for plan in others if plan)
    assert own_voice.nice > plain_voice.nice > profile.recogniser.nice, "it speaks when late"
    assert profile.drafter and without_drafts(profile).drafter is None


def test_an_unknown_profile_is_refused_with_the_known_ones():
    with pytest.raises(SettingsError, match="compact"):
        choose(Settings(profile="nonsense"))
    assert choose(Settings(profile="auto")).name == "compact"


def test_promise_11_a_profile_without_weights_names_the_fix(tmp_path):
    with pytest.raises(WeightsError, match="make setup"):
        installed_profile(Settings(weights_dir=tmp_path))


def test_bad_settings_name_the_option_that_is_wrong():
    with pytest.raises(SettingsError, match="--port"):
        load_settings(port=99999)
    assert load_settings(port=None).port == 9000
