"""The rule of question 1 on numbers whose verdict is known, and on the committed results."""

from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest

from plasticity_utils.analysis.relearning import (
    PLAIN,
    plain_sentence,
    regained,
    relearning_of,
    relearning_sentence,
    relearning_verdicts,
    verdict_of,
)
from plasticity_utils.errors import InputError
from plasticity_utils.experiment.run import Run
from plasticity_utils.formats import signed
from plasticity_utils.results.across import collateral, relearned, speeds
from plasticity_utils.results.groups import choose, series_of
from plasticity_utils.results.published import published_runs

NAMES = ["by_head", "beyond_head", "beyond_head_low", "beyond_head_high", "beyond_drift_low"]


@pytest.fixture(scope="module")
def surgical():
    full = choose(series_of(published_runs()), model="minilm", scale="full")
    return choose(full, regime="surgical", variant="")


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ((0.40, 0.50, 0.40, 0.60, 0.30), "relearned"),
        # A base that had not learned all it could gains as much with nothing removed.
        ((0.40, 0.50, 0.40, 0.60, -0.10), "not resolved"),
        ((0.99, 0.01, -0.01, 0.03, -0.02), "read again"),
        # Above 0, but too little to be of interest, and the head regains all that matters.
        ((0.97, 0.02, 0.01, 0.03, 0.01), "read again"),
        ((0.97, 0.02, -0.02, 0.06, -0.02), "not resolved"),
        ((0.40, 0.50, -0.10, 1.10, -0.10), "not resolved"),
        ((0.80, 0.02, -0.01, 0.04, -0.01), "not resolved"),
        ((0.40, 0.50, np.nan, np.nan, np.nan), "not resolved"),
        ((0.99, 0.00, np.nan, np.nan, np.nan), "not resolved"),
    ],
)
def test_the_rule(values, verdict):
    assert verdict_of(pd.Series(values, index=NAMES)) == verdict


def test_every_run_counts_once(surgical):
    runs = [run for seeds in surgical for run in seeds.runs]
    found = relearning_of(surgical)
    beyond = [relearned(run)["beyond_head"] for run in runs]
    assert found.values["n_seeds"] == len(runs) > 1
    assert found.values["beyond_head"] == pytest.approx(np.mean(beyond))
    low, high = (found.values[f"beyond_head_{end}"] for end in ("low", "high"))
    assert min(low, high) < np.mean(beyond) < max(low, high)


def test_the_sentence_says_how_many_runs_it_rests_on(surgical):
    n = sum(len(seeds.runs) for seeds in surgical)
    assert f"95 % over {n} runs" in relearning_sentence(surgical)
    alone = [type(surgical[0])(surgical[0].runs[:1])]
    assert "(one run)" in relearning_sentence(alone)
    assert "not resolved" in relearning_sentence(alone)


def test_speed_is_only_said_of_what_was_lost(surgical):
    table = speeds(surgical)
    assert {"targeted", "head"} <= set(table["condition"])
    assert "none" not in set(table["condition"])
    assert (table["epochs_to_95"].dropna() > 0).all()


def test_a_regime_without_runs_is_not_passed_over(surgical):
    first, second = relearning_verdicts({"surgical": surgical, "erase": []}).splitlines()
    assert first == f"- {relearning_sentence(surgical)}"
    assert "not measured yet" in second
    assert "--regime erase" in second


def test_the_front_page_says_the_same_in_plain_words(surgical):
    found = relearning_of(surgical)
    said = plain_sentence(surgical)
    assert said.startswith(PLAIN[found.verdict])
    assert f"cost {found.values['lost']:.2f} of the score" in said
    assert f"mean over {int(found.values['n_seeds'])} runs" in said
    first = plain_sentence([type(surgical[0])(seeds.runs[:1]) for seeds in surgical])
    assert "one run each" in first
    beyond = [relearned(seeds.runs[0])["beyond_head"] for seeds in surgical]
    assert f"from {signed(min(beyond))} to {signed(max(beyond))} by concept" in first
    lost = -collateral(surgical).query("condition == 'random'")["at_removal"].mean()
    assert f"the random control took {lost:.2f} from them" in said
    assert all(seeds.config.about.title.lower() in said for seeds in surgical)
    assert "one run" in plain_sentence([type(surgical[0])(surgical[0].runs[:1])])
    assert plain_sentence([]) == "Not measured yet."


def test_models_are_not_averaged(surgical):
    run = surgical[0].runs[0]
    config = replace(run.config, scale="medium", results_dir="")
    other = Run(run.path)
    vars(other)["facts"] = {**run.facts, "settings": asdict(config)}
    with pytest.raises(InputError, match="minilm at full, minilm at medium cannot be averaged"):
        relearning_of([surgical[0], type(surgical[0])((other,))])


def test_a_share_below_zero_is_no_share():
    assert regained(-0.03) == "nothing"
    assert regained(0.5) == "50 %"
