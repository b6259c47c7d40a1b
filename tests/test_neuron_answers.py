"""The answers about neurons, on a tiny run: what they hold, and that they fit the run's own tables.

The functions behind them have planted truths in `test_questions_*`.
"""

import numpy as np
import pandas as pd
import pytest

from plasticity_utils.analysis.polysemanticity import (
    COMPARED,
    FUNCTIONS,
    concept_similarity,
    polysemanticity_table,
    sharing_table,
    superposition_table,
)
from plasticity_utils.analysis.snapshots import RunSnapshots
from plasticity_utils.analysis.takeover import (
    WORD_CLASSES,
    migration_table,
    priming_table,
    role_of,
)
from plasticity_utils.data.concepts import ENTITIES
from plasticity_utils.names import BASE
from plasticity_utils.neurons.words import embed_words
from plasticity_utils.results.derived import OF_SNAPSHOTS, derive

OTHER_ROLES = ("other words", "punctuation", "nothing")


@pytest.fixture(scope="module")
def snapshots(tiny_run):
    return RunSnapshots(tiny_run)


@pytest.fixture(scope="module")
def functions(snapshots):
    return polysemanticity_table(snapshots)


def serves(snapshots, snapshot):
    return np.abs(snapshots.sigma(snapshot)) > snapshots.tau


def test_every_answer_is_a_small_table_that_parquet_holds(tiny_run, tmp_path):
    found = derive(tiny_run, OF_SNAPSHOTS)
    assert tuple(found) == OF_SNAPSHOTS
    for name, table in found.items():
        assert len(table) < 1000, name
        table.to_parquet(tmp_path / name)
        pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / name), table)


def test_functions_are_counted_over_kept_neurons_beyond_none(snapshots, functions):
    whole = functions[functions["layer"].isna()].set_index(["condition", "quantity"])
    for condition in COMPARED:
        kept = snapshots.kept(condition)
        base, end, none = (
            serves(snapshots, at)[kept] for at in (BASE, (condition, "end"), ("none", "end"))
        )
        row = whole.loc[(condition, "n_concepts")]
        assert row["n_neurons"] == kept.sum()
        assert row["base"] == pytest.approx(base.sum(axis=1).mean())
        expected = end.sum(axis=1).mean() - none.sum(axis=1).mean()
        assert row["beyond_none"] == pytest.approx(expected)
        row = whole.loc[(condition, "took_on")]
        assert row["change"] == pytest.approx((end & ~base).any(axis=1).mean())
        assert row["change_none"] == pytest.approx((none & ~base).any(axis=1).mean())
        row = whole.loc[(condition, "lost")]
        assert row["change"] == pytest.approx((base & ~end).any(axis=1).mean())
        own = snapshots.concepts.names.index("LOC")
        row = whole.loc[(condition, "took_on_concept")]
        assert row["change"] == pytest.approx((end & ~base)[:, own].mean())
        row = whole.loc[(condition, "polysemantic")]
        assert row["base"] == pytest.approx((base.sum(axis=1) >= 2).mean())


def test_the_whole_model_is_the_mean_of_its_layers(functions):
    assert set(functions["quantity"]) == set(FUNCTIONS)
    by_layer = functions.dropna(subset="layer")
    assert sorted(by_layer["layer"].unique()) == [0, 1, 2]
    whole = functions[functions["layer"].isna()].set_index(["condition", "quantity"])
    for keys, rows in by_layer.groupby(["condition", "quantity"]):
        mean = np.average(rows["beyond_none"], weights=rows["n_neurons"])
        assert whole.loc[keys, "beyond_none"] == pytest.approx(mean)
        assert whole.loc[keys, "n_neurons"] == rows["n_neurons"].sum()


def test_sharers_are_compared_within_each_scope(snapshots):
    table = sharing_table(snapshots)
    assert not table.duplicated(["condition", "stage", "scope", "sign"]).any()
    assert (table["p_adjusted"] >= table["p"]).all()
    assert (table["difference"] > table["low"]).all()
    table = table.set_index(["stage", "scope", "sign"])["n_pairs"].sort_index()
    sigma, tau = snapshots.sigma(BASE)[snapshots.kept()], snapshots.tau
    above, below = (pairs_of(side) for side in (sigma > tau, sigma < -tau))
    assert table.loc["base", "all", "any"] == pairs_of(np.abs(sigma) > tau)
    assert table.loc["base", "all", "same"] == above + below


def pairs_of(serves):
    """How often two concepts share a neuron."""
    n_concepts = serves.sum(axis=1)
    return (n_concepts * (n_concepts - 1) / 2).sum()


@pytest.mark.slow
def test_concepts_are_as_alike_as_their_words():
    words = ["Rome", "Paris", "ran", "Rome", "walked"]
    members = np.array([[1, 0], [1, 0], [0, 1], [1, 0], [0, 1]], dtype=bool)
    found = concept_similarity(words, members)
    expected = (embed_words(["Rome", "Paris"]) @ embed_words(["ran", "walked"]).T).mean()
    assert found[0, 1] == found[1, 0] == pytest.approx(expected)


def test_superposition_has_every_snapshot_and_layer(snapshots):
    table = superposition_table(snapshots)
    assert len(table) == 6 * snapshots.n_layers
    assert table["interference"].between(0, 1).all()
    assert table["dimensionality"].between(0, 1).all()
    assert (table["n_concepts"] == len(snapshots.concepts.names)).all()
    # Training changes every layer, removal those from the first removed neuron on.
    by_snapshot = table.set_index(["condition", "stage", "layer"])["interference"].sort_index()
    assert (by_snapshot["none", "end"] != by_snapshot["none", "base"]).all()
    assert (by_snapshot["targeted", "removed"] != by_snapshot["none", "base"]).any()


def test_shares_of_every_target_sum_to_one_and_the_own_concept_comes_first(snapshots):
    table = migration_table(snapshots)
    assert table["target"].iloc[0] == "LOC"
    assert set(table["role"]) <= {*ENTITIES, *WORD_CLASSES.values(), *OTHER_ROLES}
    sums = table.groupby(["condition", "target"])[["share", "expected", "difference"]].sum()
    assert sums["share"].tolist() == pytest.approx([1] * len(sums))
    assert sums["expected"].tolist() == pytest.approx([1] * len(sums))
    assert sums["difference"].tolist() == pytest.approx([0] * len(sums), abs=1e-9)
    n = table[table["target"] == "LOC"].groupby("condition")["n_neurons"].sum()
    assert n.to_dict() == {name: snapshots.kept(name).sum() for name in COMPARED}


def test_tags_are_grouped_into_word_classes():
    tags = ["NNPS", "NNS", "VBD", "CD", "IN", ",", '"', "LOC", "nothing"]
    assert [role_of(tag) for tag in tags] == [
        "proper nouns", "nouns", "verbs", "numbers", "other words", "punctuation", "punctuation",
        "LOC", "nothing",
    ]  # fmt: skip


def test_priming_is_regressed_for_both_conditions_and_kinds_of_errors(snapshots):
    table = priming_table(snapshots)
    assert set(table["condition"]) == set(COMPARED)
    assert "words" in set(table["similarity"])
    assert not table.duplicated(["condition", "similarity", "errors", "outcome", "term"]).any()
    assert (table["low"] < table["effect"]).all()
    for condition in COMPARED:
        n = table.loc[table["condition"] == condition, "n_neurons"].max()
        assert n == snapshots.kept(condition).sum()
