"""Two drivers, a damaged checkpoint, an address, a full disk: results are whole, and made once."""

import shutil
import subprocess
import tempfile

import pytest

from plasticity_utils import load_run

from .conftest import (
    GIVEN,
    assert_as_whole,
    broken_stage,
    give_second_cell,
    give_stages,
    rows,
    steps_of,
)
from .sitecustomize import FAULT_STEP

pytestmark = pytest.mark.slow


def test_the_undisturbed_run_does_each_cell_once_and_is_then_skipped(
    whole, batch, tmp_path, capsys
):
    assert [(row["status"], row["tries"]) for row in rows(whole)] == [("done", 1)] * 2
    assert all(row["run"] and row["page"] for row in rows(whole))
    assert load_run(whole / "results" / rows(whole)[0]["run"]).metrics["entity_f1"].max() > 0
    assert len(set((whole / "steps").read_text().splitlines())) == len(
        (whole / "steps").read_text().splitlines()
    )
    # Of a copy, since others look at it too.
    shutil.copytree(whole, again := tmp_path / "again")
    assert batch(again) == 0
    assert "2 cells: 2 skipped" in capsys.readouterr().out
    assert batch(again, "--dry-run") == 0
    assert "2 cells, 0 to do" in capsys.readouterr().out


def test_two_drivers_do_each_cell_once(start, work, whole, batch):
    other = start(work)
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
    give_second_cell(whole, far)
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
