"""Several processes that train one model together, as `accelerate launch` or `torchrun` start them.

Every process runs the same code. A training step takes one batch from each and averages the
gradients, so all hold the same weights. Only the first process, `main`, writes to the results:
the others do what it does in a scratch folder of their own, which keeps all in step without any
of the stages knowing of it. What could differ between them, whether a stage is there and which
checkpoint is the newest, the main process decides and tells the others.

Caveat. With n processes a step sees n batches, and an epoch has that many fewer steps, so the same
schedule is another training: the number of processes is part of a stage's settings.

Nobody waits in silence: after five seconds one is told for whom, and how to stop.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from plasticity_utils.errors import InputError

if TYPE_CHECKING:
    # Imported where it is used: settings are checked, and help is shown, without it.
    import torch

# The others wait while one measures a large model, or waits for another run's lock.
TIMEOUT = timedelta(days=7)
STOP = "start them with torchrun, or stop with Ctrl-C and unset WORLD_SIZE"
REFUSED = {
    "ACCELERATE_USE_FSDP": "FSDP",
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "a parallelism configuration",
}

# What a launcher tells each process; of MPI's own launchers, how many processes there are.
_GROUP = ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
OF_MPI = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE")

Answer = TypeVar("Answer")
_Batch = TypeVar("_Batch")


def count(environment: Mapping[str, str] = os.environ) -> int:
    """How many processes train together; 1 unless a launcher started this one.

    InputError if the launcher was told to split the model or to change the arithmetic: every
    process here holds the whole model, in the precision that the project chooses. And if it is none
    that is known here, or only some of what one sets is left in the environment.
    """
    if "WORLD_SIZE" not in environment and _is_left_alone(environment):
        raise InputError(
            "`accelerate launch --cpu` started one process where several were asked for; "
            "allowed on processors: torchrun --nproc_per_node N"
        )
    if "WORLD_SIZE" not in environment:
        left = [name for name in OF_MPI if environment.get(name, "1") != "1"]
        left += ["LOCAL_RANK"] if "LOCAL_RANK" in environment else []
        if left:
            raise InputError(
                f"{left[0]} is {environment[left[0]]}, but WORLD_SIZE is not set; start with "
                f"torchrun, or unset {left[0]}"
            )
    n = _number("WORLD_SIZE", environment, least=1)
    if n > 1:
        for variable, name in REFUSED.items():
            if environment.get(variable, "false").lower() in ("1", "true"):
                raise InputError(
                    f"{name} is switched on in the launcher ({variable}), but the model is not "
                    "split here; allowed: plain `accelerate launch --num_processes N`"
                )
        mixed = environment.get("ACCELERATE_MIXED_PRECISION", "no")
        if mixed != "no":
            raise InputError(
                f"mixed precision {mixed!r} was asked of the launcher; allowed: no, because the "
                "project chooses the precision of a device itself"
            )
    return n


def rank() -> int:
    """Index of this process among those that train together."""
    n = count()
    if n == 1:
        return 0
    for name in _GROUP:
        if not os.environ.get(name):
            raise InputError(
                f"WORLD_SIZE is {n}, but {name} is not set; start with torchrun, or unset "
                "WORLD_SIZE"
            )
    most = {"RANK": n - 1, "LOCAL_RANK": n - 1, "MASTER_PORT": 65535}
    found = {name: _number(name, os.environ) for name in most}
    for name, value in found.items():
        if value > most[name]:
            raise InputError(f"{name} is {value}, WORLD_SIZE {n}; allowed: at most {most[name]}")
    return found["RANK"]


def is_main() -> bool:
    """Tell whether this process is the one that writes results."""
    return rank() == 0


def decided(decide: Callable[[], Answer]) -> Answer:
    """Let the main process decide; every process gets its answer, or its InputError."""
    if count() == 1:
        return decide()
    import torch

    _join()
    told: list[Any] = [None, None]
    if is_main():
        try:
            told[0] = decide()
        except InputError as error:
            told[1] = error
    torch.distributed.broadcast_object_list(told)
    if told[1] is not None:
        raise told[1]
    return told[0]


def wait() -> None:
    """Go on when all processes have come here."""
    if count() > 1:
        import torch

        _join()
        torch.distributed.barrier()


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder for what this process writes only to keep in step, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="plasticity-") as folder:
        yield Path(folder)


def rounds(batches: Sequence[_Batch]) -> list[list[_Batch]]:
    """Cut the batches of an epoch into rounds, one batch a process.

    Where the last round has too few, it takes the epoch's first batches again. InputError if there
    are fewer batches than processes.
    """
    n = count()
    if len(batches) < n:
        raise InputError(
            f"{n} processes for {len(batches)} batches an epoch: some would have nothing to do; "
            f"allowed: at most {len(batches)} processes"
        )
    whole = [*batches, *batches[: -len(batches) % n]]
    return [whole[i : i + n] for i in range(0, len(whole), n)]


def _is_left_alone(environment: Mapping[str, str]) -> bool:
    # accelerate names a place to meet only if there are several processes, but starts one.
    on_cpu = environment.get("ACCELERATE_USE_CPU", "false").lower() == "true"
    return on_cpu and "MASTER_ADDR" in environment


def _number(name: str, environment: Mapping[str, str], least: int = 0) -> int:
    value = environment.get(name, str(least))
    if not value.isdecimal() or int(value) < least:
        raise InputError(
            f"{name} is {value!r}; needed: a whole number of at least {least}, as torchrun sets "
            f"it; or unset {name}"
        )
    return int(value)


def _join() -> None:
    """Meet the other processes; each takes the device of its own."""
    rank()  # what a launcher left out is told before anyone waits
    import torch

    if torch.distributed.is_initialized():
        return
    # The Trainer uses this same state; importing it takes a second.
    from accelerate import PartialState

    others = f"{count() - 1} other process" + ("es" if count() > 2 else "")
    place = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
    with waiting(lambda: f"{others} at {place} (WORLD_SIZE is {count()})", STOP), _stoppable():
        PartialState(cpu=not torch.cuda.is_available(), timeout=TIMEOUT)


@contextmanager
def _stoppable() -> Iterator[None]:
    """Let Ctrl-C end the process at once: torch, while it waits for others, hears no signal."""
    usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not usual or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


ALLOWED_PRECISIONS = ("bf16", "fp32")
VARIABLE = "PLASTICITY_PRECISION"
# Clearly faster, and the best of many trials, so that a busy moment does not tip the balance.
WORTH_IT = 1.3
TRIALS = 20
SECONDS_IN_SILENCE = 5.0
# Kinds of models whose masks hold a number that bfloat16 has not, or that write it into float32.
_FP32_ALONE = {"deberta", "xmod"}


def autocast(
    device: torch.device, model_type: str = ""
) -> contextlib.AbstractContextManager[object]:
    """Return the context in which a model is trained and its tags are read.

    InputError for a kind of model whose own code cannot do it in this machine's precision.
    """
    import torch

    if training_precision() == "bf16":
        if model_type in _FP32_ALONE:
            raise InputError(
                f"a model of type {model_type!r} cannot compute in bf16, in which this machine "
                f"trains; needed: {VARIABLE}=fp32 in the environment"
            )
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()


@cache
def training_precision() -> str:
    """Return `bf16` where this machine multiplies bfloat16 faster, else `fp32`.

    `PLASTICITY_PRECISION` decides where it is set, to one of these.
    """
    asked = os.environ.get(VARIABLE)
    if asked is not None and asked not in ALLOWED_PRECISIONS:
        raise InputError(f"{VARIABLE} = {asked!r}; allowed: {', '.join(ALLOWED_PRECISIONS)}")
    # Two processes that train together may each measure another rate.
    return asked or decided(_measured_precision)


def _measured_precision() -> str:
    import torch

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
    import torch

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


def find_device() -> torch.device:
    """Return the fastest device that this machine has: CUDA, Apple's MPS, or the processor."""
    import torch

    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


@contextmanager
def waiting(whom: Callable[[], str], stop: str = "Ctrl-C stops waiting") -> Iterator[None]:
    """Say on standard error whom one waits for, if the block lasts so long."""

    def tell() -> None:
        print(f"plasticity: waiting for {whom()}; {stop}", file=sys.stderr, flush=True)

    timer = threading.Timer(SECONDS_IN_SILENCE, tell)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
