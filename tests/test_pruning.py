import copy

import numpy as np
import pytest
import torch

from plasticity_utils.errors import InputError
from plasticity_utils.models.layers import layers_of
from plasticity_utils.registry import removals
from plasticity_utils.removal.gate import remove_neurons
from plasticity_utils.removal.neurons import layer_matched_draw
from plasticity_utils.removal.patch import patch_layers, undo
from tiny import BLOCKS, SPECIAL_IDS, WIDTH, make_tiny_model

FAMILIES = ("bert", "distilbert", "roberta", "gpt2", "llama")
POST_NORM = ("bert", "distilbert", "roberta")
LAYERS = range(BLOCKS + 1)
UNITS = [2, 7, 11]


def run(model, batch):
    with torch.no_grad():
        result = model(**batch, output_hidden_states=True)
    return [*result.hidden_states, result.logits]


def is_word(batch):
    return ~torch.isin(batch["input_ids"], torch.tensor(SPECIAL_IDS))


def resting_values(seed=0):
    return np.random.default_rng(seed).normal(3, 1, (BLOCKS + 1, WIDTH)).astype(np.float32)


def assert_same(states, others):
    assert all(torch.equal(a, b) for a, b in zip(states, others, strict=True))


def fingerprint(model):
    """Everything of the modules that a patch could leave behind."""
    return [
        (
            name,
            sorted(module.__dict__),
            list(module._parameters),
            list(module._buffers),
            len(module._forward_hooks),
            len(module._forward_pre_hooks),
            module.__dict__.get("forward"),
        )
        for name, module in model.named_modules()
    ]


@pytest.mark.parametrize("regrow", [False, True])
@pytest.mark.parametrize("recorded_first", [False, True])
@pytest.mark.parametrize("positions", ["words", "all"])
@pytest.mark.parametrize("family", FAMILIES)
def test_gate_sets_the_hidden_state_of_its_layer_and_undo_restores_all(
    family, positions, recorded_first, regrow, tiny_model, tiny_batch
):
    model = tiny_model(family)
    rest = resting_values()
    before = run(tiny_model(family), tiny_batch)
    if recorded_first:
        # transformers puts its recording hooks in with the first such call, and keeps them.
        run(model, tiny_batch)
    changed_tokens = is_word(tiny_batch) if positions == "words" else torch.ones(2, 7).bool()
    kept_units = [unit for unit in range(WIDTH) if unit not in UNITS]
    for layer in LAYERS:
        with remove_neurons(
            model, [(layer, unit) for unit in UNITS], rest, positions, regrow=regrow
        ):
            after = run(model, tiny_batch)
        resting = torch.from_numpy(rest[layer, UNITS])
        here, here_before = after[layer], before[layer]
        assert (here[changed_tokens][:, UNITS] == resting).all()
        assert torch.equal(here[~changed_tokens], here_before[~changed_tokens])
        assert torch.equal(here[..., kept_units], here_before[..., kept_units])
        assert_same(after[:layer], before[:layer])
        for later in range(layer + 1, BLOCKS + 2):
            assert not torch.allclose(after[later], before[later]), f"layer {later} unmoved"
        assert_same(run(model, tiny_batch), before)


@pytest.mark.parametrize("regrow", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_undo_leaves_nothing_behind_and_may_be_called_twice(family, regrow, tiny_model, tiny_batch):
    model = tiny_model(family)
    states = run(model, tiny_batch)
    weights = {key: value.clone() for key, value in model.state_dict().items()}
    clean = fingerprint(model)
    removal = remove_neurons(model, {(layer, 3) for layer in LAYERS}, regrow=regrow)
    run(model, tiny_batch)
    assert fingerprint(model) != clean
    removal.undo()
    removal.undo()
    assert fingerprint(model) == clean
    assert list(model.state_dict()) == list(weights)
    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())
    assert_same(run(model, tiny_batch), states)


@pytest.mark.parametrize("family", FAMILIES)
def test_gate_holds_without_the_classification_head(family, tiny_model, tiny_batch):
    model = tiny_model(family)
    with remove_neurons(model, [(1, 4)], resting_values()):
        whole = run(model, tiny_batch)
        base = model.base_model(**tiny_batch, output_hidden_states=True).hidden_states
    assert_same(base, whole[:-1])


