"""Kill a run at many moments, run it again, and get the tables of an undisturbed one.

The model is a tiny random one and the scale a handful of sentences; the stages, their files and the
kills are real. As a script this file forks one process for each attempt, since libraries and the
corpus are then loaded only once.
"""

import gc
import json
import os
import random
import signal
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

import pytest

from plasticity_utils import load_run, run_experiment
from plasticity_utils.experiment import base_stages
from plasticity_utils.hardware import training_precision
from plasticity_utils.training import train
from runs import add_tiny, assert_same_tables, make_folder, tiny_config

# Stages of every kind in the order in which a run makes them, those that train twice;
# the last is the run's own folder.
SNAPSHOTS = (
    "base", "base", "measured", "ranking", "dose", "retrained-targeted", "retrained-targeted",
    "retrained-head", "reliance-targeted", "locations-tiny",
)  # fmt: skip
LEAST_KILLS = 8


def attempt(folder, results):
    """Start a run in a process of its own; returns its id."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            run_experiment(tiny_config(folder, results))
            status = 0
        finally:
            os._exit(status)
    return pid


def wait_for(pid, results, stage):
    """Wait until a stage is being made or is made; False if the run ended before."""
    while True:
        if os.waitpid(pid, os.WNOHANG) != (0, 0):
            return False
        places = (results, results / "stages")
        if any(path.is_dir() for place in places for path in place.glob(f"{stage}-*")):
            return True
        time.sleep(0.01)


def kill_at(folder, results, stage, delay):
    """Kill a run some time after a stage began; True if it was still running."""
    pid = attempt(folder, results)
    if not wait_for(pid, results, stage):
        return False
    time.sleep(delay)
    os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return os.WIFSIGNALED(status)


def run_to_the_end(folder, results):
    started = time.monotonic()
    _, status = os.waitpid(attempt(folder, results), 0)
    assert status == 0, f"the run ended with status {status}"
    return time.monotonic() - started


def main(folder, killed, whole):
    train.CHECKPOINT_STEPS = 7
    add_tiny(folder)
    # Measured and read once, and inherited by every attempt.
    training_precision()
    base_stages.load_sentences = cache(base_stages.load_sentences)
    for results in (killed, whole):
        base_stages.load_sentences(tiny_config(folder, results))
    gc.freeze()
    seconds = run_to_the_end(folder, whole)
    chance = random.Random(0)
    kills = [
        (stage, kill_at(folder, killed, stage, chance.uniform(0, seconds / len(SNAPSHOTS))))
        for stage in SNAPSHOTS
    ]
    run_to_the_end(folder, killed)
    left = [str(path) for path in killed.rglob("*.part")]
    print(json.dumps({"kills": kills, "seconds": seconds, "left": left}))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("model") / "tiny")


def finished_run(results):
    (found,) = [path for path in results.glob("locations-*") if path.is_dir()]
    return load_run(found)


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_with_the_same_tables(folder, tmp_path):
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    done = subprocess.run(
        [sys.executable, __file__, str(folder), str(killed), str(whole)],
        capture_output=True, text=True, timeout=600,
        env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout.splitlines()[-1])
    assert sum(was_killed for _, was_killed in facts["kills"]) >= LEAST_KILLS, facts
    assert facts["left"] == []
    assert "damaged" not in done.stderr
    first, second = finished_run(killed), finished_run(whole)
    assert_same_tables(first, second)
    # The comparison is not one of empty tables.
    assert first.metrics["entity_f1"].max() > 0
    assert first.neurons["selectivity"].abs().max() > 0.2
    assert set(first.metrics["stage"]) == {"base", "removed", "retraining", "end"}


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
