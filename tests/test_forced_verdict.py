"""What is said of a forcing: each answer from tables that call for it, and several seeds as one."""

from pathlib import Path

import pandas as pd
import pytest

from plasticity_utils import RunConfig
from plasticity_utils.analysis import forced as forced_seeds
from plasticity_utils.analysis.forced import (
    ForcedSeeds,
    answer,
    change_of_mind,
    or_command,
    price_sentence,
    verdict,
)
from plasticity_utils.errors import InputError
from plasticity_utils.experiment.forcing import ForcingConfig
from plasticity_utils.results.forced import Forced

MARGINS = {"host": 0.03, "random": 0.04, "all": 0.02}


def made_up(seed=0, loc=(0.5, 0.9), per=0.95, rise=0.3, margin=None, lost=0.9):
    """Tables of a forcing whose host regains LOC up to `loc` and keeps PER at `per`."""
    rows, groups = [], []
    for dose, end in zip((0.01, 0.05), loc, strict=True):
        k = round(2688 * dose)
        for target in ("host", "random"):
            for entity, base, removed, f1 in (
                ("LOC", 0.94, 0.94 - lost, end if target == "host" else end - 0.2),
                ("PER", 0.96, 0.955, per),
                ("overall", 0.92, 0.6, 0.9),
            ):
                rows.append((target, dose, k, entity, 9, base, removed, f1, f1 - 0.01, f1 + 0.01))
        for target, own in (("host", rise), ("random", rise - 0.2), ("all", 0.0)):
            half = MARGINS[target] if margin is None else margin
            counts = {
                f"n_{kind}_{at}": 1 for kind in ("both", "same") for at in ("base", "removed")
            }
            groups.append(
                {
                    "target": target, "dose": dose, "n_neurons": k, "overlap": 0, **counts,
                    "n_both_end": round(own * k), "n_same_end": 2, "gain": 1.0,
                    "effect_concept": 0.4, "effect_host": 1.2,
                    **{
                        f"{name}{ending}": own + sign * half
                        for name in ("rise", "rise_same")
                        for ending, sign in (("", 0), ("_low", -1), ("_high", 1))
                    },
                }
            )  # fmt: skip
    for target, dose, k in (("all", 1.0, 2688), ("head", 0.0, 0)):
        for entity in ("LOC", "PER", "overall"):
            rows.append((target, dose, k, entity, 9, 0.94, 0.04, 0.93, 0.92, 0.94))
    names = [
        "target",
        "dose",
        "n_neurons",
        "entity",
        "n_gold",
        "entity_f1_base",
        "entity_f1_removed",
        "entity_f1_end",
    ]
    f1 = pd.DataFrame(rows, columns=[*names, "entity_f1_end_low", "entity_f1_end_high"])
    gone = f1["entity_f1_base"] - f1["entity_f1_removed"]
    f1["regained"] = ((f1["entity_f1_end"] - f1["entity_f1_removed"]) / gone).where(gone > 0)
    facts = {"entities": ["LOC", "PER"], "settings": {"run": {"seed": seed}}}
    forced = Forced(Path("made-up"))
    # Its tables are read once and kept there; these are given instead.
    vars(forced).update(f1=f1, carriers=pd.DataFrame(groups), facts=facts)
    return forced


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, "yes"),
        ({"loc": (0.3, 0.6)}, "no"),
        ({"per": 0.80}, "no"),
        ({"rise": 0.01}, "no"),
        ({"rise": 0.1, "margin": 0.2}, "not resolved"),
        ({"lost": 0.3}, "not resolved"),
        ({"lost": -0.01}, "not resolved"),
    ],
)
def test_the_answer_follows_from_the_tables(changes, expected):
    seeds = ForcedSeeds((made_up(**changes),))
    assert answer(seeds) == expected
    said = verdict(seeds)
    assert said.startswith(f"**{expected.capitalize()} (one seed")