def test_words_are_told_by_the_ids_of_the_running_batch(tiny_model, tiny_batch):
    model = tiny_model("llama")
    other = {"input_ids": torch.tensor([[1, 5, 2, 6]])}
    with remove_neurons(model, [(2, 0)], resting_values()):
        run(model, tiny_batch)
        state = run(model, other)[2][0, :, 0]
    rest = resting_values()[2, 0]
    assert (state == rest).tolist() == [False, True, False, True]


def test_special_ids_fall_back_on_the_roles_in_the_config(tiny_model, tiny_batch):
    model = tiny_model("llama")
    del model.config.special_token_ids
    with remove_neurons(model, [(2, 0)], resting_values()):
        state = run(model, tiny_batch)[2][..., 0]
    assert torch.equal(state == resting_values()[2, 0], is_word(tiny_batch))


def test_removal_without_input_ids_is_refused(tiny_model):
    model = tiny_model("llama")
    with (
        remove_neurons(model, [(0, 1)]),
        pytest.raises(InputError, match="needs input_ids"),
    ):
        model(inputs_embeds=torch.zeros(1, 3, WIDTH))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"neurons": [(BLOCKS + 1, 0)]}, r"\(4, 0\) does not exist; layers run from 0 to 3"),
        ({"neurons": [(0, WIDTH)]}, r"\(0, 16\) does not exist"),
        ({"neurons": [(-1, 0)]}, r"\(-1, 0\) does not exist"),
        ({"neurons": [(1, 2), (0, 3), (1, 2)]}, r"\(1, 2\) is given more than once"),
        ({"neurons": np.zeros((1, 2))}, "integers"),
        ({"neurons": (1, 2)}, "one .* pair or two flat ids"),
        ({"rest": "median"}, "'median'"),
        ({"rest": np.zeros((BLOCKS, WIDTH))}, r"must be \(4, 16\)"),
        ({"rest": np.full((BLOCKS + 1, WIDTH), np.nan)}, r"neuron \(0, 0\) is nan"),
        ({"positions": "tokens"}, "'tokens'"),
    ],
)
def test_arguments_are_checked_and_leave_the_model_alone(arguments, message, tiny_model):
    model = tiny_model("bert")
    clean = fingerprint(model)
    with pytest.raises(InputError, match=message):
        remove_neurons(model, **{"neurons": [(0, 0)], **arguments})
    assert fingerprint(model) == clean


def test_a_resting_neuron_rests_even_where_its_input_overflows(tiny_model, tiny_batch):
    model = tiny_model("bert")
    with torch.no_grad():
        layers_of(model)[1].output.LayerNorm.bias[5] = torch.inf
    with remove_neurons(model, [(1, 5)], resting_values(), "all"):
        after = run(model, tiny_batch)
    assert (after[1][..., 5] == resting_values()[1, 5]).all()
    assert torch.isfinite(after[-1]).all()


def test_bf16_autocast_keeps_the_type_of_hidden_states(tiny_model, tiny_batch):
    for family in FAMILIES:
        model = tiny_model(family)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            types = [state.dtype for state in run(model, tiny_batch)]
            for regrow in (False, True):
                removed = [(layer, 1) for layer in LAYERS]
                with remove_neurons(model, removed, resting_values(), "all", regrow):
                    states = run(model, tiny_batch)
                assert [state.dtype for state in states] == types
                for layer in LAYERS:
                    rest = torch.tensor(resting_values()[layer, 1]).to(types[layer])
                    assert (states[layer][..., 1] == rest).all()


def test_removals_stack_and_the_later_one_wins(tiny_model, tiny_batch):
    model = tiny_model("gpt2")
    before = run(model, tiny_batch)
    first = remove_neurons(model, [(1, 2), (3, 4)], resting_values(1), regrow=True)
    between = run(model, tiny_batch)
    second = remove_neurons(model, [(1, 2), (2, 5)], resting_values(2), regrow=True)
    words = is_word(tiny_batch)
    both = run(model, tiny_batch)
    assert (both[1][words][:, 2] == resting_values(2)[1, 2]).all()
    assert (both[3][words][:, 4] == resting_values(1)[3, 4]).all()
    assert {first.parameter_name, second.parameter_name} <= set(model.state_dict())
    second.undo()
    assert_same(run(model, tiny_batch), between)
    first.undo()
    assert_same(run(model, tiny_batch), before)


