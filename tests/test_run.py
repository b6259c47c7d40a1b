"""A whole run: once on a tiny random model, once at the smoke scale on the real one (slow)."""

import json
import time
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from plasticity_utils import RunConfig, run_experiment
from plasticity_utils.models.activations import word_activations
from plasticity_utils.names import CONDITIONS
from plasticity_utils.neurons.scores import selectivity
from plasticity_utils.removal.gate import remove_neurons
from plasticity_utils.results import neurons as neuron_changes
from plasticity_utils.results import tables
from runs import FRAMES, assert_same_tables, at

ENTITIES = ["LOC", "PER", "ORG", "MISC"]
KEYS = ["condition", "stage", "epoch"]
PLACE = ["layer", "unit"]
STAGES = ["base", "removed", "retraining", "end"]


@pytest.fixture(params=["tiny", pytest.param("real", marks=pytest.mark.slow)])
def run(request):
    return request.getfixturevalue(f"{request.param}_run")


def stage_of(run, name):
    """Folder of the stage that a run used."""
    (found,) = [stage for stage in run.facts["seconds"] if stage.startswith(f"{name}-")]
    return run.config.results / "stages" / found


# Tables


def test_tables_hold_what_others_script_against(run):
    """The columns that the page on columns names are there."""
    assert {"entity", "precision", "recall", "entity_f1", "n_gold", *KEYS} <= set(run.metrics)
    names = {
        "layer",
        "unit",
        "removed",
        "gain",
        "probeless",
        "selectivity",
        "rank",
        "rank_saliency",
    }
    assert {*names, "words", *KEYS} <= set(run.neurons)
    assert {"layer", "entity", "selectivity", "word_f1", *KEYS} <= set(run.layers)
    n_neurons = len(run.ranking)
    n_layers = int(run.ranking["layer"].max()) + 1
    for table, rows in ((run.metrics, 5), (run.neurons, n_neurons), (run.layers, 4 * n_layers)):
        assert list(table["condition"].unique()) == list(CONDITIONS)
        assert set(table["stage"]) == set(STAGES)
        assert (table.groupby(KEYS).size() == rows).all()
        assert set(table["epoch"]) == {-1.0, *run.config.sizes.snapshots}
    assert set(run.metrics["entity"]) == {*ENTITIES, "overall"}
    for name in FRAMES:
        assert (run.path / f"{name}.parquet").is_file()
        assert not getattr(run, name).empty


def test_numbers_are_in_their_ranges(run):
    for name in ("precision", "recall", "entity_f1", "entity_f1_low", "entity_f1_high"):
        assert run.metrics[name].between(0, 1).all()
    assert run.neurons["selectivity"].between(-1, 1).all()
    assert run.neurons["rank_saliency"].between(0, 1).all()
    numbers = run.neurons.select_dtypes("number")
    assert np.isfinite(numbers.to_numpy()).all()
    for _, group in run.neurons.groupby(KEYS):
        assert sorted(group["rank"]) == list(range(len(group)))
    means = run.neurons.groupby(KEYS)["rank_saliency"].mean()
    assert np.allclose(means, 0.5)
    assert run.metrics["entity_f1"].max() > 0.2


def test_removed_are_the_top_neurons_of_the_ranking_half(run):
    gone = at(run.neurons, condition="targeted", stage="end", removed=True)
    best = run.ranking.nsmallest(run.facts["n_removed"], "rank_selectivity")
    assert set(map(tuple, gone[PLACE].to_numpy())) == set(map(tuple, best[PLACE].to_numpy()))
    rest = run.ranking.drop(best.index)
    assert best["score_selectivity"].min() >= rest["score_selectivity"].max()
    assert len(best) == max(1, round(run.facts["dose"] * len(run.ranking)))


def test_removed_neurons_rest_from_removal_to_the_end(run):
    for condition in ("targeted", "random", "head"):
        own = at(run.neurons, condition=condition)
        assert not at(own, stage="base")["removed"].any()
        for stage in STAGES[1:]:
            gone = at(own, stage=stage, removed=True)
            assert len(gone) == run.facts["n_removed"]
            assert (gone["gain"] == 0).all()
            assert (gone["selectivity"] == 0).all()
            assert gone["effect"].abs().max() < 1e-6
            assert (gone["words"] == "").all()
    kept = run.neurons[~run.neurons["removed"]]
    assert (kept["gain"] == 1).all()
    assert not at(run.neurons, condition="none")["removed"].any()


def test_random_removal_is_layer_matched_and_of_other_neurons(run):
    concept, random = (
        at(run.neurons, condition=name, stage="end", removed=True)
        for name in ("targeted", "random")
    )
    by_layer = [table.groupby("layer").size() for table in (concept, random)]
    assert by_layer[0].equals(by_layer[1])
    per_layer = run.ranking.groupby("layer").size().iloc[0]
    if by_layer[0].max() <= per_layer / 2:
        shared = pd.merge(concept[PLACE], random[PLACE], on=PLACE)
        assert shared.empty


def test_all_conditions_start_from_the_same_base(run):
    # Which neurons are kept, and what removal alone would do, is each condition's own.
    own = ["removal_only", "n_kept", "selectivity", "share"]
    for name in ("metrics", "neurons", "layers"):
        table = at(getattr(run, name), stage="base").drop(columns="condition")
        parts = [
            table[getattr(run, name).loc[table.index, "condition"] == condition]
            .drop(columns=own if name == "layers" else [])
            .reset_index(drop=True)
            for condition in CONDITIONS
        ]
        for part in parts[1:]:
            pd.testing.assert_frame_equal(part, parts[0], check_exact=True)


