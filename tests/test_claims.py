"""What the pages on relearning, movement and the paper say holds in the committed results."""

import re

import nbformat
import numpy as np
import pandas as pd
import pytest

from plasticity_utils.analysis import (
    audits,
    features,
    movement,
    paper,
    relearning,
    rules,
    sameness,
)
from plasticity_utils.analysis.answers import by_question
from plasticity_utils.analysis.mistakes import setting_changes
from plasticity_utils.analysis.pooled import groups_with_tables
from plasticity_utils.analysis.readers import by_reader
from plasticity_utils.files import ROOT
from plasticity_utils.names import READ_AGAIN
from plasticity_utils.results.across import recoveries, turnovers
from plasticity_utils.results.groups import choose, run_groups
from plasticity_utils.results.published import (
    published_audits,
    published_curves,
    published_features,
    published_runs,
)
from plasticity_utils.results.tables import centroid


@pytest.fixture(scope="module")
def published():
    return run_groups(published_runs())


@pytest.fixture(scope="module")
def cuts(published):
    full = choose(published, model="minilm", scale="full")
    return {
        "surgical": choose(full, regime="surgical", variant=""),
        "half": choose(full, regime="half", variant=""),
        "erase": choose(full, variant="indicator=outside"),
    }


@pytest.fixture(scope="module")
def rows(cuts):
    return {name: relearning.by_run(groups) for name, groups in cuts.items()}


def test_numbers_of_a_run_come_from_its_tables(cuts, rows):
    run = cuts["surgical"][0].runs[0]
    f1 = run.metrics[run.metrics["entity"] == run.config.label]
    f1 = f1.set_index(["condition", "stage"])["entity_f1"]
    row = rows["surgical"].query("concept == 'locations' and seed == @run.config.seed").iloc[0]
    assert row["lost"] == pytest.approx(f1["targeted", "base"] - f1["targeted", "removed"])
    assert row["beyond_head"] == pytest.approx(f1["targeted", "end"] - f1["head", "end"])
    assert row["drift"] == pytest.approx(f1["none", "end"] - f1["none", "base"])


def test_the_words_of_the_three_cuts(rows):
    table = relearning.side_by_side(rows).set_index("way")
    assert table["came_back"].to_dict() == {
        "surgical": rules.READ,
        "half": rules.BEYOND,
        "erase": rules.BEYOND,
    }
    assert table["cut"].to_dict() == {
        "surgical": rules.CONCEPT,
        "half": rules.TASK,
        "erase": rules.TASK,
    }
    of_erasure = relearning.each_concept(rows["erase"]).set_index("concept")["cut"]
    assert of_erasure.to_dict() == {
        "locations": rules.TASK,
        "persons": rules.CONCEPT,
        "organisations": rules.TASK,
    }
    # Organisations gain hardly more than after a random half.
    half = rows["half"].set_index("concept")["beyond_control"]
    assert half["organisations"].mean() < 0.05 < half[["locations", "persons"]].min()


@pytest.mark.parametrize(
    ("perceptron", "end", "control", "word"),
    [
        (0.5, 0.8, 0.0, rules.BEYOND),
        # As much comes back after a random cut.
        (0.5, 0.8, 0.3, rules.OPEN),
        (0.88, 0.89, 0.0, rules.READ),
        (0.6, 0.62, 0.0, rules.OPEN),
    ],
)
def test_what_came_back_is_judged_beside_the_best_reader_and_the_control(
    perceptron, end, control, word
):
    made = []
    for seed in range(3):
        beyond = end - perceptron + 0.001 * seed
        made.append(
            {
                "concept": "locations", "seed": seed, "lost": 0.9, "lost_others": 0.0,
                "by_head": 0.1, "by_best": perceptron / 0.9, "beyond": beyond,
                "beyond_control": beyond - control,
            }
        )  # fmt: skip
    found = relearning.summary(pd.DataFrame(made))
    assert found["came_back"] == word
    assert found["n_runs"] == 3


def test_a_reader_that_was_not_fitted_is_not_taken_to_find_nothing(rows):
    erased = rows["erase"].set_index("seed")
    assert erased.loc[1, "beyond"].isna().all()
    assert erased.loc[[0, 2], "beyond"].notna().all()
    assert rows["surgical"]["best"].notna().all()


