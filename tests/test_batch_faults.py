"""Faults of a batch, each at an exact step, on real Dask workers: nothing is lost or done twice.

The processes, kernels, stages and signals are real; the model is a tiny random one. What breaks is
`batch_faults/sitecustomize.py`, inside the process that trains: nothing here waits for a moment.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import nbformat
import psutil
import pytest
import yaml

from batch_faults.sitecustomize import CHECKPOINT_STEPS, FAULT_STEP
from plasticity_utils import cli, load_run
from plasticity_utils.batch.driver import read_summary
from plasticity_utils.experiment import base_stages
from runs import add_tiny, assert_same_tables, make_folder

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

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def _interruptible():
    """A shell starts what runs in the background deaf to Ctrl-C, and its children inherit that."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with the tiny model, a small notebook, and a grid of two cells."""
    folder = tmp_path_factory.mktemp("home")
    make_folder(folder / "tiny")
    cells = [
        nbformat.v4.new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(CODE),
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), folder / "small.ipynb")
    grid = {
        "notebook": "small.ipynb", "concepts": list(CONCEPTS), "models": [str(folder / "tiny")],
        "scale": "tiny", "parameters": {"dose": 0.1},
    }  # fmt: skip
    (folder / "grid.yaml").write_text(yaml.safe_dump(grid))
    return folder


@pytest.fixture(scope="module")
def batch(home):
    """Return batch(work, *arguments, fault=""): a driver in this process; returns its status."""
    patch = pytest.MonkeyPatch()
    add_tiny(home / "tiny", patch.setitem)
    patch.setattr(base_stages, "training_precision", lambda: "fp32")

    def run(work, *arguments, fault=""):
        with pytest.MonkeyPatch.context() as own:
            for name, value in environment(home, work, fault).items():
                own.setenv(name, value)
            return cli.main(["batch", *command(home, work), *arguments])

    yield run
    patch.undo()


@pytest.fixture(scope="module")
def whole(home, batch, tmp_path_factory):
    """The undisturbed run, one cell after another in this process."""
    work = tmp_path_factory.mktemp("whole")
    assert batch(work) == 0
    return work


def give_second_cell(whole, results):
    """Leave one cell to be done, where a second one would only take time."""
    for path in (whole / "results").rglob(f"*{CONCEPTS[1]}-*"):
        if path.is_dir():
            shutil.copytree(path, results / path.relative_to(whole / "results"))


@pytest.fixture
def work(whole, tmp_path):
    """A folder for one test, with all stages but those in which faults happen."""
    give_stages(whole, tmp_path / "results", *GIVEN)
    return tmp_path


def give_stages(whole, results, *names):
    for path in (whole / "results/stages").iterdir():
        if path.is_dir() and path.name.startswith(names):
            shutil.copytree(path, results / "stages" / path.name)


def environment(home, work, fault):
    path = os.pathsep.join([str(HERE / "batch_faults"), str(HERE.parent)])
    return {
        "PYTHONPATH": path, "TINY_MODEL": str(home / "tiny"), "FAULT_FOLDER": str(work),
        "FAULT": fault, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1",
    }  # fmt: skip


def command(home, work):
    return [str(home / "grid.yaml"), "--results", str(work / "results")]


