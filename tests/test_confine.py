"""Training confined to chosen neurons: what moves, what does not, and that it can be undone."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from plasticity_utils.errors import InputError
from plasticity_utils.models.anatomy import ANATOMIES
from plasticity_utils.models.load import POST_NORM_ENCODERS, PRE_NORM_DECODERS, head
from plasticity_utils.removal.gate import remove_neurons
from plasticity_utils.training.confine import confine
from plasticity_utils.training.evaluate import entity_scores
from plasticity_utils.training.train import fine_tune, predict_tags
from tiny import BLOCKS, WIDTH, make_tiny_model
from toy import SCHEDULE, data_for, same, tiny, toy_tokenizer, weights

FAMILIES = sorted(ANATOMIES)
# The embedding output, a block in the middle, and the last layer.
NEURONS = [(0, 3), (1, 3), (1, 9), (BLOCKS, 5)]


@pytest.fixture
def train(tokenizer, tmp_path):
    def trained(model, folder="work", **options):
        fine_tune(model, data_for(model, tokenizer), SCHEDULE, tmp_path / folder, **options)
        return weights(model)

    return trained


def changed_entries(before, after):
    return {name: before[name] != after[name] for name in before if not_equal(before, after, name)}


def not_equal(before, after, name):
    return not torch.equal(before[name], after[name])


def bert_place(block, name):
    return f"bert.encoder.layer.{block}.{name}"


# Written out by hand for one family of each kind: (parameter, axis, units).
BY_HAND = {
    "bert": [
        ("bert.embeddings.word_embeddings.weight", 1, [3]),
        ("bert.embeddings.position_embeddings.weight", 1, [3]),
        ("bert.embeddings.token_type_embeddings.weight", 1, [3]),
        ("bert.embeddings.LayerNorm.weight", 0, [3]),
        ("bert.embeddings.LayerNorm.bias", 0, [3]),
        *[
            (bert_place(block, f"{name}.weight"), 1, units)
            for block, units in ((0, [3]), (1, [3, 9]))
            for name in (
                "attention.self.query", "attention.self.key", "attention.self.value",
                "intermediate.dense",
            )
        ],
        *[
            (bert_place(block, f"{name}.{kind}"), 0, units)
            for block, units in ((0, [3, 9]), (2, [5]))
            for name in (
                "attention.output.dense", "attention.output.LayerNorm", "output.dense",
                "output.LayerNorm",
            )
            for kind in ("weight", "bias")
        ],
    ],
    "gpt2": [
        ("transformer.wte.weight", 1, [3]),
        ("transformer.wpe.weight", 1, [3]),
        *[
            (f"transformer.h.{block}.{name}.weight", 0, units)
            for block, units in ((0, [3]), (1, [3, 9]))
            for name in ("attn.c_attn", "mlp.c_fc", "ln_1", "ln_2")
        ],
        *[
            (f"transformer.h.{block}.{name}.bias", 0, units)
            for block, units in ((0, [3]), (1, [3, 9]))
            for name in ("ln_1", "ln_2")
        ],
        *[
            (f"transformer.h.{block}.{name}.{kind}", int(kind == "weight"), units)
            for block, units in ((0, [3, 9]), (2, [5]))
            for name in ("attn.c_proj", "mlp.c_proj")
            for kind in ("weight", "bias")
        ],
        ("transformer.ln_f.weight", 0, [5]),
        ("transformer.ln_f.bias", 0, [5]),
    ],
    "llama": [
        ("model.embed_tokens.weight", 1, [3]),
        *[
            (f"model.layers.{block}.{name}.weight", axis, units)
            for block, units in ((0, [3]), (1, [3, 9]))
            for name, axis in (
                ("self_attn.q_proj", 1), ("self_attn.k_proj", 1), ("self_attn.v_proj", 1),
                ("mlp.gate_proj", 1), ("mlp.up_proj", 1), ("input_layernorm", 0),
                ("post_attention_layernorm", 0),
            )
        ],
        *[
            (f"model.layers.{block}.{name}.weight", 0, units)
            for block, units in ((0, [3, 9]), (2, [5]))
            for name in ("self_attn.o_proj", "mlp.down_proj")
        ],
        ("model.norm.weight", 0, [5]),
    ],
}  # fmt: skip


@pytest.mark.parametrize("family", sorted(BY_HAND))
def test_the_plastic_parts_are_those_that_write_and_read(family):
    with confine(make_tiny_model(family), NEURONS) as confinement:
        found = [(part.name, part.axis, part.units.tolist()) for part in confinement.parts]
    assert sorted(found) == sorted(BY_HAND[family])


def test_every_supported_family_has_an_anatomy():
    assert set(ANATOMIES) == set(POST_NORM_ENCODERS + PRE_NORM_DECODERS)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_training_moves_nothing_but_the_chosen_entries(family, train):
    model = tiny(family)
    before = weights(model)
    with confine(model, NEURONS) as confinement:
        after = train(model)
        parts = {part.name: part for part in confinement.parts}
    moved = changed_entries(before, after)
    assert set(moved) <= set(parts)
    n_allowed = 0
    for name, where in moved.items():
        allowed = torch.zeros_like(where).index_fill(parts[name].axis, parts[name].units, True)
        assert not (where & ~allowed).any(), name
        n_allowed += int(allowed.sum())
    # Key biases cancel in the softmax, and unused embedding rows have no gradient: not all move.
    counted = sum(int(where.sum()) for where in moved.values())
    assert 0.5 * n_allowed < counted <= n_allowed
    assert set(parts) == set(moved)


@pytest.mark.slow
def test_without_the_confinement_the_same_training_moves_everything(train):
    model = tiny()
    before = weights(model)
    moved = changed_entries(before, train(model))
    assert {name for name in moved if name.endswith("query.weight")}
    assert moved["classifier.weight"].all()
    assert moved["bert.encoder.layer.0.output.dense.weight"].all()


@pytest.mark.slow
def test_the_heads_columns_train_only_where_asked(train):
    model = tiny()
    before = weights(model)
    with confine(model, NEURONS, head=True):
        after = train(model)
    moved = changed_entries(before, after)["classifier.weight"]
    assert moved[:, 5].any()
    moved[:, 5] = False
    assert not moved.any()
    assert torch.equal(before["classifier.bias"], after["classifier.bias"])


@pytest.mark.slow
def test_a_confined_training_that_was_cut_off_ends_with_the_same_weights(train):
    class KilledError(Exception):
        pass

    def kill(epoch):
        raise KilledError

    whole = tiny()
    with confine(whole, NEURONS):
        expected = train(whole, "whole", snapshot_epochs=(1.0,))
    cut = tiny()
    with confine(cut, NEURONS), pytest.raises(KilledError):
        train(cut, "cut", snapshot_epochs=(1.0,), on_snapshot=kill)
    resumed = tiny()
    with confine(resumed, NEURONS):
        assert same(train(resumed, "cut", snapshot_epochs=(1.0,)), expected)


@pytest.mark.slow
def test_gains_added_inside_train_and_nothing_of_the_model_beside_them(train):
    model = tiny()
    removed = [(1, 3), (1, 9)]
    before = weights(model)
    with (
        confine(model, removed) as confinement,
        remove_neurons(model, removed, "zero", "words", regrow=True) as removal,
    ):
        train(model, gates=removal.parameters())
        assert np.abs(removal.gains()).min() > 0
        names = {part.name for part in confinement.parts}
    assert set(changed_entries(before, weights(model))) <= names


@pytest.mark.slow
def test_undone_it_leaves_gradients_hooks_and_other_optimizers_alone():
    model = tiny()
    head(model).bias.requires_grad_(False)
    before = {name: p.requires_grad for name, p in model.named_parameters()}
    confinement = confine(model, NEURONS)
    assert sum(p.requires_grad for p in model.parameters()) == len(confinement.parts)
    confinement.undo()
    confinement.undo()
    assert {name: p.requires_grad for name, p in model.named_parameters()} == before
    assert not any(p._backward_hooks for p in model.parameters())
    values = weights(model)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1)
    model(torch.tensor([[1, 5, 2]])).logits.square().sum().backward()
    optimizer.step()
    moved = changed_entries(values, weights(model))
    assert moved["bert.encoder.layer.1.output.dense.weight"].all()


def test_the_context_ends_the_confinement_when_training_fails():
    model = tiny()
    with pytest.raises(RuntimeError, match="stop"), confine(model, NEURONS):
        raise RuntimeError("stop")
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize(
    ("neurons", "message"),
    [
        ([], "no neurons to confine training to"),
        ([(BLOCKS + 1, 0)], rf"neuron \({BLOCKS + 1}, 0\) does not exist"),
        ([(0, WIDTH)], rf"neuron \(0, {WIDTH}\) does not exist"),
        ([(1, 2), (1, 2)], "more than once"),
    ],
)
def test_bad_groups_are_named_and_change_nothing(neurons, message):
    model = tiny()
    with pytest.raises(InputError, match=message):
        confine(model, neurons)
    assert all(p.requires_grad for p in model.parameters())


def test_an_unknown_architecture_is_named():
    model = tiny()
    model.config.model_type = "electra"
    with pytest.raises(InputError, match="a model of type 'electra'; supported: bert"):
        confine(model, NEURONS)


@pytest.fixture
def toy_f1(tmp_path):
    tokenizer = toy_tokenizer()

    def after(neurons, removed=()):
        """Return F1 before and after a training confined to some neurons, some being removed."""
        model = tiny()
        data = data_for(model, tokenizer)
        schedule = replace(SCHEDULE, epochs=12)
        with remove_neurons(model, removed, "zero", "all"):
            before = _f1(data, predict_tags(model, data))
            with confine(model, neurons):
                fine_tune(model, data, schedule, tmp_path / f"{len(neurons)}-{len(removed)}")
            return before, _f1(data, predict_tags(model, data))

    return after


def _f1(data, predicted):
    return (
        entity_scores(data.tags, predicted, ["LOC", "PER"]).set_index("entity").entity_f1["overall"]
    )


WORDS_LAYER = [(0, unit) for unit in range(WIDTH)]


@pytest.mark.slow
def test_a_model_in_which_only_the_chosen_neurons_may_change_learns(toy_f1):
    before, after = toy_f1(WORDS_LAYER)
    assert after > before + 0.3


@pytest.mark.slow
def test_what_the_frozen_head_does_not_hear_of_is_not_learned(toy_f1):
    before, after = toy_f1(WORDS_LAYER, removed=[(BLOCKS, unit) for unit in range(WIDTH)])
    assert after == before
