"""No silent wait: who waits is told for whom, and how to stop."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from plasticity_utils import hardware
from plasticity_utils.batch import workers
from plasticity_utils.errors import InputError


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(hardware, "SECONDS_IN_SILENCE", 0.05)
    monkeypatch.setattr(workers, "SECONDS_BETWEEN_LOOKS", 0.01)


def test_a_short_wait_is_silent_and_a_long_one_is_told_once(capsys):
    with hardware.waiting(lambda: "nobody"):
        pass
    assert capsys.readouterr().err == ""
    with hardware.waiting(lambda: "a lock", "Ctrl-C stops"):
        time.sleep(0.3)
    assert capsys.readouterr().err == "plasticity: waiting for a lock; Ctrl-C stops\n"


class Scheduler:
    """A client of a scheduler whose workers are counted here."""

    n_workers = 0

    def scheduler_info(self, n_workers):
        return {"workers": {str(i): {} for i in range(self.n_workers)}}


def test_a_scheduler_without_workers_is_told(capsys):
    client = Scheduler()
    with workers._told_when_alone(client):
        time.sleep(0.3)
    said = capsys.readouterr().err
    assert "waiting for a worker of the scheduler, which has none; start one with" in said
    client.n_workers = 1
    with workers._told_when_alone(client):
        time.sleep(0.3)
    assert capsys.readouterr().err == ""


WHOLE = {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "a", "MASTER_PORT": "1"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"RANK": None}, "WORLD_SIZE is 2, but RANK is not set; start with torchrun, or unset"),
        ({"LOCAL_RANK": None}, "WORLD_SIZE is 2, but LOCAL_RANK is not set"),
        ({"MASTER_ADDR": ""}, "WORLD_SIZE is 2, but MASTER_ADDR is not set"),
        ({"MASTER_PORT": None}, "WORLD_SIZE is 2, but MASTER_PORT is not set"),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE is 'two'; needed: a whole number of at least 1"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE is '0'; needed: a whole number of at least 1"),
        ({"WORLD_SIZE": ""}, "WORLD_SIZE is ''; needed"),
        ({"RANK": "-1"}, "RANK is '-1'; needed: a whole number of at least 0"),
        ({"RANK": "2"}, "RANK is 2, WORLD_SIZE 2; allowed: at most 1"),
        ({"LOCAL_RANK": "x"}, "LOCAL_RANK is 'x'; needed"),
        ({"MASTER_PORT": "99999"}, "MASTER_PORT is 99999.* allowed: at most 65535"),
        ({"WORLD_SIZE": None}, "LOCAL_RANK is 0, but WORLD_SIZE is not set; start with torchrun"),
        (
            {"WORLD_SIZE": None, "PMI_SIZE": "4"},
            "PMI_SIZE is 4, but WORLD_SIZE is not set; start with torchrun, or unset PMI_SIZE",
        ),
    ],
)
def test_what_is_left_of_a_launcher_is_told_before_anyone_waits(changes, said, monkeypatch):
    for name, value in {**WHOLE, **changes}.items():
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=said):
        hardware.decided(lambda: pytest.fail("nothing is to be decided"))


def test_one_process_of_a_launcher_is_no_group(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "1")
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert hardware.decided(lambda: 5) == 5


def test_ctrl_c_ends_a_process_that_waits_for_others_at_once():
    code = """
import os, signal, time
from plasticity_utils import hardware
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    with hardware._stoppable():
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)
except KeyboardInterrupt:
    pass
"""
    done = subprocess.run(
        [sys.executable, "-c", code], timeout=60, cwd=Path(__file__).parent.parent
    )
    assert done.returncode == -signal.SIGINT
    usual = signal.getsignal(signal.SIGINT)
    with hardware._stoppable():
        pass
    assert signal.getsignal(signal.SIGINT) is usual
