"""Measurements as tables and sentences: every number comes from the file."""

import json

import pytest

from benchmarks import costs, speed
from plasticity_utils import charts
from plasticity_utils.errors import InputError


def curve(slope):
    points = [
        {"n": n, "words": 100, "seconds": n / 50, "rise_mb": 0.0 if n == 100 else 30.0,
         "n_bins": 512, "greatest_bound": 0.004}
        for n in (100, 1000, 5000)
    ]  # fmt: skip
    exponents = {"slope": slope, "low": slope - 0.1, "high": slope + 0.2}
    return {"points": points, "seconds_exponent": exponents, "memory_exponent": exponents}


def side(precision, fraction):
    return {
        "tokens_per_s": 2345.6, "sentence_tokens": 20.2, "gflops": 99.0, "precision": precision,
        "fraction": fraction, f"fraction_{precision}_1024": fraction / 2,
        "profile": [{"part": "matrix products", "seconds": 6.0, "share": 0.6},
                    {"part": "dropout", "seconds": 4.0, "share": 0.4}],
    }  # fmt: skip


@pytest.fixture
def found():
    row = {
        "name": "scores", "work": "scores of all neurons", "peer_s": 100.0, "ours_s": 2.0,
        "ratio": 50.0, "ratio_low": 48.0, "ratio_high": 53.0, "repeats": 3, "target": 40,
        "peer_rise_mb": 800.4, "ours_rise_mb": 99.6, "agree": True, "met": True,
        "agreement": "same", "note": "In full.",
    }  # fmt: skip
    return {
        "date": "2026-01-02", "processor": "a processor", "cores": 2, "threads": 2,
        "precision": "bf16", "commits": {"scores": "0123456789abcdef", "run": None},
        "seconds": {"scores": 120.0},
        "versions": {"python": "3.11", "plasticity": "0.1.0", "torch": "2.13"},
        "rows": [row, {**row, "work": "the whole", "agree": None, "met": False}],
        "limit": {
            "rates": [{"n": 1, "k": 2, "m": 3, "precision": p, "gflops": g}
                      for p, g in (("fp32", 100.0), ("bf16", 300.0))],
            "extraction": side("fp32", 0.61), "training": side("bf16", 0.43),
        },
        "growth": {"curves": {"scores by words": curve(1.0), costs.ANALYSIS_CURVE: curve(0.5)}},
    }  # fmt: skip


def test_the_table_of_comparisons(found):
    table = speed.speed_table(found)
    assert table["agree"].tolist() == ["yes", "–"]
    assert table["met"].tolist() == ["yes", "no"]
    assert table.loc[0, ["ratio", "target", "peer_mb", "ours_mb"]].tolist() == [50, 40, 800, 100]
    text = speed.comparison_notes(found)
    assert "50.0 × (48.0 to 53.0), target 40 ×, met. Agreement: same. In full." in text
    assert text.count("**not met**") == 1
    missing = "highest-activating words, linear probes of every layer, word activations"
    assert text.endswith(f"- Not measured yet: {missing}, fine-tuning, the whole quick run.")
    found["rows"] = [{**found["rows"][0], "name": name} for name in speed.COMPARISONS]
    assert "Not measured yet" not in speed.comparison_notes(found)


def test_the_limit(found):
    table = speed.limit_table(found).set_index("work")
    assert table.loc["training", "fraction"] == 0.43
    assert table.loc["training", "fraction_1024"] == 0.215
    assert speed.rate_table(found).loc[0].tolist() == ["1 × 2 × 3", 100, 300]
    assert speed.profile_table(found)["training"].tolist() == [0.6, 0.4]
    text = speed.limit_sentence(found)
    assert "Training reaches 43 % of the bf16 rate" in text
    assert "largest other parts are dropout 40 %" in text


def test_what_could_be_reached(found):
    assert speed.ceiling_table(found).empty
    row = {**found["rows"][0], "name": "training", "ratio": 4.3}
    found["rows"].append(row)
    assert speed.ceiling_table(found)["ceiling"].tolist() == [pytest.approx(10)]


def test_ratios_of_two_days(tmp_path):
    for day, ratios in (("2026-01-01", {"a": 2.0}), ("2026-01-02", {"a": 3.0, "b": 4.0})):
        rows = [{"work": work, "ratio": ratio} for work, ratio in ratios.items()]
        (tmp_path / f"{day}.json").write_text(json.dumps({"rows": rows}))
    table = speed.ratios_by_date(tmp_path).set_index("work")
    assert table.loc["a"].tolist() == [2, 3]
    assert table.loc["b"].isna().tolist() == [True, False]


def test_growth(found):
    table = speed.growth_table(found).set_index("curve")
    assert table.loc["scores by words", "seconds_high"] == pytest.approx(1.2)
    points = speed.growth_points(found)
    assert points["rise_mb"].min() == speed.LEAST_MB
    assert len(charts.growth(points).vconcat) == 2
    assert "At 5,000 words, with 512 bins" in speed.bound_sentence(found)
    with pytest.raises(InputError, match="no column 'seconds'"):
        charts.growth(points.drop(columns="seconds"))


def test_what_is_carried_over_to_costs(found):
    rates = costs.measured_rates(found)
    assert (rates.fraction, rates.sentence_tokens) == (0.43, 20.2)
    assert rates.analysis_seconds == pytest.approx(100 / (5000 * 100))


def test_when_and_with_what(found):
    text = speed.made_with(found)
    assert "2026-01-02 in 2 minutes on 2 cores of a processor, 2 threads" in text
    assert text.endswith("Code: 0123456789 (scores); no commit (run).")
