"""What a launcher of several processes may and may not do; none is started here."""

import pytest

from plasticity_utils import cli, hardware
from plasticity_utils.errors import InputError
from plasticity_utils.training import train
from plasticity_utils.training.train import Schedule, fine_tune
from toy import data_for, tiny, toy_tokenizer


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("ACCELERATE_USE_FSDP", "true", r"FSDP is switched on .*allowed: plain `accelerate launch"),
        ("ACCELERATE_USE_DEEPSPEED", "true", r"DeepSpeed is switched on"),
        ("ACCELERATE_MIXED_PRECISION", "fp16", r"mixed precision 'fp16' .*allowed: no"),
    ],
)
def test_what_a_launcher_may_not_do_is_named(variable, value, message):
    with pytest.raises(InputError, match=message):
        hardware.count({"WORLD_SIZE": "2", variable: value})
    assert hardware.count({"WORLD_SIZE": "2", variable: "no"}) == 2


def test_a_launcher_that_starts_one_process_for_several_is_named():
    asked = {"ACCELERATE_USE_CPU": "True", "MASTER_ADDR": "127.0.0.1"}
    with pytest.raises(InputError, match=r"started one process .*allowed on processors: torchrun"):
        hardware.count(asked)
    assert hardware.count({"ACCELERATE_USE_CPU": "True"}) == 1
    assert hardware.count({**asked, "WORLD_SIZE": "2"}) == 2


def test_rounds_hold_a_batch_for_each_process(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert hardware.rounds(list("abcdef")) == [list("abc"), list("def")]
    assert hardware.rounds(list("abcd")) == [list("abc"), list("dab")]
    with pytest.raises(InputError, match=r"3 processes for 2 batches .*at most 2 processes"):
        hardware.rounds(list("ab"))
    monkeypatch.delenv("WORLD_SIZE")
    assert hardware.rounds(list("ab")) == [["a"], ["b"]]


def test_processes_that_do_not_see_the_same_files_are_named(monkeypatch, tmp_path):
    model = tiny()
    data = data_for(model, toy_tokenizer())
    schedule = Schedule(epochs=1, learning_rate=1e-2, batch_tokens=60, seed=0)
    elsewhere = tmp_path / "elsewhere"
    monkeypatch.setattr(train, "training_precision", lambda: "fp32")
    monkeypatch.setattr(hardware, "decided", lambda decide: (None, elsewhere))
    with pytest.raises(InputError, match=r"elsewhere' is not seen by process 0; .*one results"):
        fine_tune(model, data, schedule, tmp_path / "own")


def test_bad_input_is_said_by_one_process_of_a_machine(monkeypatch, capsys):
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert cli.main(["run", "--concept", "cheeses"]) == 2
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("LOCAL_RANK", "0")
    assert cli.main(["run", "--concept", "cheeses"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