def test_removals_can_be_undone_in_any_order(tiny_model, tiny_batch):
    model = tiny_model("bert")
    before = run(model, tiny_batch)
    with remove_neurons(model, [(2, 5)], resting_values()):
        only_second = run(model, tiny_batch)
    first = remove_neurons(model, [(1, 2)])
    second = remove_neurons(model, [(2, 5)], resting_values())
    first.undo()
    assert_same(run(model, tiny_batch), only_second)
    second.undo()
    assert_same(run(model, tiny_batch), before)


def test_a_copy_of_a_gated_model_is_gated_by_itself(tiny_model, tiny_batch):
    model = tiny_model("llama")
    before = run(model, tiny_batch)
    removal = remove_neurons(model, [(1, 2)], resting_values(), regrow=True)
    gated = run(model, tiny_batch)
    twin = copy.deepcopy(model)
    with torch.no_grad():
        next(removal.parameters()).fill_(1.0)
        for parameter in twin.base_model.layers[0].parameters():
            parameter.zero_()
    # The original is open again; the copy keeps its own gain and weights.
    assert all(
        torch.allclose(a, b, atol=1e-5) for a, b in zip(run(model, tiny_batch), before, strict=True)
    )
    word = is_word(tiny_batch)
    assert (run(twin, tiny_batch)[1][word][:, 2] == gated[1][word][:, 2]).all()
    assert not torch.equal(run(twin, tiny_batch)[1], gated[1])


def test_gate_survives_training_mode_and_conversion(tiny_model, tiny_batch):
    model = tiny_model("bert")
    with remove_neurons(model, [(2, 3)], resting_values(), "all", regrow=True) as removal:
        model.train()
        assert (run(model, tiny_batch)[2][..., 3] == resting_values()[2, 3]).all()
        model.eval().to(torch.float64)
        assert next(removal.parameters()).dtype == torch.float64
        rest = torch.tensor(resting_values()[2, 3]).double()
        assert (run(model, tiny_batch)[2][..., 3] == rest).all()


# Growing back


def test_regrowing_gains_are_a_parameter_in_the_order_of_neurons(tiny_model, tiny_batch):
    model = tiny_model("bert")
    before = run(model, tiny_batch)
    given = [(2, 9), (0, 3), (2, 1)]
    removal = remove_neurons(model, given, resting_values(), regrow=True)
    (gain,) = removal.parameters()
    assert dict(model.named_parameters())[removal.parameter_name] is gain
    assert removal.parameter_name in model.state_dict()
    assert removal.neurons.tolist() == [list(pair) for pair in given]
    assert removal.gains().tolist() == [0, 0, 0]
    with torch.no_grad():
        gain.copy_(torch.tensor([0.25, 1.0, 0.0]))
    state = run(model, tiny_batch)
    words = is_word(tiny_batch)
    # Layer 0 is open again (gain 1), so layer 2 gets what it got before.
    assert torch.allclose(state[0], before[0])
    mixed = 0.25 * before[2][..., 9] + 0.75 * resting_values()[2, 9]
    assert torch.allclose(state[2][words][:, 9], mixed[words], atol=1e-5)
    assert (state[2][words][:, 1] == resting_values()[2, 1]).all()
    assert removal.gains().tolist() == [0.25, 1.0, 0.0]


def test_regrowing_gains_train(tiny_model, tiny_batch):
    model = tiny_model("llama")
    removal = remove_neurons(model, [(1, 2), (3, 4)], resting_values(), regrow=True)
    optimizer = torch.optim.AdamW(removal.parameters(), lr=0.05)
    for _ in range(3):
        model(**tiny_batch, labels=tiny_batch["input_ids"] % 5).loss.backward()
        optimizer.step()
    assert (np.abs(removal.gains()) > 0.01).all()


# Any function


