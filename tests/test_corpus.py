from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from plasticity_utils.data.corpus import (
    Corpus,
    concept_words,
    load_corpus,
    two_parts,
)
from plasticity_utils.errors import InputError

ROWS = "-DOCSTART- -X- -X- O\n\nLondon NNP B-NP B-LOC\ncalls VBZ B-VP O\n\nRain NN B-NP O\n"
PAIR = Path(__file__).resolve().parents[2] / "shared" / "data"
PAIR_FILES = (PAIR / "location_tokens.txt", PAIR / "location_labels.txt")


@pytest.fixture
def conll(tmp_path):
    def write(content):
        path = tmp_path / "some.txt"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


@pytest.fixture
def pair(tmp_path):
    def write(words, labels):
        paths = tmp_path / "words.txt", tmp_path / "labels.txt"
        for path, text in zip(paths, (words, labels), strict=True):
            path.write_bytes(text.encode())
        return paths

    return write


# CoNLL-2003


@pytest.mark.parametrize(
    ("split", "n_sentences", "n_words", "n_locations"),
    [
        ("train", 14041, 203621, 8297),
        ("validation", 3250, 51362, 2094),
        ("test", 3453, 46435, 1925),
    ],
)
def test_conll2003_has_its_published_sizes(split, n_sentences, n_words, n_locations):
    corpus = load_corpus("conll2003", split)
    assert len(corpus) == n_sentences
    assert corpus.n_words == len(corpus.words) == n_words
    assert {name: len(corpus.word_labels(name)) for name in corpus.labels} == {
        "pos": n_words, "chunk": n_words, "entity": n_words,
    }  # fmt: skip
    assert concept_words(corpus, "LOC").sum() == n_locations
    assert "-DOCSTART-" not in corpus.words


def test_conll2003_starts_as_it_is_known_to():
    corpus = load_corpus("conll2003", "train")
    assert corpus.sentences[0][:4] == ["EU", "rejects", "German", "call"]
    assert corpus.labels["entity"][0][:4] == ["B-ORG", "O", "B-MISC", "O"]
    assert corpus.labels["pos"][0][:3] == ["NNP", "VBZ", "JJ"]
    assert corpus.labels["chunk"][0][:3] == ["B-NP", "B-VP", "B-NP"]


@pytest.mark.parametrize("split", ["validation", "test"])
def test_two_parts_are_disjoint_and_fixed_and_shuffled(split):
    # Numbered sentences in place of words: the corpus itself repeats some sentences.
    corpus = load_corpus("conll2003", split)
    numbered = type(corpus)("numbers", [[str(i)] for i in range(len(corpus))], {})
    first, second = two_parts(numbered)
    assert abs(len(first) - len(second)) <= 1
    assert sorted([*first.words, *second.words], key=int) == numbered.words
    assert len(first) >= len(second)
    assert two_parts(numbered) == (first, second)
    # Shuffled: a part that were the first sentences would be of other weeks than the rest.
    assert abs(np.mean([int(i) for i in first.words]) / len(corpus) - 0.5) < 0.02
    assert first.words != sorted(first.words, key=int)


def test_the_cut_of_the_test_split_is_the_one_that_published_numbers_rest_on():
    ranking, measuring = two_parts(load_corpus("conll2003", "test"))
    assert (len(ranking), len(measuring)) == (1727, 1726)
    order = np.random.default_rng(2003).permutation(3453)
    whole = load_corpus("conll2003", "test")
    assert ranking.sentences[:20] == [whole.sentences[i] for i in order[:20]]


def test_select_and_first_keep_labels_beside_their_words():
    corpus = load_corpus("conll2003", "validation")
    chosen = corpus.select([5, 0])
    assert chosen.sentences == [corpus.sentences[5], corpus.sentences[0]]
    assert chosen.labels["entity"] == [corpus.labels["entity"][5], corpus.labels["entity"][0]]
    assert corpus.first(None) is corpus
    assert corpus.first(2).sentences == corpus.sentences[:2]
    assert len(corpus.first(10**9)) == len(corpus)


