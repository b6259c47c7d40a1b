import time

import pytest

from plasticity_utils import progress


@pytest.fixture(autouse=True)
def viewer(monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    monkeypatch.setattr(progress, "_has_viewer", lambda: True)
    monkeypatch.setattr(progress, "SECONDS_BEFORE_SHOWN", 0)


def slowly(n, desc):
    for i in progress.bar(range(n), desc):
        time.sleep(0.12)
        yield i


def test_a_stage_is_shown_and_leaves_nothing_behind(capsys):
    assert list(slowly(3, "training")) == [0, 1, 2]
    shown = capsys.readouterr().err
    assert "training" in shown
    assert shown.split("\r")[-1].strip() == ""


def test_a_bar_within_a_bar_is_silent_and_the_next_one_is_not(capsys):
    for _ in slowly(2, "training"):
        list(slowly(2, "probes"))
    shown = capsys.readouterr().err
    assert "training" in shown
    assert "probes" not in shown
    list(slowly(2, "probes"))
    assert "probes" in capsys.readouterr().err


def test_short_stages_are_not_shown(capsys, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BEFORE_SHOWN", 2)
    list(slowly(2, "words"))
    assert "words" not in capsys.readouterr().err.replace("\r", "")


def test_nobody_looks(capsys, monkeypatch):
    monkeypatch.setattr(progress, "_has_viewer", lambda: False)
    list(slowly(2, "training"))
    assert capsys.readouterr().err == ""
