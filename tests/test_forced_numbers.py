"""The numbers of a forcing, and the word for each number of neurons."""

from pathlib import Path

import pandas as pd
import pytest

from plasticity_utils.analysis import forced, rules
from plasticity_utils.experiment.forcing_config import ForcingConfig
from plasticity_utils.experiment.record import Run
from plasticity_utils.results.groups import RunGroup

MARGINS = {"host": 0.03, "random": 0.04, "all": 0.02}


class MadeUp(Run):
    """A run of given tables."""

    def __init__(self, config, tables):
        super().__init__(Path("made-up"))
        # What a run reads once is kept there; this is given instead.
        vars(self).update(config=config, tables=tables)

    def table(self, name):
        return self.tables[name]


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
    config = ForcingConfig(host="persons", seed=seed)
    return MadeUp(config, {"forced": f1, "carriers": pd.DataFrame(groups)})


def three(**changes):
    """Three seeds whose rises differ by a hundredth."""
    rise = changes.pop("rise", 0.3)
    spread = changes.pop("spread", 0.01)
    return RunGroup(
        tuple(made_up(seed, rise=rise + spread * (seed - 1), **changes) for seed in (0, 1, 2))
    )


@pytest.mark.parametrize(
    ("changes", "few", "many"),
    [
        ({"loc": (0.9, 0.92)}, "yes", "yes"),
        ({}, rules.NOT_BACK, "yes"),
        ({"loc": (0.3, 0.6)}, rules.NOT_BACK, rules.NOT_BACK),
        ({"loc": (0.9, 0.92), "per": 0.80}, "no", "no"),
        ({"loc": (0.9, 0.92), "rise": 0.01}, "no", "no"),
        ({"loc": (0.9, 0.92), "rise": 0.1, "spread": 0.2}, rules.OPEN, rules.OPEN),
        ({"lost": 0.3}, rules.OPEN, rules.OPEN),
        ({"lost": -0.01}, rules.OPEN, rules.OPEN),
    ],
)
def test_the_word_follows_from_the_tables(changes, few, many):
    assert forced.judged(three(**changes))["verdict"].tolist() == [few, many]


def test_one_seed_settles_nothing():
    assert forced.judged(RunGroup((made_up(),)))["verdict"].tolist() == [rules.NOT_BACK, rules.OPEN]


def test_price_and_controls_stand_beside_each_number_of_neurons():
    row = forced.judged(three()).set_index("n_neurons").loc[134]
    assert row["entity_f1_end"] == pytest.approx(0.9)
    assert row["price"] == pytest.approx(0.005)
    assert row["regained"] == pytest.approx(0.86 / 0.9)
    assert row["rise"] == pytest.approx(0.3)
    # The random group rises with the host's, so the difference does not vary.
    assert row["beyond_random"] == pytest.approx(0.2)
    assert row["beyond_random_low"] == pytest.approx(row["beyond_random_high"])


def test_the_interval_is_over_seeds_and_within_what_a_share_can_do():
    two = RunGroup((made_up(0, rise=0.3), made_up(1, rise=0.4)))
    row = forced.judged(two).set_index("dose").loc[0.05]
    # Student's t of two values 0.1 apart: 12.706 times the standard error of 0.05.
    assert row["rise_high"] == pytest.approx(0.35 + 12.706 * 0.05, abs=1e-3)
    far = RunGroup((made_up(0, rise=0.3), made_up(1, rise=0.8)))
    assert forced.judged(far)["rise_high"].tolist() == [1.0, 1.0]
    assert two.numbers == [0, 1]


def test_values_of_seeds_are_kept_beside_their_means():
    seeds = three()
    assert set(forced.f1_by_seed(seeds)["seed"]) == {0, 1, 2}
    rows = forced.f1(seeds).set_index(["target", "dose", "entity"])["entity_f1_end"]
    assert rows["host", 0.05, "LOC"] == pytest.approx(0.9)
    rises = forced.forced_rises(seeds).set_index(["seed", "target", "dose"])
    assert rises.loc[(2, "host", 0.05), "rise"] == pytest.approx(0.31)
    assert set(rises["condition"]) == {"targeted", "random", "none"}
