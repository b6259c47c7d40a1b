"""Features of a sparse autoencoder beside units: the encoder, the ranking, and what is reported."""

import struct
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csc_array

from plasticity_utils import cli
from plasticity_utils.analysis.features import (
    LEAST_PRECISION,
    answers,
    beside_neurons,
    by_kind,
    by_number,
)
from plasticity_utils.errors import InputError
from plasticity_utils.experiment import features
from plasticity_utils.experiment.config import RunConfig
from plasticity_utils.experiment.features import Part, best_threshold, drawn, run_features, told
from plasticity_utils.models.load import load_model
from plasticity_utils.models.sae import SparseEncoder, read_encoder
from plasticity_utils.names import (
    BY_PRECISION,
    BY_SELECTIVITY,
    FEATURE,
    LAST_NEURON,
    NEURON,
    RANDOM_FEATURE,
)
from plasticity_utils.results.published import publish_audit, published_features

N_FEATURES, WIDTH, N_FIRE = 5, 64, 2


@pytest.fixture
def stored():
    """A made-up file of five features on two blocks of units, and the numbers in it."""
    rng = np.random.default_rng(0)
    whole = rng.integers(-8, 8, (N_FEATURES, 2, 32))
    scales = np.array([0.5, 2.0], np.float16)
    bias = rng.standard_normal(N_FEATURES).astype(np.float32)
    data = struct.pack("<4s4i", b"SAE1", N_FEATURES, WIDTH, 32, N_FIRE) + bias.tobytes()
    for row in whole:
        for block, scale in zip(row + 8, scales, strict=True):
            low, high = block[:16], block[16:]
            data += scale.tobytes() + (low | high << 4).astype(np.uint8).tobytes()
    return data, (whole * scales[:, None]).reshape(N_FEATURES, WIDTH), bias


def test_an_encoder_is_read_as_it_was_written(stored):
    data, weight, bias = stored
    encoder = read_encoder(data)
    np.testing.assert_array_equal(encoder.weight, weight)
    np.testing.assert_array_equal(encoder.bias, bias)
    assert encoder.n_fire == N_FIRE


def test_another_file_is_refused(stored):
    with pytest.raises(InputError, match=r"sae\.bin begins with b'SAE9'"):
        read_encoder(b"SAE9" + stored[0][4:])


def states(seed=1, n=600):
    # More than are looked at at once, one unit far wider than the others, and a common mean.
    rng = np.random.default_rng(seed)
    scale = np.r_[100.0, np.ones(WIDTH - 1)]
    return (scale * rng.standard_normal((n, WIDTH)) + 3).astype(np.float32)


def test_only_the_largest_answers_fire_and_none_below_zero(stored):
    encoder = read_encoder(stored[0])
    own = states()
    found = encoder.features(own).toarray()
    expected = np.maximum(own @ encoder.weight.T + encoder.bias, 0)
    least = np.sort(expected, axis=1)[:, [-N_FIRE]]
    np.testing.assert_allclose(found, np.where(expected >= least, expected, 0), rtol=1e-4)
    assert (found >= 0).all()
    assert (found > 0).sum(axis=1).max() == N_FIRE


def test_a_random_encoder_is_as_sparse_and_no_wide_unit_decides_what_fires():
    encoder = SparseEncoder(np.ones((40, WIDTH), np.float32), np.zeros(40, np.float32), N_FIRE)
    own = states()
    drawn_once = encoder.random_like(own, 0)
    fires = drawn_once.features(own).toarray() > 0
    assert fires.sum(axis=1).max() == N_FIRE
    # Every one of the forty has its turn, whatever the common mean.
    assert fires.any(axis=0).all()
    narrow = own / np.r_[100.0, np.ones(WIDTH - 1)].astype(np.float32)
    again = encoder.random_like(narrow, 0).features(narrow).toarray() > 0
    assert (fires == again).mean() > 0.999
    assert not np.array_equal(drawn_once.weight, encoder.random_like(own, 1).weight)