def test_after_the_small_cut_no_reader_finds_more_than_the_last_layer(rows):
    small = rows["surgical"]
    assert (small["best"] == small["head"]).all()
    assert (small["by_head"] > 0.9).all()


def test_what_is_said_of_readers_after_the_harder_cuts(rows):
    half, erased = rows["half"], rows["erase"].dropna(subset="perceptron")
    assert (half["head"] < half["removed"]).all()
    assert (half["linear"] > half["head"]).all()
    assert (half["perceptron"] > half["linear"]).all()
    assert (erased[["head", "linear"]] < 0.05).all(axis=None)


def test_the_last_layer_brings_back_others_and_nothing_of_what_was_erased(cuts):
    table = relearning.head_brings(cuts["erase"])
    assert (table["head"] < 0.005).all()
    assert (table["others_head"] > table["others_removed"] + 0.05).all()


def test_the_erasure_turns_over_the_top_neurons_as_its_page_says(cuts):
    overlap = turnovers(cuts["erase"]).pivot(index="concept", columns="condition", values="jaccard")
    assert (overlap["head"] < 0.15).all()
    assert overlap["targeted"].between(0.4, 0.6).all()


def test_survivors_and_the_whole_move_opposite_ways(cuts):
    found = movement.mean_moves(cuts["surgical"])
    assert found["survivors_word"] == rules.FURTHER
    assert found["survivors_low"] > 0 > found["whole_high"]
    # Silencing random neurons of the same layers moves the whole as far.
    assert found["whole_random_low"] < found["whole"] < found["whole_random_high"]
    half = movement.mean_moves(cuts["half"])
    assert half["ranks_word"] == rules.AS_RANDOM
    assert half["survivors_word"] == rules.OPEN


def test_the_decoder_does_not_resolve_the_move(published):
    on_2000 = choose(published, model="smollm2", scale="medium", regime="surgical", variant="")
    assert movement.mean_moves(on_2000)["survivors_word"] == rules.OPEN
    full = choose(published, model="smollm2", scale="full", regime="surgical", variant="")
    persons = movement.moves_by_concept(full).set_index("concept").loc["persons"]
    assert abs(persons["survivors"]) < 0.01 < persons["survivors_random"]
    taken = relearning.taken_again(on_2000)
    assert taken.max() > 0.5 > 0 > taken.min()


def test_all_seven_released_sets_are_shown():
    table = paper.released_centres().set_index("set")
    assert set(table.index) == set(paper.load_reference("layer_saliency_unfiltered_null")["set"])
    assert table["beside"].value_counts().to_dict() == {
        rules.ALONE: 3,
        rules.NO_PREDICTION: 2,
        rules.LESS: 1,
        rules.MORE: 1,
    }
    assert table.loc["DB-probe-v2tail", "beside"] == rules.MORE
    later = table["after"] > table["before"]
    assert set(table.index[later]) == {"DGPT2-loc", "gpt2dir"}
    profile = paper.released_layers(paper.load_reference("ranks_distilbert_location"))
    for ours, theirs in (("base", "before"), ("after", "after"), ("removal_only", "removal_only")):
        assert centroid(profile, ours) == pytest.approx(table.loc["DB-loc", theirs], abs=1e-3)


def test_what_is_said_of_the_papers_protocol(published):
    protocol = choose(published, regime="half", scale="full", removal="layernorm", epochs=8)
    for schedule in choose(protocol, regrow=False):
        f1 = recoveries([schedule]).set_index("condition")
        assert abs(f1.loc["random", "end"] - f1.loc["targeted", "end"]) < 0.005
    read = by_reader(choose(protocol, restarts=4, regrow=False)).set_index("condition")
    assert (read.loc["random", ["linear", "perceptron"]].astype(float)
            > read.loc["targeted", ["linear", "perceptron"]].astype(float)).all()  # fmt: skip
    changes = setting_changes(protocol)
    assert set(changes["mistake"]) == {5, 8}
    assert (changes["difference"].abs() < 0.02).all()
    assert np.isfinite(changes["difference"]).all()