# Files of one's own


def test_a_conll_file_is_read(conll):
    corpus = load_corpus(conll(ROWS))
    assert corpus.sentences == [["London", "calls"], ["Rain"]]
    assert corpus.labels["entity"] == [["B-LOC", "O"], ["O"]]


def test_byte_order_mark_and_windows_line_ends_change_nothing(conll, pair):
    plain = load_corpus(conll(ROWS))
    windows = load_corpus(conll(b"\xef\xbb\xbf" + ROWS.replace("\n", "\r\n").encode()))
    assert windows == plain
    plain_pair = load_corpus(pair("London calls\nRain\n", "LOC O\nO\n"))
    windows_pair = load_corpus(pair("\ufeffLondon calls\r\nRain\r\n", "\ufeffLOC O\r\nO"))
    assert windows_pair == plain_pair
    assert plain_pair.sentences == [["London", "calls"], ["Rain"]]


def test_a_folder_is_read_by_split(tmp_path):
    (tmp_path / "valid.txt").write_text(ROWS)
    assert len(load_corpus(tmp_path, "validation")) == 2
    with pytest.raises(InputError, match=r"no train file.*allowed: 'conll2003', 'wnut16', a fold"):
        load_corpus(tmp_path, "train")


def test_a_pair_may_hold_several_labels_a_word(pair):
    corpus = load_corpus(pair("Paris sleeps\n", "SEM:city,POS:NNP POS:VBZ\n"))
    assert concept_words(corpus, "SEM:city", "label").tolist() == [True, False]
    assert concept_words(corpus, "POS:NNP", "label").tolist() == [True, False]
    # A part of a label is not the label.
    with pytest.raises(InputError, match="'SEM' never occurs"):
        concept_words(corpus, "SEM", "label")


@pytest.mark.skipif(not PAIR_FILES[0].is_file(), reason="BERT ConceptNet's sentences are not here")
def test_the_pair_of_bert_conceptnet_is_read():
    corpus = load_corpus(PAIR_FILES)
    assert len(corpus) == 2500
    assert corpus.n_words == 74052
    member = concept_words(corpus, "SEM:named_entity:location", "label")
    assert member.sum() == 3302


@pytest.mark.parametrize("space", ["\u00a0", "\u2009", "\u2028", "\x85", "\x0c"])
def test_only_a_space_parts_words_and_only_a_line_feed_parts_lines(space, pair, conll):
    corpus = load_corpus(pair(f"10{space}000 people\nin Rome\n", "NUM O\nO LOC\n"))
    assert corpus.sentences == [[f"10{space}000", "people"], ["in", "Rome"]]
    corpus = load_corpus(conll(f"10{space}000 CD B-NP O\n"))
    assert corpus.sentences == [[f"10{space}000"]]


# Errors


def test_words_and_labels_of_different_length_name_file_and_line(pair):
    words, labels = pair("a b\nc d e\n", "O O\nO O\n")
    with pytest.raises(InputError) as error:
        load_corpus((words, labels))
    assert f"{labels}, line 2: 2 labels for the 3 words of {words}, line 2" in str(error.value)


def test_a_pair_with_a_missing_line_names_both_files(pair):
    words, labels = pair("a\nb\nc\n", "O\nO\n")
    with pytest.raises(InputError) as error:
        load_corpus((words, labels))
    assert f"{words} has 3 lines, {labels} has 2" in str(error.value)


def test_a_row_with_wrong_columns_names_file_and_line(conll):
    path = conll(ROWS + "broken NN O\n")
    with pytest.raises(InputError) as error:
        load_corpus(path)
    assert f"{path}, line 7: 3 columns, expected 4 (word pos chunk entity)" in str(error.value)
    assert "broken NN O" in str(error.value)