def test_with_nothing_removed_the_removed_stage_is_the_base(run):
    for name in ("metrics", "neurons", "layers"):
        own = at(getattr(run, name), condition="none")
        base, removed = (
            at(own, stage=stage).drop(columns=["stage", "epoch"]).reset_index(drop=True)
            for stage in ("base", "removed")
        )
        pd.testing.assert_frame_equal(base, removed, check_exact=True)


def test_the_head_alone_changes_f1_and_no_neuron(run):
    head = at(run.neurons, condition="head")
    removed, end = (
        at(head, stage=stage).drop(columns=["stage", "epoch"]).reset_index(drop=True)
        for stage in ("removed", "end")
    )
    pd.testing.assert_frame_equal(removed, end, check_exact=True)
    concept = at(run.neurons, condition="targeted", stage="removed")
    assert removed["selectivity"].tolist() == concept["selectivity"].tolist()
    moved = at(run.neurons, condition="targeted", stage="end")
    assert moved["selectivity"].tolist() != concept["selectivity"].tolist()


def test_what_was_measured_of_the_head_is_true_of_its_weights(tiny_run):
    """The table copies neurons from before its training; here they are measured after it."""
    base, head = (
        load_file(stage_of(tiny_run, name) / "model" / "model.safetensors")
        for name in ("base", "retrained-head")
    )
    assert base.keys() == head.keys()
    changed = {name for name in base if not torch.equal(base[name], head[name])}
    assert changed == {"classifier.weight", "classifier.bias"}


def test_layers_compare_the_same_neurons_at_every_stage(run):
    counts = run.layers.groupby(["condition", "entity", "layer"])["n_kept"].nunique()
    assert (counts == 1).all()
    shares = run.layers.groupby([*KEYS, "entity"])["share"].sum()
    assert np.allclose(shares, 1)


def test_reliance_removes_again_the_same_the_new_top_and_random(run):
    sizes = run.reliance.groupby(["condition", "again"])["draw"].nunique().unstack()
    assert set(sizes.index) == {"targeted", "none"}
    assert sizes["random"].tolist() == [run.config.sizes.draws] * 2
    n_removed = run.reliance.groupby("again")["n_removed"].unique()
    assert n_removed["nothing"].tolist() == [0]
    for again in ("same", "new top", "random"):
        assert n_removed[again].tolist() == [run.facts["n_removed"]]
    # The concept's neurons are gone already: removing them once more is close to nothing.
    own = at(run.reliance, condition="targeted").set_index(["again", "entity"])["entity_f1"]
    for entity in ENTITIES:
        assert own[("same", entity)] == pytest.approx(own[("nothing", entity)], abs=0.2)


def test_the_dose_response_has_both_regimes_and_both_halves(run):
    doses = at(run.dose, regime="curve", condition="targeted", part="scoring")["dose"].unique()
    assert doses[0] == 0.001
    assert doses[-1] == 0.5
    assert len(at(run.dose, regime="half", condition="targeted", part="scoring")) == 5
    draws = at(run.dose, condition="random", entity="LOC").groupby(["regime", "dose"]).size()
    assert (draws == run.config.sizes.draws).all()
    assert set(at(run.dose, condition="targeted")["part"]) == {"dose", "scoring"}


def test_the_run_says_with_what_it_was_made(run):
    facts = json.loads((run.path / "config.json").read_text(encoding="utf-8"))
    assert facts["settings"]["concept"] == "locations"
    assert facts["settings"]["seed"] == 0
    assert facts["code"]["version"]
    assert facts["libraries"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert {"transformers", "neurox", "numpy", "seqeval"} <= set(facts["libraries"])
    assert facts["machine"]["cores"] >= 1
    assert facts["machine"]["device"] in ("cpu", "cuda", "mps")
    assert len(facts["seconds"]) >= 10
    assert all(seconds >= 0 for seconds in facts["seconds"].values())
    # Its results lie where its folder is now.
    settings = {**facts["settings"], "results_dir": str(run.path.parent)}
    assert run.config == RunConfig(**settings)


def test_a_second_call_finds_the_tables(run):
    started = time.monotonic()
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="damaged")
        again = run_experiment(run.config)
    assert time.monotonic() - started < 2
    assert again.path == run.path
    assert_same_tables(again, run)


def test_every_answer_can_be_worked_out(run):
    label = run.config.label
    assert len(tables.recovery(run.metrics, label, "head")) == 4
    assert len(tables.redistribution(run.layers, label)) == 4
    assert len(neuron_changes.turnover(run.neurons, 0.1)) == 4
    assert not neuron_changes.kept_gain_table(run.neurons).empty
    assert not neuron_changes.newly_salient(run.neurons, 5)["words_end"].eq("").all()
    assert len(neuron_changes.removed_neurons(run.neurons, 5)) == min(5, run.facts["n_removed"])
    assert set(tables.reliance_table(run.reliance)["again"]) == {
        "nothing", "same", "new top", "random",
    }  # fmt: skip


def test_a_removed_neuron_is_constant_over_words_of_any_number_of_subwords(
    tiny_model, tiny_tokenizer
):
    """Rounded sums of equal values would leave it a trace of spelling, and a selectivity."""
    words = ["rain" + "s" * n for n in range(12)]
    model, tokenizer = tiny_model("bert"), tiny_tokenizer(["rain"])
    rest = np.random.default_rng(0).normal(size=(4, 16))
    removed = [(layer, unit) for layer in range(4) for unit in range(16)]
    with remove_neurons(model, removed, rest):
        X = word_activations(model, tokenizer, [[word] for word in words])
    assert (rest.astype(np.float32).ravel() == X).all()
    assert (selectivity(X, (np.arange(12) % 3 == 0)[:, None]) == 0).all()