def start(home, work, *arguments, fault=""):
    """Start a driver of its own; it leads a group, as a terminal's command does."""
    line = [sys.executable, "-m", "plasticity_utils", "batch", *command(home, work), *arguments]
    return subprocess.Popen(
        line, env={**os.environ, **environment(home, work, fault)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def broken_stage(work):
    """The stage in which the fault happened: it did happen."""
    return (work / "marker").read_text()


def steps_of(work, stage):
    lines = [line.split() for line in (work / "steps").read_text().splitlines()]
    return Counter(int(step) for name, step in lines if name == stage)


def rows(work):
    return [row for row in read_summary(work / "results/batch").values() if not row["base"]]


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


def test_the_undisturbed_run_does_each_cell_once_and_is_then_skipped(whole, batch, capsys):
    assert [(row["status"], row["tries"]) for row in rows(whole)] == [("done", 1)] * 2
    assert all(row["run"] and row["page"] for row in rows(whole))
    assert load_run(whole / "results" / rows(whole)[0]["run"]).metrics["entity_f1"].max() > 0
    assert len(set((whole / "steps").read_text().splitlines())) == len(
        (whole / "steps").read_text().splitlines()
    )
    assert batch(whole) == 0
    assert "2 cells: 2 skipped" in capsys.readouterr().out
    assert batch(whole, "--dry-run") == 0
    assert "2 cells, 0 to do" in capsys.readouterr().out


def test_a_killed_workers_cell_is_resumed_elsewhere(work, whole, batch):
    assert batch(work, "--workers", "2", fault="worker") == 0
    assert sorted((row["status"], row["tries"]) for row in rows(work)) == [("done", 1), ("done", 2)]
    assert_resumed(work)
    assert_as_whole(work, whole)
    assert_no_process_left(work)


def test_a_killed_driver_is_started_again(home, work, whole, batch):
    give_second_cell(whole, work / "results")
    driver = start(home, work, "--workers", "2", fault="driver")
    driver.communicate(timeout=300)
    assert driver.returncode < 0
    assert_no_process_left(work)
    assert batch(work) == 0
    assert [(row["status"], row["tries"]) for row in rows(work)] == [("done", 2), ("skipped", 1)]
    assert_resumed(work)
    assert_as_whole(work, whole)


def test_ctrl_c_stops_cleanly_and_resumes(home, work, whole, batch):
    give_second_cell(whole, work / "results")
    driver = start(home, work, "--workers", "2", fault="interrupt")
    _, err = driver.communicate(timeout=300)
    assert driver.returncode == 130, err
    assert err.splitlines()[-1] == (
        "plasticity: interrupted: 1 cells done, 1 left; the same command resumes"
    )
    assert "Traceback" not in err
    assert_no_process_left(work)
    assert batch(work) == 0
    assert_resumed(work)
    assert_as_whole(work, whole)


def test_ctrl_c_without_workers_stops_cleanly_and_resumes(work, whole, batch, capsys):
    give_second_cell(whole, work / "results")
    assert batch(work, fault="interrupt here") == 130
    out, err = capsys.readouterr()
    assert out.startswith("2 cells: 1 interrupted, 1 skipped\n")
    assert err.endswith("interrupted: 1 cells done, 1 left; the same command resumes\n")
    assert_no_process_left(work)
    assert batch(work) == 0
    assert_resumed(work)
    assert_as_whole(work, whole)


def test_two_drivers_do_each_cell_once(home, work, whole, batch):
    other = start(home, work)
    # Not before the other has noted that it begins a cell, so that both are at work.
    for line in other.stderr:
        if "running" in line:
            break
    assert batch(work) == 0
    _, err = other.communicate(timeout=300)
    assert other.returncode == 0, err
    assert [row["tries"] for row in rows(work)] == [1, 1]
    lines = (work / "steps").read_text().splitlines()
    assert len(lines) == len(set(lines))
    assert_as_whole(work, whole)


def test_a_damaged_checkpoint_is_not_used(work, whole, batch):
    give_second_cell(whole, work / "results")
    assert batch(work, fault="checkpoint") == 1
    failed = [row for row in rows(work) if row["status"] == "failed"]
    assert len(failed) == 1
    assert "its kernel died" in failed[0]["error"]
    assert batch(work, fault="checkpoint") == 0
    # From the start, since that was the only checkpoint.
    again = steps_of(work, broken_stage(work))
    assert {step for step, n in again.items() if n == 2} == set(range(1, FAULT_STEP + 1))
    assert_as_whole(work, whole)


def test_results_at_an_address_are_whole_and_found_from_another_machine(
    batch, whole, tmp_path, monkeypatch, capsys
):
    far, places = tmp_path / "results", [tmp_path / "near", tmp_path / "other"]
    give_stages(whole, far, *GIVEN)
    address = ["--results", f"file://{far}"]
    for place in places:
        place.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(place))
        assert batch(tmp_path, *address) == 0
    assert "2 cells: 2 skipped" in capsys.readouterr().out
    lines = (tmp_path / "steps").read_text().splitlines()
    assert len(lines) == len(set(lines)) > 0
    assert_as_whole(tmp_path, whole)
    (page,) = (far / "batch").glob("small-persons-*/page.ipynb")
    page.write_text("{}")
    shutil.rmtree(places[1])
    places[1].mkdir()
    assert batch(tmp_path, *address, "--dry-run") == 0
    assert "2 cells, 1 to do" in capsys.readouterr().out


@pytest.fixture
def small_disk(tmp_path):
    """A file system of a few megabytes, if this user may mount one."""
    folder = tmp_path / "results"
    folder.mkdir()
    line = ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(line, capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_fails_one_cell_and_resumes_when_there_is_room(
    small_disk, tmp_path, whole, batch
):
    give_stages(whole, small_disk, *GIVEN)
    assert batch(tmp_path, fault="disk") == 1
    status = {row["cell"]: row["status"] for row in rows(tmp_path)}
    assert sorted(status.values()) == ["done", "failed"]
    (error,) = [row["error"] for row in rows(tmp_path) if row["error"]]
    assert error == (
        f"no room left in {str(small_disk)!r}: make room there, then the same command goes on"
    )
    assert batch(tmp_path, fault="disk") == 0
    assert_as_whole(tmp_path, whole)