@pytest.mark.parametrize("content", ["", "\n\n", "-DOCSTART- -X- -X- O\n\n", "\ufeff"])
def test_an_empty_corpus_is_an_error(content, conll, pair):
    path = conll(content)
    with pytest.raises(InputError, match=r"some\.txt holds no sentence"):
        load_corpus(path)
    with pytest.raises(InputError, match=r"words\.txt holds no sentence"):
        load_corpus(pair("\n", "\n"))


def test_what_is_no_text_is_an_error(conll, tmp_path):
    with pytest.raises(InputError, match=r"some\.txt cannot be read as UTF-8"):
        load_corpus(conll("Köln NNP B-NP B-LOC\n".encode("latin-1")))
    with pytest.raises(InputError, match=r"nowhere\.txt cannot be read"):
        load_corpus((tmp_path / "nowhere.txt", tmp_path / "nolabels.txt"))
    with pytest.raises(InputError, match="cannot be read"):
        load_corpus((tmp_path, tmp_path))


def test_unknown_sources_list_what_is_allowed(tmp_path):
    with pytest.raises(InputError, match="no corpus at 'conll2002'; allowed: 'conll2003'"):
        load_corpus("conll2002")
    with pytest.raises(InputError, match="unknown split 'dev'; allowed: train, validation, test"):
        load_corpus("conll2003", "dev")
    with pytest.raises(InputError, match="a pair of a word file and a label file"):
        load_corpus((tmp_path / "words.txt",))


@pytest.mark.usefixtures("as_for_users")
def test_settings_of_another_kind_are_told_whatever_the_source(pair):
    for source in ("a/folder", pair("a\n", "O\n")):
        for split in (["train"], {"train"}, None, 3):
            with pytest.raises(InputError, match=r"unknown split .*; allowed: train, validation"):
                load_corpus(source, split)
        with pytest.raises(InputError, match=r"unknown scheme \['IO'\]; allowed: IOB2"):
            load_corpus(source, scheme=["IO"])
    corpus = Corpus("x", [["a"]], {"entity": [["B-X"]]})
    for column in (["entity"], None, {}):
        with pytest.raises(InputError, match=r"unknown label column .*; allowed: entity"):
            concept_words(corpus, "X", column)


def test_a_label_that_never_occurs_is_named_with_those_that_do(conll):
    corpus = load_corpus(conll(ROWS))
    with pytest.raises(InputError) as error:
        concept_words(corpus, "PER")
    assert "label 'PER' never occurs" in str(error.value)
    assert "some.txt" in str(error.value)
    assert "it has: LOC" in str(error.value)
    with pytest.raises(InputError, match="unknown label column 'label'; allowed: pos, chunk"):
        concept_words(corpus, "LOC", "label")


@pytest.mark.usefixtures("as_for_users")
def test_sentences_are_chosen_by_indices_a_mask_or_a_number():
    corpus = Corpus("x", [["a"], ["b"], ["c"]], {"entity": [["O"], ["B-X"], ["O"]]})
    for given in ([1, 2], (1, 2), np.array([1, 2]), np.array([False, True, True]),
                  [False, True, True], pd.Series([False, True, True])):  # fmt: skip
        assert corpus.select(given).words == ["b", "c"]
    assert corpus.select([1, 1]).words == ["b", "b"]
    assert corpus.select([]).words == []
    for wrong in ([-1], [3], [1.0], [True], "01", None, 1, {1}, [None]):
        with pytest.raises(InputError, match="sentence"):
            corpus.select(wrong)
    assert corpus.first(2).words == ["a", "b"]
    assert corpus.first(9).words == corpus.first(None).words == ["a", "b", "c"]
    for wrong in (-1, 2.5, "3", True, [1]):
        with pytest.raises(InputError, match="a number of sentences must be a whole number"):
            corpus.first(wrong)
