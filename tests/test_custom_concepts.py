"""A concept that is no entity type, through a whole run: a word list, and a label of two files."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from plasticity_utils import InputError, load_model, load_run, run_experiment
from plasticity_utils.data.concepts import kinds, members
from plasticity_utils.experiment import stages
from plasticity_utils.experiment import stages as base_stages
from plasticity_utils.experiment.splits import CUSTOM_PARTS, LEAST_WORDS, load_sentences
from plasticity_utils.training.evaluate import (
    CustomProbe,
    fit_custom_probe,
    last_layer,
    score_custom,
)
from runs import tiny_config, write_pair

DAYS = "words:Monday,Tuesday,Wednesday,Thursday,Friday,Saturday,Sunday"
ENTITIES = ["LOC", "PER", "ORG", "MISC"]


def test_it_is_scored_at_every_moment_beside_the_entity_types(custom_run):
    label = custom_run.config.label
    rows = custom_run.metrics.groupby(["condition", "stage", "epoch"])["entity"].agg(list)
    assert all(found == [*ENTITIES, "overall", label] for found in rows)
    base = custom_run.metrics[custom_run.metrics["stage"] == "base"].set_index("entity")
    # A tiny random model reads little, and how little depends on the processor; nothing would be 0.
    assert base.loc[label, "entity_f1"].iloc[0] > 0.02
    assert (base.loc[label, "n_gold"] >= LEAST_WORDS).all()
    for table in (custom_run.dose, custom_run.reliance):
        assert set(table["entity"]) == {*ENTITIES, "overall", label}
    assert set(custom_run.dose["part"]) == {"dose", "scoring"}


def test_the_head_says_nothing_of_it(custom_run):
    metrics, label = custom_run.metrics, custom_run.config.label
    of_head = metrics[(metrics["condition"] == "head") & (metrics["entity"] == label)]
    after = of_head[of_head["stage"] != "base"]
    assert len(after) == 3
    assert after["entity_f1"].nunique() == 1
    trained = metrics[(metrics["condition"] == "none") & (metrics["entity"] == label)]
    assert trained["entity_f1"].nunique() > 1


def test_it_has_the_neurons_and_probes_that_its_corpus_allows(custom_runs):
    for kind, own in (("words", [*ENTITIES, "WORDS"]), ("file", ["ARTICLE"])):
        run = custom_runs[kind]
        sigma = [
            c.removeprefix("selectivity_") for c in run.neurons if c.startswith("selectivity_")
        ]
        assert sigma == own
        assert list(dict.fromkeys(run.layers["entity"])) == own
        picked = run.neurons["selectivity"]
        pd.testing.assert_series_equal(
            picked, run.neurons[f"selectivity_{own[-1]}"], check_names=False
        )


def test_its_folder_says_what_it_is_and_never_where_files_lie(custom_runs, tmp_path):
    assert custom_runs["words"].path.name.startswith("words-of-")
    name = custom_runs["file"].path.name
    assert name.startswith("label-article-")
    assert "words.txt" not in name
    facts = custom_runs["file"].facts
    assert facts["concept_info"]["label"] == "ARTICLE"
    assert facts["n_curve_sentences"] >= 20


def test_a_finished_run_opens_where_its_files_are_gone(custom_runs, tmp_path):
    facts = json.loads((custom_runs["file"].path / "config.json").read_text())
    facts["settings"]["concept"] = "file:/no/such,/no/such.either#SEM:article"
    facts["concept_info"]["text"] = facts["settings"]["concept"]
    (tmp_path / "config.json").write_text(json.dumps(facts))
    run = type(custom_runs["file"])(tmp_path)
    assert (run.config.label, run.config.concept_info.title) == ("ARTICLE", "article")
    with pytest.raises(InputError, match="there is no file '/no/such'"):
        load_sentences(run.config)


def test_files_that_changed_are_another_run(custom_runs, tmp_path, tiny_run_folder):
    first, second = (tmp_path / name for name in ("a", "b"))
    moved = [tiny_config(tiny_run_folder, tmp_path, concept=write_pair(f)) for f in (first, second)]
    assert moved[0].concept_info.name == moved[1].concept_info.name
    longer = tiny_config(tiny_run_folder, tmp_path, concept=write_pair(second, 401))
    assert longer.concept_info.name != moved[0].concept_info.name
    with pytest.raises(InputError, match="have changed since the run was made"):
        load_sentences(moved[1])


def test_the_parts_of_a_run_share_no_sentence(custom_runs):
    whole = load_sentences(custom_runs["file"].config)
    parts = [getattr(whole, name) for name in CUSTOM_PARTS]
    held = [{tuple(s) for s in part.sentences if len(s) > 8} for part in parts]
    assert all(held)
    assert not any(a & b for i, a in enumerate(held) for b in held[:i])
    assert all(kinds(part) == ("ARTICLE",) for part in parts)


def test_a_rare_concept_gets_longer_parts(custom_runs):
    config = replace(custom_runs["words"].config, concept=DAYS)
    whole = load_sentences(config)
    for name in (*CUSTOM_PARTS, "custom_curve"):
        part = getattr(whole, name)
        assert members(part, "WORDS").sum() >= LEAST_WORDS
        assert members(part.first(len(part) - 1), "WORDS").sum() < LEAST_WORDS
    # What entity types are measured on stays as it is.
    assert len(whole.curve) == config.sizes.curve


@pytest.mark.parametrize(
    ("concept", "message"),
    [
        ("words:Zzyzx", "concept 'Zzyzx' has too few words: 0 of .* in ranking.* at least 30"),
        ("words:Rugby", r"has too few words: \d+ of \d+ in ranking, \d+ of \d+ in measuring"),
    ],
)
def test_too_few_words_end_a_run_before_any_training(
    concept,
    message,
    tiny_run_folder,
    tmp_path,
    monkeypatch,
):
    monkeypatch.setattr(base_stages, "fine_tune", lambda *a, **k: pytest.fail("it trained"))
    with pytest.raises(InputError, match=message):
        run_experiment(tiny_config(tiny_run_folder, tmp_path, concept=concept))


def test_a_sentence_too_long_for_the_model_ends_a_run_before_any_training(
    tiny_run_folder,
    tmp_path,
    monkeypatch,
):
    concept = write_pair(tmp_path)
    for name, sign in (("words.txt", "the"), ("labels.txt", "SEM:article")):
        with (tmp_path / name).open("a") as file:
            file.write(
                (" ".join([sign] * 9 + ["rain" if name[0] == "w" else "N/A"] * 600) + "\n") * 400
            )
    monkeypatch.setattr(base_stages, "fine_tune", lambda *a, **k: pytest.fail("it trained"))
    with pytest.raises(InputError, match=r"words\.txt: sentence \d+ has 611 tokens.* at most 512"):
        run_experiment(tiny_config(tiny_run_folder, tmp_path, concept=concept))


def test_the_probe_finds_a_planted_direction_and_loses_it(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 8)).astype(np.float32)
    inside = rng.random(600) < 0.2
    X[:, 3] += 8 * inside
    X[:, 5] = 1.0
    fit_custom_probe(X, inside).save(tmp_path)
    probe = CustomProbe.load(tmp_path)
    assert ((X @ probe.weights + probe.bias > 0) == inside).mean() > 0.99
    assert abs(probe.weights).argmax() == 3
    assert probe.weights[5] == 0
    X[:, 3] = X[:, 3].mean()
    assert (X @ probe.weights + probe.bias > 0)[inside].mean() < 0.5


def test_f1_of_the_probe_is_over_words(custom_runs):
    run = custom_runs["words"]
    made = stages.Stages(run.config)
    model, tokenizer = load_model(str(made.base() / "model"))
    probe = CustomProbe.load(made.probe())
    corpus = made.sentences.custom_scoring
    row = score_custom(probe, model, tokenizer, corpus, "WORDS").iloc[0]
    X = last_layer(model, tokenizer, corpus)
    found, true = X @ probe.weights + probe.bias > 0, members(corpus, "WORDS")
    correct = (found & true).sum()
    assert row["n_gold"] == true.sum()
    assert row["precision"] == pytest.approx(correct / found.sum())
    assert row["recall"] == pytest.approx(correct / true.sum())
    assert row["entity_f1_low"] <= row["entity_f1"] <= row["entity_f1_high"]
    base = run.metrics[(run.metrics["stage"] == "base") & (run.metrics["entity"] == "WORDS")]
    assert base["entity_f1"].iloc[0] == pytest.approx(row["entity_f1"])


def test_finished_stages_are_found_again(custom_runs):
    run = custom_runs["words"]
    assert run_experiment(run.config).path == run.path
    assert load_run(run.path).config == run.config
