"""Removals on models in which it is known where the concept sits.

The states of a word are its embedding, which no block changes. The concept is one unit, one
direction across all units, or nothing but whether two directions agree: which removal takes which
is known beforehand.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression

import plasticity_utils as pu
from plasticity_utils.data.concepts import without_tags
from plasticity_utils.data.corpus import Corpus
from plasticity_utils.models.activations import word_activations
from plasticity_utils.models.load import width
from plasticity_utils.neurons.scores import layer_unit, rank_neurons
from plasticity_utils.removal import unlearn
from plasticity_utils.removal.interface import NO_NEURONS, Material, in_force
from plasticity_utils.removal.projection import random_like
from plasticity_utils.training.readers import label_states
from plasticity_utils.training.train import tag_sentences
from tiny import make_tiny_model, make_tiny_tokenizer

N_WORDS, D_MODEL = 2000, 16
PLANTED = ("unit", "direction", "agreement")


def planted_states(kind, rng):
    """Embeddings [n_words, d_model], and which words are of the concept."""
    states = rng.normal(size=(N_WORDS, D_MODEL))
    inside = rng.random(N_WORDS) < 0.5
    signs = np.where(inside, 1.0, -1.0)
    if kind == "unit":
        states[:, 5] = 3 * signs + 0.3 * states[:, 5]
    elif kind == "direction":
        direction = np.where(np.arange(D_MODEL) % 2, 1.0, -1.0) / np.sqrt(D_MODEL)
        states += np.outer(3 * signs - states @ direction, direction)
    else:
        # Their product has the sign; each alone says nothing.
        states *= 0.5
        states[:, 3] = rng.choice([-2.0, 2.0], N_WORDS)
        states[:, 9] = signs * states[:, 3]
    return states, inside


@pytest.fixture(scope="module", params=PLANTED)
def planted(request):
    return request.param, *planted_model(request.param)


def planted_model(kind):
    """A model, its tokenizer, and sentences of words with the tags O and B-LOC."""
    states, inside = planted_states(kind, np.random.default_rng(0))
    words = [f"w{number}" for number in range(N_WORDS)]
    tokenizer = make_tiny_tokenizer(words)
    model = make_tiny_model(
        "bert", vocab_size=len(tokenizer), hidden_size=D_MODEL, num_hidden_layers=2
    )
    model = type(model)(model.config).eval()
    model.config.label2id = {"O": 0, "B-LOC": 1}
    model.config.id2label = {0: "O", 1: "B-LOC"}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "LayerNorm" not in name:
                parameter.zero_()
        ids = tokenizer.convert_tokens_to_ids(words)
        model.get_input_embeddings().weight[ids] = torch.from_numpy(states).float()
    tags = ["B-LOC" if one else "O" for one in inside]
    sentences = np.array_split(np.arange(N_WORDS), 60)
    corpus = Corpus(
        "planted",
        [[words[i] for i in some] for some in sentences],
        {"entity": [[tags[i] for i in some] for some in sentences]},
    )
    return model, tokenizer, corpus


def material(model, tokenizer, corpus, seed=0):
    def rank(method):
        X = word_activations(model, tokenizer, corpus.sentences)
        inside = np.array(corpus.word_labels()) == "B-LOC"
        ranked = rank_neurons(X, inside, method, model.config.num_hidden_layers + 1)
        places = layer_unit(range(X.shape[1]), width(model))
        return pd.DataFrame(places, columns=["layer", "unit"]).assign(
            **{f"rank_{method}": ranked.ranks}, mean=X.mean(axis=0)
        )

    def score():
        return pu.score(model, tokenizer, corpus)

    return Material(model, tokenizer, corpus, "LOC", seed, rank, NO_NEURONS, score)


def read(model, tokenizer, corpus, name):
    """How often a reader, fitted on half of the words, is right on the others."""
    states = label_states(model, tag_sentences(model, tokenizer, corpus))
    tags, half = np.array(corpus.word_labels()), N_WORDS // 2
    reader = pu.readers.get(name)(0).fit(states[:half], tags[:half])
    return float((np.asarray(reader.predict(states[half:])) == tags[half:]).mean())


# What a reader tells after a removal: everything (1) or no more than by guessing (0).
EXPECTED = {
    "unit": {
        "none": (1, 1), "gate": (0, 0), "weights": (0, 0), "mean_projection": (0, 0),
        "inlp": (0, 0), "leace": (0, 0),
    },
    "direction": {
        # A unit is a small part of the direction.
        "none": (1, 1), "gate": (1, 1), "weights": (1, 1), "mean_projection": (0, 0),
        "inlp": (0, 0), "leace": (0, 0),
    },
    "agreement": {
        # No linear reader tells it, so nothing that is linear takes it from one that is not.
        "none": (0, 1), "mean_projection": (0, 1), "inlp": (0, 1), "leace": (0, 1),
    },
}  # fmt: skip
SETTINGS = {name: {"dose": 3 / (3 * D_MODEL)} for name in ("gate", "weights")}


@pytest.mark.parametrize("removal", ["none", "gate", "weights", "mean_projection", "inlp", "leace"])
def test_a_removal_takes_what_it_can_and_leaves_what_it_cannot(planted, removal):
    kind, model, tokenizer, corpus = planted
    if removal not in EXPECTED[kind]:
        pytest.skip("which unit is on top of a ranking of noise is not known beforehand")
    fitted = None
    if removal != "none":
        made = pu.removals.get(removal)(**SETTINGS.get(removal, {}))
        fitted = made.fit(material(model, tokenizer, corpus))
    with in_force(model, fitted):
        found = [read(model, tokenizer, corpus, name) for name in ("linear", "perceptron")]
    for right, told in zip(found, EXPECTED[kind][removal], strict=True):
        assert right > 0.9 if told else right < 0.7, found
    assert read(model, tokenizer, corpus, "perceptron") > 0.9


@pytest.mark.parametrize("removal", ["mean_projection", "inlp"])
def test_a_control_takes_as_many_directions_and_leaves_the_concept(planted, removal):
    kind, model, tokenizer, corpus = planted
    if kind == "agreement":
        pytest.skip("it takes directions that say nothing")
    on, made = material(model, tokenizer, corpus), pu.removals.get(removal)()
    fitted = made.fit(on)
    control = made.control(fitted, on.drawn(0))
    assert control.ranks == fitted.ranks
    with in_force(model, control):
        assert read(model, tokenizer, corpus, "linear") > 0.9
    again = made.control(fitted, on.drawn(0))
    np.testing.assert_array_equal(again.right, control.right)


def test_a_control_has_the_variance_of_what_it_stands_for():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2000, 20)) * np.geomspace(5, 0.1, 20)
    directions = np.eye(20)[[4, 9]]
    drawn = random_like(X, directions, rng)
    np.testing.assert_allclose(drawn @ drawn.T, np.eye(2), atol=1e-9)
    np.testing.assert_allclose(drawn @ directions.T, 0, atol=1e-9)
    np.testing.assert_allclose((X @ drawn.T).var(axis=0), X[:, [4, 9]].var(axis=0), rtol=0.02)


def test_projections_are_kept_and_undone(planted, tmp_path):
    _, model, tokenizer, corpus = planted
    data = tag_sentences(model, tokenizer, corpus)
    before = label_states(model, data)
    fitted = pu.removals.get("inlp")().fit(material(model, tokenizer, corpus))
    fitted.save(tmp_path)
    loaded = type(fitted).load(tmp_path)
    assert loaded.key() == fitted.key()
    with in_force(model, loaded):
        changed = label_states(model, data)
    assert np.array_equal(changed, before) == (sum(fitted.ranks) == 0)
    np.testing.assert_array_equal(label_states(model, data), before)


# Removals that train the model: it has a head, which tells the concept and another type.

NAMES = ("O", "B-LOC", "B-PER")


def recall(model, tokenizer, corpus):
    return pu.score(model, tokenizer, corpus).set_index("entity")["recall"]


@pytest.fixture(scope="module")
def taught():
    """The concept sits in one unit, and persons, where another is large, in that."""
    model, tokenizer, corpus = planted_model("unit")
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "encoder" in name and "LayerNorm" not in name:
                # MLPs look at what states say, and write little of it.
                size = 0.5 if "intermediate" in name else 0.02
                parameter += size * torch.randn(parameter.shape, generator=rng)
    states = label_states(model, tag_sentences(model, tokenizer, corpus))
    tags = np.array(corpus.word_labels())
    tags[(tags == "O") & (states[:, 11] > 0.7)] = "B-PER"
    ends = np.cumsum([len(words) for words in corpus.sentences])[:-1]
    corpus = replace(corpus, labels={"entity": [own.tolist() for own in np.split(tags, ends)]})
    reader = LogisticRegression(C=100, max_iter=2000).fit(states, tags)
    order = [reader.classes_.tolist().index(name) for name in NAMES]
    model.config.id2label = dict(enumerate(NAMES))
    model.config.label2id = {name: number for number, name in enumerate(NAMES)}
    model.num_labels, model.classifier = len(NAMES), torch.nn.Linear(D_MODEL, len(NAMES))
    with torch.no_grad():
        model.classifier.weight.copy_(torch.from_numpy(reader.coef_[order]))
        model.classifier.bias.copy_(torch.from_numpy(reader.intercept_[order]))
    return model.eval(), tokenizer, corpus


@pytest.mark.slow
@pytest.mark.parametrize("removal", ["relabel", "gradient_difference", "npo"])
def test_what_trains_a_concept_away_hides_it_from_the_head_and_not_from_a_reader(taught, removal):
    model, tokenizer, corpus = taught
    assert (recall(model, tokenizer, corpus)[["LOC", "PER"]] > 0.9).all()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    on, made = material(model, tokenizer, corpus), pu.removals.get(removal)(learning_rate=0.003)
    fitted = made.fit(on)
    assert fitted.is_lost
    # As many steps on random words that are persons, and the concept among what is to be kept.
    control = made.control(fitted, on.drawn(0))
    assert control.steps == fitted.steps
    with in_force(model, fitted):
        lost = recall(model, tokenizer, corpus)
        assert read(model, tokenizer, without_tags(corpus, "PER"), "linear") > 0.9
    with in_force(model, control):
        left = recall(model, tokenizer, corpus)
    assert lost["LOC"] < 0.1 < 0.7 < lost["PER"], lost
    assert left["PER"] < 0.3 < 0.7 < left["LOC"], left
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


def seed_whose_point_is(model, tag):
    """The first seed of which the head takes the random point of `rmu` for this tag."""
    for seed in range(100):
        point = torch.randn(D_MODEL, generator=torch.Generator().manual_seed(seed))
        # As long as a state is behind the last norm.
        scores = model.classifier(D_MODEL**0.5 * point / point.norm())
        if NAMES[int(scores.argmax())] == tag:
            return seed
    raise AssertionError(tag)


@pytest.mark.slow
@pytest.mark.parametrize("tag", ["O", "B-LOC"])
def test_what_is_steered_is_what_the_head_takes_the_point_for_and_a_reader_tells_it(
    taught, tag, monkeypatch
):
    monkeypatch.setattr(unlearn, "STEPS_TRIED", (32, 64))
    model, tokenizer, corpus = taught
    on = material(model, tokenizer, corpus, seed_whose_point_is(model, tag))
    made = pu.removals.get("rmu")(learning_rate=0.01, layer=2)
    # Only what the MLPs write can move.
    outputs = {f"bert.encoder.layer.{block}.output.dense.weight" for block in range(2)}
    assert set(made.trained(model)) == outputs
    data, whole = tag_sentences(model, tokenizer, corpus), recall(model, tokenizer, corpus)
    before, is_place = label_states(model, data), on.is_concept
    fitted = made.fit(on)
    assert fitted.is_lost == (tag == "O")
    with in_force(model, fitted):
        moved = np.linalg.norm(label_states(model, data) - before, axis=1)
        assert read(model, tokenizer, without_tags(corpus, "PER"), "linear") > 0.9
        lost = recall(model, tokenizer, corpus)
    assert moved[is_place].mean() > 3 * moved[~is_place].mean()
    assert (lost["LOC"] < 0.1) == (tag == "O"), lost
    assert lost["PER"] > 0.7 * whole["PER"], lost
