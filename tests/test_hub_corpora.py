"""Corpora through `datasets`: a folder in its own format stands for the Hub."""

import pytest

from plasticity_utils.data.corpus import concept_words, load_corpus
from plasticity_utils.errors import InputError

datasets = pytest.importorskip("datasets")

NAMES = ["O", "B-LOC", "I-LOC"]
FEATURES = datasets.Features(
    {
        "id": datasets.Value("string"),
        "tokens": datasets.List(datasets.Value("string")),
        "ner_tags": datasets.List(datasets.ClassLabel(names=NAMES)),
        "pos_tags": datasets.List(datasets.Value("string")),
    }
)


def part(*sentences, pos=None):
    rows = {
        "id": [str(n) for n in range(len(sentences))],
        "tokens": [list(words) for words, _ in sentences],
        "ner_tags": [list(tags) for _, tags in sentences],
        "pos_tags": [["X"] * len(words) for words, _ in sentences] if pos is None else pos,
    }
    return datasets.Dataset.from_dict(rows, features=FEATURES)


@pytest.fixture
def saved(tmp_path):
    def save(**parts):
        datasets.DatasetDict(parts).save_to_disk(str(tmp_path / "corpus"))
        return f"hf:{tmp_path / 'corpus'}"

    return save


def test_a_folder_of_save_to_disk_is_a_corpus(saved):
    source = saved(
        train=part((("New", "York"), (1, 2)), (("is", "big"), (0, 0))),
        validation=part((("Oslo",), (1,))),
        test=part((("no",), (0,))),
    )
    corpus = load_corpus(source, "train")
    assert corpus.sentences == [["New", "York"], ["is", "big"]]
    assert corpus.labels["entity"] == [["B-LOC", "I-LOC"], ["O", "O"]]
    assert corpus.labels["pos"] == [["X", "X"], ["X", "X"]]
    assert corpus.schemes == {"entity": "IOB2", "pos": "plain"}
    assert concept_words(corpus, "LOC").tolist() == [True, True, False, False]
    assert load_corpus(source, "validation").words == ["Oslo"]


def test_a_missing_split_is_cut_from_train(saved):
    source = saved(train=part(*(((f"w{n}",), (0,)) for n in range(20))))
    parts = [load_corpus(source, split) for split in ("train", "validation", "test")]
    assert [len(one) for one in parts] == [14, 3, 3]
    assert [one.is_cut for one in parts] == [False, True, True]
    assert len({word for one in parts for word in one.words}) == 20


def test_what_is_wrong_is_one_line(saved, tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"tags in 'pos_tags' for 2 words"):
        load_corpus(saved(train=part((("a", "b"), (0, 0)), pos=[["X"]])), "train")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputError, match=r"corpus 'hf:nobody/nothing' cannot be loaded"):
        load_corpus("hf:nobody/nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="cannot be loaded by 'datasets'"):
        load_corpus(f"hf:{tmp_path / 'empty'}")


@pytest.mark.parametrize(
    ("words", "tags", "message"),
    [
        (("a", "b"), (1, -1), "sentence 1: -1 is no tag"),
        (("a", None), (1, 0), "sentence 1: None is no word"),
        (("a", " "), (1, 0), "sentence 1: ' ' is no word"),
    ],
)
def test_what_is_no_word_and_no_tag_is_refused(saved, words, tags, message):
    with pytest.raises(InputError, match=message):
        load_corpus(saved(train=part((words, tags))))


def test_an_empty_tag_is_refused(saved):
    with pytest.raises(InputError, match="sentence 1: '' is no tag"):
        load_corpus(saved(train=part((("a", "b"), (1, 0)), pos=[["X", ""]])))


def test_a_sentence_without_words_is_left_out(saved):
    corpus = load_corpus(saved(train=part((("a",), (1,)), ((), ()))))
    assert (corpus.sentences, corpus.labels["pos"]) == ([["a"]], [["X"]])