@pytest.mark.parametrize("family", FAMILIES)
def test_patched_layer_is_the_function_of_what_it_was(family, tiny_model, tiny_batch):
    model = tiny_model(family)
    before = run(model, tiny_batch)
    words = is_word(tiny_batch)
    for layer in LAYERS:
        patch = patch_layers(model, {layer: lambda state: 2 * state + 1})
        after = run(model, tiny_batch)[layer]
        patch.undo()
        assert torch.equal(after[words], 2 * before[layer][words] + 1)
        assert torch.equal(after[~words], before[layer][~words])
    assert_same(run(model, tiny_batch), before)
    with pytest.raises(InputError, match="layer 4; allowed: 0 to 3"):
        patch_layers(model, {BLOCKS + 1: torch.neg})


# Layer-matched draws


def test_draw_falls_back_on_the_whole_layer_and_counts_the_overlap():
    mostly = [(1, unit) for unit in range(7)]
    draw = layer_matched_draw([*mostly, (2, 0)], n_layers=3, d_model=10, seed=0)
    assert len(draw.neurons) == 8
    in_first = {tuple(pair) for pair in draw.neurons.tolist() if pair[0] == 1}
    assert draw.overlap == len(in_first & set(mostly)) >= 4
    half = layer_matched_draw([(1, unit) for unit in range(5)], 3, 10, seed=0)
    assert half.overlap == 0
    assert half.neurons.tolist() == [[1, unit] for unit in range(5, 10)]
    assert layer_matched_draw([], 3, 10, seed=0).neurons.shape == (0, 2)


# The real one


@pytest.mark.slow
def test_packaged_model_is_gated_and_restored():
    from plasticity_utils.models.load import encode_words, load_model

    model, tokenizer = load_model("minilm", labels=("O", "B-LOC"), device="cpu")
    rows = encode_words(tokenizer, [["London", "calls", "Paris", "."]])
    batch = {"input_ids": torch.tensor([row.ids for row in rows])}
    before = run(model, batch)
    generator = np.random.default_rng(0)
    removed = {(int(layer), int(unit)) for layer, unit in generator.integers(0, (7, 384), (50, 2))}
    with remove_neurons(model, removed, np.full((7, 384), 0.5)):
        after = run(model, batch)
    word = torch.tensor(rows[0].word_of_token) >= 0
    for layer, unit in removed:
        assert (after[layer][0, word, unit] == 0.5).all()
        assert not (after[layer][0, ~word, unit] == 0.5).any()
    assert_same(run(model, batch), before)


def test_excluded_neurons_are_not_drawn():
    top = [(0, unit) for unit in range(4)]
    gone = [(0, unit) for unit in range(4, 10)]
    drawn = layer_matched_draw(top, 2, 16, seed=0, exclude=gone)
    assert drawn.overlap == 0
    assert {unit for _, unit in drawn.neurons.tolist()} <= set(range(10, 16))
    # Too few are left: drawn from the whole layer.
    crowded = layer_matched_draw(top, 2, 8, seed=0, exclude=[(0, 4), (0, 5)])
    assert len(crowded.neurons) == 4


@pytest.mark.usefixtures("as_for_users")
def test_all_that_was_put_on_a_model_comes_off(tiny_model, tiny_batch):
    model = tiny_model("bert")
    before = run(model, tiny_batch)
    clean = fingerprint(model)
    remove_neurons(model, [(1, 2), (3, 4)], regrow=True)
    patch_layers(model, {2: torch.neg})
    kept = remove_neurons(model, [5], positions="all")
    copied = copy.deepcopy(model)
    changed = run(model, tiny_batch)
    undo(model)
    assert fingerprint(model) == clean
    assert_same(run(model, tiny_batch), before)
    assert_same(run(copied, tiny_batch), changed)
    undo(copied)
    assert_same(run(copied, tiny_batch), before)
    kept.undo()
    undo(model)
    assert fingerprint(model) == clean
    with pytest.raises(InputError, match="one of load_model, not 'bert'"):
        undo("bert")


