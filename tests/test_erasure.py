"""Erasure: what cannot be read any more, what is left alone, and a whole run that erases."""

import numpy as np
import pytest
import torch
from concept_erasure import LeaceEraser

from plasticity_utils import InputError
from plasticity_utils.data.corpus import Corpus
from plasticity_utils.models.activations import inputs
from plasticity_utils.models.layers import layers_of
from plasticity_utils.models.load import encode_words
from plasticity_utils.removal.leace import Erasers, erase, fit_erasers, indicator_of

WORDS = [f"w{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]
# B- and I-words of the concept, words of another entity, and the others.
TAGS = {"B-LOC": WORDS[:4], "I-LOC": WORDS[4:6], "B-PER": WORDS[6:10], "O": WORDS[10:]}
TAG_OF = {word: tag for tag, words in TAGS.items() for word in words}
LAYERS = 4


@pytest.fixture(scope="module")
def corpus():
    """Random words; every third has a second sub-word, "##s"."""
    rng = np.random.default_rng(0)
    drawn = [rng.choice(WORDS, size=rng.integers(3, 9)).tolist() for _ in range(120)]
    tags = [[TAG_OF[word] for word in sentence] for sentence in drawn]
    drawn = [[w + "s" * (rng.random() < 1 / 3) for w in sentence] for sentence in drawn]
    return Corpus("made up", drawn, {"entity": tags})


@pytest.fixture
def planted(tiny_model, tiny_tokenizer):
    """A model whose embedding has directions for the concept, for I-LOC and for persons."""
    tokenizer, model = tiny_tokenizer(WORDS), tiny_model("bert")
    directions = {"B-LOC": [2.0, 0, 0], "I-LOC": [2.0, 1.5, 0], "B-PER": [0, 0, 2.0]}
    for tag, (concept, inner, person) in directions.items():
        ids = tokenizer.convert_tokens_to_ids(TAGS[tag])
        weight = model.get_input_embeddings().weight.data
        weight[ids, 2] += concept
        weight[ids, 5] += inner
        weight[ids, 11] += person
    return model, tokenizer


def token_states(model, tokenizer, corpus):
    """Hidden states of words' tokens, [layer][token, unit], their words, and which are first."""
    encoded = encode_words(tokenizer, corpus.sentences)
    states, words, first, offset = [], [], [], 0
    for sentence in encoded:
        with torch.no_grad():
            hidden = model(**inputs(model, [sentence]), output_hidden_states=True).hidden_states
        of_token = np.array(sentence.word_of_token)
        inside = of_token >= 0
        states.append(torch.stack([h[0, inside] for h in hidden]).double().numpy())
        words += (of_token[inside] + offset).tolist()
        first += (np.diff(of_token, prepend=-2)[inside] != 0).tolist()
        offset += of_token.max() + 1
    return np.concatenate(states, axis=1), np.array(words), np.array(first)


def readable(x, z):
    """Share of the variance of z that a linear reader of x explains: 0 is chance."""
    x = np.column_stack([x, np.ones(len(x))])
    # What is left in float32 of a direction that was projected out is rounding, and no feature.
    rest = z - x @ np.linalg.lstsq(x, z, rcond=1e-5)[0]
    return 1 - (rest**2).sum() / ((z - z.mean()) ** 2).sum()


def readable_by_layer(model, tokenizer, corpus, inside):
    """Of first tokens, which carry the labels, and of the others: [layer, 2]."""
    states, words, first = token_states(model, tokenizer, corpus)
    z = np.asarray(inside, dtype=float)[words]
    return np.array([[readable(x[part], z[part]) for part in (first, ~first)] for x in states])


def of_concept(corpus):
    return np.array([tag.endswith("LOC") for tag in corpus.word_labels()])


def fitted(planted, corpus, indicator="concept", **more):
    model, tokenizer = planted
    found = indicator_of(corpus, "LOC", indicator)
    return fit_erasers(model, tokenizer, corpus.sentences, found, **more)


# What is erased


@pytest.mark.parametrize("indicator", ["concept", "bio", "types"])
def test_no_linear_reader_finds_the_concept_at_any_layer(planted, corpus, indicator):
    model, tokenizer = planted
    inside = of_concept(corpus)
    before = readable_by_layer(model, tokenizer, corpus, inside)
    assert before.shape == (LAYERS, 2)
    assert before[:, 0].min() > 0.2
    with erase(model, fitted(planted, corpus, indicator)):
        after = readable_by_layer(model, tokenizer, corpus, inside)
    assert after.max() < 1e-6


def test_tags_apart_leave_nothing_of_either_and_one_class_does(planted, corpus):
    model, tokenizer = planted
    inside = np.array(corpus.word_labels()) == "B-LOC"
    left = {}
    for indicator in ("concept", "bio"):
        with erase(model, fitted(planted, corpus, indicator)):
            left[indicator] = readable_by_layer(model, tokenizer, corpus, inside)
    assert left["bio"].max() < 1e-6
    assert left["concept"][:, 0].min() > 0.01


def test_against_words_of_no_entity_the_other_entities_do_not_count(planted, corpus):
    model, tokenizer = planted
    tags = np.array(corpus.word_labels())
    with erase(model, fitted(planted, corpus, "outside")):
        states, words, first = token_states(model, tokenizer, corpus)
    for tag in ("B-LOC", "I-LOC"):
        used = first & np.isin(tags[words], [tag, "O"])
        z = (tags[words][used] == tag).astype(float)
        assert max(readable(x[used], z) for x in states) < 1e-6
    inside = first & np.isin(tags[words], ["B-PER", "O"])
    assert readable(states[-1][inside], (tags[words][inside] == "B-PER").astype(float)) > 0.1


def test_other_entities_stay_readable_but_under_types(planted, corpus):
    model, tokenizer = planted
    person = np.array(corpus.word_labels()) == "B-PER"
    left = {}
    for indicator in ("concept", "types"):
        with erase(model, fitted(planted, corpus, indicator)):
            left[indicator] = readable_by_layer(model, tokenizer, corpus, person)
    assert left["concept"][:, 0].min() > 0.1
    assert left["types"].max() < 1e-6


def test_each_layer_is_fitted_with_those_below_in_place(planted, corpus):
    model, tokenizer = planted
    inside = of_concept(corpus)
    in_order = fitted(planted, corpus)
    states, words, first = token_states(model, tokenizer, corpus)
    z = inside[words].astype(float)
    z = np.column_stack([np.where(p, z - z[p].mean(), 0) for p in (first, ~first)])
    apart = [
        LeaceEraser.fit(torch.from_numpy(x), torch.from_numpy(z / z.std(axis=0)), svd_tol=1e-6)
        for x in states
    ]
    projections = np.stack([(e.proj_left @ e.proj_right).numpy() for e in apart])
    own = np.einsum("ldk,lke->lde", in_order.left, in_order.right)
    assert np.allclose(own[0], projections[0], atol=1e-4)
    for layer in range(1, LAYERS):
        assert np.abs(own[layer] - projections[layer]).max() > 0.01
    out_of_order = Erasers(
        np.stack([e.proj_left.numpy() for e in apart]).astype(np.float32),
        np.stack([e.proj_right.numpy() for e in apart]).astype(np.float32),
        np.stack([e.bias.numpy() for e in apart]).astype(np.float32),
    )
    with erase(model, out_of_order):
        left = readable_by_layer(model, tokenizer, corpus, inside)
    assert left[0].max() < 1e-6
    assert left[1:].max() > 0.01


def test_shuffled_labels_take_as_many_dimensions_and_leave_the_concept(planted, corpus):
    model, tokenizer = planted
    indicator = indicator_of(corpus, "LOC", "bio")
    dealt = indicator.shuffled(3)
    assert dealt.classes.sum(axis=0).tolist() == indicator.classes.sum(axis=0).tolist()
    assert not np.array_equal(dealt.classes, indicator.classes)
    assert np.array_equal(dealt.classes, indicator.shuffled(3).classes)
    random = fit_erasers(model, tokenizer, corpus.sentences, dealt)
    assert random.ranks == fitted(planted, corpus, "bio").ranks == [4] * LAYERS
    with erase(model, random):
        assert readable_by_layer(model, tokenizer, corpus, of_concept(corpus))[:, 0].min() > 0.2


def test_labels_are_dealt_out_among_the_words_that_count(corpus):
    indicator = indicator_of(corpus, "LOC", "outside")
    person = np.array(corpus.word_labels()) == "B-PER"
    assert indicator.counts.tolist() == (~person).tolist()
    assert not indicator.shuffled(0).classes[person].any()


# What is left alone


def test_special_tokens_are_left_as_they_are(planted, corpus, tiny_batch):
    model, _ = planted
    ids = tiny_batch["input_ids"]
    special = (ids <= 2).numpy()
    with torch.no_grad():
        before = model(**tiny_batch, output_hidden_states=True).hidden_states[0].numpy()
        with erase(model, fitted(planted, corpus)):
            after = model(**tiny_batch, output_hidden_states=True).hidden_states[0].numpy()
    assert np.array_equal(before[special], after[special])
    assert (before[~special] != after[~special]).any(axis=-1).all()


def test_afterwards_the_model_is_bit_for_bit_as_before(planted, corpus, tiny_batch):
    model, _ = planted
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    model.train()
    with torch.no_grad():
        model.eval()
        before = model(**tiny_batch).logits
        model.train()
        erasers = fitted(planted, corpus)
        assert model.training
        model.eval()
        assert torch.equal(model(**tiny_batch).logits, before)
        erasure = erase(model, erasers)
        assert not torch.equal(model(**tiny_batch).logits, before)
        erasure.undo()
        erasure.undo()
        assert torch.equal(model(**tiny_batch).logits, before)
    # transformers leaves hooks of its own on modules whose states it was asked for.
    hooks = [hook for module in layers_of(model) for hook in module._forward_hooks.values()]
    assert all(hook.__module__.startswith("transformers.") for hook in hooks)
    assert not model.base_model._forward_pre_hooks
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


def test_gradients_flow_through_and_erasers_do_not_train(planted, corpus, tiny_batch):
    model, _ = planted
    erasers = fitted(planted, corpus)
    kept = [part.copy() for part in (erasers.left, erasers.right, erasers.mean)]
    names = set(model.state_dict())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    embedding = model.get_input_embeddings().weight
    before = embedding.detach().clone()
    words = torch.unique(tiny_batch["input_ids"][tiny_batch["input_ids"] > 2])
    with erase(model, erasers):
        assert set(model.state_dict()) == names
        for _ in range(3):
            optimizer.zero_grad()
            model(**tiny_batch).logits.square().mean().backward()
            assert (embedding.grad[words].abs().sum(dim=1) > 0).all()
            optimizer.step()
        with torch.no_grad():
            hidden = model(**tiny_batch, output_hidden_states=True).hidden_states
    assert not torch.equal(embedding[words], before[words])
    is_word = (tiny_batch["input_ids"] > 2).numpy()
    for layer, state in enumerate(hidden):
        # Still projected out, whatever the training made of the model.
        read = (state.numpy()[is_word] - erasers.mean[layer]) @ erasers.right[layer].T
        assert np.abs(read).max() < 1e-4
    for part, own in zip(kept, (erasers.left, erasers.right, erasers.mean), strict=True):
        assert np.array_equal(part, own)


def test_under_the_autocast_of_training_the_projection_is_not_rounded(planted, corpus, tiny_batch):
    model, _ = planted
    erasers = fitted(planted, corpus)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16), erase(model, erasers):
        state = model(**tiny_batch, output_hidden_states=True).hidden_states[0]
    is_word = (tiny_batch["input_ids"] > 2).numpy()
    read = (state.float().numpy()[is_word] - erasers.mean[0]) @ erasers.right[0].T
    assert np.abs(read).max() < 1e-4


def test_erasers_are_kept_in_a_file(planted, corpus, tmp_path):
    erasers = fitted(planted, corpus, "bio")
    erasers.save(tmp_path)
    again = Erasers.load(tmp_path)
    for name in ("left", "right", "mean"):
        assert np.array_equal(getattr(again, name), getattr(erasers, name))


# Bad input


def test_bad_input_is_named(planted, corpus, tiny_model):
    model, tokenizer = planted
    with pytest.raises(InputError, match="unknown indicator 'colour'; allowed: concept, bio, typ"):
        indicator_of(corpus, "LOC", "colour")
    with pytest.raises(InputError, match="label 'ORG' never occurs in made up"):
        indicator_of(corpus, "ORG", "concept")
    indicator = indicator_of(corpus, "LOC", "concept")
    with pytest.raises(InputError, match=rf"indicator has {corpus.n_words} words, sentences"):
        fit_erasers(model, tokenizer, corpus.sentences[1:], indicator)
    with pytest.raises(InputError, match=r"erasers of shape \(4, 16\).* has \(3, 16\)"):
        erase(tiny_model("bert", num_hidden_layers=2), fitted(planted, corpus))
