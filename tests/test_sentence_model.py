"""The model of the page on which a reader tries a sentence: the same as in Python, and small."""

import numpy as np
import pytest
import torch

from plasticity_utils.book.onnx_model import (
    GREATEST,
    Session,
    _rounded,
    arrays_of,
    eight_bit,
    inputs_of,
    write_graph,
)
from plasticity_utils.errors import InputError
from plasticity_utils.models.load import count_layers, encode_words, width
from plasticity_utils.removal.gate import HeldNeurons
from plasticity_utils.removal.interface import in_force
from plasticity_utils.removal.leace import Erasers

pytest.importorskip("onnxruntime", reason="the extra `demo` is not installed")

N_COLUMNS = 2
WORDS = ["london", "calls", "rain", "in", "the"]
# Of several lengths, one with an unknown word and one with a word of two tokens.
SENTENCES = [["London", "calls"], ["rain", "in", "Atlantis", "london", "the", "calls"], ["calls"]]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    from tiny import make_tiny_model, make_tiny_tokenizer

    folder = tmp_path_factory.mktemp("graph")
    model = make_tiny_model("bert")
    write_graph(model, N_COLUMNS, folder / "whole.onnx")
    sentences = encode_words(make_tiny_tokenizer(WORDS), SENTENCES)
    arrays = arrays_of(model, None, N_COLUMNS)
    read = [{**inputs_of(encoded), **arrays} for encoded in sentences]
    eight_bit(folder / "whole.onnx", folder / "bits.onnx", read)
    return model, sentences, folder


def removals(model):
    """Half of the neurons held at numbers of their own, and erasers that erase a plane."""
    random = np.random.default_rng(0)
    n_layers, d_model = count_layers(model), width(model)
    every = np.argwhere(np.ones((n_layers, d_model)))
    half = np.sort(random.choice(len(every), len(every) // 2, replace=False))
    drawn = [
        random.normal(size=shape).astype(np.float32)
        for shape in ((n_layers, d_model, N_COLUMNS), (n_layers, N_COLUMNS, d_model))
    ]
    mean, rest = random.normal(size=(2, n_layers, d_model)).astype(np.float32)
    return {
        "nothing": None,
        "cut": HeldNeurons(every[half], rest.astype(np.float64)),
        "erased": Erasers(0.2 * drawn[0], 0.2 * drawn[1], mean),
    }


def in_python(model, encoded):
    with torch.no_grad():
        found = model(input_ids=torch.tensor([encoded.ids]), output_hidden_states=True)
    return torch.cat(found.hidden_states).numpy()


@pytest.mark.parametrize("name", ["nothing", "cut", "erased"])
def test_the_graph_is_the_model_with_the_removal_in_force(made, name):
    model, sentences, folder = made
    removal = removals(model)[name]
    session, arrays = Session(folder / "whole.onnx"), arrays_of(model, removal, N_COLUMNS)
    for encoded in sentences:
        with in_force(model, removal):
            expected = in_python(model, encoded)
        np.testing.assert_allclose(session.states(encoded, arrays), expected, rtol=1e-4, atol=1e-4)
        if removal is not None:
            assert np.abs(expected - in_python(model, encoded)).max() > 0.1


def test_special_tokens_are_left_alone(made):
    first, *_ = made[1]
    assert inputs_of(first)["word"].ravel().tolist() == [0.0, 1.0, 1.0, 0.0]


def test_eight_bits_are_a_small_step_away(made):
    model, sentences, folder = made
    whole, bits = (Session(folder / f"{name}.onnx") for name in ("whole", "bits"))
    arrays = arrays_of(model, None, N_COLUMNS)
    for encoded in sentences:
        expected, found = whole.states(encoded, arrays), bits.states(encoded, arrays)
        assert 0 < np.abs(found - expected).max() < 0.1 * np.abs(expected).max()


def test_rows_take_up_what_other_rows_lose():
    """What a matrix gives for the states that it was rounded for changes by far less."""
    random = np.random.default_rng(0)
    # Units that go together, as those of a model do.
    states = random.normal(size=(500, 8)) @ random.normal(size=(8, 32))
    states += 0.1 * random.normal(size=states.shape)
    steps = random.uniform(-GREATEST, GREATEST, (32, 16))
    found = _rounded(steps, states.T @ states)
    assert set(np.unique(found % 1)) == {0}
    assert np.abs(found).max() <= GREATEST
    lost, one_by_one = (np.abs(states @ (each - steps)).mean() for each in (found, steps.round()))
    assert lost < 0.5 * one_by_one


def test_what_the_graph_has_no_input_for_is_named(made):
    model = made[0]
    removal = removals(model)["cut"]
    everywhere = HeldNeurons(removal.neurons, removal.rest, positions="all")
    with pytest.raises(InputError, match="HeldNeurons cannot be an input of the graph"):
        arrays_of(model, everywhere, N_COLUMNS)