def test_the_nine_answers_are_the_words_of_their_rules(published, rows):
    table = by_question(published)
    numbers = table["question"].str.extract(r"^(\d)[abcd]?\.")[0]
    assert sorted(set(numbers)) == [str(number) for number in range(1, 10)]
    assert set(table["strength"]) <= set(rules.strength.words)
    words = {word for one in rules.RULES.values() for word in one.words}
    assert {re.split(", (?:of|and) ", answer)[0] for answer in table["answer"]} <= words
    unanswered = table["answer"].str.startswith((rules.OPEN, "not measurable"))
    assert (table["strength"].eq(rules.NO_STRENGTH) == unanswered).all()
    assert table["answer"].iloc[0] == rules.READ
    assert table["strength"].eq(rules.STRONG).sum() == 1
    erased = table[table["question"].str.startswith("1c")].iloc[0]
    assert erased["answer"] == f"{rules.BEYOND}, and {rules.SOONER} than if never known"
    assert erased["strength"] == rules.SOME


def test_the_front_page_says_each_answer_in_its_own_words():
    notebook = nbformat.read(ROOT / "notebooks" / "intro.ipynb", as_version=4)
    shown = [
        output.data.get("text/markdown", "")
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if output.output_type in ("execute_result", "display_data")
    ]
    (table,) = (text for text in shown if text.startswith("| question | answer |"))
    assert rules.BEYOND not in table
    assert "not measurable with" not in table


def test_the_words_of_the_removals_that_were_audited():
    table = audits.table_of_removals(published_audits())
    assert (table["n_seeds"] == 3).all()
    assert (table.groupby("removal")["concept"].nunique() == 3).all()
    verdicts = table.groupby("removal")["verdict"].unique().map(list).to_dict()
    assert verdicts.pop("leace") == [rules.WEAKENED]
    assert verdicts.pop("mean_projection") == [rules.NOT_ABOUT]
    assert all(words == [rules.HIDDEN] for words in verdicts.values())
    assert set(table["came_back"]) == {rules.SOONER}
    assert (table["savings_high"] <= 1).all()
    assert table.filter(regex="^lost_.*_high").max().max() <= 1
    assert (table["savings"] > 0.4).all()
    # After LEACE a new reader finds less than of a body that was never taught, under every seed.
    seeds = audits.by_seed(published_audits())
    below = seeds.query("removal == 'leace'")
    assert (below["found"] < below["floor"]).all()
    own = table.set_index(["removal", "concept"])
    share = own["lost_random"] / own["base"]
    assert share[["npo", "gradient_difference"]].min() > 0.15
    assert share.xs("organisations", level="concept")[["npo", "gradient_difference"]].min() > 0.4
    mild = own.loc[["relabel", "rmu"], ["lost_random", "lost_another"]]
    assert mild.max().max() < 0.05
    another = (own["lost_another"] / own["base"])["mean_projection"]
    assert another.min() > 0.6
    reached = table.groupby("removal")[["n_reached", "n_seeds"]].sum()
    short = set(reached.index[reached["n_reached"] < reached["n_seeds"]])
    assert {"gate", "leace", "relabel"} <= short


def test_stronger_readers_find_more_of_an_erasure_and_less_than_in_a_body_never_taught():
    table = audits.further_read(published_audits()).query("removal == 'leace'")
    assert sorted(table["concept"]) == ["locations", "organisations", "persons"]
    more = table.set_index("concept").eval("read_further - read")
    assert more.min() > 0
    assert more.idxmax() == "locations"
    assert (table["read_further"] < READ_AGAIN).all()
    assert (table["found_further"] < table["floor_further"]).all()


def test_with_all_sentences_an_erasure_weakens_and_what_is_left_was_taught_in_part():
    found = published_audits(scale="full", removal="leace")
    table = audits.table_of_removals(found).set_index("concept")
    assert table["n_seeds"].to_dict() == {"locations": 3, "organisations": 3, "persons": 3}
    assert set(table["verdict"]) == {rules.WEAKENED}
    by_seed = audits.read(found)
    assert (by_seed["found"] > by_seed["floor"]).all()
    assert (table["steps_targeted"] < table["steps_masked"]).all()
    assert set(table["came_back"]) == {rules.SOONER}
    assert (table["specificity"] > 0.5).all()
    # More comes back than readers had found, and not so after the small cut.
    assert (table[["beyond_low", "beyond_control_low"]] > 0.05).all().all()
    cut = audits.table_of_removals(published_audits(scale="full")).query("removal == 'gate'")
    assert (cut["beyond"] < 0.02).all()
    assert (cut["beyond_control_low"] < 0).all()


