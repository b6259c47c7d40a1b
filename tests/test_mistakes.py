"""Mistakes 1, 6, 7, 8 of the public code (the paper's page); 2 to 5: test_removal_mistakes.py."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from torch.optim.optimizer import register_optimizer_step_pre_hook

from plasticity_utils.experiment import measure
from plasticity_utils.experiment.dose import doses
from plasticity_utils.experiment.presets import REGIMES, chosen_of
from plasticity_utils.models.activations import word_activations
from plasticity_utils.models.load import count_layers, width
from plasticity_utils.neurons.scores import (
    flat_ids,
    layer_unit,
    rank_neurons,
    rank_saliency,
    removal_only_profile,
)
from plasticity_utils.neurons.words import highest_activating_words
from plasticity_utils.removal.gate import Gate
from plasticity_utils.removal.neurons import top_neurons
from plasticity_utils.results import neurons as neuron_changes
from plasticity_utils.results import tables
from plasticity_utils.training.train import fine_tune
from test_tables import LOC, made_up_measured
from tiny import BLOCKS, WIDTH, make_tiny_model, make_tiny_tokenizer
from toy import SCHEDULE, data_for, tiny

N_WORDS = 200


def ranking_table(X, is_concept, d_model, methods):
    table = pd.DataFrame(layer_unit(range(X.shape[1]), d_model), columns=["layer", "unit"])
    table["mean"] = X.mean(axis=0, dtype=np.float64)
    for method in methods:
        ranking = rank_neurons(X, is_concept, method)
        table[f"score_{method}"] = ranking.scores
        table[f"rank_{method}"] = ranking.ranks
    return table


@pytest.mark.parametrize("method", ["selectivity", "probeless"])
def test_mistake_1_the_wrong_end(method):
    """Since 162c9b4 the slice taken is the tail of a decreasing ranking."""
    generator = np.random.default_rng(0)
    is_concept = np.arange(N_WORDS) % 4 == 0
    X = generator.normal(size=(N_WORDS, 60)).astype(np.float32)
    strongest, weakest = [3, 17, 29, 41, 42, 58], [0, 11, 25, 33, 47, 59]
    for strength, neuron in zip((3, 4, 5, 6, 7, 8), strongest, strict=True):
        X[is_concept, neuron] += strength
    for neuron in weakest:
        X[is_concept, neuron] = X[~is_concept, neuron][: is_concept.sum()]
    table = ranking_table(X, is_concept, 20, [method])
    top = top_neurons(table, method, 0.1)
    chosen = flat_ids(top, 20)
    assert set(chosen) == set(strongest)
    assert not set(chosen) & set(weakest)
    # Best first, and what is removed scores above all that is kept.
    score = table[f"score_{method}"].to_numpy()
    assert chosen[0] == score.argmax()
    assert score[chosen].min() > np.delete(score, chosen).max()
    plan = Gate(method, rest="mean").at(table, 0.1)
    assert np.array_equal(plan.neurons, top)
    assert plan.rest == pytest.approx(X.mean(axis=0).reshape(3, 20), abs=1e-5)


def test_mistake_6_layer_count():
    """6 where there are 7 layers: "50 %" is 43 %, and `abs()` folds the lowest ranks upward."""
    words = ["london", "calls", "berlin", "paris", "rain", "in", "the"]
    model, tokenizer = make_tiny_model("bert"), make_tiny_tokenizer(words)
    X = word_activations(model, tokenizer, [words, words[::-1]])
    d_model, n_layers = width(model), count_layers(model)
    n_neurons = (BLOCKS + 1) * WIDTH
    assert X.shape[1] == n_layers * d_model == n_neurons
    is_concept = np.isin([*words, *words[::-1]], ["london", "berlin", "paris"])
    table = ranking_table(X, is_concept, d_model, ["probeless"])
    removed = top_neurons(table, "probeless", REGIMES["half"].dose)
    assert len(removed) == n_neurons / 2
    assert max(doses(chosen_of(REGIMES["half"]))) == 0.5
    # The embedding output's neurons are ranked with the rest.
    (every,) = {len(Gate("probeless", rest="zero").at(table, 0.999).neurons)}
    assert every == n_neurons
    assert set(top_neurons(table, "probeless", 0.999)[:, 0]) == set(range(BLOCKS + 1))
    # Saliency falls with the rank all the way to the last neuron, and never below 0.
    order = rank_neurons(X, is_concept, "probeless").order
    saliency = rank_saliency(order)
    assert saliency[order[0]] == 1
    assert saliency[order[-1]] == 0
    assert (np.diff(saliency[order]) < 0).all()
    profile = removal_only_profile(order, order[: n_neurons // 2].tolist(), n_layers)
    assert len(profile) == BLOCKS + 1
    assert profile.mean() == pytest.approx(0.5)


def test_mistake_7_unequal_averaging():
    """Missing values are 0 in the base and dropped later: saliency seems to rise everywhere."""
    measured, removed = made_up_measured()
    neurons = measure.neuron_table(measured, removed, LOC, "selectivity")
    layers = measure.layer_table(measured, neurons, LOC)
    counts = layers.pivot_table(
        index=["condition", "entity", "layer"], columns="stage", values="n_kept"
    )
    assert (counts.nunique(axis=1) == 1).all()
    assert (counts["base"] == counts["end"]).all()
    # `none` is compared on the neurons that `targeted` kept.
    counts = counts.drop("random", level="condition")
    assert (counts["base"].groupby(["entity", "layer"]).nunique() == 1).all()
    gain = neuron_changes.kept_gain_table(neurons)
    gain = gain[gain["condition"] != "random"]
    assert (gain.groupby(["entity", "layer"])["n_neurons"].nunique() == 1).all()
    # Where nothing but the removal happened, no kept neuron gains anything.
    only_removal = {
        name: {**stages, ("end", 1.0): stages["removed", 0.0]} for name, stages in measured.items()
    }
    neurons = measure.neuron_table(only_removal, removed, LOC, "selectivity")
    assert (neuron_changes.kept_gain_table(neurons)["gain"] == 0).all()
    layers = measure.layer_table(only_removal, neurons, LOC)
    assert (tables.redistribution(layers, LOC)["shift"] == 0).all()
    # Rank saliency is over all neurons, so its mean stays at one half.
    means = neurons.groupby(["condition", "stage"])["rank_saliency"].mean()
    assert np.allclose(means, 0.5)
    assert (neurons.groupby(["condition", "stage"]).size() == 6).all()


def test_mistake_7_a_neuron_without_words_counts_like_any_other():
    """A constant neuron divides 0 by 0 in the public code and is then dropped."""
    generator = np.random.default_rng(0)
    words = generator.choice(["rome", "oslo", "rain", "tea"], N_WORDS).tolist()
    X = generator.normal(size=(N_WORDS, 4)).astype(np.float32)
    X[:, 2] = 1.5
    shown = highest_activating_words(X, words, range(4), 3)
    assert 2 not in set(shown["neuron"])
    ranking = rank_neurons(X, np.isin(words, ["rome", "oslo"]), "selectivity")
    assert ranking.scores[2] == 0
    assert ranking.order[-1] == 2
    assert np.isfinite(rank_saliency(ranking.order)).all()
    assert rank_saliency(ranking.order).mean() == pytest.approx(0.5)


@pytest.mark.slow
@pytest.mark.parametrize("epochs", [1, 4])
def test_mistake_8_restarted_schedules(epochs, tokenizer, tmp_path):
    """ "8 epochs" were four runs of two; here the rate rises once and falls once, to 0."""
    schedule = replace(SCHEDULE, epochs=epochs)
    model = tiny()
    data = data_for(model, tokenizer)
    rates, optimizers = [], set()

    def look(optimizer, *_):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizers.add(optimizer)

    handle = register_optimizer_step_pre_hook(look)
    try:
        fine_tune(model, data, schedule, tmp_path, (0.5, float(epochs)), lambda epoch: None)
    finally:
        handle.remove()
    steps = np.array(rates)
    assert len(optimizers) == 1
    peak = int(steps.argmax())
    assert steps[peak] == pytest.approx(schedule.learning_rate)
    assert peak == round(schedule.warmup * len(steps))
    assert (np.diff(steps[: peak + 1]) > 0).all()
    falls = np.diff(steps[peak:])
    assert (falls < 0).all()
    # In equal steps, of which the one after the last ends at 0; never there before.
    assert np.allclose(falls, falls[0])
    assert steps[-1] == pytest.approx(-falls[0])
    (optimizer,) = optimizers
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0, abs=1e-15)
    per_epoch = len(steps) / epochs
    assert per_epoch > 5
    # A restart would show as a rise at an epoch's end.
    assert (steps[peak + 1 :] < schedule.learning_rate).all()


@pytest.mark.slow
def test_mistake_8_can_be_made_on_purpose(tokenizer, tmp_path):
    """For the chapter on the paper: two schedules in a row, each with an optimizer of its own."""
    schedule = replace(SCHEDULE, epochs=4)
    model = tiny()
    rates, fresh = [], []

    def look(optimizer, *_):
        rates.append(optimizer.param_groups[0]["lr"])
        fresh.append(not optimizer.state)

    handle = register_optimizer_step_pre_hook(look)
    try:
        fine_tune(model, data_for(model, tokenizer), schedule, tmp_path, restarts=2)
    finally:
        handle.remove()
    half = len(rates) // 2
    assert rates[:half] == pytest.approx(rates[half:])
    assert max(rates) == pytest.approx(schedule.learning_rate, rel=0.2)
    assert [step for step, is_fresh in enumerate(fresh) if is_fresh] == [0, half]


def test_each_of_the_eight_mistakes_has_its_named_test():
    text = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    named = {int(n) for n in re.findall(r"^def test_mistake_(\d)_\w+\(", text, flags=re.M)}
    assert named == set(range(1, 9))
