"""Handing cells out: to this process, one after another, or to a Dask cluster.

A cell waits for its base model and for nothing else. Dask gives a cell whose worker died to another
one; after the fourth death the cell has failed.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from plasticity_utils.batch.cells import Cell
from plasticity_utils.batch.work import Batch, execute, gpu_for, stop
from plasticity_utils.errors import InputError

if TYPE_CHECKING:
    from distributed import Client

SECONDS_TO_CONNECT = 30
Told = Callable[..., None]


def run_here(cells: Sequence[Cell], batch: Batch, told: Told) -> None:
    """Execute cells in this process, one after another.

    Parameters
    ----------
    cells : sequence of Cell
        Base models before the cells that need them.
    batch : Batch
    told : callable
        `told(name, **facts)` is called with what becomes of each cell.

    Raises
    ------
    KeyboardInterrupt
        On Ctrl-C, when the running kernel has ended.
    """
    outcomes: dict[str, dict[str, Any]] = {}
    # Not in the main thread, where the notebook's client would take Ctrl-C for itself.
    with ThreadPoolExecutor(1) as pool:
        for cell in cells:
            begin = partial(_begin, cell.name, told)
            future = pool.submit(_after_base, cell, batch, begin, outcomes.get(cell.base))
            try:
                outcomes[cell.name] = future.result()
            except KeyboardInterrupt:
                stop(batch.token)
                told(cell.name, **future.result())
                raise
            told(cell.name, **outcomes[cell.name])


def run_on(client: Client, cells: Sequence[Cell], batch: Batch, told: Told) -> None:
    """Execute cells on a Dask cluster; parameters and errors as `run_here`."""
    from distributed import as_completed

    def begin(event: Any) -> None:
        told(**event[1])

    client.subscribe_topic(batch.token, begin)
    futures: dict[str, Any] = {}
    try:
        for cell in cells:
            base = futures.get(cell.base)
            key = f"{cell.name}-{batch.token}"
            futures[cell.name] = client.submit(_on_worker, cell, batch, base, key=key, pure=False)
        names = {future.key: name for name, future in futures.items()}
        for future in as_completed(futures.values()):
            told(names[future.key], **_result(future))
    except KeyboardInterrupt:
        client.cancel(list(futures.values()), force=True)
        client.run(stop, batch.token)
        raise
    finally:
        with contextlib.suppress(Exception):
            client.unsubscribe_topic(batch.token)


@contextlib.contextmanager
def local_cluster(workers: int) -> Iterator[Client]:
    """Start worker processes on this machine, of one thread each; they end with this process."""
    from distributed import Client, LocalCluster

    _quiet()
    # Ctrl-C reaches all processes of a terminal; only this one is to answer, by ending the others.
    answer = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        cluster = LocalCluster(
            n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None,
            memory_limit=None, silence_logs=logging.CRITICAL,
        )  # fmt: skip
        client = Client(cluster)
    finally:
        signal.signal(signal.SIGINT, answer)
    with cluster, client:
        yield client


@contextlib.contextmanager
def remote_cluster(address: str) -> Iterator[Client]:
    """Connect to the scheduler of any Dask cluster.

    Raises
    ------
    InputError
        If nobody answers, or its workers have several threads: the working folder of a notebook is
        that of its whole process.
    """
    from distributed import Client

    _quiet()
    try:
        client = Client(address, timeout=SECONDS_TO_CONNECT)
    except (OSError, ValueError, TypeError) as error:
        reason = f"no Dask scheduler answers at {address!r} within {SECONDS_TO_CONNECT} s"
        raise InputError(f"{reason} ({type(error).__name__})") from None
    with client:
        workers = client.scheduler_info(n_workers=-1)["workers"]
        for name, worker in workers.items():
            if worker["nthreads"] != 1:
                has = f"the worker {name!r} has {worker['nthreads']} threads"
                raise InputError(f"{has}; start workers with --nthreads 1")
        yield client


def _after_base(
    cell: Cell, batch: Batch, begin: Callable[[int], None], base: dict[str, Any] | None,
    gpu: str | None = None,
) -> dict[str, Any]:  # fmt: skip
    if base and base["status"] in ("failed", "interrupted"):
        error = base["error"] and f"its base model: {base['error']}"
        return {"status": base["status"], "error": error}
    return execute(cell, batch, begin, gpu)


def _on_worker(cell: Cell, batch: Batch, base: dict[str, Any] | None) -> dict[str, Any]:
    from distributed import get_worker

    worker = get_worker()

    def told(name: str, **facts: Any) -> None:
        worker.log_event(batch.token, {"name": name, **facts})

    return _after_base(cell, batch, partial(_begin, cell.name, told), base, _gpu(worker.name))


def _begin(name: str, told: Told, tries: int) -> None:
    told(name, status="running", tries=tries)


def _gpu(worker: object) -> str | None:
    """Return the device of a worker of `local_cluster`; others are placed by who started them."""
    if not isinstance(worker, int):
        return None
    import torch

    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    return gpu_for(worker, torch.cuda.device_count(), given)


def _result(future: Any) -> dict[str, Any]:
    error = future.exception()
    if error is None:
        return dict(future.result())
    if type(error).__name__ == "KilledWorker":
        return {"status": "failed", "error": "its worker was killed again and again (memory?)"}
    return {"status": "failed", "error": f"{type(error).__name__}: {error}"}


def _quiet() -> None:
    """Keep the cluster's own remarks out of the table, except when it cannot go on."""
    for name in ("distributed", "tornado"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