def test_it_hardly_matters_how_the_last_layer_is_trained():
    ways = audits.heads(published_audits(scale="full"))
    found = ways.groupby("concept")["removed"]
    assert found.size().to_dict() == {"locations": 8, "organisations": 8, "persons": 8}
    assert (found.max() - found.min()).max() < 0.01
    assert (ways["base"] - ways["removed"]).max() < 0.02


def test_after_a_second_cut_readers_find_what_the_model_does_not():
    again = audits.after_second_cut(published_audits(scale="full", removal="gate"))
    assert (again["head"] > 0.8).all()
    assert (again["head_top"] < 0.1).all()
    assert (again[["found_top", "found_top_removed"]] > 0.8).all().all()
    where = audits.where_it_sits(again)
    assert where["n_seeds"].tolist() == [3, 3, 3]
    assert set(where["verdict"]) == {rules.ELSEWHERE}


def test_with_all_sentences_the_small_cut_hides_too_and_is_back_sooner():
    table = audits.table_of_removals(published_audits(scale="full"))
    table = table[table["removal"] == "gate"]
    assert sorted(table["concept"]) == ["locations", "organisations", "persons"]
    assert set(table["verdict"]) == {rules.HIDDEN}
    assert (table["n_seeds"] == 3).all()
    assert (table["n_reached"] == 3).all()
    assert table["savings"].min() > 0.4
    assert set(table["came_back"]) == {rules.SOONER}


def test_a_probe_need_not_read_the_base_of_another_seed():
    found = sameness.other_bases(published_audits(scale="full"))
    assert sameness.control(found) == rules.CAN_FAIL
    found = found.set_index("other")
    other = found.drop(sameness.PRETRAINED)
    assert len(other) == 6
    assert other["as_is"].median() < 0.25
    assert found.loc[sameness.PRETRAINED, ["as_is", "kept"]].max().max() < 0.1
    after = sameness.kept_f1(groups_with_tables(model="minilm", scale="full", regime="surgical"))
    assert other["kept"].max() < 0.6 < 0.8 < after["kept"].min()


def test_what_is_said_of_other_tasks():
    table = audits.table_of_removals(published_audits(anywhere=True)).query("removal == 'gate'")
    others = table.query("tags != 'entity' or corpus != 'conll2003'").set_index("concept")
    assert others["verdict"].drop("NNP").eq(rules.HIDDEN).all()
    assert others.loc["NNP", "verdict"] == rules.NOT_TAKEN
    assert (others["random"] / others["base"]).min() > 0.85
    assert (others["head"] / others["base"]).min() > 0.95
    assert (table["steps_targeted"] < table["steps_masked"]).all()
    taught = 1 - others["floor"] / others["base"]
    assert taught[others["tags"] == "pos"].max() < 0.1
    assert 0.25 < taught["person"] < 0.4
    assert taught["geo-loc"] < 0
    assert others.loc["geo-loc", "found"] > others.loc["geo-loc", "base"]


def test_what_is_said_of_tweets():
    returns = audits.returns_table(published_audits(protocol="tweets"))
    early = returns[returns["epoch"] == 0.25].groupby(["condition", "concept"])["entity_f1"].mean()
    assert (early["tweets"] - early["tweets_masked"]).min() > 0.1
    last = returns[returns["step"] == returns["step"].max()].groupby("condition")["entity_f1"]
    assert last.mean()["tweets"] - last.mean()["tweets_masked"] > 0.1


def test_what_is_said_of_few_sentences_and_of_other_names():
    found = published_audits(protocol="few_shot_32_masked")
    assert sorted(audits.taken(found)["concept"]) == ["locations", "organisations", "persons"]
    curves = audits.returns_table(found).set_index(["concept", "condition", "step"])["entity_f1"]
    for name in ("few_shot_32", "other_names"):
        knew, never = (curves.xs(each, level="condition") for each in (name, f"{name}_masked"))
        last = [own.groupby("concept").last() for own in (knew, never)]
        assert (last[0] > last[1]).all()
        # Sooner: at 8 steps one has half of what it ends with, and the other nothing.
        early = [own.xs(8, level="step") for own in (knew, never)]
        assert (early[0] > 0.5 * last[0]).all()
        assert (early[1] == 0).all()


