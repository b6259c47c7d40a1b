"""Claims over several runs, on made-up answers with and without an effect."""

import numpy as np
import pandas as pd
import pytest

from made_up_tables import LABELS, made_up_series
from plasticity_utils.analysis import pooled as tables
from plasticity_utils.analysis import rules
from plasticity_utils.analysis.rules import NO, OPEN, YES
from plasticity_utils.errors import InputError

JUDGES = {
    "functions": lambda groups: tables.functions(groups).iloc[[0, 1, 3]],
    "superposition": tables.superposition_judged,
    "migration": lambda groups: tables.migration(groups).query("role == @tables.OTHER_TYPES"),
    "priming": lambda groups: tables.priming(groups).iloc[:2],
}
LARGE = 0.4


def planted(folder, **kind):
    return made_up_series(folder, **kind)


def runs(condition, values):
    rows = [
        (concept, concept, seed, condition, value)
        for concept, own in values.items()
        for seed, value in enumerate(own)
    ]
    return pd.DataFrame(rows, columns=["concept", "entity", "seed", "condition", "value"])


def test_the_unit_is_the_seed_within_a_concept():
    table = pd.concat([runs("targeted", {"a": [0.1, 0.12, 0.14], "b": [0.5, 0.52, 0.54]}),
                       runs("random", {"a": [0.0, 0.0, 0.0], "b": [0.0, 0.0, 0.0]})])  # fmt: skip
    row = tables.judged_runs(table, [], "value", 0.05).iloc[0]
    assert row["effect"] == pytest.approx(0.32)
    # Two means of three, deviation 0.02 each, four degrees of freedom; not the spread of a and b.
    assert row["effect_high"] - row["effect"] == pytest.approx(2.776 * 0.02 / np.sqrt(6), abs=1e-4)
    assert row["verdict"] == YES


def test_a_predicted_fall_is_judged_as_one_and_told_in_its_own_sign():
    table = pd.concat([runs("targeted", {"a": [-0.2, -0.21, -0.19]}),
                       runs("random", {"a": [0.0, 0.01, -0.01]})])  # fmt: skip
    row = tables.judged_runs(table, [], "value", 0.05, side=-1).iloc[0]
    assert row["verdict"] == YES
    assert row["least"] == -0.05
    assert row["effect"] == pytest.approx(-0.2)
    assert row["effect_low"] < -0.2 < row["effect_high"] < 0
    assert tables.judged_runs(table, [], "value", 0.05).iloc[0]["verdict"] == NO


