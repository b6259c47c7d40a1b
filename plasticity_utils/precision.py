"""In which number type matrices are multiplied: bfloat16 where that is faster, else float32.

A processor that has bfloat16 instructions need not be fast at them: one runs them at twice the
rate of float32, another at half. So the rate is measured, once a process, on a product of the size
that a small transformer uses. Measuring activations always uses float32.

Results depend on the type, so a run is resumed only in the one that it began with. Where machines
of several kinds share a results folder, `PLASTICITY_PRECISION` fixes it for all of them.
"""

from __future__ import annotations

import contextlib
import os
import time
from functools import cache

import torch

from plasticity_utils import processes
from plasticity_utils.errors import InputError
from plasticity_utils.models import find_device

ALLOWED = ("bf16", "fp32")
VARIABLE = "PLASTICITY_PRECISION"
# Clearly faster, and the best of many trials, so that a busy moment does not tip the balance.
WORTH_IT = 1.3
TRIALS = 20


def autocast(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Return the context in which a model is trained and its tags are read."""
    if training_precision() == "bf16":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()


@cache
def training_precision() -> str:
    """Return `bf16` where this machine multiplies bfloat16 faster, else `fp32`.

    Raises
    ------
    InputError
        If `PLASTICITY_PRECISION` is set to anything else.
    """
    asked = os.environ.get(VARIABLE)
    if asked is not None and asked not in ALLOWED:
        raise InputError(f"{VARIABLE} = {asked!r}; allowed: {', '.join(ALLOWED)}")
    # Two processes that train together may each measure another rate.
    return asked or processes.decided(_measured_precision)


def _measured_precision() -> str:
    device = find_device()
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if device.type != "cpu" or not torch.cpu.get_capabilities().get("avx512_bf16", False):
        return "fp32"
    seconds = _product_seconds()
    return "bf16" if seconds[torch.float32] > WORTH_IT * seconds[torch.bfloat16] else "fp32"


def _product_seconds() -> dict[torch.dtype, float]:
    """Shortest of several times for one matrix product in each type.

    The shortest ignores other work, and the types take turns, since other work comes in spells.
    """
    products = {
        dtype: (torch.ones(1024, 512, dtype=dtype), torch.ones(2048, 512, dtype=dtype))
        for dtype in (torch.float32, torch.bfloat16)
    }
    seconds = dict.fromkeys(products, float("inf"))
    for _ in range(TRIALS):
        for dtype, (words, weights) in products.items():
            started = time.perf_counter()
            torch.nn.functional.linear(words, weights)
            seconds[dtype] = min(seconds[dtype], time.perf_counter() - started)
    return seconds
