"""The rules of two verdicts, each side of each threshold, on rows made for it."""

import numpy as np
import pandas as pd
import pytest

from plasticity_utils.analysis.parts_tables import TAKEN_OVER
from plasticity_utils.analysis.sameness import ALL, SAME, averaged
from plasticity_utils.book import prose_same as verdicts


def row(**intervals):
    """A row whose values are given as (low, high)."""
    found = {}
    for name, (low, high) in intervals.items():
        found |= {name: (low + high) / 2, f"{name}_low": low, f"{name}_high": high}
    return pd.Series(found)


def table(values, n_runs=3, **changes):
    found = dict.fromkeys(values, (0.0, 0.05)) | changes
    return pd.DataFrame([{"concept": ALL, "n_runs": n_runs, **row(**found)}])


LITTLE, MUCH, EITHER = (-0.02, 0.09), (0.11, 0.5), (0.05, 0.3)


@pytest.mark.parametrize(
    ("as_is", "aligned", "kind"),
    [
        (LITTLE, LITTLE, verdicts.SAME),
        (LITTLE, MUCH, verdicts.SAME),
        (MUCH, LITTLE, verdicts.TURNED),
        (MUCH, MUCH, verdicts.OTHER),
        (MUCH, EITHER, verdicts.NOT_AS_IS),
        (EITHER, LITTLE, verdicts.OPEN),
        ((np.nan, np.nan), (np.nan, np.nan), verdicts.OPEN),
    ],
)
def test_each_kind_of_representation_has_its_numbers(as_is, aligned, kind):
    found = row(lost_as_is=as_is, lost_aligned=aligned, aligned_beyond=MUCH, lost_as_is_kept=EITHER)
    assert verdicts.representation_kind(found) == kind


def test_a_turn_must_be_read_better_than_one_to_shuffled_words():
    found = row(lost_as_is=MUCH, lost_aligned=LITTLE, aligned_beyond=EITHER, lost_as_is_kept=MUCH)
    assert verdicts.representation_kind(found) == verdicts.NOT_AS_IS


@pytest.mark.parametrize("aligned", [LITTLE, MUCH, EITHER])
def test_a_probe_that_read_removed_units_is_no_proof_of_other_directions(aligned):
    found = row(lost_as_is=MUCH, lost_aligned=aligned, aligned_beyond=MUCH, lost_as_is_kept=LITTLE)
    assert verdicts.representation_kind(found) == verdicts.KEPT


@pytest.mark.parametrize(
    ("on_same", "on_new_beyond", "other"),
    [(LITTLE, MUCH, True), (MUCH, MUCH, False), (LITTLE, EITHER, False), (EITHER, MUCH, False)],
)
def test_other_neurons_need_both_removals(on_same, on_new_beyond, other):
    assert verdicts.other_neurons(row(on_same=on_same, on_new_beyond=on_new_beyond)) is other


@pytest.mark.parametrize(
    ("beyond", "said"),
    [
        ((0.01, 0.4), "Yes"),
        ((-0.03, 0.05), "No"),
        ((0.01, 0.03), "No"),
        ((-0.4, -0.2), "No"),
        ((-0.03, 0.2), "Not resolved"),
        ((np.nan, np.nan), "Not resolved"),
    ],
)
def test_taking_over_is_judged_by_the_interval(beyond, said):
    assert verdicts.taken_over_answer(row(beyond_none=beyond)) == said


@pytest.mark.parametrize(
    ("changes", "start"),
    [
        ({}, "**Yes: the same directions.**"),
        ({"lost_as_is": MUCH}, "**Yes: the same directions in the kept units"),
        (
            {"lost_as_is": MUCH, "lost_as_is_kept": MUCH, "aligned_beyond": MUCH},
            "**Yes, but turned",
        ),
        (
            {"lost_as_is": MUCH, "lost_as_is_kept": MUCH, "lost_aligned": MUCH},
            "**No: another representation.**",
        ),
        ({"lost_as_is": EITHER}, "**Not resolved.**"),
    ],
)
def test_the_sentence_opens_with_the_verdict(changes, start):
    said = verdicts.same_verdict(table(SAME, **changes))
    assert said.startswith(start)
    assert "95 % intervals over 3 runs" in said
    assert "neurons it relies on are others" not in said


def test_the_sentence_says_when_it_relies_on_other_neurons():
    said = verdicts.same_verdict(table(SAME, on_new=(0.9, 1.0), on_new_beyond=MUCH))
    assert "neurons it relies on are others" in said
    assert "95 % (90 % to 100 %)" in said


def test_the_sentence_of_parts_holds_its_control():
    changes = {"beyond_none": (0.02, 0.1), "new": (0.2, 0.3), "new_none": (0.1, 0.2)}
    said = verdicts.taken_over_verdict(table(TAKEN_OVER, **changes))
    assert said.startswith("**Yes: other neurons")
    assert "where nothing was removed 15 % (10 % to 20 %)" in said


def test_without_parts_nothing_is_resolved():
    said = verdicts.taken_over_verdict(pd.DataFrame(columns=["concept", *TAKEN_OVER]))
    assert said.startswith("**Not resolved.**")


def test_a_single_run_resolves_nothing():
    runs = pd.DataFrame([{"concept": "locations", "seed": 0, **dict.fromkeys(SAME, 0.5)}])
    said = verdicts.same_verdict(averaged(runs, SAME))
    assert said.startswith("**Not resolved.**")
    assert "there is no interval" in said


def test_averages_have_a_row_a_concept_and_one_over_all_runs():
    runs = pd.DataFrame(
        {"concept": ["a", "a", "b"], "seed": [0, 1, 0], "lost_as_is": [0.1, 0.3, 0.5]}
    )
    rows = averaged(runs, ["lost_as_is"]).set_index("concept")
    assert rows["n_runs"].to_dict() == {"a": 2, "b": 1, ALL: 3}
    assert rows.loc["a", "lost_as_is"] == pytest.approx(0.2)
    # t of 97.5 % with two degrees of freedom is 4.303; the standard error is 0.2/√3.
    assert rows.loc[ALL, "lost_as_is_high"] - 0.3 == pytest.approx(4.3027 * 0.2 / np.sqrt(3), 1e-4)
    assert np.isnan(rows.loc["b", "lost_as_is_low"])


def test_intervals_of_shares_stay_within_what_a_share_can_be():
    runs = pd.DataFrame(
        {"concept": "a", "as_is": [0.0, 0.5], "on_new": [0.6, 1.0], "lost_as_is": [0.0, 0.5]}
    )
    rows = averaged(runs, ["as_is", "on_new", "lost_as_is"]).iloc[0]
    assert rows["as_is_low"] == 0
    assert rows["on_new_high"] == 1
    assert rows["lost_as_is_low"] < 0
