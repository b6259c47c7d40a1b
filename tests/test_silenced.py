"""The removal `weights`: zeros in a model's own weights, which stay, are undone, and are saved."""

import warnings

import pytest
import torch

import plasticity_utils as pu
from plasticity_utils.errors import InputError
from plasticity_utils.models.anatomy import ANATOMIES
from plasticity_utils.models.layers import layers_of
from plasticity_utils.removal.interface import in_force
from plasticity_utils.removal.weights import SilencedNeurons, silence_weights
from tiny import BLOCKS, make_tiny_model

NEURONS = torch.tensor([(0, 3), (1, 3), (1, 9), (BLOCKS, 5)]).numpy()


def states_of(model, batch):
    with torch.no_grad():
        return model(**batch, output_hidden_states=True)


@pytest.mark.parametrize("family", sorted(ANATOMIES))
def test_a_silenced_unit_says_nothing_and_is_undone_bit_for_bit(family, tiny_batch):
    model = make_tiny_model(family)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    whole = states_of(model, tiny_batch)
    with in_force(model, SilencedNeurons(NEURONS)):
        cut = states_of(model, tiny_batch)
        # The embeddings and the last norm write 0; a pre-norm block only adds nothing.
        for layer, unit in [(0, 3), (BLOCKS, 5)]:
            assert cut.hidden_states[layer][..., unit].abs().max() == 0
        if family in ("bert", "distilbert"):
            assert cut.hidden_states[1][..., [3, 9]].abs().max() == 0
        assert cut.hidden_states[1][..., 4].abs().max() > 0
    assert not torch.equal(cut.logits, whole.logits)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_nothing_reads_a_silenced_unit(family, tiny_batch):
    """In the last layer: whatever it said, the head does not hear it."""
    model = make_tiny_model(family)
    with silence_weights(model, [(BLOCKS, 5)]):
        cut = states_of(model, tiny_batch).logits

        def louder(module, args, output):
            state = output[0] if isinstance(output, tuple) else output
            state[..., 5] += 100.0

        hook = layers_of(model)[-1].register_forward_hook(louder)
        assert torch.equal(states_of(model, tiny_batch).logits, cut)
        hook.remove()


def test_zeros_stay_while_the_rest_trains(tiny_batch):
    model = make_tiny_model("bert").train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1)
    change = silence_weights(model, NEURONS)
    zero = {name: value == 0 for name, value in model.named_parameters()}
    assert sum(int(mask.sum()) for mask in zero.values()) > 100
    before = model.bert.encoder.layer[1].output.dense.weight.clone()
    for _ in range(3):
        optimizer.zero_grad()
        model(**tiny_batch).logits.square().mean().backward()
        optimizer.step()
    for name, value in model.named_parameters():
        assert (value[zero[name]] == 0).all(), name
    assert not torch.equal(model.bert.encoder.layer[1].output.dense.weight, before)
    change.undo()
    change.undo()
    assert all((value != 0).any() for value in model.parameters())
    assert not any(value._backward_hooks for value in model.parameters())


@pytest.mark.parametrize("family", ["bert", "gpt2", "llama"])
def test_the_saved_model_is_the_removal_for_whoever_loads_it(family, tiny_batch, tmp_path):
    model = make_tiny_model(family)
    with in_force(model, SilencedNeurons(NEURONS)), warnings.catch_warnings():
        warnings.simplefilter("error")
        model.save_pretrained(tmp_path)
        cut = states_of(model, tiny_batch).logits
    loaded = type(model).from_pretrained(tmp_path).eval()
    assert torch.equal(states_of(loaded, tiny_batch).logits, cut)
    assert not torch.equal(states_of(model, tiny_batch).logits, cut)


def test_beside_a_gate_the_model_still_warns_of_what_is_left_out(tmp_path):
    model = make_tiny_model("bert")
    with (
        silence_weights(model, NEURONS), pu.remove_neurons(model, [(2, 2)]),
        pytest.warns(UserWarning, match="saved are the weights alone"),
    ):  # fmt: skip
        model.save_pretrained(tmp_path)


def test_an_architecture_of_which_nothing_is_known_is_refused_at_once():
    model = make_tiny_model("bert")
    model.config.model_type = "electra"
    for removal in ("weights", "rmu"):
        with pytest.raises(InputError, match="a model of type 'electra'; supported: bert"):
            pu.removals.get(removal)().check(model)
