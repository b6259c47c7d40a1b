import pytest
import torch

from plasticity_utils import hardware
from plasticity_utils.errors import InputError


@pytest.fixture(autouse=True)
def undecided():
    hardware.training_precision.cache_clear()
    yield
    hardware.training_precision.cache_clear()


@pytest.mark.parametrize("asked", hardware.ALLOWED_PRECISIONS)
def test_the_variable_decides_for_every_machine(asked, monkeypatch):
    other = next(name for name in hardware.ALLOWED_PRECISIONS if name != asked)
    monkeypatch.setattr(hardware, "_measured_precision", lambda: other)
    assert hardware.training_precision() == other
    hardware.training_precision.cache_clear()
    monkeypatch.setenv(hardware.VARIABLE, asked)
    assert hardware.training_precision() == asked


def test_another_value_is_named(monkeypatch):
    monkeypatch.setenv(hardware.VARIABLE, "fp16")
    with pytest.raises(InputError, match="'fp16'; allowed: bf16, fp32"):
        hardware.training_precision()


def test_both_types_are_timed_by_turns(monkeypatch):
    asked = []
    product = torch.nn.functional.linear
    monkeypatch.setattr(
        torch.nn.functional, "linear", lambda x, W: asked.append(x.dtype) or product(x, W)
    )
    seconds = hardware._product_seconds()
    assert asked == [torch.float32, torch.bfloat16] * hardware.TRIALS
    assert all(0 < own < float("inf") for own in seconds.values())


def test_a_model_that_cannot_compute_in_bfloat16_is_refused(monkeypatch):
    monkeypatch.setenv(hardware.VARIABLE, "bf16")
    with pytest.raises(InputError, match=r"'deberta' cannot compute in bf16.*=fp32"):
        hardware.autocast(torch.device("cpu"), "deberta")
    with hardware.autocast(torch.device("cpu"), "bert"):
        assert torch.is_autocast_enabled("cpu")
    hardware.training_precision.cache_clear()
    monkeypatch.setenv(hardware.VARIABLE, "fp32")
    with hardware.autocast(torch.device("cpu"), "deberta"):
        assert not torch.is_autocast_enabled("cpu")
