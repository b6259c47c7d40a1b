"""Executing cells, here or on Dask, each in the process that is to do it.

The notebook's kernel is a child of that process and ends when it ends; what it had finished lies in
sealed stages and checkpoints, from which the next kernel goes on. A lock on the cell's folder keeps
two drivers from executing it twice.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import papermill
import psutil
from filelock import FileLock, Timeout
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError

from plasticity_utils import files
from plasticity_utils.batch.cells import (
    Cell,
    finished_folder,
    is_done,
    note_try,
    page_digest,
    place_of,
    record_of,
    tries_of,
)
from plasticity_utils.errors import InputError
from plasticity_utils.files import Mirror
from plasticity_utils.hardware import waiting

if TYPE_CHECKING:
    from distributed import Client

RECORD = "record.json"
# A kernel that ends gives all back at once: to look for garbage first takes it a second.
KERNEL_OPTIONS = [
    "--IPKernelApp.log_level=ERROR",
    "--IPKernelApp.exec_lines=__import__('atexit').register(__import__('gc').freeze)",
]
SECONDS_TO_START, SECONDS_TO_CONNECT, SECONDS_BETWEEN_LOOKS = 300, 30, 1.0
Told = Callable[..., None]
_stopped: set[str] = set()
_running: set[str] = set()


@dataclass(frozen=True)
class Batch:
    """What all cells of a command share.

    Attributes
    ----------
    results : str
        From `check_results`.
    token : str
        Stands for this command among others on the same workers.
    resume : bool
        Whether finished cells are skipped.
    threads : int
        Threads of a kernel; 0 for as many as the machine gives.
    """

    results: str
    token: str
    resume: bool = True
    threads: int = 0


def execute(
    cell: Cell, batch: Batch, started: Callable[[int], None], gpu: str | None = None
) -> dict[str, Any]:
    """Execute a cell, or find that it is done; on the device `gpu` alone, if one is named.

    The record that comes back tells how it ended: status (done, skipped, failed, interrupted),
    seconds, tries, error, worker, page (digest of the executed notebook) and run (name of the
    finished run's folder). Whatever goes wrong is told there: a cell never raises.
    """
    place = place_of(batch.results)
    folder, begun = cell.folder(place.root), time.monotonic()
    worker = f"{socket.gethostname()}:{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder, batch):
            if batch.resume and fetched_and_done(cell, place):
                return {**record_of(folder), "status": "skipped", "tries": tries_of(folder)}
            if batch.token in _stopped:
                return _outcome("interrupted", 0.0, folder, worker)
            started(note_try(folder, worker))
            error = _run(cell, place, batch, gpu)
            status = "failed" if error else "done"
            if error and batch.token in _stopped:
                status, error = "interrupted", ""
            outcome = _outcome(status, time.monotonic() - begun, folder, worker, error)
            if status == "done" and cell.notebook:
                outcome |= {"page": page_digest(folder), "run": finished_folder(cell, place.root)}
            files.write_json(folder / RECORD, outcome)
            place.keep(folder, RECORD, anew=True)
            return outcome
    except Timeout:
        return _outcome("interrupted", 0.0, folder, worker)
    except OSError as problem:
        error = _sentence(problem, folder, place.root)
        return _outcome("failed", time.monotonic() - begun, folder, worker, error)


def _locked(folder: Path, batch: Batch) -> AbstractContextManager[object]:
    """Hold a cell's lock, so that no other batch executes it."""
    lock = FileLock(folder.with_name(f"{folder.name}.lock"))
    whom = f"another batch, which executes the same cell ({folder.name})"
    with waiting(lambda: whom, "Ctrl-C stops"):
        return lock.acquire(cancel_check=lambda: batch.token in _stopped)


def fetched_and_done(cell: Cell, place: Mirror) -> bool:
    """Tell whether a cell is done here or at the results' address; what is whole there is copied.

    A base model is done when its stage is there, whoever made it.
    """
    if not cell.notebook:
        return cell.has_trained(place.root)
    folder = cell.folder(place.root)
    place.fetch(folder, RECORD)
    run = record_of(folder).get("run")
    if run:
        place.fetch(place.root / run, files.SEAL)
    return is_done(cell, place.root)


def stop(token: str) -> None:
    """End the kernels of a command in this process, and begin no more for it."""
    _stopped.add(token)
    # A kernel that is just being started is not yet to be seen, hence again and again.
    while token in _running:
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.NoSuchProcess):
                if any("ipykernel" in part for part in child.cmdline()):
                    child.kill()
        time.sleep(0.1)


