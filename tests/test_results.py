"""Every number that the front page states is re-derived from the committed results."""

from pathlib import Path

import nbformat
import pandas as pd
import pytest

from plasticity_utils.analysis import movement, paper, relearning
from plasticity_utils.analysis import relearning as reading
from plasticity_utils.analysis.mistakes import mistake_changes, setting_changes
from plasticity_utils.analysis.movement import shifts
from plasticity_utils.analysis.readers import by_reader
from plasticity_utils.book import front as banner
from plasticity_utils.data.corpus import CONCEPTS
from plasticity_utils.experiment.config import SURGICAL_DOSES
from plasticity_utils.experiment.dose import LOST, specificity
from plasticity_utils.experiment.run import Run
from plasticity_utils.names import READ_AGAIN
from plasticity_utils.results.across import collateral, readable, recoveries, relied_on, turnovers
from plasticity_utils.results.across import relearning as relearning_table
from plasticity_utils.results.forced import Forced
from plasticity_utils.results.groups import Seeds, choose, largest, series_of
from plasticity_utils.results.published import published_runs, status

BOOK = Path(__file__).parent.parent / "book"
NOTEBOOKS = BOOK.parent / "notebooks"
PAGES = [name for name in CONCEPTS if (NOTEBOOKS / f"{name}.ipynb").is_file()]
RESULTS = sorted(path.parent for path in (BOOK / "results").glob("*/config.json"))
FORCED = sorted(path.parent for path in (BOOK / "results").glob("*/forced.json"))


def test_every_folder_of_results_is_known():
    folders = {path for path in (BOOK / "results").iterdir() if path.is_dir()}
    assert folders == {*RESULTS, *FORCED}
    assert RESULTS


@pytest.mark.parametrize("folder", [*RESULTS, *FORCED], ids=lambda path: path.name)
def test_results_say_what_made_them(folder):
    facts = Forced(folder).facts if folder in FORCED else Run(folder).facts
    settings = facts["settings"]["run"] if folder in FORCED else facts["settings"]
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
    table = status([Run(folder) for folder in RESULTS])
    full = table[(table["scale"] == "full") & (table["model"] == "minilm")]
    assert len(full)
    assert (full["base_f1"] >= 0.90).all()


def shown_on(notebook):
    stored = nbformat.read(NOTEBOOKS / f"{notebook}.ipynb", as_version=4)
    return [
        output["data"]["text/markdown"]
        for cell in stored.cells
        for output in cell.get("outputs", [])
        if "text/markdown" in output.get("data", {})
    ]


def test_the_front_page_says_what_the_results_say():
    groups = choose(
        series_of(published_runs()), model="minilm", regime="surgical", scale="full", variant=""
    )
    assert groups
    decoder = choose(
        largest(series_of(published_runs())), model="smollm2", regime="surgical", variant=""
    )
    shown = shown_on("intro")
    for said in (
        banner.front(groups),
        movement.plain_sentence(groups, full(regime="half", variant="")),
        banner.front(decoder),
        relearning.cost_sentence(decoder),
    ):
        assert said in shown


def full(**wanted):
    return choose(series_of(published_runs()), model="minilm", scale="full", **wanted)


def test_what_is_said_of_relearning_is_what_the_results_say():
    erased = full(variant="indicator=outside")
    assert relearning.plain_sentence(erased) in shown_on("intro")
    assert reading.plain_sentence(erased) in shown_on("intro")
    regimes = {"surgical": full(regime="surgical", variant="")}
    regimes |= {"half": full(regime="half", variant=""), "erase": erased}
    assert relearning.relearning_verdicts(regimes) in shown_on("relearning")
    assert reading.reading_verdicts(regimes) in shown_on("relearning")
    assert relearning.relearning_verdicts({"erase": erased}) in shown_on("erasure")
    assert reading.reading_verdicts({"erase": erased}) in shown_on("erasure")


