"""Which precision a machine gets, and what cannot be asked of it."""

from __future__ import annotations

import pytest
import torch

from babblefish.engine.precision import Machine, checked, choose, this_machine, usable_device
from babblefish.errors import SettingsError

BILLION = 1e9


@pytest.mark.parametrize(
    ("machine", "precision"),
    [
        (Machine("cpu", 24 * BILLION, native_bf16=False, int8=True), "int8"),
        (Machine("cpu", 500 * BILLION, native_bf16=True, int8=True), "bf16"),
        (Machine("cpu", 5 * BILLION, native_bf16=True, int8=True), "int8"),
        (Machine("cpu", 24 * BILLION, native_bf16=False, int8=False), "fp32"),
        (Machine("cpu", 8 * BILLION, native_bf16=False, int8=False), "bf16"),
        (Machine("cuda", 24 * BILLION, native_bf16=True, int8=False), "bf16"),
        (Machine("cuda", 24 * BILLION, native_bf16=False, int8=False), "fp16"),
    ],
)
def test_two_billion_parameters_get_the_best_that_fits(machine, precision):
    assert choose(machine, 2 * BILLION) == precision


def test_this_machine_is_described():
    machine = this_machine("cpu")
    assert machine.device == "cpu" and machine.memory > 1e8 and machine.int8


def test_a_gpu_that_is_not_there_is_an_error_that_names_the_fix(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert usable_device("auto") == usable_device("cpu") == "cpu"
    with pytest.raises(SettingsError, match="--device cpu"):
        usable_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert usable_device("auto") == usable_device("cuda") == "cuda"


def test_int8_on_a_gpu_is_an_error_that_names_the_fix():
    checked("int8", "cpu")
    checked("fp16", "cuda")
    with pytest.raises(SettingsError, match="--precision fp16"):
        checked("int8", "cuda")