def test_a_yes_names_the_dose_the_price_and_both_controls():
    said = verdict(ForcedSeeds((made_up(),)))
    for part in (
        "134 neurons of PER (5 %)",
        "LOC goes from 0.040 to 0.900 (base 0.940)",
        "PER from 0.955 to 0.950",
        "their share changes by +0.300 (+0.270 to +0.330)",
        "random neurons of the same layers: +0.100, a difference of +0.200 (+0.150 to +0.250)",
        "nothing is confined: +0.000, a difference of +0.300",
        "random neurons bring LOC to 0.700",
    ):
        assert part in said


def test_a_no_says_how_far_it_came():
    said = verdict(ForcedSeeds((made_up(loc=(0.3, 0.6)),)))
    assert "brings LOC from 0.040 to 0.600 at best (134 neurons, 5 %), 62.2 % of the loss" in said
    assert "random neurons of the same layers bring it to 0.400" in said


def test_where_little_was_lost_nothing_is_concluded():
    said = verdict(ForcedSeeds((made_up(lost=0.3),)))
    assert "takes LOC only from 0.940 to 0.640" in said


def test_the_smallest_dose_that_is_enough_counts():
    said = verdict(ForcedSeeds((made_up(loc=(0.9, 0.92)),)))
    assert "27 neurons of PER (1 %)" in said
    assert "At the largest dose (134 neurons) the share changes by +0.300" in said


def test_the_price_is_told_at_the_largest_dose_without_the_concept():
    said = price_sentence(ForcedSeeds((made_up(),)))
    assert said.startswith("At the largest dose (5 %): PER 0.960 in the base, 0.955 just after")
    assert "LOC" not in said
    assert "0.02 F1" in change_of_mind(ForcedSeeds((made_up(),)))


def test_a_change_of_mind_that_has_come_about_is_said_so():
    seeds = ForcedSeeds((made_up(),))
    assert "(as here)" not in change_of_mind(seeds)
    rows = seeds.forced[0].carriers
    rows.loc[rows["target"] == "random", "rise"] = 0.5
    assert "rising as much (as here)" in change_of_mind(seeds)


def test_several_seeds_are_averaged_and_differences_taken_within_each():
    seeds = ForcedSeeds((made_up(0, rise=0.3), made_up(1, rise=0.4)))
    assert seeds.numbers == [0, 1]
    rows = seeds.carriers.set_index(["target", "dose"])
    assert rows.loc[("host", 0.05), "rise"] == pytest.approx(0.35)
    # Student's t of two values 0.1 apart: 12.706 times the standard error of 0.05.
    assert rows.loc[("host", 0.05), "rise_high"] == pytest.approx(0.35 + 12.706 * 0.05, abs=1e-3)
    # The random group rises with it, so the difference does not vary.
    row = seeds.beyond("random").set_index("dose").loc[0.05]
    assert row["beyond_random_low"] == pytest.approx(row["beyond_random_high"])
    assert seeds.f1.set_index(["target", "dose", "entity"]).loc[
        ("host", 0.05, "LOC"), "entity_f1_end"
    ] == pytest.approx(0.9)
    assert "2 seeds" in seeds.f1_interval
    assert "2 seeds" in seeds.neuron_interval
    assert answer(seeds) == "not resolved"
    assert not verdict(seeds).startswith("**Not resolved (one seed")


def test_without_a_result_the_page_names_the_command(monkeypatch):
    config = ForcingConfig(RunConfig(scale="full", seed=3))
    monkeypatch.setattr(forced_seeds, "find_forced", lambda config: [])
    shown = or_command(config, verdict)
    assert "`plasticity force --concept locations --host persons" in shown.data
    assert "--scale full --seed 3 --publish`" in shown.data
    monkeypatch.setattr(forced_seeds, "find_forced", lambda config: [made_up()])
    assert or_command(config, verdict).data.startswith("**Yes")
    assert or_command(config, lambda seeds: seeds.numbers) == [0]
    with pytest.raises(InputError, match="no forcings"):
        ForcedSeeds(())