def made_up(seed, n=1000):
    """Words of which a unit falls silent on locations, and a feature fires on half the persons."""
    rng = np.random.default_rng(seed)
    inside = np.eye(4, dtype=bool)[rng.choice(4, n, p=[0.1, 0.1, 0.1, 0.7])][:, :3]
    X = rng.standard_normal((n, 24)).astype(np.float32)
    X[:, 5] -= 8 * inside[:, 0]
    F = np.maximum(rng.standard_normal((n, 30)) - 1, 0)
    F[:, 7] = inside[:, 1] & (rng.random(n) < 0.5)
    F[:, 8:20] = 0
    noise = np.maximum(rng.standard_normal((n, 30)) - 1, 0)
    kinds = {
        FEATURE: csc_array(F.astype(np.float32)),
        RANDOM_FEATURE: csc_array(noise.astype(np.float32)),
        NEURON: X,
        LAST_NEURON: X[:, -8:],
    }
    words = np.where(inside[:, 1], "Anna", np.where(inside[:, 0], "Rome", "the"))
    return Part([f"{word}{i % 9}" for i, word in enumerate(words)], inside, kinds)


@pytest.fixture(scope="module", autouse=True)
def few_numbers():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(features, "N_READ", (1, 4))
        yield


@pytest.fixture(scope="module")
def found():
    return told(made_up(0), made_up(1), 8)


def best_of(scores, concept, kind, ranking=BY_SELECTIVITY, n_read=1):
    keys = ["concept", "kind", "ranking", "n_read"]
    return scores.set_index(keys).loc[(concept, kind, ranking, n_read)]


def test_what_was_planted_is_found_and_scored_on_other_words(found):
    scores, words = found
    for ranking in (BY_SELECTIVITY, BY_PRECISION):
        assert best_of(scores, "locations", NEURON, ranking)["word_f1"] > 0.95
        of_persons = best_of(scores, "persons", FEATURE, ranking)
        assert of_persons["word_precision"] == 1
        assert of_persons["word_recall"] == pytest.approx(0.5, abs=0.1)
        # What it misses is as good as drawn.
        assert 0.5 < of_persons["average_precision"] < 0.65
    first = words[words["place"] == 1].set_index(["concept", "kind", "ranking"])
    assert first.loc[("persons", FEATURE, BY_PRECISION), "unit"] == 7
    neuron = first.loc[("locations", NEURON, BY_SELECTIVITY)]
    assert (neuron["layer"], neuron["unit"]) == (0, 5)
    assert neuron["selectivity"] < -0.9
    assert set(neuron["words"].split(" · ")) <= {f"Rome{i}" for i in range(9)}


def test_where_nothing_is_the_best_of_many_is_no_better_than_chance(found):
    scores, _ = found
    for concept in features.ASKED:
        control = best_of(scores, concept, RANDOM_FEATURE)
        assert control["average_precision"] == pytest.approx(control["by_chance"], abs=0.04)
    organisations = best_of(scores, "organisations", FEATURE, n_read=4)
    assert organisations["average_precision"] < 0.2


def test_the_words_that_are_scored_choose_nothing(found):
    measuring = made_up(1)
    order = np.random.default_rng(3).permutation(len(measuring.words))
    shuffled = replace(measuring, inside=measuring.inside[order])
    scores, words = told(made_up(0), shuffled, 8)
    kept = ["concept", "kind", "ranking", "place", "layer", "unit", "selectivity"]
    pd.testing.assert_frame_equal(words[kept], found[1][kept])
    assert (scores["average_precision"] - scores["by_chance"]).abs().max() < 0.06


def test_a_layer_is_also_read_whole(found):
    scores, _ = found
    assert set(scores[scores["kind"] == LAST_NEURON]["n_read"]) == {*features.N_READ, 8}


def test_a_threshold_is_where_f1_is_greatest():
    inside = np.array([False, False, True, True, False, True])
    assert best_threshold(inside, np.array([0.1, 0.2, 0.6, 0.7, 0.5, 0.3])) == 0.3
    assert best_threshold(inside, np.array([0.1, 0.2, 0.6, 0.7, 0.5, 0.05])) == 0.6


