"""The mistakes of the public code that concern removal (the paper's page), and the paper's way."""

import copy

import numpy as np
import pytest
import torch

from plasticity_utils.errors import InputError
from plasticity_utils.models.layers import layers_of
from plasticity_utils.models.load import head
from plasticity_utils.removal.gate import remove_neurons
from plasticity_utils.removal.layernorm import zero_layernorm_gains, zero_mlp_gains
from plasticity_utils.removal.neurons import layer_matched_draw
from test_pruning import (
    FAMILIES,
    LAYERS,
    POST_NORM,
    UNITS,
    assert_same,
    is_word,
    resting_values,
    run,
)
from tiny import BLOCKS, WIDTH


def test_mistake_2_random_is_random():
    """abde9a7 shuffles range(n) and removes all of it: the ids 0 … n − 1, whatever the seed."""
    generator = np.random.default_rng(3)
    pairs = [(layer, unit) for layer in range(7) for unit in range(100)]
    chosen = np.array(pairs)[generator.choice(len(pairs), 150, replace=False)]
    draws = [layer_matched_draw(chosen, 7, 100, seed) for seed in range(3)]
    sets = [{tuple(pair) for pair in draw.neurons.tolist()} for draw in draws]
    for draw, drawn in zip(draws, sets, strict=True):
        assert len(drawn) == 150
        assert (np.bincount(draw.neurons[:, 0]) == np.bincount(chosen[:, 0])).all()
        assert not drawn & {tuple(pair) for pair in chosen.tolist()}
        assert drawn != set(pairs[:150])
        # Spread over the layer, and not its first units.
        assert np.median(draw.neurons[:, 1]) == pytest.approx(50, abs=15)
    assert sets[0] != sets[1] != sets[2] != sets[0]
    assert np.array_equal(draws[0].neurons, layer_matched_draw(chosen, 7, 100, 0).neurons)


@pytest.mark.parametrize("family", FAMILIES)
def test_mistake_3_off_by_one_layer(family, tiny_model, tiny_batch):
    """`layer[layer_id − 1]` sends neurons of layer 0 to the last block."""
    model = tiny_model(family)
    before = run(model, tiny_batch)
    rest = resting_values()
    with remove_neurons(model, [(0, 6)], rest):
        after = run(model, tiny_batch)
    words = is_word(tiny_batch)
    assert (after[0][words][:, 6] == rest[0, 6]).all()
    assert not torch.allclose(after[1], before[1])
    # The neuron's twin in the last layer is not what was removed.
    assert not (after[BLOCKS][words][:, 6] == rest[BLOCKS, 6]).any()
    if family in POST_NORM:
        with zero_layernorm_gains(model, [(0, 6)]):
            by_layernorm = run(model, tiny_batch)
        assert len(by_layernorm[0][..., 6].unique()) == 1
        assert len(by_layernorm[BLOCKS][..., 6].unique()) > 1


def test_mistake_4_gpt2_ranked_residual_neuron_is_removed(tiny_model, tiny_batch):
    """Zeroing `ln_2`'s gain changes what the MLP reads; the ranked neuron stays."""
    model = tiny_model("gpt2")
    words = is_word(tiny_batch)
    for layer in range(1, BLOCKS + 1):
        # What the paper's code does: the neuron still tells words apart.
        with zero_mlp_gains(model, [(layer, 5)]):
            assert run(model, tiny_batch)[layer][words][:, 5].std() > 0.1
        with remove_neurons(model, [(layer, 5)], resting_values()):
            state = run(model, tiny_batch)[layer][words][:, 5]
        assert (state == resting_values()[layer, 5]).all()
    for family in ("gpt2", "llama"):
        with pytest.raises(InputError, match=r"ln_2.*do not touch"):
            zero_layernorm_gains(tiny_model(family), [(1, 5)])


@pytest.mark.parametrize("family", [name for name in FAMILIES if name not in POST_NORM])
def test_mistake_4_silences_what_one_mlp_reads_and_is_undone(family, tiny_model, tiny_batch):
    model = tiny_model(family)
    before = copy.deepcopy(list(model.state_dict().values()))
    base = model.base_model
    blocks = base.h if family == "gpt2" else base.layers
    read = {}
    for layer, block in enumerate(blocks, 1):
        norm = block.ln_2 if family == "gpt2" else block.post_attention_layernorm
        norm.register_forward_hook(lambda *call, layer=layer: read.update({layer: call[-1]}))
    with zero_mlp_gains(model, [(BLOCKS, 5)]):
        run(model, tiny_batch)
        assert len(read[BLOCKS][..., 5].unique()) == 1
        assert len(read[BLOCKS][..., 6].unique()) > 1
        assert len(read[1][..., 5].unique()) > 1
    run(model, tiny_batch)
    assert len(read[BLOCKS][..., 5].unique()) > 1
    assert_same(before, model.state_dict().values())


