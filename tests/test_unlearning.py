"""A change of weights, put on and taken off; the losses that make one; and how long they train."""

import warnings

import numpy as np
import pandas as pd
import pytest
import torch

import plasticity_utils as pu
from plasticity_utils.data.concepts import without_tags
from plasticity_utils.data.corpus import Corpus
from plasticity_utils.errors import InputError
from plasticity_utils.experiment.config import RunConfig
from plasticity_utils.experiment.stages import Stages
from plasticity_utils.removal import unlearn
from plasticity_utils.removal.changed import ChangedWeights
from plasticity_utils.removal.dose import is_settled, losses, pick
from plasticity_utils.removal.interface import NO_NEURONS, Material, in_force
from plasticity_utils.training.train import tag_logits, tag_sentences
from tiny import make_tiny_model, make_tiny_tokenizer

WORDS = [f"w{number}" for number in range(30)]
NAMES = ["O", "B-LOC", "B-PER"]
EVERY = list(range(6))  # sentences


@pytest.fixture
def model():
    tokenizer = make_tiny_tokenizer(WORDS)
    model = make_tiny_model("bert", vocab_size=len(tokenizer), num_labels=len(NAMES))
    model.config.id2label = dict(enumerate(NAMES))
    model.config.label2id = {name: number for number, name in enumerate(NAMES)}
    return model


@pytest.fixture
def on(model):
    """Six sentences whose words are places, persons and others in turn."""
    sentences = [WORDS[start : start + 5] for start in range(0, 30, 5)]
    tags = [[NAMES[int(word[1:]) % 3] for word in sentence] for sentence in sentences]
    corpus = Corpus("made up", sentences, {"entity": tags})
    tokenizer = make_tiny_tokenizer(WORDS)
    return Material(
        model, tokenizer, corpus, "LOC", 0, lambda method: pd.DataFrame(), NO_NEURONS,
        lambda: pu.score(model, tokenizer, corpus),
    )  # fmt: skip