@pytest.mark.usefixtures("as_for_users")
@pytest.mark.parametrize(
    ("functions", "message"),
    [
        ({1: lambda state: state[..., :3]}, r"layer 1 makes \[1, 2, 3\] of a state .*\[1, 2, 16\]"),
        ({1: lambda state: None}, "layer 1 makes NoneType"),
        ({1: lambda state: state @ torch.eye(3)}, "layer 1 fails on a state of shape"),
        ({1: "negate"}, "layer 1 fails"),
        ({"1": torch.neg}, "layer '1'"),
        ({True: torch.neg}, "layer True"),
        ([torch.neg], "must map layers to functions"),
    ],
)
def test_a_patch_that_does_not_fit_is_never_in_force(functions, message, tiny_model):
    model = tiny_model("bert")
    clean = fingerprint(model)
    with pytest.raises(InputError, match=message):
        patch_layers(model, functions)
    assert fingerprint(model) == clean


@pytest.mark.usefixtures("as_for_users")
def test_neurons_rest_at_their_mean_over_the_words_of_x(tiny_model, tiny_batch):
    model = tiny_model("gpt2")
    X = np.random.default_rng(0).normal(size=(7, (BLOCKS + 1) * WIDTH)).astype(np.float32)
    with remove_neurons(model, [(2, 3)], rest="mean", X=X.tolist()):
        held = run(model, tiny_batch)[2][..., 3][is_word(tiny_batch)]
    assert torch.allclose(held, torch.full_like(held, float(X[:, 2 * WIDTH + 3].mean())))
    for arguments, message in (
        ({"rest": "mean"}, "needs X"),
        ({"X": X}, "rest='mean' alone"),
        ({"rest": "mean", "X": X[:, :9]}, r"it must be \[n_words, 64\]"),
        ({"rest": "mean", "X": X[:0]}, "at least one word"),
    ):
        with pytest.raises(InputError, match=message):
            remove_neurons(model, [(2, 3)], **arguments)


def test_neurons_are_removed_in_every_spelling(tiny_model, tiny_batch):
    model = tiny_model("bert")
    with remove_neurons(model, [(1, 2), (3, 4)]):
        expected = run(model, tiny_batch)
    mask = np.isin(np.arange((BLOCKS + 1) * WIDTH), [18, 52])
    for neurons in ([18, 52], mask, {(3, 4), (1, 2)}, np.array([[1, 2], [3, 4]])):
        with remove_neurons(model, neurons):
            assert_same(run(model, tiny_batch), expected)


@pytest.mark.parametrize("positions", ["words", "all"])
def test_a_patch_that_fits_at_first_and_not_later_is_told_and_never_broadcast(positions):
    model = make_tiny_model("bert")

    def one_token_of_three(state):
        return state[:, :1] if state.shape[1] == 3 else state

    ids = torch.tensor([[5, 6, 7]])
    before = model(input_ids=ids).logits
    with patch_layers(model, {1: one_token_of_three}, positions=positions):
        model(input_ids=ids[:, :2])
        with pytest.raises(
            InputError, match=r"makes \[1, 1, 16\] of a state of shape \[1, 3, 16\]"
        ):
            model(input_ids=ids)
    assert torch.equal(model(input_ids=ids).logits, before)


@pytest.mark.parametrize("positions", ["words", "all"])
def test_a_patch_may_compute_in_more_bits_but_not_in_integers(positions):
    model = make_tiny_model("bert")
    ids = torch.tensor([[5, 6, 7]])
    before = model(input_ids=ids).logits
    with patch_layers(model, {1: lambda state: state.double()}, positions=positions):
        assert torch.equal(model(input_ids=ids).logits, before)
    with pytest.raises(InputError, match=r"layer 1 makes torch\.int64 of a state"):
        patch_layers(model, {1: lambda state: state.long()}, positions=positions)


def test_a_removal_that_a_model_does_not_have_is_told_without_neurons_to_remove():
    with pytest.raises(InputError, match="'gpt2' normalises what a block reads"):
        removals.get("layernorm")().none_of(make_tiny_model("gpt2")).applied(
            make_tiny_model("gpt2")
        )
    for name in ("gate", "layernorm"):
        model = make_tiny_model("bert")
        with removals.get(name)().none_of(model).applied(model):
            pass