def test_what_is_said_of_doses_holds_under_every_seed():
    table = audits.curve_table(published_curves())
    f1 = table.set_index(["seed", "concept", "cut", "reader", "dose"])["entity_f1"].unstack("dose")
    own, whole = f1.xs("its own", level="cut"), f1[0.0].xs("its own", level="cut")
    share = own.div(whole.xs("own_head", level="reader"), axis=0)
    assert share.xs("own_head", level="reader")[0.05].max() < 0.4
    assert share.xs("head", level="reader")[0.05].min() > 0.93
    assert share.xs("bias", level="reader")[0.05].mean() < 0.9
    assert share.xs("bias", level="reader")[0.1].max() < 0.3
    random = f1.xs("random", level="cut")
    spread = (random - own).xs("linear_everywhere", level="reader")
    assert spread[[0.05, 0.075, 0.1, 0.15, 0.2]].abs().max().max() < 0.08
    thresholds = share.xs("bias", level="reader")
    assert thresholds[0.05].mean() > 0.5
    others = f1.xs("another concept's", level="cut").xs("own_head", level="reader").mean()
    assert others[0.075] > 0.7
    assert others[0.1] < 0.65
    lost = (random - own).xs("own_head", level="reader")
    assert lost[0.1].min() > 0.5
    # At half, a reader of every layer is back at the floor, and the rest below it.
    floor = audits.floors(published_curves()).mean()
    at_half = own[0.5].groupby("reader").mean()
    assert at_half["linear_everywhere"] == pytest.approx(floor, abs=0.06)
    assert at_half[["head", "whole_model"]].max() < 0.2


def test_the_last_layer_finds_more_than_it_would_in_a_body_that_was_never_taught():
    for scale in ("quick", "full"):
        found = audits.found_by(published_audits(scale=scale), "gate", "locations", "head")
        assert found["removed"] - found["pretrained_removed"] > 0.1
        assert found["removed"] == pytest.approx(found["base"], abs=0.05)


def test_what_is_said_of_training_at_each_dose():
    table = audits.trained_by_dose(audits.curve_table(published_curves()))
    short = (table["whole_model"] - table["best_reader"]).groupby(table["dose"])
    assert short.min()[[0.05, 0.15]].min() > -0.05
    assert short.mean()[[0.3, 0.5]].max() < -0.2
    behind = (table["whole_model"] - table["never_knew"])[table["dose"] <= 0.15]
    assert behind.min() > 0
    assert behind.max() < 0.2


def test_what_is_said_of_features_beside_neurons():
    table = features.features_table(published_features())
    assert set(table["seed"]) == {0, 1, 2}
    judged = features.beside_neurons(table)
    answers = features.answers(judged)
    assert answers.to_dict() == {
        "locations": rules.YES, "persons": rules.OPEN, "organisations": rules.NO,
    }  # fmt: skip
    # Whatever ranked them, and under every seed, chance does not make a best feature.
    best = features.by_kind(table, 1).set_index("concept")
    named = best.loc[["locations", "persons"]]
    assert (named["feature"] - named["random feature"]).min() > 0.2
    assert (named["feature"] > named["last-layer neuron"] + 0.1).all()
    of_64 = features.by_kind(table, 64)
    assert (of_64["neuron"] > of_64["feature"]).all()
    few = features.by_kind(table, 4).set_index("concept").loc[["locations", "persons"]]
    assert (few["feature"] > few["last-layer neuron"]).all()
    recall = features.by_kind(table, 1, "word_recall").set_index("concept")["feature"]
    assert recall.loc[["locations", "persons"]].max() < 0.5
    first = [features.answers_to(one) for one in published_features()]
    first = [table[table["kind"] == "feature"].set_index("concept") for table in first]
    for concept, word in (("locations", "Germany"), ("persons", "Eric")):
        assert len({table.loc[concept, "number"] for table in first}) == 1
        assert word in first[0].loc[concept, "words"]
