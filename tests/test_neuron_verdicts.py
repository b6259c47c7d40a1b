"""The rule of the verdicts, and the verdicts on made-up answers with and without an effect."""

import numpy as np
import pandas as pd
import pytest
from made_up_answers import KEPT, LABELS, made_up_series

from plasticity_utils import charts
from plasticity_utils.analysis import pooled as tables
from plasticity_utils.analysis import pooling
from plasticity_utils.analysis.pooling import estimate, judged
from plasticity_utils.analysis.rules import NO, OPEN, YES, Estimate, decide, together
from plasticity_utils.book import prose_neurons as verdicts
from plasticity_utils.book.on_page import figure, numbers

JUDGES = {
    "functions": verdicts.functions,
    "superposition": verdicts.superposition,
    "migration": verdicts.migration,
    "priming": verdicts.priming,
}
SENTENCES = (
    verdicts.functions_sentence,
    verdicts.sharing_sentence,
    verdicts.superposition_sentence,
    verdicts.migration_sentence,
    verdicts.priming_sentence,
)
LARGE = 0.4


def planted(folder, **kind):
    return made_up_series(folder, **kind)


@pytest.mark.parametrize(
    ("effect", "beyond", "verdict"),
    [
        ((0.2, 0.1, 0.3), (0.2, 0.1, 0.3), YES),
        # The control has as much of it: the difference is none.
        ((0.2, 0.1, 0.3), (0.0, -0.02, 0.02), NO),
        # The control's interval reaches beyond what matters: the difference is open.
        ((0.2, 0.1, 0.3), (0.1, -0.1, 0.3), OPEN),
        ((0.0, -0.02, 0.02), (0.0, -0.1, 0.1), NO),
        ((-0.2, -0.3, -0.1), (-0.2, -0.3, -0.1), NO),
        ((0.04, -0.1, 0.2), (0.04, -0.1, 0.2), OPEN),
        # Told apart from zero, but too small to matter.
        ((0.02, 0.01, 0.03), (0.02, 0.01, 0.03), NO),
        ((0.04, 0.01, 0.07), (0.04, 0.01, 0.07), OPEN),
        # One run has no interval.
        ((0.4, np.nan, np.nan), (0.4, np.nan, np.nan), OPEN),
    ],
)
def test_the_rule(effect, beyond, verdict):
    assert decide(Estimate(*effect), Estimate(*beyond), least=0.05) == verdict


def test_an_estimate_has_students_interval():
    found = estimate(pd.DataFrame({"x": [1.0, 2.0, 3.0]}), "x")
    assert found.value == 2
    assert found.high == pytest.approx(2 + 4.3027 / np.sqrt(3), abs=1e-4)
    assert found.low == pytest.approx(2 - 4.3027 / np.sqrt(3), abs=1e-4)
    assert np.isnan(estimate(pd.DataFrame({"x": [1.0]}), "x").low)


def test_a_predicted_fall_is_judged_as_one_and_told_in_its_own_sign():
    values = pd.DataFrame({"effect": [-0.2, -0.21, -0.19], "control": [0.0, 0.01, -0.01]})
    values["beyond_control"] = values["effect"] - values["control"]
    row = judged("falls", values, 0.05, side=-1)
    assert row["verdict"] == YES
    assert row["effect"] == pytest.approx(-0.2)
    assert row["effect_low"] < -0.2 < row["effect_high"] < 0
    assert judged("rises", values, 0.05)["verdict"] == NO


def test_measures_that_disagree_leave_a_question_open():
    assert together([YES, YES]) == YES
    assert together([NO, NO]) == NO
    assert together([YES, NO]) == OPEN


@pytest.mark.parametrize("name", JUDGES)
def test_a_planted_effect_is_a_yes_and_its_absence_a_no(name, tmp_path):
    judge = JUDGES[name]
    assert set(judge(planted(tmp_path / "a", effect=LARGE))["verdict"]) == {YES}
    assert set(judge(planted(tmp_path / "b"))["verdict"]) == {NO}
    # What the control brings as well is no answer.
    assert set(judge(planted(tmp_path / "c", effect=LARGE, control=LARGE))["verdict"]) == {NO}
    assert set(judge(planted(tmp_path / "d", noise=3.0, seeds=(0, 1, 2)))["verdict"]) == {OPEN}


def test_sharers_are_judged_by_base_model(tmp_path):
    few = verdicts.sharing(planted(tmp_path / "few", effect=LARGE, seeds=(0,))).iloc[0]
    assert few["verdict"] == OPEN
    # With one base model the interval is that of the shuffling.
    assert few["effect_high"] - few["effect"] == pytest.approx(0.01)
    more = verdicts.sharing(planted(tmp_path / "more", effect=LARGE, seeds=(0, 1, 2))).iloc[0]
    assert more["verdict"] == YES
    assert more["effect_high"] - more["effect"] != pytest.approx(0.01)
    none = planted(tmp_path / "none", seeds=(0, 1, 2))
    assert verdicts.sharing(none)["verdict"].tolist() == [NO]


