"""One measurement: a function in a process of its own, its seconds and its peak memory.

A process remembers the most memory it ever held, so every measurement gets a fresh one. Imports and
the reading of inputs come before the clock; then the kernel's mark of the peak is put back, and the
function runs. `rise_mb` is what the work itself took: the peak minus what was held just before.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import psutil

ROOT = Path(__file__).resolve().parent.parent
MB = 2**20
MEASURED = "measured.json"
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
# glibc may keep what is freed. Told to give it back, which takes time, the peak is what work holds.
GIVES_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}


class Work(NamedTuple):
    """What a function of `peers` or `ours` prepares: what is timed, and what is kept of it."""

    run: Callable[[], Any]
    keep: Callable[[Any], dict[str, Any]]


def in_own_process(target: str, folder: Path, **settings: Any) -> dict[str, Any]:
    """Measure `module:function` in a fresh process.

    Parameters
    ----------
    target : str
        A function of this package, for instance `peers:activations`, which takes `folder` and the
        settings and returns `Work`.
    folder : Path
        For its files; made if it is missing.
    **settings
        Plain values.

    Returns
    -------
    dict
        seconds, peak_mb, rise_mb, and what `Work.keep` returned.
    """
    return _in_process(target, folder, settings, {})


def giving_back(target: str, folder: Path, **settings: Any) -> dict[str, Any]:
    """Measure as `in_own_process` does, where memory is what the work holds, whatever was freed."""
    return _in_process(target, folder, settings, GIVES_BACK)


def _in_process(
    target: str, folder: Path, settings: dict[str, Any], environment: dict[str, str]
) -> dict[str, Any]:
    folder.mkdir(parents=True, exist_ok=True)
    answer = folder / MEASURED
    answer.unlink(missing_ok=True)
    command = [sys.executable, "-m", "benchmarks.measure", target, str(folder.resolve())]
    done = subprocess.run(
        [*command, json.dumps(settings)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,  # NeuroX prints several lines a sentence
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1", **environment},
    )
    if done.returncode or not answer.is_file():
        raise RuntimeError(f"{target} failed:\n{done.stderr[-3000:]}")
    return json.loads(answer.read_text())


def measured(work: Work) -> dict[str, Any]:
    """Run the work once under the clock, in this process."""
    held = peak_bytes(reset=True)
    started = time.perf_counter()
    result = work.run()
    seconds = time.perf_counter() - started
    peak = peak_bytes()
    facts = {"seconds": seconds, "peak_mb": peak / MB, "rise_mb": max(0, peak - held) / MB}
    return {**facts, **work.keep(result)}


def peak_bytes(reset: bool = False) -> int:
    """The most resident memory since the last reset; with `reset`, what is resident now."""
    if reset and CLEAR.exists():
        CLEAR.write_text("5")
    if not STATUS.exists():
        now, most = psutil.Process().memory_info().rss, resource.getrusage(resource.RUSAGE_SELF)
        # macOS counts bytes. It cannot forget an earlier peak.
        return now if reset else most.ru_maxrss
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def main() -> None:
    """Answer `in_own_process`."""
    target, folder, settings = sys.argv[1:]
    module, function = target.split(":")
    prepare = getattr(importlib.import_module(f"benchmarks.{module}"), function)
    facts = measured(prepare(Path(folder), **json.loads(settings)))
    (Path(folder) / MEASURED).write_text(json.dumps(facts))


if __name__ == "__main__":
    main()
