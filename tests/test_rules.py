"""Each rule of the book on numbers whose word is known, each side of each bound."""

import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest

from plasticity_utils.analysis import rules
from plasticity_utils.analysis.rules import OPEN, RULES, Estimate
from plasticity_utils.files import ROOT
from plasticity_utils.results.stack import mean_interval, seed_columns

NONE = Estimate(0.0)
LITTLE, MUCH = Estimate(0.03, -0.02, 0.09), Estimate(0.3, 0.11, 0.5)
EITHER = Estimate(0.1, 0.0, 0.3)


def around(value, margin=0.01):
    return Estimate(value, value - margin, value + margin)


CASES = {
    "decide": [
        ((around(0.2), around(0.2), 0.05), "yes"),
        # The control has nearly as much of it, so what is left is too small to matter.
        ((around(0.2), Estimate(0.04, 0.01, 0.07), 0.05), OPEN),
        ((around(0.2), around(0.0), 0.05), "no"),
        ((around(0.0), around(0.0), 0.05), "no"),
        ((NONE, NONE, 0.05), OPEN),
    ],
    "together": [((["yes", "yes"],), "yes"), ((["no"],), "no"), ((["yes", "no"],), OPEN)],
    "can_fail": [
        (([0.1, 0.4],), rules.CAN_FAIL),
        (([0.0, 0.09],), rules.CANNOT_FAIL),
        (([0.0, 0.4],), OPEN),
        (([],), OPEN),
    ],
    "cut": [
        ((0.93, 0.18), "the concept"),
        ((0.93, 0.68), "the task"),
        ((0.04, 0.0), "little was lost"),
    ],
    "audited": [
        ((0.5, 0.0, 0.5, 1.0), "not measurable"),
        ((0.9, 0.5, 0.4, 1.0), "not taken"),
        ((0.9, 0.0, 0.4, 1.0), "not about the concept"),
        ((0.9, 0.0, 0.9, 0.95), "hidden"),
        ((0.9, 0.0, 0.9, 0.5), "weakened"),
        ((0.9, 0.0, 0.9, 0.05), "gone for these readers"),
    ],
    "kept": [
        ((around(0.6, 0.2),), rules.SOONER),
        ((around(0.1, 0.05),), rules.NO_SOONER),
        ((around(-0.3, 0.2),), rules.NO_SOONER),
        ((around(0.3, 0.5),), OPEN),
        ((Estimate(0.9),), OPEN),
    ],
    "sits": [
        ((around(0.02), around(0.02)), rules.ELSEWHERE),
        ((around(0.3), around(0.2)), rules.MOVED),
        ((around(0.3), around(0.0)), rules.ALL_ALONG),
        # More than before that training, but too little to matter.
        ((around(0.3), around(0.03)), rules.ALL_ALONG),
        ((around(0.3, 0.4), around(0.3)), OPEN),
        ((around(0.3), around(0.1, 0.2)), OPEN),
        ((Estimate(0.3), Estimate(0.3)), OPEN),
    ],
    "reader_finds": [
        ((0.9, 0.85), "still there to be read"),
        # Nine tenths of the base are left, and nothing of the loss came back.
        ((0.07, 0.0), "not found"),
        ((0.9, 0.4), "there in part"),
        ((0.9, 0.05), "not found"),
        ((0.02, 0.02), "little was lost"),
    ],
    "came_back": [
        ((0.4, around(0.5), around(0.4)), "more than was read"),
        # The control gains as much, so it is not the concept that does.
        ((0.4, around(0.5), around(-0.1)), OPEN),
        ((0.4, around(0.5), around(0.03)), OPEN),
        ((0.99, around(0.01), around(0.01)), "read again"),
        ((0.97, Estimate(0.02, -0.02, 0.06), NONE), OPEN),
        ((0.8, around(0.01), around(0.01)), OPEN),
        ((0.99, NONE, NONE), OPEN),
    ],
    "moves": [
        ((around(-1.0), Estimate(0.02, -0.05, 0.09)), "as a random cut"),
        # Half of the neurons are the same ones, so half of a difference can show.
        ((around(-1.0), Estimate(0.04, -0.01, 0.09), 0.5), OPEN),
        ((around(0.11), around(0.1)), "further than a random cut"),
        ((around(-1.0), around(-0.3)), "further than a random cut"),
        ((around(-1.0), around(0.3)), "otherwise"),
        ((around(-1.0), Estimate(0.03, -0.04, 0.101)), OPEN),
        ((Estimate(-1.0), Estimate(0.01)), OPEN),
    ],
    "beside_removal": [
        ((-0.79, -0.80), "as removal alone"),
        ((-0.30, -0.47), "less"),
        ((-0.26, -0.13), "further"),
        ((0.07, float("nan")), "no prediction"),
    ],
    "parts_move": [
        ((around(0.06), around(0.06)), "yes"),
        ((around(0.06), around(0.02)), "no"),
        ((MUCH, EITHER), OPEN),
    ],
    "representation": [
        ((LITTLE, LITTLE, LITTLE, LITTLE), "the same directions"),
        ((MUCH, LITTLE, MUCH, MUCH), "the same directions in the kept units"),
        ((MUCH, EITHER, LITTLE, MUCH), "the same geometry, turned"),
        ((MUCH, EITHER, LITTLE, EITHER), "not the same directions"),
        ((MUCH, EITHER, MUCH, MUCH), "another representation"),
        ((MUCH, EITHER, EITHER, MUCH), "not the same directions"),
        ((EITHER, LITTLE, LITTLE, LITTLE), OPEN),
        ((NONE, NONE, NONE, NONE), OPEN),
    ],
    "new_functions": [
        (("yes", "yes", around(0.1)), "yes"),
        ((OPEN, "no", around(0.03)), "only the removed concept"),
        (("yes", "no", around(0.03)), "only the removed concept"),
        (("yes", "no", around(0.0)), OPEN),
        (("yes", OPEN, around(0.03)), OPEN),
        (("no", "no", around(0.03)), "no"),
    ],
    "likeness": [
        ((around(0.06), 0.02, 3, False), "yes"),
        ((around(0.0), 0.02, 3, False), "no"),
        ((around(0.06), 0.02, 2, False), OPEN),
        ((around(0.06), 0.02, 3, True), "not measurable with this ruler"),
    ],
    "crowding": [
        ((["yes", "yes"], 500, 384), "yes"),
        ((["no", "no"], 500, 384), "no"),
        ((["yes", "no"], 500, 384), OPEN),
        ((["no", "no"], 15, 384), "not measurable with this inventory"),
    ],
    "parts_taken_over": [
        (("yes", "yes"), "yes"),
        (("no", "no"), "no"),
        (("yes", "no"), "only in the class “other”"),
        (("yes", OPEN), "only in the class “other”"),
        (("no", OPEN), OPEN),
    ],
    "forced": [
        ((0.9, 0.95, 0.01, around(0.3), around(0.2)), "yes"),
        ((0.9, 0.85, 0.01, around(0.3), around(0.2)), "the concept does not come back"),
        ((0.9, 0.95, 0.10, around(0.3), around(0.2)), "no"),
        ((0.9, 0.95, 0.01, around(0.01), around(0.2)), "no"),
        # Random neurons come to carry both as well.
        ((0.9, 0.95, 0.01, around(0.3), around(-0.1)), "no"),
        ((0.9, 0.95, 0.01, around(0.1), Estimate(0.1, -0.1, 0.3)), OPEN),
        ((0.4, 0.95, 0.01, around(0.3), around(0.2)), OPEN),
        ((float("nan"), float("nan"), 0.01, NONE, NONE), OPEN),
    ],
    "strength": [
        ((True, 3, True, True, False), "●●●"),
        ((True, 3, True, False, False), "●●"),
        ((True, 3, True, True, True), "●"),
        ((True, 2, True, True, False), "●"),
        ((True, 3, False, True, False), "●"),
        ((False, 3, True, True, False), "–"),
    ],
}


