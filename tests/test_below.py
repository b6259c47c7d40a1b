"""What runs above the lowest changed layer gives the numbers of the whole pass, bit for bit."""

import copy
from pathlib import Path

import pytest
import torch

from conftest import _SHAPES, VOCABULARY, WIDTH, make_tiny_model
from plasticity_utils.removal import below
from plasticity_utils.removal.below import StatesBelow
from plasticity_utils.removal.gate import remove_neurons
from plasticity_utils.removal.patch import patch_layers

IDS = torch.arange(3, 33).reshape(3, 10)
BATCH = {"input_ids": IDS, "attention_mask": torch.ones_like(IDS)}


@torch.no_grad()
def logits(model):
    return model(**BATCH).logits


def tiny(family="bert"):
    return make_tiny_model(family).eval()


@pytest.mark.parametrize("family", _SHAPES)
@pytest.mark.parametrize("layer", [0, 1, 3])
def test_the_numbers_are_those_of_the_whole_model(family, layer):
    model, states = tiny(family), StatesBelow(tiny(family))
    plain = logits(model)
    with states:
        assert torch.equal(logits(states.model), plain)
    for unit in (1, 2):
        neurons = [(layer, unit), (3, 5)]
        with remove_neurons(model, neurons):
            cut = logits(model)
        with remove_neurons(states.model, neurons), states:
            assert torch.equal(logits(states.model), cut)
        assert not torch.equal(cut, plain)
    assert states.n_short == 2
    assert torch.equal(logits(states.model), plain)
    with states:
        assert torch.equal(logits(states.model), plain)


def test_the_blocks_below_do_not_run():
    model = tiny()
    states = StatesBelow(model)
    with states:
        logits(model)
    ran = []
    for block in model.bert.encoder.layer:
        block.attention.register_forward_hook(lambda *_, block=block: ran.append(block))
    states._rest = states._everything_else()
    for _ in range(2):
        ran.clear()
        with remove_neurons(model, [(2, 1)]), states:
            logits(model)
    assert ran == [model.bert.encoder.layer[2]]


def test_what_is_in_force_already_is_where_it_begins():
    model = tiny()
    with remove_neurons(model, [(0, 3)]):
        states = StatesBelow(model)
        with states:
            first = logits(model)
        with remove_neurons(model, [(2, 1)]):
            cut = logits(model)
            for _ in range(2):
                with states:
                    assert torch.equal(logits(model), cut)
        assert states.n_short == 2
        assert not torch.equal(first, cut)


def test_other_words_and_other_changes_run_the_whole_model():
    model = tiny()
    states = StatesBelow(model)
    with states:
        before = logits(model)
    with remove_neurons(model, [(3, 1)]), torch.no_grad():
        other = {"input_ids": IDS.flip(0), "attention_mask": BATCH["attention_mask"]}
        whole = model(**other).logits
        with states:
            assert torch.equal(model(**other).logits, whole)
        assert states.n_short == 0
        model.bert.encoder.layer[0].output.dense.bias.add_(1.0)
        changed = logits(model)
        with states:
            assert torch.equal(logits(model), changed)
    assert states.n_short == 0
    assert not torch.equal(changed, before)


def test_a_function_that_works_in_place_leaves_what_is_kept():
    model = tiny()
    states = StatesBelow(model)
    with states:
        plain = logits(model)
        with patch_layers(model, {1: lambda state: state.mul_(0)}, positions="all"):
            first, second = logits(model), logits(model)
        with patch_layers(model, {1: lambda state: state}, positions="all"):
            assert torch.equal(logits(model), plain)
    assert torch.equal(first, second)
    assert not torch.equal(first, plain)


def test_a_model_that_gives_other_numbers_from_its_states_runs_whole_and_says_so():
    model = tiny()

    class Remembering(torch.nn.Module):
        """A block that leaves a note for the next, past its output."""

        def __init__(self, block):
            super().__init__()
            self.block, self.notes = block, []

        def forward(self, *args, **options):
            self.notes.append(1)
            return self.block(*args, **options) * len(self.notes)

    model.bert.encoder.layer[2] = Remembering(model.bert.encoder.layer[2])
    states = StatesBelow(model)
    with states:
        logits(model)
        with remove_neurons(model, [(1, 1)]), pytest.warns(UserWarning, match="run whole"):
            logits(model)
        with remove_neurons(model, [(1, 1)]):
            logits(model)
    assert states.n_short == 0


def test_states_beyond_the_cap_lie_in_files(monkeypatch):
    monkeypatch.setattr(below, "CAP_BYTES", IDS.numel() * WIDTH * 4)
    model = tiny()
    states = StatesBelow(model)
    with states:
        logits(model)
    assert list(Path(states._folder.name).iterdir())
    with remove_neurons(model, [(2, 1)]):
        cut = logits(model)
        for _ in range(2):
            with states:
                assert torch.equal(logits(model), cut)
    assert states.n_short == 2


def test_a_model_is_as_before_and_can_be_copied():
    model = tiny()
    with StatesBelow(model):
        logits(model)
    assert "forward" not in model.__dict__
    assert all("forward" not in module.__dict__ for module in model.modules())
    assert torch.equal(logits(copy.deepcopy(model)), logits(model))
    assert IDS.max() < VOCABULARY