def weights_of(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def change_of(model, seed=0):
    """A difference for some weights, the linear head's among them."""
    rng = torch.Generator().manual_seed(seed)
    own = dict(model.named_parameters())
    names = ["classifier.weight", "bert.encoder.layer.1.output.dense.weight"]
    moved = {n: own[n].detach() + 0.1 * torch.randn(own[n].shape, generator=rng) for n in names}
    return ChangedWeights.between({n: own[n] for n in names}, moved, steps=3, is_lost=True)


def test_a_change_is_undone_bit_for_bit_kept_and_loaded(model, tmp_path):
    before, change = weights_of(model), change_of(model)
    change.save(tmp_path)
    loaded = ChangedWeights.load(tmp_path)
    assert loaded.key() == change.key() != change_of(model, seed=1).key()
    assert loaded.facts() == {"steps": 3, "is_lost": True}
    with in_force(model, loaded):
        changed = {n for n, v in model.state_dict().items() if not torch.equal(v, before[n])}
    assert changed == set(change.names)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_what_was_trained_on_from_a_change_is_there_again_with_it(model):
    change = change_of(model)
    with in_force(model, change):
        with torch.no_grad():
            model.classifier.weight += 0.01
            model.classifier.bias += 0.01
        trained = weights_of(model)
    saved = weights_of(model)
    assert (saved["classifier.weight"] - trained["classifier.weight"]).abs().max() > 0.01
    with in_force(model, change):
        for name, value in model.state_dict().items():
            torch.testing.assert_close(value, trained[name], msg=name)


@pytest.mark.usefixtures("as_for_users")
def test_a_change_of_another_model_is_refused(model):
    other, change = make_tiny_model("bert", hidden_size=8), change_of(model)
    with pytest.raises(InputError, match=r"for classifier.weight, the model \[5, 8\]"):
        change.applied(other)
    with pytest.raises(InputError, match=r"output.dense.weight, the model nothing"):
        change.applied(make_tiny_model("gpt2", num_labels=len(NAMES)))


def test_a_model_saved_with_a_change_in_force_has_it(model, tmp_path):
    change = change_of(model)
    with in_force(model, change), warnings.catch_warnings():
        warnings.simplefilter("error")
        model.save_pretrained(tmp_path)
        weight = model.classifier.weight.detach().clone()
    assert torch.equal(type(model).from_pretrained(tmp_path).classifier.weight, weight)
    assert not torch.equal(model.classifier.weight, weight)


def loss_of(removal, on, **settings):
    return pu.removals.get(removal)(**settings).objective(on, on.is_concept)


def gradient(model, loss):
    """Of all weights, in one row."""
    model.zero_grad()
    loss.backward()
    return torch.cat([p.grad.flatten() for p in model.parameters()])


def test_relabelling_is_training_on_a_corpus_without_the_concepts_tags(on):
    found = float(loss_of("relabel", on)(EVERY).detach())
    masked = tag_sentences(on.model, on.tokenizer, without_tags(on.corpus, "LOC"))
    scores = torch.from_numpy(np.concatenate(tag_logits(on.model, masked)))
    tags = torch.tensor([NAMES.index(tag) for own in masked.tags for tag in own])
    assert found == pytest.approx(float(torch.nn.functional.cross_entropy(scores, tags)), rel=1e-5)


def test_a_preference_is_a_climb_at_first_and_lets_go_of_what_is_lost(on):
    """Zhang et al. 2024, Proposition 1 and what follows from it."""
    climb, slight, strong = (
        loss_of("gradient_difference", on), loss_of("npo", on, beta=1e-4),
        loss_of("npo", on, beta=50.0),
    )  # fmt: skip
    climbed = gradient(on.model, climb(EVERY))
    torch.testing.assert_close(gradient(on.model, slight(EVERY)), climbed, rtol=1e-3, atol=1e-5)
    with torch.no_grad():
        on.model.classifier.bias[1] -= 5  # a place is far less likely now than before
    rest = gradient(on.model, unlearn.Words(on, on.is_concept).told(EVERY).kept)
    torch.testing.assert_close(gradient(on.model, strong(EVERY)), rest)
    assert (gradient(on.model, climb(EVERY)) - rest).abs().max() > 0.01


def test_what_is_no_tag_cannot_be_trained_away():
    stages = Stages(RunConfig("words:Monday", removal="npo"))
    with pytest.raises(InputError, match="'npo' trains a model to forget tags, and 'Monday' is no"):
        stages.check()


def test_no_word_can_be_relabelled_where_every_one_has_a_tag(model):
    model.config.label2id = {"NN": 0, "VB": 1, "DT": 2}
    with pytest.raises(InputError, match="relabel sets a concept's tags to O, which is no tag of"):
        pu.removals.get("relabel")().check(model)


@pytest.mark.usefixtures("as_for_users")
@pytest.mark.parametrize("layer", [0, 4, True, 1.0])
def test_states_are_steered_at_a_layer_that_a_block_writes(model, layer):
    with pytest.raises(InputError, match=rf"layer {layer}; allowed: 1 to 3"):
        pu.removals.get("rmu")(layer=layer).check(model)
    assert len(pu.removals.get("rmu")(layer=3).trained(model)) == 3


@pytest.mark.slow
def test_training_stops_when_the_concept_is_lost_and_says_where_it_is_not(on, monkeypatch):
    monkeypatch.setattr(unlearn, "STEPS_TRIED", (4, 8, 16))
    made = pu.removals.get("relabel")
    with torch.no_grad():
        on.model.classifier.bias[1] += 20  # every word is a place, and long to be unlearned
    assert not made(learning_rate=1e-6).fit(on).is_lost
    quick = made(learning_rate=0.1).fit(on)
    assert quick.is_lost
    assert quick.steps in unlearn.STEPS_TRIED
    assert not any("embeddings.word" in name for name in quick.names)


def test_a_dose_is_settled_where_no_larger_one_could_be_picked():
    base = pd.Series({"LOC": 0.9, "PER": 0.9})

    def table(**f1):
        rows = {int(step[1:]): pd.Series(dict(zip(base.index, own, strict=True)))
                for step, own in f1.items()}  # fmt: skip
        return losses(pd.DataFrame(rows).T.rename_axis("dose"), base, "LOC")

    assert not is_settled(table(s4=(0.5, 0.9)))
    assert is_settled(table(s4=(0.5, 0.9), s8=(0.05, 0.9)))
    taken_along = table(s4=(0.5, 0.9), s8=(0.05, 0.3))
    assert not is_settled(taken_along)
    assert pick(taken_along) == 4
    alone = losses(pd.DataFrame({"LOC": [0.5, 0.0]}, index=pd.Index([4, 8], name="dose")),
                   pd.Series({"LOC": 0.9}), "LOC")  # fmt: skip
    assert pick(alone) == 8
