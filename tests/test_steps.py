"""The whole method on a model in memory: train, rank, remove, score, train the head, undo."""

import copy
import re
from pathlib import Path

import numpy as np
import pytest
import torch

import plasticity_utils as pu
from plasticity_utils.data.corpus import Corpus
from plasticity_utils.data.schemes import convert
from plasticity_utils.errors import InputError
from plasticity_utils.training import steps
from plasticity_utils.training.protocols import FewSentences, only_bias
from tiny import make_tiny_model, make_tiny_tokenizer

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
(METHOD,) = [b for b in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "pu.undo" in b]
PLACES = ["london", "berlin", "paris"]


def small_corpus(split="train"):
    """Sentences in which places are tagged, more than enough to be learned."""
    random = np.random.default_rng(len(split))
    sentences, tags = [], []
    for _ in range(60):
        words = random.choice([*PLACES, "calls", "rain", "in", "the"], size=6).tolist()
        sentences.append(words)
        tags.append(["B-LOC" if word in PLACES else "O" for word in words])
    return Corpus("made up", sentences, {"entity": tags})


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    make_tiny_model("bert").save_pretrained(folder)
    make_tiny_tokenizer([*PLACES, "calls", "rain", "in", "the"]).save_pretrained(folder)
    model, tokenizer = pu.load_model(str(folder), labels=["O", "B-LOC"], device="cpu")
    pu.train(model, tokenizer, small_corpus(), epochs=8, learning_rate=2e-2, batch_tokens=100)
    return model, tokenizer


@pytest.fixture
def trained(trained_once):
    model, tokenizer = trained_once
    return copy.deepcopy(model), tokenizer


def f1(model, tokenizer):
    return pu.score(model, tokenizer, small_corpus("test")).set_index("entity")["entity_f1"]["LOC"]


@pytest.mark.slow
def test_the_methods_steps(trained):
    model, tokenizer = trained
    corpus = small_corpus()
    assert f1(model, tokenizer) > 0.9
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    X = pu.word_activations(model, tokenizer, corpus.sentences)
    ranking = pu.rank_neurons(X, pu.concept_words(corpus, "LOC"), "selectivity", n_layers=4)
    last = ranking.top(60)
    pu.remove_neurons(model, last[last[:, 0] == 3], rest="mean", X=X)
    assert f1(model, tokenizer) < 0.5
    pu.undo(model)
    assert f1(model, tokenizer) > 0.9
    assert all(torch.equal(value, weights[n]) for n, value in model.state_dict().items())


@pytest.mark.slow
def test_the_head_alone_is_trained_and_all_can_train_again(trained):
    model, tokenizer = trained
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    pu.train(model, tokenizer, small_corpus(), only="head", batch_tokens=100)
    moved = {name for name, value in model.state_dict().items() if (value != weights[name]).any()}
    assert moved == {"classifier.weight", "classifier.bias"}
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not model.training


@pytest.mark.slow
def test_a_protocol_says_what_trains_and_what_it_sees(trained, monkeypatch):
    model, tokenizer = trained
    body = {n: v.clone() for n, v in model.state_dict().items() if not n.startswith("classifier")}
    seen = []
    monkeypatch.setattr(
        steps, "fine_tune", lambda model, data, schedule, *_, **__: seen.append((data, schedule))
    )
    protocol = pu.Relearning(trains=only_bias, sees=FewSentences(4), learning_rate=1e-2)
    pu.train(model, tokenizer, small_corpus(), only=protocol, concept="LOC", epochs=2)
    ((data, schedule),) = seen
    assert len({tuple(sentence.ids) for sentence in data.encoded}) == 4
    assert (schedule.epochs, schedule.learning_rate) == (2, 1e-2)
    monkeypatch.undo()
    pu.train(model, tokenizer, small_corpus(), only="without_concept", concept="LOC", epochs=1)
    moved = [name for name, value in body.items() if (value != model.state_dict()[name]).any()]
    assert moved


@pytest.mark.slow
def test_neurons_that_may_grow_back_do_and_others_stay(trained):
    model, tokenizer = trained
    kept = pu.remove_neurons(model, [(1, 2)])
    regrown = pu.remove_neurons(model, [(2, 3), (1, 4)], regrow=True)
    pu.train(model, tokenizer, small_corpus(), learning_rate=1e-3, batch_tokens=100)
    assert (regrown.gains() != 0).all()
    assert (kept.gains() == 0).all()


@pytest.mark.slow
def test_predictions_have_the_shape_of_the_sentences(trained):
    model, tokenizer = trained
    corpus = small_corpus("test")
    found = pu.predict(model, tokenizer, corpus.sentences)
    assert [len(tags) for tags in found] == [len(words) for words in corpus.sentences]
    assert np.mean(np.array(found) == np.array(corpus.labels["entity"])) > 0.9
    assert pu.predict(model, tokenizer, []) == []


class WithRate(pu.Relearning):
    """A protocol whose rate was never checked."""

    def __init__(self, rate):
        super().__init__()
        object.__setattr__(self, "learning_rate", rate)


