import numpy as np
import pytest

from plasticity_utils.analysis.parts import (
    carriers,
    cluster_words,
    entity_spans,
    location_kinds,
)
from plasticity_utils.errors import InputError


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("Germany", "country"),
        ("U.S.", "country"),
        ("Georgia", "country"),
        ("Jordan", "country"),
        ("Texas", "US state"),
        ("Oklahoma", "US state"),
        ("New York", "large city"),
        ("LONDON", "large city"),
        ("Washington", "city"),
        ("Leeds", "city"),
        ("Lake Tahoe", "other"),
        ("", "other"),
    ],
)
def test_places_are_told_apart_by_the_rule(name, kind):
    assert location_kinds([name]).tolist() == [kind]


def test_every_word_of_a_name_gets_the_whole_name():
    sentences = [["New", "York", "Rome", "beat", "Smith"], ["in", "Rome"]]
    tags = [["B-LOC", "I-LOC", "B-LOC", "O", "B-PER"], ["O", "B-LOC"]]
    assert entity_spans(sentences, tags, "LOC") == [
        *("New York", "New York", "Rome", "", ""),
        *("", "Rome"),
    ]


def test_three_separate_blobs_are_found_and_named_by_their_centres():
    rng = np.random.default_rng(0)
    centres = np.eye(3, 10) * 10
    truth = np.repeat([0, 1, 2], 30)
    vectors = centres[truth] + rng.normal(size=(90, 10))
    # The first word of each blob lies at its very centre.
    for blob in range(3):
        vectors[30 * blob] = vectors[truth == blob].mean(axis=0)
    found = cluster_words(
        [f"{'abc'[blob]}{i}" for i, blob in enumerate(truth)], vectors, range(2, 5)
    )
    assert found.found
    assert len(found.names) == 3
    assert {name.split(" · ")[0] for name in found.names} == {"a0", "b30", "c60"}
    for blob in range(3):
        assert np.unique(found.labels[truth == blob]).size == 1


@pytest.mark.parametrize("width", [2, 10])
def test_a_single_blob_has_no_clusters(width):
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(90, width)) * np.linspace(1, 3, width)
    found = cluster_words([str(i) for i in range(90)], vectors, range(2, 4))
    assert not found.found
    assert found.names == ("no clusters",)
    assert (found.labels == 0).all()


def test_clusters_need_enough_words():
    with pytest.raises(InputError, match="more than 8"):
        cluster_words(["a"] * 8, np.zeros((8, 2)))


def test_the_transition_table_follows_a_planted_neuron():
    rng = np.random.default_rng(2)
    kinds = rng.choice(["country", "city", "US state"], 600)
    kinds[:3] = "other"
    base, end = rng.normal(size=(2, 600, 6))
    base[kinds == "country", 1] += 4
    end[kinds == "city", 1] -= 4
    end[kinds == "US state", 5] += 4
    table = carriers(base, end, kinds, d_model=3, tau=0.5)
    assert table.loc[1, ["layer", "unit", "base", "end"]].tolist() == [0, 1, "country", "city"]
    assert table.loc[1, "sigma_base"] > 0.9
    assert table.loc[1, "sigma_end"] < -0.9
    assert table.loc[5, ["layer", "unit", "base", "end"]].tolist() == [1, 2, "nothing", "US state"]


def test_parts_need_enough_words():
    with pytest.raises(InputError, match="fewer than two sub-concepts"):
        carriers(np.ones((20, 2)), np.ones((20, 2)), np.repeat("city", 20), 2, 0.4)