def test_what_the_prose_says_of_readers_holds_in_every_run():
    tables = {regime: by_reader(full(regime=regime)) for regime in ("surgical", "half", "erase")}
    at = {
        regime: {name: rows.reset_index() for name, rows in table.groupby("condition")}
        for regime, table in tables.items()
    }
    surgical, half, erased = (at[regime]["targeted"] for regime in tables)
    # A reader that falls behind the model's own head on the whole base says nothing elsewhere.
    for found in at.values():
        none = found["none"]
        assert (none[["linear", "perceptron"]].sub(none["removed"], axis=0) > -0.04).all(axis=None)
    lost = at["surgical"]["none"]["removed"] - surgical["removed"]
    for reader in reading.READERS:
        assert (surgical[reader] - surgical["removed"] > READ_AGAIN * lost).all()
    assert (half["linear"] > half["head"]).all()
    assert (half["perceptron"] > half["linear"]).all()
    assert (erased[["head", "linear"]] < 0.05).all(axis=None)
    assert (erased["perceptron"] > 0.3).all()
    for regime in ("half", "erase"):
        values = reading.reading_of(tables[regime]).values
        assert values["least"] > 0 > values["concepts_low"]
        found = at[regime]["targeted"]
        beyond = found["end"] - found[reading.READERS].max(axis=1)
        of_concept = beyond.groupby(found["concept"])
        assert of_concept.mean().std() > 3 * of_concept.std().max()
        first = tables[regime].groupby(["concept", "condition"], as_index=False).first()
        assert reading.reading_of(first).verdict == "not resolved"
    for reader in ("linear", "perceptron"):
        assert (at["half"]["random"][reader] > half[reader]).all()


def test_what_the_prose_says_of_half_holds_in_every_run():
    runs = [run for seeds in full(regime="half", variant="") for run in seeds.runs]
    removed = pd.concat([run.metrics.assign(of=run.path.name) for run in runs])
    at_end = removed[removed["stage"] == "end"].set_index(["of", "condition", "entity"])["f1"]
    removed = removed[(removed["stage"] == "removed") & (removed["entity"] != "overall")]
    removed = removed[removed["condition"].isin(["targeted", "random"])]
    (exception,) = removed[removed["f1"] >= 0.25].itertuples()
    assert (exception.condition, exception.entity) == ("random", "LOC")
    assert len(runs) == 9
    for run in runs:
        own = at_end[run.path.name].xs(run.config.label, level="entity")
        assert own["random"] > own["targeted"]


def test_at_rest_zero_no_dose_takes_the_concept_as_compare_says():
    (at_zero,) = full(regime="surgical", variant="rest=zero")
    doses = specificity(at_zero.runs[0].dose, "LOC", "dose")
    doses = doses[doses["dose"].isin(SURGICAL_DOSES)]
    assert (doses["f1"] > LOST * doses["f1_base"]).all()
    assert at_zero.facts["dose"] == doses.loc[doses["specificity"].idxmax(), "dose"]
    lost = at_zero.recovery.set_index("condition").loc["targeted"]
    assert lost["removed"] > 0.8 * lost["base"]


def test_new_top_neurons_take_what_compare_says():
    surgical = choose(largest(series_of(published_runs())), regime="surgical", variant="")
    table = relied_on(surgical)
    f1 = table[table["condition"] == "targeted"].set_index(["model", "targeted", "again"])["f1"]
    taken = f1.xs("nothing", level="again") - f1.xs("new top", level="again")
    assert (f1.loc["minilm"].xs("new top", level="again") < 0.005).all()
    least, most = taken["smollm2"].min(), taken["smollm2"].max()
    prose = (NOTEBOOKS / "compare.py").read_text(encoding="utf-8").replace("\n#", "")
    assert f"In the decoder they take {least:.2f} to {most:.2f}: in the end" in prose


def test_what_the_prose_says_of_an_erasure_holds_for_every_concept():
    erased = full(variant="indicator=outside")
    cost = collateral(erased).set_index(["concept", "condition"])["at_removal"]
    lost = -cost.xs("targeted", level="condition").groupby("concept").mean()
    assert (lost[["locations", "organisations"]] > 0.5).all()
    assert lost["persons"] < 0.5
    places = readable(erased).set_index(["concept", "condition", "stage", "layer"])["probe_f1"]
    removed, end = (
        places.xs(("targeted", at), level=[1, 2]).unstack() for at in ("removed", "end")
    )
    assert (removed[6] < removed[0]).all()
    assert (end[0] - removed[0] < 0.1).all()
    assert (end[6] - removed[6] > 0.5).all()
    overlap = turnovers(erased).pivot(index="concept", columns="condition", values="jaccard")
    assert (overlap["head"] < 0.15).all()
    assert overlap["targeted"].between(0.4, 0.6).all()
    assert (overlap["none"] > 0.7).all()


def test_special_tokens_change_nothing_as_compare_says():
    (at_all,) = full(regime="surgical", variant="positions=all")
    (usual,) = full(regime="surgical", variant="", concept="locations")
    assert usual.runs[0].config.seed == at_all.config.seed
    values = relearning_table([at_all, Seeds(usual.runs[:1])])
    differences = values[["lost", "by_head", "recovery", "beyond_head"]].diff().iloc[1].abs()
    assert (differences < 0.015).all()


