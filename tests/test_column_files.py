"""Column files of any kind: every word is read, with its own tags, or the line is named."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plasticity_utils.data.corpus import concept_words, load_corpus
from plasticity_utils.data.schemes import convert
from plasticity_utils.errors import InputError

CONLLU = """\
# newdoc id = a
# sent_id = 1
# text = Du Rhin.
1-2\tDu\t_\t_\t_\t_\t_\t_\t_\t_
1\tDe\tde\tADP\tP\t_\t3\tcase\t_\t_
2\tle\tle\tDET\tD\t_\t3\tdet\t_\t_
3\tRhin\tRhin\tPROPN\tN\t_\t0\troot\t_\tSpaceAfter=No
3.1\tvide\t_\t_\t_\t_\t_\t_\t_\t_
4\t.\t.\tPUNCT\tF\t_\t3\tpunct\t_\t_

"""


@pytest.fixture
def written(tmp_path):
    def write(text, name="some.txt"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@pytest.mark.parametrize("scheme", ["IOB1", "IOB2", "IOE", "BIOES", "BILOU", "BMES"])
def test_no_word_of_a_name_is_lost_whatever_the_scheme(written, scheme):
    words = ["Paris", "and", "New", "York", "City"]
    tags = convert(["B-LOC", "O", "B-LOC", "I-LOC", "I-LOC"], "IOB2", scheme)
    rows = "".join(f"{word} NNP I-NP {tag}\n" for word, tag in zip(words, tags, strict=True))
    corpus = load_corpus(written(rows))
    inside = concept_words(corpus, "LOC")
    assert [word for word, of_it in zip(words, inside, strict=True) if of_it] == [
        "Paris", "New", "York", "City",
    ]  # fmt: skip
    assert corpus.labels["entity"] == [["B-LOC", "O", "B-LOC", "I-LOC", "I-LOC"]]
    # Of five words, one file in IOB1 is also sound IO.
    assert corpus.schemes["entity"] == ("IO" if scheme == "IOB1" else scheme)


def test_a_stated_scheme_stands_over_what_the_tags_look_like(written):
    path = written("a X I-LOC\nb X I-LOC\n")
    assert load_corpus(path).schemes["entity"] == "IO"
    assert load_corpus(path, scheme="IOB1").schemes["entity"] == "IOB1"
    with pytest.raises(InputError, match="unknown scheme 'BIO'; allowed: IOB2"):
        load_corpus(path, scheme="BIO")


def test_comment_lines_of_multiconer_are_no_words(written):
    text = "# id 0001\tdomain=en\nparis _ _ B-LOC\nis _ _ O\n\n# id 0002\tdomain=en\nit _ _ O\n"
    corpus = load_corpus(written(text, "en_train.conll"))
    assert corpus.sentences == [["paris", "is"], ["it"]]
    assert corpus.labels["entity"] == [["B-LOC", "O"], ["O"]]


def test_a_hash_that_is_a_word_stays_one(written):
    corpus = load_corpus(written("# O\n1 B-X\n\nno O\n# O\n"))
    assert corpus.sentences == [["#", "1"], ["no", "#"]]


def test_documents_without_an_empty_line_are_cut(written):
    text = "-DOCSTART- -X- O O\na NN O O\n-DOCSTART- -X- O O\nb NN O O"
    assert load_corpus(written(text)).sentences == [["a"], ["b"]]


def test_tags_that_are_punctuation_are_tags(written):
    corpus = load_corpus(written("a , B-NP O\nb . I-NP O\nc # I-NP O\n"))
    assert corpus.types("pos") == {",": 1, ".": 1, "#": 1}
    assert concept_words(corpus, ",", "pos").tolist() == [True, False, False]
    assert corpus.schemes == {"pos": "plain", "chunk": "IOB2", "entity": "plain"}


def test_columns_are_named_by_a_first_line(written):
    corpus = load_corpus(written("Token\tPOS\tNER\nOslo\tNNP\tB-LOC\n\nis\tVB\tO\n"))
    assert corpus.sentences == [["Oslo"], ["is"]]
    assert corpus.labels == {"pos": [["NNP"], ["VB"]], "entity": [["B-LOC"], ["O"]]}
    with pytest.raises(InputError, match=r"some\.txt, line 1: column 'pos' stands twice"):
        load_corpus(written("token pos pos\nOslo NNP B-LOC\n"))
    with pytest.raises(InputError, match="line 1: column 'entity' stands twice"):
        load_corpus(written("token ner entity\nOslo B-LOC B-LOC\n"))


@pytest.mark.parametrize("titles", ["token ner pos", "Word NER_tags pos_tags", "form entity pos"])
def test_the_column_of_entities_need_not_be_the_last(titles, written):
    corpus = load_corpus(written(f"{titles}\nOslo B-LOC NNP\nis O VBZ\n"))
    assert corpus.labels == {"entity": [["B-LOC", "O"]], "pos": [["NNP", "VBZ"]]}


def test_the_column_of_words_can_be_said_by_number_or_name(written):
    path = written("1 Oslo B-LOC\n2 is O\n")
    assert load_corpus(path, word=2).sentences == [["Oslo", "is"]]
    named = written("token id tag\nx Oslo B-LOC\n")
    assert load_corpus(named, word="id").words == ["Oslo"]
    with pytest.raises(InputError, match="has no column 4; allowed: 1 to 3"):
        load_corpus(path, word=4)


def test_two_columns_are_enough_and_one_is_not(written):
    assert load_corpus(written("Oslo B-LOC\nis O\n")).labels == {"entity": [["B-LOC", "O"]]}
    with pytest.raises(InputError, match="has one column; a word and at least one tag"):
        load_corpus(written("Oslo\nis\n"))


def test_spaces_in_fields_cut_by_tabs_are_kept(written):
    corpus = load_corpus(written("New York\tB-LOC\nis\tO\n"))
    assert corpus.sentences == [["New York", "is"]]


def test_conllu_gives_its_syntactic_words_and_named_columns(written):
    corpus = load_corpus(written(CONLLU, "fr-ud-train.conllu"))
    assert corpus.sentences == [["De", "le", "Rhin", "."]]
    assert corpus.labels["upos"] == [["ADP", "DET", "PROPN", "PUNCT"]]
    assert concept_words(corpus, "PROPN", "upos").tolist() == [False, False, True, False]


def test_splits_are_found_by_the_names_that_people_give_them(tmp_path):
    for name, word in (("eng.train", "a"), ("eng.testa", "b"), ("eng.testb", "c")):
        (tmp_path / name).write_text(f"{word} B-LOC\n")
    read = [load_corpus(tmp_path, split).words for split in ("train", "validation", "test")]
    assert read == [["a"], ["b"], ["c"]]
    (tmp_path / "dev.conll").write_text("d O\n")
    with pytest.raises(InputError, match=r"several files for 'validation': dev\.conll, eng\.testa"):
        load_corpus(tmp_path, "validation")


def test_a_part_in_another_format_or_place_is_not_passed_over(tmp_path):
    (tmp_path / "TRAIN.TXT").write_text("a B-X\n\nb O\n")
    (tmp_path / "Test").write_text("c B-X\n")
    assert [load_corpus(tmp_path, split).words for split in ("train", "test")] == [
        ["a", "b"], ["c"],
    ]  # fmt: skip
    (tmp_path / "dev.csv").write_text("d,B-X\n")
    with pytest.raises(InputError, match=r"dev\.csv is no column file; needed for 'validation': a"):
        load_corpus(tmp_path, "validation")
    (tmp_path / "dev.csv").rename(tmp_path / "dev.txt")
    (tmp_path / "Test").unlink()
    (tmp_path / "test").mkdir()
    with pytest.raises(InputError, match="test is no column file; needed for 'test'"):
        load_corpus(tmp_path, "test")
    (tmp_path / "test").rmdir()
    (tmp_path / "test.txt").symlink_to("nowhere")
    with pytest.raises(InputError, match=r"test\.txt cannot be read as UTF-8 text"):
        load_corpus(tmp_path, "test")


@pytest.mark.parametrize("name", ["test.ner", "en-test.conllx", "testb.txt~", "test.v2", "dev.md"])
def test_a_part_whose_ending_is_not_known_is_not_passed_over(name, tmp_path):
    (tmp_path / "train.txt").write_text("a B-X\n\nb O\n")
    (tmp_path / name).write_text("c B-X\n")
    split = "validation" if "dev" in name else "test"
    with pytest.raises(InputError, match=rf"{name} is no column file; needed for '{split}'"):
        load_corpus(tmp_path, split)
    (tmp_path / name).rename(tmp_path / f"{split}.iob2")
    assert load_corpus(tmp_path, split).words == ["c"]


def test_a_missing_split_is_cut_from_train_the_same_every_time_and_said(tmp_path):
    (tmp_path / "train.conll").write_text("".join(f"w{n} B-X\n\n" for n in range(100)))
    parts = {split: load_corpus(tmp_path, split) for split in ("train", "validation", "test")}
    assert {split: len(part) for split, part in parts.items()} == {
        "train": 70, "validation": 15, "test": 15,
    }  # fmt: skip
    assert sorted(w for part in parts.values() for w in part.words) == sorted(
        f"w{n}" for n in range(100)
    )
    assert [parts[split].is_cut for split in ("train", "validation", "test")] == [
        False, True, True,
    ]  # fmt: skip
    assert load_corpus(tmp_path, "test") == parts["test"]
    (tmp_path / "test.conll").write_text("t B-X\n")
    assert load_corpus(tmp_path, "test").words == ["t"]
    assert len(load_corpus(tmp_path, "train")) == 85


def test_a_concept_that_is_not_there_is_answered_by_those_that_are_with_counts(written):
    corpus = load_corpus(written("a B-LOC\nb I-LOC\nc B-PER\nd O\n"))
    with pytest.raises(InputError, match=r"it has: LOC \(2 words\), PER \(1 words\)"):
        concept_words(corpus, "ORG")


# A byte-order mark that begins a line is of a file, and of no word.
NO_WORDS = ("-DOCSTART-", "\ufeff")
WORDS = st.text(
    st.characters(blacklist_categories=("Cc", "Cs", "Zs", "Zl", "Zp"), blacklist_characters="#"),
    min_size=1, max_size=6,
).filter(lambda word: word.strip() == word and not word.startswith(NO_WORDS))  # fmt: skip


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.lists(st.tuples(WORDS, st.sampled_from(["O", "B-X"])), min_size=1), min_size=1),
    st.sampled_from(["\t", " ", "   "]),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
)
def test_what_is_written_is_what_is_read(tmp_path_factory, sentences, cut, end, mark):
    lines = [*(f"{w}{cut}{t}" for s in sentences for w, t in [*s, ("", "")])]
    text = end.join(line.strip() if line.strip() else "" for line in lines)
    path = tmp_path_factory.mktemp("corpus") / "some.txt"
    path.write_bytes((b"\xef\xbb\xbf" if mark else b"") + text.encode())
    titles = ("word", "words", "token", "tokens", "form", "text")
    if sentences[0][0][0].lower() in titles:
        return
    corpus = load_corpus(path)
    assert corpus.sentences == [[w for w, _ in s] for s in sentences]
    assert corpus.labels["entity"] == [[t for _, t in s] for s in sentences]


def test_a_first_word_that_could_be_a_title_or_a_comment_is_a_word_by_its_tag(written):
    corpus = load_corpus(written("Text O\nOslo B-LOC\n\n#Rome B-PLACE\n"))
    assert corpus.sentences == [["Text", "Oslo"], ["#Rome"]]
    assert concept_words(corpus, "PLACE").tolist() == [False, False, True]
    assert load_corpus(written("text ner\n#id 5\nOslo B-LOC\n")).words == ["Oslo"]


@pytest.mark.parametrize(
    ("text", "said", "message"),
    [
        ("a S-LOC\nb X\nc O\n", None, "tag 'X' of column 'entity' is of no scheme"),
        ("a S-LOC\nb o\nc o\n", None, "tag 'o' of column 'entity'"),
        ("a S-LOC\nb B-LOC\nc L-LOC\nd M-LOC\n", None, "tag 'L-LOC' of column 'entity'"),
        ("a B-LOC\nb O\n# end\n", None, "tag 'end' of column 'entity'"),
        ("a S-LOC\nb X\nc O\n", "BIOES", "tag 'X' of column 'entity'"),
        ("a S-LOC\nb O\n", "IOB2", "tag 'S-LOC' of column 'entity'"),
        ("a NN\nb VB\n", "BIOES", "no column has tags of spans, so scheme 'BIOES' is of none"),
        ("a B-LOC\n", "", "unknown scheme ''; allowed: IOB2"),
        ("\tB-LOC\nb\tO\n", None, r"some\.txt, line 1: the word is empty"),
        ("Oslo\tNNP\nis\t\n", None, r"some\.txt, line 2: the tag of column 'entity' is empty"),
        ("Oslo\t\tB-X\nis\tV\tO\n", None, r"line 1: the tag of column '2' is empty"),
        ("1 Oslo B-LOC\n2 is O\n", None, "column '1' holds numbers that count; words must"),
        ("0 a B-X\n1 b O\n\n0 c O\n", None, "column '1' holds numbers that count"),
        ("a B-O\nb O\n", None, "tag 'B-O' of column 'entity': O stands for what"),
        ("a B-overall\nb O\n", None, "tag 'B-overall' of column 'entity': .* for all types"),
        ("a B-X\n--- ---\nb O\n", None, "tag '---' of column 'entity' is of no scheme"),
    ],
)
def test_what_would_lose_words_of_a_concept_is_refused(text, said, message, written):
    with pytest.raises(InputError, match=message):
        load_corpus(written(text), scheme=said)


def test_dashes_and_numbers_are_words(written):
    rule = load_corpus(written("--- ---\n--- ---\na NN\n"))
    assert rule.sentences == [["---", "---", "a"]]
    assert concept_words(rule, "---").tolist() == [True, True, False]
    for text in ("0 . B-X\n", "7 . B-X\n1990 . O\n", "3 . B-X\n4 . O\n"):
        assert concept_words(load_corpus(written(text)), "X").tolist()[0]


def test_marks_of_other_tools_part_sentences_and_documents(written):
    rows = "<s> <s> <s>\nOslo NNP B-LOC\n</s> </s> </s>\n<s> <s> <s>\nis VB O\n</s> </s> </s>\n"
    tabs = '<doc id="1 2">\n<p>\nOslo\tNNP\tB-LOC\n</p>\n</doc>\n<doc>\nis\tVB\tO\n</doc>\n'
    for text in (rows, tabs):
        corpus = load_corpus(written(text))
        assert corpus.sentences == [["Oslo"], ["is"]]
        assert corpus.schemes["entity"] == "IOB2"
    # What has a tag of its own is a word, however it is spelled.
    assert load_corpus(written("<s> O\nOslo B-LOC\n<br> <br>\n"), scheme="plain").words == [
        "<s>", "Oslo", "<br>",
    ]  # fmt: skip


def test_a_scheme_is_of_the_columns_of_spans_alone(written):
    path = written("Oslo NNP I-95 S-LOC\nis VB be O\nBonn X y S-LOC\n")
    for scheme in (None, "BIOES"):
        corpus = load_corpus(path, scheme=scheme)
        assert corpus.labels["pos"] == [["NNP", "VB", "X"]]
        assert corpus.labels["chunk"] == [["I-95", "be", "y"]]
        assert corpus.labels["entity"] == [["B-LOC", "O", "B-LOC"]]
    assert load_corpus(path, scheme="plain").labels["entity"] == [["S-LOC", "O", "S-LOC"]]


def test_a_byte_order_mark_is_no_part_of_a_word_where_files_were_put_together(written):
    assert load_corpus(written("\ufeffa B-X\n\n\ufeffb O\n")).words == ["a", "b"]
