"""Measurements as tables: every number comes from the file."""

import json

import pytest

from benchmarks import costs, report
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
    one = {
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
        "growth": {"curves": {"measuring by words": curve(1.0), costs.ANALYSIS_CURVE: curve(0.5)}},
    }  # fmt: skip
    return {**one, "files": [one]}


def made(found):
    return report.made_table(found).set_index("what")["value"]


def test_the_table_of_comparisons(found):
    table = report.speed_table(found)
    assert table["agree"].tolist() == ["yes", "–"]
    assert table["met"].tolist() == ["yes", "no"]
    assert table.loc[0, ["ratio", "target", "peer_mb", "ours_mb"]].tolist() == [50, 40, 800, 100]
    assert table.loc[0, ["ratio_low", "ratio_high", "repeats"]].tolist() == [48, 53, 3]
    assert table.loc[0, ["agreement", "note"]].tolist() == ["same", "In full."]
    named = [title for name, title in report.COMPARISONS.items() if name != "scores"]
    assert named[0] == "highest-activating words"
    assert made(found)["not measured yet"] == ", ".join(named)
    found["rows"] = [{**found["rows"][0], "name": name} for name in report.COMPARISONS]
    assert made(found)["not measured yet"] == ""


def test_the_limit(found):
    table = report.limit_table(found).set_index("work")
    assert table.loc["training", "fraction"] == 0.43
    assert table.loc["training", "fraction_1024"] == 0.215
    assert report.rate_table(found).loc[0].tolist() == ["1 × 2 × 3", 100, 300]
    assert report.profile_table(found)["training"].tolist() == [0.6, 0.4]
    assert table.loc["training", ["precision", "products"]].tolist() == ["bf16", 0.6]


def test_what_could_be_reached(found):
    assert report.ceiling_table(found).empty
    row = {**found["rows"][0], "name": "training", "ratio": 4.3}
    found["rows"].append(row)
    assert report.ceiling_table(found)["ceiling"].tolist() == [pytest.approx(10)]


def test_ratios_of_two_days(tmp_path):
    for day, ratios in (("2026-01-01", {"a": 2.0}), ("2026-01-02", {"a": 3.0, "b": 4.0})):
        rows = [{"work": work, "ratio": ratio} for work, ratio in ratios.items()]
        (tmp_path / f"{day}.json").write_text(json.dumps({"rows": rows}))
    table = report.ratios_by_date(tmp_path).set_index("work")
    assert table.loc["a"].tolist() == [2, 3]
    assert table.loc["b"].isna().tolist() == [True, False]


def test_growth(found):
    table = report.growth_table(found).set_index("curve")
    assert table.loc["measuring by words", "seconds_high"] == pytest.approx(1.2)
    points = report.growth_points(found)
    assert points["rise_mb"].min() == report.LEAST_MB
    assert len(charts.growth(points).vconcat) == 2
    assert table.loc["measuring by words", "to"] == 5000
    with pytest.raises(InputError, match="no column 'seconds'"):
        charts.growth(points.drop(columns="seconds"))


def test_what_is_carried_over_to_costs(found):
    rates = costs.measured_rates(found)
    assert (rates.fraction, rates.sentence_tokens) == (0.43, 20.2)
    assert rates.analysis_seconds == pytest.approx(100 / (5000 * 100))


def test_when_and_with_what(found):
    said = made(found)["2026-01-02"]
    assert said.startswith("2 cores of a processor, 2 threads, training in bf16; plasticity 0.1.0")
    assert said.endswith("torch 2.13: scores at 0123456789; run at no commit")


def test_of_each_row_the_last_measurement_counts(found, tmp_path):
    (first,) = found["files"]
    first |= {"f1": None, "commits": {"scores": "a" * 40, "limit": "b" * 40}}
    row = {**first["rows"][0], "ratio": 60.0}
    second = {
        **first, "date": "2026-02-03", "processor": "another", "limit": None,
        "rows": [row, {**row, "name": "dose"}], "growth": None,
        "commits": {"scores": "c" * 40, "dose": "c" * 40},
    }  # fmt: skip
    for one in (first, second):
        (tmp_path / f"{one['date']}.json").write_text(json.dumps(one))
    last = report.latest_benchmark(tmp_path)
    assert [(row["name"], row["ratio"]) for row in last["rows"]] == [("scores", 60), ("dose", 60)]
    assert last["limit"] == first["limit"]
    said = made(last)
    assert "another" in said["2026-02-03"]
    assert said["2026-02-03"].endswith(": dose, scores at cccccccccc")
    assert said["2026-01-02"].endswith(": limit at bbbbbbbbbb")
