"""A worker, a driver or a whole batch is ended, at an exact step: nothing is lost or done twice."""

import pytest

from .conftest import (
    assert_as_whole,
    assert_no_process_left,
    assert_resumed,
    give_second_cell,
    rows,
)

pytestmark = pytest.mark.slow


def test_a_killed_workers_cell_is_resumed_elsewhere(work, whole, batch):
    assert batch(work, "--workers", "2", fault="worker") == 0
    assert sorted((row["status"], row["tries"]) for row in rows(work)) == [("done", 1), ("done", 2)]
    assert_resumed(work)
    assert_as_whole(work, whole)
    assert_no_process_left(work)


def test_a_killed_driver_is_started_again(start, work, whole, batch):
    give_second_cell(whole, work / "results")
    driver = start(work, "--workers", "2", fault="driver")
    driver.communicate(timeout=300)
    assert driver.returncode < 0
    assert_no_process_left(work)
    assert batch(work) == 0
    assert [(row["status"], row["tries"]) for row in rows(work)] == [("done", 2), ("skipped", 1)]
    assert_resumed(work)
    assert_as_whole(work, whole)


def test_ctrl_c_stops_cleanly_and_resumes(start, work, whole, batch):
    give_second_cell(whole, work / "results")
    driver = start(work, "--workers", "2", fault="interrupt")
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