def scored(feature, neuron, control):
    """Scores of three seeds, the same for each concept and ranking but for a little."""
    rows = [
        {"concept": concept, "kind": kind, "ranking": ranking, "n_read": 1, "seed": seed,
         "average_precision": value + 0.001 * seed * (kind == FEATURE)}
        for concept in features.ASKED
        for ranking, less in ((BY_SELECTIVITY, 0.0), (BY_PRECISION, 0.2 * (concept == "persons")))
        for seed in range(3)
        for kind, value in ((FEATURE, feature - less), (NEURON, neuron), (RANDOM_FEATURE, control))
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("feature", "neuron", "control", "word"),
    [
        (0.6, 0.4, 0.3, "yes"),
        # A random feature does as well.
        (0.6, 0.4, 0.58, "no"),
        (0.6, 0.58, 0.3, "no"),
        (0.3, 0.6, 0.1, "no"),
    ],
)
def test_a_feature_is_judged_beside_a_neuron_and_a_random_feature(feature, neuron, control, word):
    judged = beside_neurons(scored(feature, neuron, control))
    assert answers(judged)["locations"] == word
    first = judged.set_index(["concept", "ranking"]).loc[("locations", BY_SELECTIVITY)]
    assert first["beyond_neuron"] == pytest.approx(feature - neuron + 0.001)
    assert first["n_seeds"] == 3
    # Of persons the two rankings disagree, unless both say no.
    assert answers(judged)["persons"] == ("not resolved" if word == "yes" else "no")
    assert 0 < LEAST_PRECISION < 0.2


def test_one_seed_resolves_nothing():
    one = scored(0.6, 0.4, 0.3).query("seed == 0")
    assert set(answers(beside_neurons(one))) == {"not resolved"}


def test_tables_have_a_column_a_kind():
    table = scored(0.6, 0.4, 0.3)
    wide = by_kind(table, 1)
    assert list(wide) == ["concept", "ranking", "seed", FEATURE, NEURON, RANDOM_FEATURE]
    assert len(wide) == 18
    means = by_number(table, BY_SELECTIVITY)
    assert means["concept"].tolist() == list(features.ASKED)
    assert means[FEATURE].tolist() == pytest.approx([0.601] * 3)


@pytest.fixture
def small(tiny_run_folder, tmp_path, monkeypatch):
    """The experiment on a tiny model with an encoder of forty random features."""
    model, _ = load_model(str(tiny_run_folder))
    width = model.config.hidden_size
    weight = np.random.default_rng(0).standard_normal((40, width)).astype(np.float32)
    encoder = SparseEncoder(weight, np.zeros(40, np.float32), 4)
    monkeypatch.setattr(features, "SAE_MODEL", str(tiny_run_folder))
    monkeypatch.setattr(features, "packaged_encoder", lambda: encoder)
    monkeypatch.setattr(features, "version", lambda package: "0")
    return RunConfig(
        model=str(tiny_run_folder), results_dir=str(tmp_path / "runs"),
        ranking_sentences=150, measuring_sentences=120,
    )  # fmt: skip


def test_it_is_made_once_under_each_seed_and_published(small, tmp_path):
    made = run_features(small)
    assert run_features(small).path == made.path
    scores, facts = made.table("features"), made.facts
    assert set(scores["kind"]) == {FEATURE, RANDOM_FEATURE, NEURON, LAST_NEURON}
    assert scores["average_precision"].between(0, 1).all()
    assert facts["encoder"]["n_fire"] == 4
    assert facts["encoder"]["n_ranked"] <= 40
    assert facts["code"]["version"]
    other = run_features(replace(small, seed=1))
    assert other.facts["n_words"] != facts["n_words"]
    published = [publish_audit(each, tmp_path / "book") for each in (made, other)]
    assert [one.path for one in published_features(tmp_path / "book")] == published
    assert published_features(tmp_path / "book")[0].facts["settings"]["results_dir"] == ""


def test_a_model_without_an_autoencoder_is_refused(small):
    with pytest.raises(InputError, match="no sparse autoencoder of the model 'minilm'"):
        run_features(replace(small, model="minilm"))


def test_a_wrong_seed_is_one_line(capsys):
    assert cli.main(["features", "--seed", "-1"]) == cli.BAD_INPUT
    assert "seed must be a whole number" in capsys.readouterr().err


def test_sentences_are_drawn_by_the_seed():
    from plasticity_utils.data.corpus import Corpus

    corpus = Corpus("c", [[f"w{i}"] for i in range(50)], {"entity": [["O"]] * 50})
    first, again, other = drawn(corpus, 20, 0), drawn(corpus, 20, 0), drawn(corpus, 20, 1)
    assert first.sentences == again.sentences != other.sentences
    assert len({words[0] for words in first.sentences}) == 20
