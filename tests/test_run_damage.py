"""What is damaged or not finite is named, and made again where it can be."""

import shutil

import pytest
from safetensors.torch import load_file, save_file

from plasticity_utils import InputError, load_run, run_experiment
from plasticity_utils.experiment import stages
from plasticity_utils.models.activations import word_activations
from plasticity_utils.models.load import load_model
from runs import assert_same_tables, copy_finished, tiny_config
from test_run import stage_of
from test_store import flip_a_byte


@pytest.fixture
def copied(tiny_run, tmp_path):
    """The tiny run's results, copied to be damaged."""
    copy_finished(tiny_run.config.results, tmp_path / "runs")
    return tmp_path / "runs"


def test_a_damaged_table_is_named_and_made_again(copied, tiny_run, tiny_run_folder):
    table = copied / tiny_run.path.name / "metrics.parquet"
    flip_a_byte(table, 100)
    with (
        pytest.warns(UserWarning, match="damaged"),
        pytest.raises(InputError, match="is no finished run, or files"),
    ):
        load_run(table.parent)
    with pytest.warns(UserWarning, match=r"damaged, made again: .*metrics\.parquet"):
        again = run_experiment(tiny_config(tiny_run_folder, copied))
    assert_same_tables(again, tiny_run)


def test_damaged_weights_are_named_and_trained_again(copied, tiny_run, tiny_run_folder):
    folder = copied / "stages" / stage_of(tiny_run, "retrained-targeted").name
    flip_a_byte(folder / "model" / "model.safetensors", 5000)
    shutil.rmtree(copied / tiny_run.path.name)
    with pytest.warns(UserWarning, match=r"damaged, made again: .*model\.safetensors"):
        again = run_experiment(tiny_config(tiny_run_folder, copied))
    assert_same_tables(again, tiny_run)


def test_a_folder_that_is_no_run_is_an_error(tmp_path):
    with pytest.raises(InputError, match="is no finished run"):
        load_run(tmp_path)


def break_weights(folder):
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if name.endswith("layer.1.output.dense.weight"))
    weights[name][0, 0] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def test_weights_that_are_not_finite_end_a_run_before_its_training(
    tiny_run_folder,
    tmp_path,
    monkeypatch,
):
    folder = tmp_path / "broken"
    shutil.copytree(tiny_run_folder, folder)
    break_weights(folder)
    monkeypatch.setattr(stages, "fine_tune", lambda *a, **k: pytest.fail("it was trained"))
    with pytest.raises(InputError, match=r"words are not finite, first those of '.*' in sentence"):
        run_experiment(tiny_config(folder, tmp_path / "runs"))


def test_activations_that_are_not_finite_are_named(tiny_run, tmp_path):
    folder = tmp_path / "base"
    shutil.copytree(stage_of(tiny_run, "base") / "model", folder)
    break_weights(folder)
    model, tokenizer = load_model(str(folder))
    with pytest.raises(InputError, match="activations of 2 words are not finite, first those of"):
        word_activations(model, tokenizer, [["London", "calls"]])