def gpu_for(worker: int, n_gpus: int, given: str | None) -> str | None:
    """Return the device of a worker: one each, in turn, of those given or all; None for none."""
    devices = given.split(",") if given else [str(i) for i in range(n_gpus)]
    return devices[worker % len(devices)] if n_gpus else None


def _run(cell: Cell, place: Mirror, batch: Batch, gpu: str | None) -> str:
    """Execute the notebook; returns what went wrong, or nothing."""
    folder = cell.folder(place.root)
    source, parameters = cell.source(place.root)
    part = folder / "page.part.ipynb"
    environment = {"TQDM_DISABLE": "1", **place.environment}
    environment |= {"OMP_NUM_THREADS": str(batch.threads)} if batch.threads else {}
    environment |= {"CUDA_VISIBLE_DEVICES": gpu} if gpu is not None else {}
    # It only warns of parameters that are settings but not in the notebook's cell of them.
    logging.getLogger("papermill").setLevel(logging.CRITICAL)
    _running.add(batch.token)
    try:
        with (folder / "log.txt").open("a", encoding="utf-8") as log, _environment(environment):
            try:
                papermill.execute_notebook(
                    source, part, parameters, progress_bar=False, stdout_file=log,
                    stderr_file=log, start_timeout=SECONDS_TO_START,
                    extra_arguments=KERNEL_OPTIONS,
                    cwd=Path(cell.notebook).parent if cell.notebook else place.root,
                )  # fmt: skip
                os.replace(part, folder / "page.ipynb")
            except Exception as problem:
                log.write(traceback.format_exc())
                return _sentence(problem, folder, place.root)
    finally:
        _running.discard(batch.token)
    return ""


def _sentence(problem: Exception, folder: Path, results: Path) -> str:
    """Say in one line what went wrong, and where to read more."""
    text = str(problem)
    if files.NO_ROOM.search(text):
        return files.refusal(problem, results)
    log = f"; see {folder / 'log.txt'}"
    if isinstance(problem, DeadKernelError):
        return f"its kernel died, killed or out of memory{log}"
    if isinstance(problem, PapermillExecutionError):
        value = (str(problem.evalue).strip().splitlines() or [""])[-1]
        return value if problem.ename == "InputError" else f"{problem.ename}: {value}{log}"
    return f"{type(problem).__name__}: {(text.strip().splitlines() or [''])[-1]}{log}"


def _outcome(
    status: str, seconds: float, folder: Path, worker: str, error: str = ""
) -> dict[str, Any]:
    return {
        "status": status,
        "seconds": round(seconds, 1),
        "tries": tries_of(folder),
        "error": error,
        "worker": worker,
        "page": "",
        "run": "",
    }


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Change variables for a kernel, which inherits those of this process."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def run_here(cells: Sequence[Cell], batch: Batch, told: Told) -> None:
    """Execute cells in this process, one after another; on Ctrl-C the running kernel ends first."""
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
    """Execute cells on a Dask cluster; Ctrl-C is answered as by `run_here`."""
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
        with _told_when_alone(client):
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
def _told_when_alone(client: Client) -> Iterator[None]:
    """Say that a scheduler has no worker, at first or any more, while one waits for cells."""
    done = threading.Event()
    stop = "start one with `dask worker ADDRESS --nthreads 1`, or stop with Ctrl-C"

    def has_workers() -> bool:
        return bool(client.scheduler_info(n_workers=-1)["workers"])

    def watch() -> None:
        while not done.wait(SECONDS_BETWEEN_LOOKS):
            if not has_workers():
                with waiting(lambda: "a worker of the scheduler, which has none", stop):
                    while not (done.wait(SECONDS_BETWEEN_LOOKS) or has_workers()):
                        pass

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        done.set()


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
    """Connect to the scheduler of any Dask cluster."""
    from distributed import Client

    _quiet()
    try:
        with waiting(lambda: f"a Dask scheduler at {address}"):
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
