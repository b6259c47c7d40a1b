"""Operations counted by formula against torch's own count, and the costs worked out by hand."""

import math
from dataclasses import replace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig

from benchmarks.costs import (
    H100,
    Card,
    Grid,
    Rates,
    base_flops,
    breaks_first,
    cell_flops,
    cost_table,
    grid_cost,
    shape_of_model,
    training_memory,
)
from benchmarks.flops import Shape, forward_flops, shape_of, training_flops
from benchmarks.step_counts import StepCounts

STEPS = StepCounts(100, 10, 20, 30, 400, 3, 3, 1, 500, 600, 9, 3)
RATES = Rates(0.5, 1e-6, 20.0)


@pytest.mark.parametrize("family", ["bert", "distilbert", "roberta", "gpt2", "llama", "qwen3"])
def test_the_count_is_torchs_own(tiny_model, tiny_batch, family):
    model = tiny_model(family, attn_implementation="eager").eval()
    ids = tiny_batch["input_ids"][:1]
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(input_ids=ids)
    n = ids.shape[1]
    assert n * forward_flops(shape_of(model.config), n) == pytest.approx(
        counter.get_total_flops(), rel=0.02
    )


def test_training_counts_the_backward_pass(tiny_model, tiny_batch):
    model = tiny_model("bert", attn_implementation="eager").eval()
    ids = tiny_batch["input_ids"][:1]
    with FlopCounterMode(display=False) as counter:
        model(input_ids=ids, labels=torch.zeros_like(ids)).loss.backward()
    n = ids.shape[1]
    counted = n * training_flops(shape_of(model.config), n)
    assert counted == pytest.approx(counter.get_total_flops(), rel=0.05)


def test_minilm_by_hand():
    shape = shape_of(
        AutoConfig.for_model(
            "bert", hidden_size=384, num_hidden_layers=6, intermediate_size=1536, num_labels=9,
            num_attention_heads=12,
        )
    )  # fmt: skip
    per_block = 4 * 384 * 384 + 2 * 384 * 1536
    assert forward_flops(shape, 20) == 2 * (6 * per_block + 384 * 9) + 6 * 2 * 2 * 384 * 20
    assert set(shape.products) == {(384, 384, 24), (384, 1536, 6), (1536, 384, 6)}
    assert shape.n_neurons == 2688


def test_costs_by_hand():
    shape = Shape(2, 8, 2400, 3088.0, 64.0)
    train, forward = training_flops(shape, 20), forward_flops(shape, 20)
    assert base_flops(shape, STEPS, 20.0) == 4 * 100 * 20 * train
    read = (100 + 500 + 600) * forward
    assert cell_flops(shape, STEPS, 20.0) == 20 * (2 * 100 * train + read)
    memory = 16 * shape.n_parameters + 34 * 1000 * 8 * 2
    assert training_memory(shape, 1000) == memory
    card, grid = Card("card", 1e9, 1e9, 3.0), Grid(2, 2, 2)
    cost = grid_cost(shape, STEPS, RATES, 3, 1000, card, grid)
    analysis = 9 * 1e-6 * 24 * 400 / 3600
    run = cell_flops(shape, STEPS, 20.0) / (0.5e9 * 3600) + analysis
    base = base_flops(shape, STEPS, 20.0) / (0.5e9 * 3600)
    assert cost["hours"] == pytest.approx(math.ceil(8 / 3) * run + base)
    assert cost["euros"] == pytest.approx(cost["hours"] * 9)
    assert cost["analysis_share"] == pytest.approx(analysis / run)
    assert cost["disk_gb"] == pytest.approx((8 * 3 + 4) * 4 * shape.n_parameters / 1e9)


def test_a_model_that_does_not_fit_has_no_hours():
    shape = shape_of_model("7 B (Llama 2)")
    one, many = (grid_cost(shape, STEPS, RATES, n, 1500) for n in (1, 64))
    assert one["cards_a_run"] == 2
    assert math.isnan(one["hours"])
    assert one["breaks_first"].startswith("memory of the card")
    assert many["hours"] > 0
    assert many["breaks_first"].startswith("memory of the card: a run needs 2")


def test_what_breaks_first():
    grid = Grid(2, 1, 1)
    assert breaks_first(1, 1, 0.9, 1, grid).startswith("the processor")
    assert breaks_first(1, 4, 0.1, 4, grid).startswith("too few runs")
    assert breaks_first(1, 1, 0.1, 1, grid).startswith("nothing")


def test_more_cards_are_faster_and_the_table_has_all_models():
    table = cost_table(STEPS, RATES, 1500)
    assert len(table) == 6
    gpt2 = table[table["model"] == "GPT-2"].set_index("cards")
    assert gpt2.loc[64, "hours"] < gpt2.loc[1, "hours"]
    faster = replace(RATES, fraction=1.0, analysis_seconds=0.0)
    double = cost_table(STEPS, faster, 1500)
    slow = cost_table(STEPS, replace(faster, fraction=0.5), 1500)
    assert (slow["hours"] / double["hours"]).dropna().to_numpy() == pytest.approx(2)
    assert H100.memory == 80e9
