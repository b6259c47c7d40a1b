"""What the tests of faults share: a grid of two cells, its undisturbed run, and what must hold.

The processes, kernels, stages and signals are real; the model is a tiny random one. What breaks is
`sitecustomize.py`, inside the process that trains: nothing here waits for a moment.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import nbformat
import psutil
import pytest
import yaml

from plasticity_utils import cli, load_run
from plasticity_utils.experiment import base_stages
from runs import assert_same_tables

from .sitecustomize import CHECKPOINT_STEPS, FAULT_STEP

HERE = Path(__file__).parent
PARAMETERS = """concept = "locations"
model = ""
scale = ""
seed = 0
regime = ""
results_dir = ""
"""
CODE = """import plasticity_utils as pu

run = pu.find_run(pu.RunConfig.from_notebook(globals()), make=True)
print(len(run.metrics), "rows")"""
CONCEPTS = ("locations", "persons")
GIVEN = (
    "base", "measured", "ranking", "dose", "retrained-random", "retrained-none", "retrained-head",
    "reliance-none",
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _interruptible():
    """A shell starts what runs in the background deaf to Ctrl-C, and its children inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session")
def home(once, tiny_run_folder):
    """A folder with a small notebook, and a grid of two cells."""

    def write(folder):
        folder.mkdir()
        cells = [
            nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}),
            nbformat.v4.new_code_cell(CODE),
        ]
        names = {"name": "python3", "display_name": "Python 3", "language": "python"}
        notebook = nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": names})
        nbformat.write(notebook, folder / "small.ipynb")
        grid = {
            "notebook": "small.ipynb", "concepts": list(CONCEPTS), "models": [str(tiny_run_folder)],
            "scale": "tiny", "parameters": {"dose": 0.1},
        }  # fmt: skip
        (folder / "grid.yaml").write_text(yaml.safe_dump(grid))

    return once("batch-home", write)


@pytest.fixture(scope="session")
def line(home, tiny_run_folder):
    """Return line(work, fault) → what follows `batch`, and the variables that tell of the fault."""

    def made(work, fault):
        variables = {
            "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[1])]),
            "TINY_MODEL": str(tiny_run_folder), "FAULT_FOLDER": str(work), "FAULT": fault,
            "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1",
        }  # fmt: skip
        return [str(home / "grid.yaml"), "--results", str(work / "results")], variables

    return made


@pytest.fixture(scope="module")
def batch(line):
    """Return batch(work, *arguments, fault=""): a driver in this process; returns its status."""

    def run(work, *arguments, fault=""):
        command, variables = line(work, fault)
        with pytest.MonkeyPatch.context() as own:
            for name, value in variables.items():
                own.setenv(name, value)
            return cli.main(["batch", *command, *arguments])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(base_stages, "training_precision", lambda: "fp32")
        yield run


@pytest.fixture(scope="session")
def start(line):
    """Return start(work, *arguments, fault=""): a driver of its own.

    It leads a group, as a terminal's command does.
    """

    def started(work, *arguments, fault=""):
        command, variables = line(work, fault)
        return subprocess.Popen(
            [sys.executable, "-m", "plasticity_utils", "batch", *command, *arguments],
            env={**os.environ, **variables}, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    return started


@pytest.fixture(scope="module")
def whole(batch, once):
    """The undisturbed run, one cell after another; made once for all files and workers."""

    def make(work):
        work.mkdir()
        assert batch(work) == 0

    return once("batch-whole", make)


@pytest.fixture
def work(whole, tmp_path):
    """A folder for one test, with all stages but those in which faults happen."""
    give_stages(whole, tmp_path / "results", *GIVEN)
    return tmp_path


def give_second_cell(whole, results):
    """Leave one cell to be done, where a second one would only take time."""
    for path in (whole / "results").rglob(f"*{CONCEPTS[1]}-*"):
        if path.is_dir():
            shutil.copytree(path, results / path.relative_to(whole / "results"))


def give_stages(whole, results, *names):
    for path in (whole / "results/stages").iterdir():
        if path.is_dir() and path.name.startswith(names):
            shutil.copytree(path, results / "stages" / path.name)


def broken_stage(work):
    """The stage in which the fault happened: it did happen."""
    return (work / "marker").read_text()


def steps_of(work, stage):
    lines = [line.split() for line in (work / "steps").read_text().splitlines()]
    return Counter(int(step) for name, step in lines if name == stage)


def rows(work):
    rows = json.loads((work / "results/batch/summary.json").read_text(encoding="utf-8"))
    return [row for row in rows.values() if not row["base"]]


def assert_as_whole(work, whole):
    for concept in CONCEPTS:
        first, second = (
            load_run(path.parent)
            for folder in (work, whole)
            for path in (folder / "results").glob(f"{concept}-*/config.json")
        )
        assert_same_tables(first, second)
    assert not list((work / "results").rglob("*.part"))
    assert not (work / "orphan").exists()


def assert_resumed(work):
    """The broken stage went on from its checkpoint, and no other step was ever done twice."""
    stage = broken_stage(work)
    again = {step for step, n in steps_of(work, stage).items() if n == 2}
    assert again == set(range(CHECKPOINT_STEPS + 1, FAULT_STEP + 1))
    lines = Counter((work / "steps").read_text().splitlines())
    assert {line.split()[0] for line, n in lines.items() if n > 1} == {stage}
    assert max(lines.values()) == 2


def assert_no_process_left(work):
    """Every process of a batch was told of the test's folder."""
    gone = [process for process in psutil.process_iter() if _was_told(process, work)]
    _, alive = psutil.wait_procs(gone, timeout=20)
    assert alive == []


def _was_told(process, work):
    try:
        # Python's own helper for semaphores lives as long as this process.
        helper = "multiprocessing.resource_tracker" in " ".join(process.cmdline())
        return not helper and process.environ().get("FAULT_FOLDER") == str(work)
    except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
        return False