def test_mistake_4_is_refused_where_it_cannot_be_made(tiny_model):
    with pytest.raises(InputError, match=r"\(0, 5\).*embedding.*1 to"):
        zero_mlp_gains(tiny_model("gpt2"), [(1, 5), (0, 5)])
    with pytest.raises(InputError, match=r"'bert'.*allowed: gpt2, llama"):
        zero_mlp_gains(tiny_model("bert"), [(1, 5)])


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_mistake_5_freezing_freezes(family, tiny_model, tiny_batch):
    """`requires_grad=False` on `.data` freezes nothing: the optimizer brought the gains back."""
    model = tiny_model(family)
    removed = [(layer, unit) for layer in LAYERS for unit in UNITS]
    removal = remove_neurons(model, removed, resting_values(), "all")
    assert list(removal.parameters()) == []
    assert not [key for key in model.state_dict() if "gain" in key]
    model.train()
    seen = {}
    modules = layers_of(model)
    # In front of the gate's own hook: the gradient that reaches what the gate replaces.
    hooks = [
        modules[layer].register_forward_hook(
            lambda _, __, out, layer=layer: keep_gradient(seen, layer, out), prepend=True
        )
        for layer in LAYERS
    ]
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
    untrained = copy.deepcopy(model.state_dict())
    for _ in range(5):
        optimizer.zero_grad()
        model(**tiny_batch, labels=tiny_batch["input_ids"] % 5).loss.backward()
        for layer in LAYERS:
            gradient = seen[layer].grad
            assert (gradient[..., UNITS] == 0).all()
            assert (gradient != 0).any()
        optimizer.step()
    for hook in hooks:
        hook.remove()
    assert not torch.equal(head(model).weight, untrained_head(model, untrained))
    states = run(model.eval(), tiny_batch)
    for layer in LAYERS:
        assert (states[layer][..., UNITS] == torch.from_numpy(resting_values()[layer, UNITS])).all()
    assert (removal.gains() == 0).all()
    removal.undo()
    assert (run(model, tiny_batch)[1][..., UNITS] != states[1][..., UNITS]).any()


def keep_gradient(seen, layer, output):
    state = output[0] if isinstance(output, tuple) else output
    state.retain_grad()
    seen[layer] = state


def untrained_head(model, state):
    name = "score" if hasattr(model, "score") else "classifier"
    return state[f"{name}.weight"]


# The paper's way


@pytest.mark.parametrize("family", POST_NORM)
def test_zeroed_layernorm_gain_leaves_the_bias(family, tiny_model, tiny_batch):
    model = tiny_model(family)
    before = run(model, tiny_batch)
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    for layer in LAYERS:
        removal = zero_layernorm_gains(model, [(layer, unit) for unit in UNITS])
        after = run(model, tiny_batch)
        for unit in range(WIDTH):
            values = after[layer][..., unit]
            if unit in UNITS:
                assert (values == values[0, 0]).all()
                assert values[0, 0] != 0
            else:
                assert torch.equal(values, before[layer][..., unit])
        removal.undo()
        removal.undo()
    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())
    assert_same(run(model, tiny_batch), before)


@pytest.mark.slow
@pytest.mark.parametrize("regrow", [False, True])
def test_zeroed_layernorm_gains_train_again_only_if_they_may(regrow, tiny_model, tiny_batch):
    """As mistake 5: `requires_grad=False` on `.data` froze nothing."""
    model = tiny_model("bert").train()
    neurons = [(layer, unit) for layer in (2, 0, 3) for unit in UNITS]
    before = {key: value.clone() for key, value in model.state_dict().items()}
    removal = zero_layernorm_gains(model, neurons, regrow)
    assert (removal.gains() == 0).all()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05)
    for _ in range(3):
        optimizer.zero_grad()
        model(**tiny_batch, labels=tiny_batch["input_ids"] % 5).loss.backward()
        optimizer.step()
    ended = removal.gains()
    assert (ended != 0).all() if regrow else (ended == 0).all()
    name = "bert.encoder.layer.1.output.LayerNorm.weight"
    assert not torch.equal(model.state_dict()[name], before[name])
    removal.undo()
    assert torch.equal(model.state_dict()[name][UNITS], before[name][UNITS])
    # Removed again, with the gains that they had grown to.
    with zero_layernorm_gains(model, neurons, regrow) as again:
        again.set_gains(ended)
        assert again.gains() == pytest.approx(ended, abs=1e-6)
