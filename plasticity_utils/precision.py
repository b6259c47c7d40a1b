"""In which number type matrices are multiplied: bfloat16 where that is faster, else float32.

A processor that has bfloat16 instructions need not be fast at them: one runs them at twice the
rate of float32, another at half. So the rate is measured, once a process, on a product of the size
that a small transformer uses. Measuring activations always uses float32.
"""

from __future__ import annotations

import contextlib
import time
from functools import cache

import torch

from plasticity_utils import processes
from plasticity_utils.models import find_device

# Clearly faster, so that a busy moment does not tip the balance.
WORTH_IT = 1.3
TRIALS = 9


def autocast(device: torch.device) -> contextlib.AbstractContextManager[object]:
    """Return the context in which a model is trained and its tags are read."""
    if training_precision() == "bf16":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()


@cache
def training_precision() -> str:
    """Return `bf16` where this machine multiplies bfloat16 faster, else `fp32`."""
    # Two processes that train together may each measure another rate.
    return processes.decided(_measured_precision)


def _measured_precision() -> str:
    device = find_device()
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    if device.type != "cpu" or not torch.cpu.get_capabilities().get("avx512_bf16", False):
        return "fp32"
    ratio = _product_seconds(torch.float32) / _product_seconds(torch.bfloat16)
    return "bf16" if ratio > WORTH_IT else "fp32"


def _product_seconds(dtype: torch.dtype) -> float:
    """Shortest of several times for one matrix product; the shortest ignores other work."""
    words, weights = torch.ones(1024, 512, dtype=dtype), torch.ones(2048, 512, dtype=dtype)
    seconds = []
    for _ in range(TRIALS):
        started = time.perf_counter()
        torch.nn.functional.linear(words, weights)
        seconds.append(time.perf_counter() - started)
    return min(seconds)
