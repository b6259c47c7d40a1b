"""Every number that the front page states is re-derived from the committed results."""

from pathlib import Path

import pytest

from plasticity_utils.analysis.mistakes import mistake_changes
from plasticity_utils.data.corpus import CONCEPTS
from plasticity_utils.experiment.presets import SURGICAL_DOSES
from plasticity_utils.experiment.record import Run
from plasticity_utils.removal.dose import LOST, specificity
from plasticity_utils.results.across import recoveries
from plasticity_utils.results.groups import RunGroup, choose, run_groups
from plasticity_utils.results.published import AUDITS, published_runs, status

BOOK = Path(__file__).parent.parent / "book"
NOTEBOOKS = BOOK.parent / "notebooks"
PAGES = [name for name in CONCEPTS if (NOTEBOOKS / f"{name}.ipynb").is_file()]
RESULTS = sorted(path.parent for path in (BOOK / "results").glob("*/config.json"))


def test_every_folder_of_results_is_known():
    folders = {path for path in (BOOK / "results").iterdir() if path.is_dir()}
    assert folders == {*RESULTS, AUDITS}
    assert RESULTS
    assert {path.parent for path in AUDITS.glob("*/config.json")} == set(AUDITS.iterdir())


@pytest.mark.parametrize("folder", RESULTS, ids=lambda path: path.name)
def test_results_say_what_made_them(folder):
    facts = Run(folder).facts
    settings = facts["settings"]
    assert settings["seed"] >= 0
    assert facts["code"]["version"]
    assert {"torch", "transformers", "neurox", "numpy"} <= set(facts["libraries"])
    assert facts["machine"]["device"]
    assert sum(facts["seconds"].values()) > 0
    assert settings["scale"] != "smoke"


def test_the_results_stay_small():
    assert sum(path.stat().st_size for path in BOOK.rglob("results/**/*")) < 20e6


def test_full_size_base_models_are_good_enough():
    """Method: F1 of at least 0.90 on the validation split, for every seed."""
    table = status(published_runs())
    full = table[(table["scale"] == "full") & (table["model"] == "minilm")]
    assert len(full)
    assert (full["base_f1"] >= 0.90).all()


def full(**wanted):
    return choose(run_groups(published_runs()), model="minilm", scale="full", **wanted)


def test_at_rest_zero_no_dose_takes_the_concept_as_compare_says():
    (at_zero,) = full(regime="surgical", variant="rest=zero")
    doses = specificity(at_zero.runs[0].dose, "LOC", "dose")
    doses = doses[doses["dose"].isin(SURGICAL_DOSES)]
    assert (doses["entity_f1"] > LOST * doses["entity_f1_base"]).all()
    assert at_zero.facts["dose"] == doses.loc[doses["specificity"].idxmax(), "dose"]
    lost = at_zero.recovery.set_index("condition").loc["targeted"]
    assert lost["removed"] > 0.8 * lost["base"]


def test_mistake_4_leaves_the_concept_in_the_decoder():
    decoder = choose(
        run_groups(published_runs()), model="smollm2", regime="surgical", scale="medium", variant=""
    )
    kept = {}
    for run in (run for group in decoder for run in group.runs):
        changes = mistake_changes(run).set_index(["mistake", "quantity"])
        f1 = changes.xs("F1 of the concept, just removed", level="quantity")
        base = recoveries([RunGroup((run,))]).set_index("condition").loc["targeted", "base"]
        kept.setdefault(run.config.concept, []).append(
            f1.loc[4, "difference"] / (base - f1.loc[4, "right"])
        )
        assert f1.loc[1, "made"] > 0.9 * base
        assert f1.loc[3, "difference"] == 0
        assert abs(f1.loc[6, "difference"]) < 0.05
    low, high = sorted(kept.pop("locations"))
    assert 0.4 < low < 0.45 < 0.8 < high < 0.9
    assert set(kept) == {"persons", "organisations"}
    assert min(min(shares) for shares in kept.values()) > 0.9


def test_the_page_on_large_models_says_what_the_published_stages_took():
    text = (BOOK / "large_models.md").read_text(encoding="utf-8")
    runs = [Run(path) for path in RESULTS if "smollm2-surgical-full-seed0" in path.name]
    assert {run.facts["machine"]["accelerator"] for run in runs} == {"NVIDIA H200"}
    seconds: dict[str, list[float]] = {}
    for name, took in (pair for run in runs for pair in run.facts["seconds"].items()):
        seconds.setdefault(name.rpartition("-")[0], []).append(took)
    whole = [f"retrained-{condition}" for condition in ("targeted", "random", "none")]
    seconds["retrained"] = [took for name in whole for took in seconds[name]]
    seconds["reliance"] = seconds["reliance-targeted"] + seconds["reliance-none"]
    stages = ("base", "ranking", "dose", "measured", "retrained", "retrained-head", "reliance")
    for name in stages:
        low, high = round(min(seconds[name])), round(max(seconds[name]))
        assert f"| {low} |" in text if low == high else f"| {low}–{high} |" in text
    (locations,) = (run for run in runs if run.config.concept == "locations")
    assert f"A concept takes {sum(locations.facts['seconds'].values()) / 60:.0f} minutes" in text
