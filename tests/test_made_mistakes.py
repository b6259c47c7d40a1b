"""Each mistake made on purpose goes wrong in its one way and in no other."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from plasticity_utils.analysis import mistakes
from plasticity_utils.experiment.measure import neuron_table
from plasticity_utils.neurons.scores import layer_unit
from plasticity_utils.removal.gate import Gate
from plasticity_utils.removal.neurons import layer_matched_draw
from test_tables import LOC, made_up_measured
from tiny import BLOCKS, WIDTH, make_tiny_model

GATE = Gate("selectivity", 0.25, rest="zero", positions="all")
N_NEURONS = (BLOCKS + 1) * WIDTH


@pytest.fixture
def ranking():
    table = pd.DataFrame(layer_unit(range(N_NEURONS), WIDTH), columns=["layer", "unit"])
    table["mean"] = 0.0
    table["rank_selectivity"] = np.random.default_rng(0).permutation(N_NEURONS)
    return table


def drawn(plan, seed):
    """As many neurons of each layer, held the same way."""
    return replace(plan, neurons=layer_matched_draw(plan.neurons, BLOCKS + 1, WIDTH, seed).neurons)


def pairs(plan):
    return {tuple(pair) for pair in plan.neurons.tolist()}


def test_1_takes_the_last_of_the_ranking(ranking):
    wrong = mistakes.wrong_end(ranking, GATE, 0.25)
    last = ranking.nlargest(N_NEURONS // 4, "rank_selectivity")[["layer", "unit"]]
    assert pairs(wrong) == set(map(tuple, last.to_numpy().tolist()))
    assert not pairs(wrong) & pairs(GATE.at(ranking, 0.25))
    by_file = ranking.rename(columns={"rank_selectivity": "rank_mine"})
    again = mistakes.wrong_end(by_file, replace(GATE, ranking="own.py:mine"), 0.25)
    assert pairs(again) == pairs(wrong)
    # The right ranking is left as it was.
    assert sorted(ranking["rank_selectivity"]) == list(range(N_NEURONS))


def test_2_takes_the_first_ids_whatever_the_seed(ranking):
    right = GATE.at(ranking, 0.25)
    draws = [drawn(right, seed) for seed in (0, 1)]
    first, second = (mistakes.first_ids(draw, WIDTH) for draw in draws)
    assert pairs(first) == pairs(second) == {(0, unit) for unit in range(WIDTH)}


def test_3_spares_the_embedding_layer(ranking):
    right = GATE.at(ranking, 0.25)
    sent = mistakes.shifted_layer(right, BLOCKS + 1)
    assert min(sent.neurons[:, 0]) == 1
    twins = {(BLOCKS, unit) for layer, unit in pairs(right) if layer == 0}
    assert twins <= pairs(sent)
    assert pairs(sent) - twins == {pair for pair in pairs(right) if pair[0] > 0} - twins


def test_6_removes_a_smaller_share(ranking):
    assert len(mistakes.six_layers(ranking, GATE, 0.5).neurons) == round(
        0.5 * BLOCKS / (BLOCKS + 1) * N_NEURONS
    )


def test_7_makes_saliency_rise_where_nothing_rose():
    measured, plans = made_up_measured()
    same = {**measured["targeted"], ("end", 1.0): measured["targeted"]["base", -1.0]}
    neurons = neuron_table({"targeted": same}, {"targeted": plans["targeted"]}, LOC, "selectivity")
    table = mistakes.unequal_averaging(neurons).set_index("layer")
    assert (table["rise"] == 0).all()
    # Layer 0 lost two of its three neurons; layer 1 none.
    assert table["dropped"].tolist() == [pytest.approx(2 / 3), 0]
    kept = neurons.query("stage == 'base' and layer == 0 and unit == 2")["rank_saliency"].iloc[0]
    assert table.loc[0, "rise_unequal"] == pytest.approx(kept - kept / 3)
    assert table.loc[1, "rise_unequal"] == 0


def test_each_is_scored_beside_the_right_removal_and_undone(ranking):
    model = make_tiny_model("bert")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    seen = []

    def score():
        seen.append(len(model.bert.encoder.layer[0]._forward_hooks))
        return pd.DataFrame({"entity": [LOC], "entity_f1": [0.5]})

    draw = drawn(GATE.at(ranking, 0.25), 0)
    table = mistakes.removal_mistakes(model, ranking, GATE, 0.25, draw, score)
    assert table["mistake"].tolist() == [1, 1, 2, 2, 3, 3, 6, 6]
    assert table["made"].tolist() == [False, True] * 4
    shares = table.set_index(["mistake", "made"])["first_layer_share"]
    assert shares[2, True] == 1
    assert shares[3, True] == 0 < shares[3, False]
    assert any(seen)
    assert all((value == before[name]).all() for name, value in model.state_dict().items())


def test_4_is_made_on_a_decoder_which_keeps_the_neurons_of_its_blocks(ranking):
    model = make_tiny_model("llama")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    tokens = torch.arange(5, 11)[None]
    norms = [layer.post_attention_layernorm for layer in model.base_model.layers]

    def score():
        states = model(tokens, output_hidden_states=True).hidden_states
        apart = [state[0].std(0).ne(0).sum().item() for state in states]
        unread = [0] + [norm.weight.eq(0).sum().item() for norm in norms]
        return pd.DataFrame({"entity": range(BLOCKS + 1), "apart": apart, "unread": unread})

    right = GATE.at(ranking, 0.25)
    table = mistakes.removal_mistakes(model, ranking, GATE, 0.25, right, score)
    assert table["mistake"].unique().tolist() == [1, 2, 3, 4, 6]
    apart, unread = (
        table.set_index(["mistake", "made", "entity"])[name] for name in ("apart", "unread")
    )
    removed = np.bincount(right.neurons[:, 0], minlength=BLOCKS + 1)
    assert apart[4, False].tolist() == (WIDTH - removed).tolist()
    assert apart[4, True].tolist() == [WIDTH - removed[0]] + [WIDTH] * BLOCKS
    assert unread[4, False].sum() == 0
    assert unread[4, True].tolist() == [0, *removed[1:]]
    assert all((value == before[name]).all() for name, value in model.state_dict().items())


def test_the_profile_of_mistake_3_rises_in_the_layer_that_was_spared(ranking):
    profile = mistakes.shift_of_mistake_3(ranking, GATE, 0.25).set_index("layer")
    assert profile.loc[0, "made"] > profile.loc[0, "meant"]
    assert profile.loc[BLOCKS, "made"] < profile.loc[BLOCKS, "meant"]
    assert profile.mean().to_numpy() == pytest.approx(0.5)