@pytest.mark.parametrize("n_runs", [1, 2])
@pytest.mark.parametrize("effect", [0, LARGE])
def test_one_or_two_runs_settle_nothing(effect, n_runs, tmp_path):
    series = planted(tmp_path, effect=effect, seeds=(0,))[:n_runs]
    for judge in JUDGES.values():
        assert set(judge(series)["verdict"]) == {OPEN}
    assert "no interval" in pooling.interval(series[:1])


@pytest.mark.parametrize("sentence", SENTENCES, ids=lambda one: one.__name__)
def test_a_question_opens_with_its_verdict(sentence, tmp_path):
    seeds = (0, 1, 2)
    planted_effect = sentence(planted(tmp_path / "a", effect=LARGE, seeds=seeds))
    assert "yes" in planted_effect.split("**")[1].lower()
    nothing = sentence(planted(tmp_path / "b", seeds=seeds)).split("**")[1].lower()
    assert "no." in nothing
    assert "not resolved" not in nothing
    assert "nan" not in sentence(planted(tmp_path / "c", seeds=(0,))[:1])


def test_a_page_without_answers_says_how_they_are_made():
    assert "plasticity publish" in verdicts.runs_sentence([])
    assert [sentence([]) for sentence in SENTENCES] == [""] * len(SENTENCES)
    assert figure([], tables.migration, charts.migration) is None
    assert numbers([], tables.migration) is None


def test_the_runs_are_named(tmp_path):
    text = verdicts.runs_sentence(planted(tmp_path))
    assert "locations (seeds 0, 1)" in text
    assert "6 runs (3 concepts, 2 seeds)" in text


# Tables


def test_control_is_subtracted_within_each_run(tmp_path):
    rows = tables.functions_by_run(planted(tmp_path, effect=0.3, control=0.1))
    rows = rows[rows["quantity"] == "took_on"]
    found = pooling.beyond_control(rows, [], "beyond_none")
    assert len(found) == 6
    for row in found.itertuples():
        own = rows[(rows["entity"] == row.entity) & (rows["seed"] == row.seed)]
        by_condition = own.set_index("condition")["beyond_none"]
        assert row.beyond_control == by_condition["targeted"] - by_condition["random"]


def test_layers_are_tested_together(tmp_path):
    table = tables.functions_by_layer(planted(tmp_path, effect=LARGE))
    assert (table["p_adjusted"] >= table["p"]).all()
    assert (table[table["condition"] == "targeted"]["p_adjusted"] < 0.05).all()
    assert table["n_runs"].tolist() == [6] * len(table)


def test_counts_are_of_neurons(tmp_path):
    table = tables.functions_counted(planted(tmp_path, effect=0.2, noise=0))
    row = table.query("condition == 'targeted' and quantity == 'took_on'").iloc[0]
    assert row["neurons"] == 3 * KEPT
    assert row["count"] == pytest.approx(0.3 * 3 * KEPT)
    assert row["count_none"] == pytest.approx(0.1 * 3 * KEPT)


def test_change_of_crowding_is_beyond_none_and_beyond_chance(tmp_path):
    table = tables.superposition_change(planted(tmp_path, effect=0.05, noise=0))
    rises = table.groupby("condition")[["interference", "dimensionality"]].mean()
    assert rises.loc["targeted"].tolist() == pytest.approx([0.05, -0.05])
    assert rises.loc["random"].tolist() == pytest.approx([0, 0])


def test_roles_are_those_of_every_concept(tmp_path):
    series = planted(tmp_path, effect=0.2, noise=0)
    table = tables.migration_by_kind(series)
    assert set(table["role"]) == {tables.OWN, tables.OTHER_TYPES, "nothing"}
    others = table[(table["role"] == tables.OTHER_TYPES) & (table["condition"] == "targeted")]
    assert others["share"].tolist() == pytest.approx([0.7] * 6)
    by_concept = tables.migration(series)
    assert set(by_concept["concept"]) == set(LABELS)
    assert (by_concept["p_adjusted"] >= 0.01).all()


def test_priming_is_that_beyond_none_with_the_errors_asked_for(tmp_path):
    series = planted(tmp_path)
    for table in (tables.priming(series), tables.priming_by_layer(series)):
        assert not table.duplicated(["concept", "seed", "condition", "similarity", "term"]).any()
        assert (table["p_adjusted"] >= table["p"]).all()
