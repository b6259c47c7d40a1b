"""The tables of two questions, worked out on a tiny run; what they find is tested elsewhere."""

import numpy as np
import pytest

from plasticity_utils.analysis import parts as analysis
from plasticity_utils.analysis.parts import (
    Parts,
    carried,
    carriers,
    cluster_parts,
    subconcept_neurons,
    subconcept_parts,
    subconcepts,
)
from plasticity_utils.analysis.representation import linear_cka
from plasticity_utils.analysis.snapshots import RunSnapshots
from plasticity_utils.data.corpus import in_first_part, two_parts
from plasticity_utils.names import BASE, NOTHING
from plasticity_utils.results.derived import derived

FEW = 4


@pytest.fixture(scope="module")
def snapshots(tiny_run):
    return RunSnapshots(tiny_run)


@pytest.fixture(scope="module")
def representation(snapshots):
    return derived(snapshots.run, "representation")


@pytest.fixture
def few_are_enough(monkeypatch):
    """Forty sentences hold few words of any part."""
    monkeypatch.setattr(analysis, "_FEWEST_WORDS", FEW)


def test_a_sentence_is_fitted_on_or_scored_and_never_both(snapshots):
    corpus = snapshots.measuring
    fits = in_first_part(corpus)
    assert 0 < fits.sum() < fits.size
    start = 0
    for sentence in corpus.sentences:
        assert np.unique(fits[start : start + len(sentence)]).size == 1
        start += len(sentence)
    first = {" ".join(sentence) for sentence in two_parts(corpus)[0].sentences}
    own = {" ".join(s) for s, fit in zip(corpus.sentences, by_sentence(corpus, fits), strict=True)
           if fit}  # fmt: skip
    assert own == first


def by_sentence(corpus, fits):
    ends = np.cumsum([len(sentence) for sentence in corpus.sentences])
    return fits[ends - 1]


def test_every_layer_and_snapshot_has_its_similarity(snapshots, representation):
    places = representation.groupby(["condition", "stage", "units"]).size()
    assert (places == snapshots.n_layers).all()
    assert set(places.index.droplevel("units")) == {
        ("targeted", "removed"), ("targeted", "end"), ("random", "end"), ("none", "end"),
    }  # fmt: skip
    assert (representation["n_words"] == snapshots.is_concept.sum()).all()


def test_removal_changes_the_embedding_only_where_units_are_gone(representation):
    rows = representation[(representation["stage"] == "removed") & (representation["layer"] == 0)]
    cka = rows.set_index("units")["cka"]
    assert cka["kept"] == pytest.approx(1)
    assert cka["all"] < 1


def test_similarity_of_kept_units_is_that_without_the_others(snapshots, representation):
    layer, own = 1, snapshots.is_concept
    at = (snapshots.layers == layer) & snapshots.kept("random")
    sides = [snapshots.activations(snapshot)[own][:, at] for snapshot in (BASE, ("random", "end"))]
    found = representation.set_index(["condition", "stage", "units", "layer"])["cka"]
    assert found["random", "end", "kept", layer] == pytest.approx(linear_cka(*sides), abs=1e-6)


def test_the_probe_of_the_base_is_the_ceiling_in_every_comparison(snapshots):
    table = derived(snapshots.run, "transfer")
    assert set(table["alignment"]) == {"base", "none", "procrustes", "shuffled"}
    ceiling = table[table["alignment"] == "base"]
    assert set(table["units"]) == {"all", "kept"}
    ceiling = ceiling[ceiling["units"] == "all"]
    assert (ceiling.groupby("layer")["word_f1"].nunique() == 1).all()
    assert (table["n_words"] == (~in_first_part(snapshots.measuring)).sum()).all()
    assert table["word_f1"].between(0, 1).all()


@pytest.mark.usefixtures("few_are_enough")
def test_every_neuron_is_counted_once_a_condition(snapshots):
    table = subconcepts(snapshots)
    counts = table.groupby(["condition", "removed"])["n_neurons"].sum().unstack()
    for condition in ("targeted", "random", "none"):
        kept = snapshots.kept(condition)
        assert counts.loc[condition, False] == kept.sum()
        assert counts.loc[condition, True] == (~kept).sum()
    gone = table[table["removed"] & (table["condition"] == "targeted")]
    assert (gone["end"] == NOTHING).all()


@pytest.mark.usefixtures("few_are_enough")
def test_parts_are_those_of_the_gazetteer_with_their_names(snapshots):
    table = subconcept_parts(snapshots).set_index("part")
    assert table["n_words"].sum() == snapshots.is_concept.sum()
    assert (table["compared"] == (table["n_words"] >= FEW)).all()
    assert table.loc[table["compared"], "by_chance"].ge(0).all()
    assert table.loc[~table["compared"], "by_chance"].isna().all()
    assert table["silhouette"].isna().all()


@pytest.mark.usefixtures("few_are_enough")
def test_neurons_that_are_shown_came_to_carry_their_part(snapshots):
    table = subconcept_neurons(snapshots)
    assert len(table)
    assert (table["part"] != table["base"]).all()
    assert (table["sigma_end"].abs() > 0.4).all()
    for _, rows in table.groupby("part"):
        assert rows["sigma_end"].abs().is_monotonic_decreasing
    kept = snapshots.kept()[table["layer"] * snapshots.d_model + table["unit"]]
    assert kept.all()


def test_too_few_words_give_empty_tables_and_no_error(snapshots):
    assert subconcepts(snapshots).empty
    assert subconcept_neurons(snapshots).empty
    assert not subconcept_parts(snapshots)["compared"].any()


@pytest.mark.slow
def test_words_are_cut_into_clusters_whatever_their_capitals():
    words = ["Smith", "SMITH", "Jones", "Brown", "Miller", "Rossi", "Bianchi", "Ferrari", "Conti",
             "Moretti", "Kim", "Park"]  # fmt: skip
    parts = cluster_parts(words)
    assert parts.clusters is not None
    assert parts.kinds[0] == parts.kinds[1]
    assert set(parts.kinds) == set(parts.clusters.names)
    assert parts.names.tolist() == [word.casefold() for word in words]


def test_parts_are_enough_when_two_have_the_words():
    names = np.array(["x"] * 61, dtype=object)
    assert not Parts(names, np.repeat(["a", "b"], [32, 29]).astype(object), None).enough
    assert Parts(names, np.repeat(["a", "b"], [31, 30]).astype(object), None).enough


def test_of_two_opposite_parts_a_neuron_carries_the_one_it_responds_to():
    kinds = np.repeat(["a", "b"], 50)
    X = np.random.default_rng(0).normal(size=(100, 2))
    X[kinds == "a", 0] += 5
    X[kinds == "b", 1] += 5
    assert carriers(X, X, kinds, 2, 0.4)["base"].tolist() == ["a", "b"]
    names, sigma = carried(X, (kinds == "b")[:, None], ["b"], 0.4)
    assert names.tolist() == ["b", "b"]
    assert sigma[0] < -0.9
    assert sigma[1] > 0.9