def test_the_papers_page_says_what_the_released_tables_say():
    profile = paper.released_profile(paper.load_reference("ranks_distilbert_location"))
    assert paper.centres_sentence(profile) in shown_on("paper")


def test_the_papers_page_says_what_the_ranks_and_the_selectivity_do():
    half = full(regime="half", variant="")
    said = movement.ranks_sentence(half)
    assert "does not tell the concept's cut from a random one" in said
    assert said in shown_on("paper")
    moved = shifts(half)
    bounds = [f"beyond_counts_{end}" for end in ("low", "high")]
    assert moved["beyond_counts"].abs().max() < 0.1
    assert (moved[bounds].abs().max(axis=1) < moved["beyond_removal"].abs()).all()
    assert (moved[["beyond_none_low", "random_beyond_none_low"]] > 0).all(axis=None)
    assert ((moved["random_beyond_none"] - moved["beyond_none"]).abs() < 0.1).all()
    assert moved["others_beyond_none"].abs().max() < 0.05
    surgical = shifts(full(regime="surgical", variant=""))
    # "A little", on the front page.
    assert surgical["beyond_none"].max() < 0.2
    later = [f"{value}_low" for value in movement.BEYOND]
    assert (surgical[later] > 0).all(axis=None)
    assert surgical["random_beyond_none"].abs().max() < 0.02 < surgical["beyond_none"].min()


def test_the_papers_page_says_what_its_protocol_gave():
    protocol = full(regime="half", rest="layernorm", epochs=8)
    theirs = choose(protocol, restarts=4, regrow=False)
    assert theirs
    assert relearning.relearning_verdicts({"half": theirs}) in shown_on("paper")
    assert reading.reading_verdicts({"half": theirs}) in shown_on("paper")
    assert {seeds.config.concept for seeds in theirs} == {"locations"}
    schedules = choose(protocol, regrow=False)
    assert len(schedules) == 2
    for schedule in schedules:
        f1 = recoveries([schedule]).set_index("condition")
        assert abs(f1.loc["random", "end"] - f1.loc["targeted", "end"]) < 0.005
        assert f1.loc["random", "removed"] < 0.005
    read = by_reader(theirs).set_index("condition")[["linear", "perceptron"]]
    assert (read.loc["random"] > read.loc["targeted"]).all()
    moved = shifts(protocol)
    assert moved["rank_shift"].between(-1, -0.8).all()
    assert moved["rank_beyond_random"].abs().max() < 0.1
    assert (moved[["beyond_none", "beyond_others"]] > 0).all(axis=None)
    shared = [run.facts["random_overlap"] / run.facts["n_removed"] for run in theirs[0].runs]
    assert 0.45 < min(shared) <= max(shared) < 0.55


def test_mistake_4_leaves_the_concept_in_the_decoder():
    decoder = choose(
        series_of(published_runs()), model="smollm2", regime="surgical", scale="medium", variant=""
    )
    kept = {}
    for run in (run for seeds in decoder for run in seeds.runs):
        changes = mistake_changes(run).set_index(["mistake", "quantity"])
        f1 = changes.xs("F1 of the concept, just removed", level="quantity")
        base = recoveries([Seeds((run,))]).set_index("condition").loc["targeted", "base"]
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


def test_in_one_run_neither_setting_of_a_training_moves_f1_far():
    protocol = full(regime="half", rest="layernorm", epochs=8)
    changes = setting_changes(protocol)
    assert set(changes["mistake"]) == {5, 8}
    assert changes["n_seeds"].eq(1).all()
    assert (changes["difference"].abs() < 0.02).all()
    end = changes["quantity"] == "F1 of the concept at the end"
    assert (changes.loc[end, "difference"].abs() < 0.01).all()
    ranks = shifts(protocol).set_index("variant")["rank_shift"]
    regrown = ranks.index.str.contains("regrow=True")
    assert ranks[regrown].min() > ranks[~regrown].max()


def test_what_is_said_side_by_side_is_what_the_results_say():
    surgical = choose(largest(series_of(published_runs())), regime="surgical", variant="")
    assert {seeds.config.model for seeds in surgical} == {"minilm", "smollm2"}
    shown = shown_on("compare")
    for said in (
        relearning.model_verdicts(surgical),
        movement.movement_sentence(shifts(surgical)),
    ):
        assert said in shown


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
