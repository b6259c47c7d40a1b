"""Whatever is given is read rightly or is one line: over types, schemes and shapes."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

import plasticity_utils as pu
from plasticity_utils.data.schemes import PREFIXES, convert
from plasticity_utils.errors import InputError
from plasticity_utils.models.load import load_model
from plasticity_utils.models.tokens import encode_words, special_token_ids
from plasticity_utils.neurons.inputs import as_flat_ids
from tiny import make_tiny_model, make_tiny_tokenizer, save_tiny

pytestmark = pytest.mark.usefixtures("as_for_users")

FEW = settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip
MANY = settings(FEW, max_examples=40)


def allowed(act):
    """What comes of it, or None where it was refused in one line; no other error passes."""
    said = ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return act()
        except InputError as error:
            said = str(error)
    assert "\n" not in said
    assert 0 < len(said) < 2000
    return None


# Corpora mean what they say

TYPES = ("LOC", "PER", "work-of-art", "B-X")
WORDS = st.one_of(
    st.sampled_from(
        ["#", "#tag", "O", "B-LOC", "word", "Text", "-", '"', "''", "-LRB-", "1-2", "_"]
    ),
    st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=4),
)


@st.composite
def corpora(draw):
    """Sentences of words, and their tags in IOB2."""
    names = st.tuples(st.sampled_from(TYPES), st.integers(1, 3), st.integers(0, 2))
    sentences = []
    for found in draw(st.lists(st.lists(names, min_size=1, max_size=4), min_size=1, max_size=4)):
        tags = []
        for kind, length, gap in found:
            tags += [*["O"] * gap, f"B-{kind}", *[f"I-{kind}"] * (length - 1)]
        words = draw(st.lists(WORDS, min_size=len(tags), max_size=len(tags)))
        sentences.append((words, tags))
    return sentences


@MANY
@given(
    corpora(),
    st.sampled_from(sorted(PREFIXES)),
    st.sampled_from(["\t", " ", "   "]),
    st.sampled_from(["\n", "\r\n"]),
    st.lists(st.sampled_from([".", "NN", "#", "-LRB-", "``"]), max_size=2),
    st.sampled_from(["", "# a comment of five words", "-DOCSTART- -X- O O"]),
    st.booleans(),
)
def test_a_concepts_words_are_the_same_in_every_way_of_writing_them(
    tmp_path, sentences, scheme, cut, end, more, opening, titled
):
    lines = [cut.join(["word", *(f"tag{i}" for i in range(len(more))), "ner"])] if titled else []
    # A line of titles and a comment do not stand in one file.
    opening = "" if titled else opening
    for words, tags in sentences:
        lines += [opening, ""] if opening.startswith("-") else [opening] if opening else []
        rows = zip(words, convert(tags, "IOB2", scheme), strict=True)
        lines += [*(cut.join([word, *more, tag]) for word, tag in rows), ""]
    path = tmp_path / "some.txt"
    path.write_bytes(end.join(lines).encode())
    corpus = pu.load_corpus(path)
    assert corpus.sentences == [words for words, _ in sentences]
    for kind in {tag[2:] for _, tags in sentences for tag in tags if tag != "O"}:
        expected = [tag[2:] == kind for _, tags in sentences for tag in tags]
        assert pu.concept_words(corpus, kind).tolist() == expected


# Array-likes

LAYERS, WIDTH = 4, 16
N = LAYERS * WIDTH
CORPUS_WORDS = ["london", "calls", "berlin", "paris"]

plain = st.one_of(
    st.none(), st.booleans(), st.integers(-2, N + 1), st.floats(), st.text(max_size=3),
    st.binary(max_size=2), st.sampled_from(CORPUS_WORDS),
)  # fmt: skip
dtypes = st.sampled_from(["?", "i1", "u2", "i8", "f2", "f4", "f8", "c8", "U2", "S2", "M8[D]", "O"])
arrays_of_any_kind = dtypes.flatmap(
    lambda kind: arrays.arrays(
        np.dtype(kind),
        arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
        elements=plain if kind == "O" else None,
    )
)


def as_tensor(values):
    return torch.tensor(values.tolist()) if values.dtype.kind in "?biuf" else values


anything = st.one_of(
    plain,
    st.lists(plain, max_size=4),
    st.lists(st.lists(plain, max_size=3), max_size=3),
    st.lists(st.tuples(st.integers(0, LAYERS), st.integers(0, WIDTH)), max_size=3),
    st.sets(st.integers(0, N), max_size=3),
    st.dictionaries(st.integers(0, 3) | st.text(max_size=1), plain, max_size=2),
    arrays_of_any_kind,
    arrays_of_any_kind.map(as_tensor),
    arrays_of_any_kind.filter(lambda a: a.ndim == 1).map(
        lambda a: pd.Series(a.tolist(), dtype=object)
    ),
    arrays_of_any_kind.filter(lambda a: a.ndim == 2).map(lambda a: pd.DataFrame(a.tolist())),
    st.builds(range, st.integers(0, 4)),
    st.builds(iter, st.lists(plain, max_size=3)),
    st.builds(object),
)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    save_tiny(folder, CORPUS_WORDS)
    return load_model(folder, device="cpu")


X = np.random.default_rng(0).normal(size=(60, N))
IS_CONCEPT = np.arange(60) % 2 == 0
SIXTY = [f"w{i % 7}" for i in range(60)]
TAKES = {
    "rank_neurons X": lambda v: pu.rank_neurons(v, IS_CONCEPT),
    "rank_neurons labels": lambda v: pu.rank_neurons(X, v),
    "rank_neurons method": lambda v: pu.rank_neurons(X, IS_CONCEPT, v),
    "rank_neurons n_layers": lambda v: pu.rank_neurons(X, IS_CONCEPT, n_layers=v),
    "top": lambda v: pu.rank_neurons(X, IS_CONCEPT, n_layers=LAYERS).top(v),
    "highest X": lambda v: pu.highest_activating_words(v, SIXTY, [1], 2),
    "highest words": lambda v: pu.highest_activating_words(X, v, [1], 2),
    "highest neurons": lambda v: pu.highest_activating_words(X, SIXTY, v, 2, n_layers=LAYERS),
    "highest k": lambda v: pu.highest_activating_words(X, SIXTY, [1], v),
    "rank_saliency": lambda v: pu.rank_saliency(v),
    "profile order": lambda v: pu.removal_only_profile(v, [0], LAYERS),
    "profile removed": lambda v: pu.removal_only_profile(np.arange(N), v, LAYERS),
    "profile n_layers": lambda v: pu.removal_only_profile(np.arange(N), [0], v),
    "load_corpus": lambda v: pu.load_corpus(v),
    "load_run": lambda v: pu.load_run(v),
    "run_experiment": lambda v: pu.run_experiment(v),
    "find_run": lambda v: pu.find_run(v),
    "run_group": lambda v: pu.run_group(v),
    "explore": lambda v: pu.explore(v),
    "explore model": lambda v: pu.explore(model=v, sentences=["a"]),
    "explore sentences": lambda v: pu.explore(model=(None, None), sentences=v),
    "explore concept": lambda v: pu.explore(model=(None, None), sentences=["a"], concept=v),
    "publish": lambda v: pu.publish(v),
    "grid_results": lambda v: pu.grid_results(v),
    "load_activations": lambda v: pu.load_activations(v),
    "load_model": lambda v: pu.load_model(v),
}


@pytest.mark.parametrize("name", TAKES)
@MANY
@given(value=anything)
def test_whatever_a_function_is_given_it_works_or_says_one_line(name, value):
    allowed(lambda: TAKES[name](value))


@MANY
@given(value=anything)
def test_whatever_is_put_on_a_model_fits_or_is_refused(loaded, value):
    model, tokenizer = loaded
    sentences = [["london", "calls"], ["paris"]]
    before = pu.word_activations(model, tokenizer, sentences)
    allowed(lambda: pu.word_activations(model, tokenizer, value))
    allowed(lambda: pu.word_activations(value, tokenizer, sentences))
    allowed(lambda: pu.word_activations(model, value, sentences))
    allowed(lambda: pu.predict(model, tokenizer, value))
    allowed(lambda: pu.score(model, tokenizer, value))
    allowed(lambda: pu.train(model, tokenizer, value))
    allowed(lambda: pu.remove_neurons(value, [1]))
    allowed(lambda: pu.undo(value))
    for act in (
        lambda: pu.remove_neurons(model, value),
        lambda: pu.remove_neurons(model, [1], rest=value),
        lambda: pu.remove_neurons(model, [1], rest="mean", X=value),
        lambda: pu.patch_layers(model, value),
        lambda: pu.patch_layers(model, {1: lambda state: value}),
    ):
        if allowed(act) is not None:
            # What was put in force does not break a later pass.
            allowed(lambda: pu.word_activations(model, tokenizer, sentences))
            pu.undo(model)
    np.testing.assert_array_equal(pu.word_activations(model, tokenizer, sentences), before)


@MANY
@given(arrays_of_any_kind)
def test_an_array_names_these_neurons_and_no_others(values):
    found = allowed(lambda: as_flat_ids(values, N, LAYERS))
    if found is None or values.size == 0:
        return
    if values.dtype.kind == "b":
        expected = np.flatnonzero(values)
    elif values.ndim == 1:
        expected = values
    else:
        expected = values[:, 0].astype(int) * WIDTH + values[:, 1]
    assert found.tolist() == expected.tolist()


@MANY
@given(
    st.integers(2, 30),
    st.integers(1, 4),
    st.integers(1, 5),
    st.sampled_from([np.float64, np.float32, np.float16, np.int64, np.int8]),
    st.randoms(use_true_random=False),
)
def test_a_ranking_is_the_same_of_activations_in_every_shape(rows, layers, width, kind, random):
    values = np.array([[random.randint(-9, 9) for _ in range(layers * width)] for _ in range(rows)])
    members = np.array([random.random() < 0.5 for _ in range(rows)])

    def order(given, inside):
        return allowed(lambda: pu.rank_neurons(given, inside, n_layers=layers).order)

    expected = order(values.astype(float), members)
    strided = np.repeat(values, 2, axis=1)[:, ::2].astype(kind)
    for same in (
        values.astype(kind), np.asfortranarray(values.astype(kind)), strided, values.tolist(),
        pd.DataFrame(values, index=range(rows, 0, -1)), torch.tensor(values.astype(kind)),
    ):  # fmt: skip
        for inside in (members.tolist(), members.astype(int), pd.Series(members)[::1]):
            found = order(same, inside)
            assert (found is None) == (expected is None)
            if found is not None:
                np.testing.assert_array_equal(found, expected)


# Models that load are the models that were saved


def states(model, ids):
    with torch.no_grad():
        found = model(input_ids=torch.tensor([ids]), output_hidden_states=True)
    return [*found.hidden_states, found.logits]


@FEW
@given(
    st.sampled_from(["bert", "roberta", "distilbert", "gpt2", "llama", "qwen3"]),
    st.integers(0, 2**32 - 1),
    st.lists(st.text("OBI-LCPR.,é", min_size=1, max_size=4), min_size=1, max_size=5, unique=True),
    st.sampled_from(["5MB", "8KB"]),
)
def test_a_saved_model_loads_as_it_was(tmp_path_factory, family, seed, labels, shard):
    folder = tmp_path_factory.mktemp("saved")
    names = {
        "id2label": dict(enumerate(labels)),
        "label2id": {name: i for i, name in enumerate(labels)},
    }
    model = make_tiny_model(family, seed, num_labels=len(labels), **names)
    model.save_pretrained(folder, max_shard_size=shard)
    make_tiny_tokenizer(CORPUS_WORDS).save_pretrained(folder)
    for given_labels in (None, labels):
        found, _ = load_model(folder, labels=given_labels, device="cpu")
        assert found.config.label2id == names["label2id"]
        for one, other in zip(
            states(found, [1, 5, 6, 2]), states(model, [1, 5, 6, 2]), strict=True
        ):
            assert torch.equal(one, other)


@FEW
@given(st.data())
def test_damaged_weights_are_refused_or_load_as_they_are(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("damaged")
    save_tiny(folder, CORPUS_WORDS)
    weights = load_file(folder / "model.safetensors")
    name = data.draw(st.sampled_from(sorted(weights)))
    tensor = weights.pop(name)
    end = data.draw(st.sampled_from(["gone", "renamed", "longer", "shorter", "half", "as it was"]))
    changed = {
        "gone": {}, "renamed": {f"{name}2": tensor}, "longer": {name: torch.cat([tensor, tensor])},
        "shorter": {name: tensor[:-1].clone()}, "half": {name: tensor.half()},
        "as it was": {name: tensor},
    }[end]  # fmt: skip
    weights |= changed
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    loaded = allowed(lambda: load_model(folder, device="cpu"))
    is_head = name.startswith("classifier")
    if end in ("half", "as it was"):
        assert loaded is not None
    elif not is_head:
        assert loaded is None, (name, end)
    if loaded is not None:
        found = loaded[0].state_dict()
        body = [key for key in weights if key in found and not key.startswith("classifier")]
        assert all(torch.equal(found[key], weights[key].float()) for key in body)


odd = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 50), st.floats(allow_nan=False), st.text(max_size=3),
    st.lists(st.integers(-1, 3), max_size=2),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
)  # fmt: skip


@MANY
@given(st.data())
def test_whatever_a_models_files_hold_it_loads_or_says_one_line(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("odd")
    save_tiny(folder, CORPUS_WORDS)
    name = data.draw(st.sampled_from(["config.json", "tokenizer.json", "tokenizer_config.json"]))
    file = folder / name
    content = json.loads(file.read_text())
    key = data.draw(st.sampled_from([*sorted(content), None]))
    value = data.draw(odd)
    file.write_text(json.dumps(value if key is None else {**content, key: value}))
    found = allowed(lambda: load_model(folder, device="cpu"))
    if found is not None:
        model, tokenizer = found
        allowed(lambda: pu.word_activations(model, tokenizer, [["london", "calls"]]))


def byte_level():
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({t: i for i, t in enumerate(["<|start|>", *alphabet])}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<|start|>")


def sentence_piece():
    pieces = ["<s>", "</s>", "<unk>", "▁", "a", "b", "▁a"]
    backend = Tokenizer(models.Unigram([(piece, -float(i)) for i, piece in enumerate(pieces)], 2))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>",
        pad_token="</s>",
    )  # fmt: skip


TOKENIZERS = {
    "word pieces": make_tiny_tokenizer([*CORPUS_WORDS, "a", "b", "[", "]"]),
    "bytes": byte_level(),
    "sentence pieces": sentence_piece(),
}
any_words = st.lists(
    st.one_of(
        st.text(min_size=1, max_size=4),
        st.sampled_from(["[SEP]", "[CLS]", "[PAD]", "<s>", "</s>", "<|start|>", "▁", "Ġ", "\0"]),
    ),
    min_size=1, max_size=6,
)  # fmt: skip


@pytest.mark.parametrize("kind", TOKENIZERS)
@MANY
@given(sentences=st.lists(any_words, min_size=1, max_size=3))
def test_every_word_has_tokens_of_its_own_whatever_it_is_spelled_like(kind, sentences):
    tokenizer = TOKENIZERS[kind]
    special = set(special_token_ids(tokenizer))
    encoded = encode_words(tokenizer, sentences)
    for row, words in zip(encoded, sentences, strict=True):
        of_words = [word for word in row.word_of_token if word >= 0]
        assert of_words == sorted(of_words)
        assert set(of_words) == set(range(len(words)))
        for token, word in zip(row.ids, row.word_of_token, strict=True):
            assert (token in special) == (word < 0)
    # A sentence is read the same whatever stands beside it.
    assert encoded == [encode_words(tokenizer, [words])[0] for words in sentences]
