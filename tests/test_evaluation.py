import numpy as np
import pytest
from seqeval.metrics import classification_report, f1_score, precision_score, recall_score

from plasticity_utils.data.corpus import ENTITY_LABELS, load_corpus
from plasticity_utils.errors import InputError
from plasticity_utils.training.evaluate import entity_scores

ENTITIES = ("LOC", "PER", "ORG", "MISC")
COLUMNS = [
    "entity",
    "precision",
    "recall",
    "entity_f1",
    "entity_f1_low",
    "entity_f1_high",
    "n_gold",
]


def noisy(gold, seed=0, share=0.2):
    """Gold tags with a share of them exchanged for any other, broken sequences included."""
    generator = np.random.default_rng(seed)
    return [
        [str(generator.choice(ENTITY_LABELS)) if generator.random() < share else t for t in tags]
        for tags in gold
    ]


@pytest.fixture(scope="module")
def gold():
    return load_corpus("conll2003", "validation").labels["entity"][:400]


@pytest.mark.parametrize("seed", [0, 1])
def test_equal_to_seqeval_for_each_type_and_overall(gold, seed):
    predicted = noisy(gold, seed)
    table = entity_scores(gold, predicted, ENTITIES).set_index("entity")
    report = classification_report(gold, predicted, output_dict=True, zero_division=0)
    for entity in ENTITIES:
        row, theirs = table.loc[entity], report[entity]
        assert row["precision"] == pytest.approx(theirs["precision"], abs=1e-12)
        assert row["recall"] == pytest.approx(theirs["recall"], abs=1e-12)
        assert row["entity_f1"] == pytest.approx(theirs["f1-score"], abs=1e-12)
        assert row["n_gold"] == theirs["support"]
    overall = table.loc["overall"]
    assert overall["entity_f1"] == pytest.approx(f1_score(gold, predicted), abs=1e-12)
    assert overall["precision"] == pytest.approx(precision_score(gold, predicted), abs=1e-12)
    assert overall["recall"] == pytest.approx(recall_score(gold, predicted), abs=1e-12)
    assert 0 < overall["entity_f1"] < 1


def test_boundaries_count():
    gold = [["B-LOC", "I-LOC", "O", "B-PER"]]
    half = [["B-LOC", "O", "O", "B-PER"]]
    table = entity_scores(gold, half, ENTITIES).set_index("entity")
    assert table.loc["LOC", "entity_f1"] == 0
    assert table.loc["PER", "entity_f1"] == 1
    assert table.loc["overall", ["precision", "recall", "entity_f1", "n_gold"]].tolist() == [
        0.5,
        0.5,
        0.5,
        2,
    ]


def test_columns_and_rows(gold):
    table = entity_scores(gold, gold, ENTITIES)
    assert list(table) == COLUMNS
    assert table["entity"].tolist() == [*ENTITIES, "overall"]
    assert (
        table[["precision", "recall", "entity_f1", "entity_f1_low", "entity_f1_high"]] == 1
    ).all(axis=None)


def test_a_type_that_is_never_there_or_never_found_scores_zero():
    table = entity_scores([["B-LOC", "O"]], [["O", "O"]], ("LOC", "PER"))
    assert (table[["precision", "recall", "entity_f1"]] == 0).all(axis=None)
    assert table["n_gold"].tolist() == [1, 0, 1]


def test_interval_holds_the_estimate_narrows_and_is_the_same_each_time(gold):
    predicted = noisy(gold, share=0.1)
    all_of_them = entity_scores(gold, predicted, ENTITIES)
    a_few = entity_scores(gold[:60], predicted[:60], ENTITIES)
    for table in (all_of_them, a_few):
        assert (table["entity_f1_low"] <= table["entity_f1"]).all()
        assert (table["entity_f1"] <= table["entity_f1_high"]).all()
        assert (table["entity_f1_low"] < table["entity_f1_high"]).all()
    spread = all_of_them["entity_f1_high"] - all_of_them["entity_f1_low"]
    assert (spread < a_few["entity_f1_high"] - a_few["entity_f1_low"]).all()
    assert spread.max() < 0.2
    assert entity_scores(gold, predicted, ENTITIES).equals(all_of_them)


def test_interval_has_about_the_width_of_many_samples(gold):
    """The spread of F1 over disjoint samples of the same size is what the interval estimates."""
    train = load_corpus("conll2003", "train").labels["entity"]
    # Shuffled: neighbours are of one article, and so more alike than sentences are.
    whole = [train[i] for i in np.random.default_rng(0).permutation(len(train))[:8000]]
    predicted = noisy(whole, share=0.1)
    chunks = [slice(i, i + 400) for i in range(0, 8000, 400)]
    tables = [entity_scores(whole[c], predicted[c], ("LOC",)).iloc[1] for c in chunks]
    spread = np.std([t["entity_f1"] for t in tables], ddof=1)
    widths = np.mean([t["entity_f1_high"] - t["entity_f1_low"] for t in tables])
    assert 0.5 < widths / (2 * 1.96 * spread) < 2


def test_another_number_of_words_is_an_error():
    with pytest.raises(InputError, match="differ in the number of sentences or words"):
        entity_scores([["O", "O"]], [["O"]], ENTITIES)
    with pytest.raises(InputError, match="differ in the number"):
        entity_scores([["O"], ["O"]], [["O"]], ENTITIES)
