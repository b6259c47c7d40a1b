"""Models and activations of a finished run, brought back."""

import shutil

import numpy as np
import pytest

from plasticity_utils import InputError, Run, undo, word_activations
from plasticity_utils.experiment.measure import concept_columns
from plasticity_utils.experiment.replay import activations_at, model_at
from plasticity_utils.experiment.splits import load_sentences
from plasticity_utils.files import SEAL
from plasticity_utils.neurons.scores import selectivity
from runs import at


@pytest.mark.parametrize("condition", ["targeted", "random", "none", "head"])
@pytest.mark.parametrize("stage", ["base", "removed", "end"])
def test_activations_are_those_that_the_tables_describe(tiny_run, condition, stage):
    X = np.asarray(activations_at(tiny_run, condition, stage), dtype=np.float32).T
    corpus = load_sentences(tiny_run.config).measuring
    sigma = selectivity(X, concept_columns(corpus)[:, :1])[:, 0]
    table = at(tiny_run.neurons, condition=condition, stage=stage)
    # float16 makes ties of values that are nearly equal.
    assert sigma == pytest.approx(table["selectivity_LOC"].to_numpy(), abs=0.01)
    assert (np.ptp(X[:, table["removed"]], axis=0) == 0).all()


def test_a_model_is_brought_back_with_its_removal_and_whole_afterwards(tiny_run):
    sentence = [["London", "calls"]]
    with model_at(tiny_run, "targeted", "end") as (model, tokenizer):
        cut = word_activations(model, tokenizer, sentence)
    whole = word_activations(model, tokenizer, sentence)
    gone = at(tiny_run.neurons, condition="targeted", stage="end")["removed"].to_numpy()
    assert np.ptp(cut[:, gone], axis=0).max() < 1e-6
    assert np.ptp(whole[:, gone], axis=0).max() > 1e-3


def test_a_model_is_brought_back_without_a_context_and_made_whole(tiny_run):
    sentence = [["London", "calls"]]
    gone = at(tiny_run.neurons, condition="targeted", stage="end")["removed"].to_numpy()
    model, tokenizer = tiny_run.model("end")
    assert np.ptp(word_activations(model, tokenizer, sentence)[:, gone], axis=0).max() < 1e-6
    undo(model)
    assert np.ptp(word_activations(model, tokenizer, sentence)[:, gone], axis=0).max() > 1e-3
    base, tokenizer = tiny_run.model("base")
    with model_at(tiny_run, "none", "base") as (same, _):
        expected = word_activations(same, tokenizer, sentence)
    np.testing.assert_array_equal(word_activations(base, tokenizer, sentence), expected)
    with pytest.raises(InputError, match="'whole'"):
        tiny_run.model("whole")


@pytest.mark.parametrize(
    ("condition", "stage", "said"), [("nobody", "end", "condition 'nobody'"), ("none", "x", "'x'")]
)
def test_what_there_is_not_is_named(tiny_run, condition, stage, said):
    with pytest.raises(InputError, match=said):
        activations_at(tiny_run, condition, stage)


def test_a_run_without_its_models_says_so_and_trains_nothing(tiny_run, tmp_path):
    alone = Run(shutil.copytree(tiny_run.path, tmp_path / tiny_run.path.name))
    with pytest.raises(InputError, match="plasticity run"), model_at(alone, "none", "end"):
        pass
    (alone.path / SEAL).unlink()
    with pytest.raises(InputError, match="plasticity run"):
        activations_at(alone, "none", "base")
    assert not list(tmp_path.glob("**/*.part"))