@pytest.mark.usefixtures("as_for_users")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"only": "body"}, "unknown protocol 'body'; allowed: all, targeted, "),
        ({"only": "first_time"}, r"'first_time' starts from another model \(pretrained\)"),
        ({"only": "few_shot_8"}, "'few_shot_8' chooses sentences by a concept; needed: its tag"),
        ({"epochs": 0}, "epochs must be"),
        ({"epochs": 1.5}, "epochs must be"),
        ({"seed": -1}, "seed must be"),
        ({"seed": 2**32}, "seed must be below 4294967296, not 4294967296"),
        ({"learning_rate": 2}, "learning_rate must be between 0 and 1, not 2"),
        ({"only": WithRate(5.0)}, "learning_rate must be between 0 and 1, not 5.0"),
    ],
)
def test_a_wrong_setting_is_told_before_training(arguments, message, tiny_folder):
    model, tokenizer = pu.load_model(str(tiny_folder), labels=["O", "B-LOC"], device="cpu")
    with pytest.raises(InputError, match=message):
        pu.train(model, tokenizer, small_corpus(), **arguments)


@pytest.mark.parametrize("seed", [2**32, 2**70, -1])
def test_a_seed_that_a_model_cannot_be_drawn_by_is_told(seed, tiny_folder):
    with pytest.raises(InputError, match="seed must be"):
        pu.load_model(str(tiny_folder), labels=["O", "B-LOC"], seed=seed)


def test_a_model_without_a_head_is_told(tiny_folder):
    model, tokenizer = pu.load_model(str(tiny_folder), labels=["O", "B-LOC"], device="cpu")
    corpus = small_corpus()
    for call, given in ((pu.train, corpus), (pu.score, corpus), (pu.predict, corpus.sentences)):
        with pytest.raises(InputError, match="the model has no head that tags words"):
            call(model.base_model, tokenizer, given)


MARKS = {"IOB2": "BI", "BIOES": "BIES", "BILOU": "BILU"}


@pytest.mark.parametrize("scheme", MARKS)
def test_a_model_is_scored_whatever_the_scheme_of_its_labels(scheme, tiny_folder, monkeypatch):
    labels = ["O", *(f"{mark}-{kind}" for kind in ("LOC", "PER") for mark in MARKS[scheme])]
    model, tokenizer = pu.load_model(str(tiny_folder), labels=labels, device="cpu")
    tags = [["B-LOC", "I-LOC", "O", "B-PER"], ["O", "B-LOC"]]
    corpus = Corpus("made up", [["a"] * 4, ["b"] * 2], {"entity": tags})
    said = [convert(tags[0], "IOB2", scheme), ["O", "O"]]
    monkeypatch.setattr(steps, "predict_tags", lambda model, data: said)
    table = pu.score(model, tokenizer, corpus).set_index("entity")
    assert table["entity_f1"].to_dict() == pytest.approx({"LOC": 2 / 3, "PER": 1, "overall": 4 / 5})
    assert table["n_gold"].to_dict() == {"LOC": 2, "PER": 1, "overall": 3}


def test_labels_of_no_scheme_are_told(tiny_folder):
    labels = ["O", "B-LOC", "I-LOC", "S-LOC", "U-LOC"]
    model, tokenizer = pu.load_model(str(tiny_folder), labels=labels, device="cpu")
    with pytest.raises(InputError, match=r"labels .* of the model are of no scheme; allowed: IOB2"):
        pu.score(model, tokenizer, small_corpus())


@pytest.mark.usefixtures("as_for_users")
@pytest.mark.parametrize(
    ("sentences", "message"),
    [
        ("Rome is old", "sentences must be sequences of words"),
        (["Rome is old"], "sentence 1 is 'Rome is old'; needed: its words"),
        ([["Rome"], []], "sentence 2 has 0 words"),
        ([["Rome", ""]], "sentence 1, word 2 is empty"),
        ([["Rome", None]], "sentence 1, word 2 is 'None', which is no text"),
        ([["Rome", float("nan")]], "word 2 is 'nan'"),
        ([[["Rome"]]], "sentence 1, word 1 is"),
        (7, "sentences must be"),
    ],
)
def test_what_are_no_sentences_is_refused_everywhere(sentences, message, tiny_folder):
    model, tokenizer = pu.load_model(str(tiny_folder), labels=["O", "B-LOC"], device="cpu")
    for call in (pu.predict, pu.word_activations):
        with pytest.raises(InputError, match=message):
            call(model, tokenizer, sentences)


@pytest.mark.usefixtures("as_for_users")
def test_sentences_are_the_same_in_every_spelling(tiny_folder):
    model, tokenizer = pu.load_model(str(tiny_folder), device="cpu")
    expected = pu.word_activations(model, tokenizer, [["london", "calls"], ["rain"]])
    for like in ((("london", "calls"), ("rain",)), [np.array(["london", "calls"]), ["rain"]]):
        np.testing.assert_array_equal(pu.word_activations(model, tokenizer, like), expected)
    with pytest.raises(InputError, match="no sentences"):
        pu.word_activations(model, tokenizer, [])


@pytest.mark.slow
def test_the_readmes_lines_are_about_twenty_and_run(tiny_folder, monkeypatch):
    assert len(METHOD.strip().splitlines()) <= 25
    monkeypatch.setattr(pu, "load_corpus", lambda name, split="train": small_corpus(split))
    names = {}
    exec(METHOD.replace('"minilm"', repr(str(tiny_folder))), names)
    assert {"before", "removed", "read_again"} <= set(names)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*words are of the concept")
def test_the_readmes_lines_run_with_the_real_model():
    names = {}
    exec(METHOD.replace("first(2000)", "first(300)").replace("first(500)", "first(80)"), names)
    found = {name: names[name].set_index("entity")["entity_f1"] for name in ("before", "removed")}
    assert found["removed"]["LOC"] < found["before"]["LOC"]