def test_the_control_is_subtracted_within_each_run():
    table = pd.concat([runs("targeted", {"a": [0.3, 0.5, 0.7]}),
                       runs("random", {"a": [0.1, 0.3, 0.5]})])  # fmt: skip
    row = tables.judged_runs(table, [], "value", 0.05).iloc[0]
    assert row["beyond_control"] == pytest.approx(0.2)
    assert row["beyond_control_high"] - row["beyond_control_low"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("name", JUDGES)
def test_a_planted_effect_is_a_yes_and_its_absence_a_no(name, tmp_path):
    judge, seeds = JUDGES[name], (0, 1, 2)
    assert set(judge(planted(tmp_path / "a", effect=LARGE, seeds=seeds))["verdict"]) == {YES}
    assert set(judge(planted(tmp_path / "b", seeds=seeds))["verdict"]) == {NO}
    # What the control brings as well is no answer.
    both = planted(tmp_path / "c", effect=LARGE, control=LARGE, seeds=seeds)
    assert set(judge(both)["verdict"]) == {NO}
    assert set(judge(planted(tmp_path / "d", noise=3.0, seeds=seeds))["verdict"]) == {OPEN}


@pytest.mark.parametrize("name", JUDGES)
@pytest.mark.parametrize("effect", [0, LARGE])
def test_one_seed_of_each_concept_settles_nothing(name, effect, tmp_path):
    series = planted(tmp_path, effect=effect, seeds=(0,))
    assert set(JUDGES[name](series)["verdict"]) == {OPEN}
    assert "no interval" in tables.interval(series)


def test_the_return_of_the_removed_concept_is_no_new_function(tmp_path):
    table = tables.functions(planted(tmp_path, effect=0.2, seeds=(0, 1, 2))).set_index("serves")
    # Made up so that all that is taken on is the removed concept.
    assert table.loc["something else alone", "effect"] == pytest.approx(0, abs=0.01)
    assert table.loc["something else alone", "verdict"] == NO
    assert tables.new_functions_word(table.reset_index()) == rules.ONLY_REMOVED


def test_sharers_are_judged_by_base_model_and_by_another_models_ruler(tmp_path, monkeypatch):
    more = planted(tmp_path / "more", effect=LARGE, seeds=(0, 1, 2))
    assert tables.sharing(more).iloc[0]["verdict"] == rules.NOT_WITH_RULER
    monkeypatch.setattr(tables, "RULER", "another model")
    row = tables.sharing(more).iloc[0]
    assert (row["verdict"], row["models"]) == (YES, 3)
    assert row["difference"] == pytest.approx(LARGE, abs=0.01)
    few = planted(tmp_path / "few", effect=LARGE, seeds=(0,))
    assert tables.sharing(few).iloc[0]["verdict"] == OPEN
    assert tables.sharing(planted(tmp_path / "none", seeds=(0, 1, 2))).iloc[0]["verdict"] == NO


def test_change_of_crowding_is_beyond_none_and_beyond_chance(tmp_path):
    table = tables.superposition_judged(planted(tmp_path, effect=0.05, noise=0)).set_index(
        "measure"
    )
    assert table["effect"].tolist() == pytest.approx([0.05, -0.05])
    assert table["control"].tolist() == pytest.approx([0, 0])
    assert table.loc["interference", ["base", "by_chance"]].tolist() == pytest.approx([0.1, 0.08])
    # Sixteen concepts in three dimensions could crowd; as many as dimensions could not.
    assert table[["concepts", "dimensions"]].iloc[0].tolist() == [16, 3]
    assert tables.crowding_word(table.assign(dimensions=16)) == rules.NOT_WITH_INVENTORY


def test_roles_mean_the_same_for_every_concept(tmp_path):
    table = tables.migration(planted(tmp_path, effect=0.2, noise=0)).set_index("role")
    assert list(table.index) == [tables.OWN, tables.OTHER_TYPES, "nothing"]
    assert table.loc[tables.OTHER_TYPES, "share"] == pytest.approx(0.7)
    assert table.loc[tables.OTHER_TYPES, "effect"] == pytest.approx(0.2)


def test_lower_selectivity_is_the_predicted_side_of_its_row(tmp_path):
    table = tables.priming(planted(tmp_path, effect=-LARGE, seeds=(0, 1, 2)))
    assert table["verdict"].tolist() == [NO, NO, YES]
    assert (table["effect"] < 0).all()


def test_effect_and_control_are_laid_under_each_other(tmp_path):
    table = tables.functions(planted(tmp_path, effect=0.3, control=0.1))
    rows = tables.both(table, "serves").set_index(["row", "condition"])
    assert rows.loc[("any concept", "targeted"), "value"] == pytest.approx(0.3, abs=0.01)
    assert rows.loc[("any concept", "random"), "value"] == pytest.approx(0.1, abs=0.01)
    assert len(rows) == 2 * len(table)


def test_settings_without_answers_are_named():
    with pytest.raises(InputError, match="scale enormous has derived tables; `plasticity publish`"):
        tables.groups_with_tables(scale="enormous")


def test_intervals_say_what_they_are_over(tmp_path):
    series = planted(tmp_path, seeds=(0, 1))
    assert tables.interval(series) == (
        f"mean of {len(LABELS)} concepts, 95 % interval over their seeds (up to 2 each)"
    )