def test_every_rule_is_tested_with_every_word_that_it_says():
    assert set(CASES) == set(RULES)
    for name, cases in CASES.items():
        assert {word for _, word in cases} == set(RULES[name].words), name


@pytest.mark.parametrize(
    ("name", "values", "word"), [(name, *case) for name, cases in CASES.items() for case in cases]
)
def test_the_word_follows_from_the_numbers(name, values, word):
    assert RULES[name](*values) == word


def test_a_page_prints_the_rule_and_when_it_was_written():
    for one in RULES.values():
        shown = one._repr_markdown_()
        assert one.says in shown
        assert one.written in shown
        assert one.set_in in shown


def test_the_commits_of_rules_are_in_the_history():
    commits = {commit for one in RULES.values() for commit in one.set_in.split(", ")}
    if shutil.which("git") is None:
        pytest.skip("there is no git to ask")
    ask = ["git", "merge-base", "--is-ancestor"]
    known = {
        commit
        for commit in commits
        if subprocess.run([*ask, commit, "HEAD"], cwd=ROOT, capture_output=True).returncode == 0
    }
    if not known:
        pytest.skip("the history of the project is not here")
    assert known == commits


def test_an_estimate_is_turned_to_the_predicted_side():
    assert Estimate(-0.2, -0.3, -0.1).times(-1) == Estimate(0.2, 0.1, 0.3)
    assert np.isnan(NONE.times(-1).low)
    assert rules.decide(around(-0.2).times(-1), around(-0.2).times(-1), 0.05) == "yes"


def test_concepts_that_differ_do_not_widen_what_is_said_of_them():
    rows = pd.DataFrame({"concept": ["a"] * 3 + ["b"] * 3, "x": [0.1, 0.11, 0.12, 0.5, 0.51, 0.52]})
    found = mean_interval(rows, [], ["x"], over="concept").iloc[0]
    assert found["x"] == pytest.approx(0.31)
    # Pooled standard deviation 0.01; two means of three; t of four degrees of freedom.
    margin = 2.776 * 0.01 * np.sqrt(2 / 3) / 2
    assert found["x_high"] - found["x"] == pytest.approx(margin, abs=1e-4)
    assert (found["n_concepts"], found["n_runs"]) == (2, 6)
    one = mean_interval(rows[:3], [], ["x"], over="concept").iloc[0]
    alone = mean_interval(rows[:3], ["concept"], ["x"]).iloc[0]
    assert one["x_low"] == pytest.approx(alone["x_low"])
    assert np.isnan(mean_interval(rows.iloc[[0, 3]], [], ["x"], over="concept").iloc[0]["x_low"])
    by_key = mean_interval(rows.assign(k=["u", "v", "u"] * 2), ["k"], ["x"], over="concept")
    assert by_key["k"].tolist() == ["u", "v"]


def test_few_values_are_laid_out_by_seed():
    rows = pd.DataFrame({"concept": ["a", "a", "b"], "seed": [1, 0, 0], "x": [0.2, 0.4, 0.6]})
    table = seed_columns(rows, "x", ["concept"])
    assert table.columns.tolist() == ["concept", "seed 0", "seed 1", "mean"]
    assert table["seed 0"].tolist() == [0.4, 0.6]
    assert table["mean"].tolist() == pytest.approx([0.3, 0.6])
