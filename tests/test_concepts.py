"""Names of concepts and files that define them: each works, or is one clear InputError."""

import re
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from plasticity_utils.data.concepts import file_corpus, kinds, members, parse_concept, with_words
from plasticity_utils.data.corpus import CONCEPTS, Corpus, load_corpus
from plasticity_utils.errors import InputError

BOOK = Path(__file__).parent.parent / "book"
WORDS_FILE, LABELS_FILE = "words.txt", "labels.txt"
GOOD = ("London calls\nRain in Paris\n", "X:place O\nO O X:place\n")
MANY = "a b\n" * 416
LONG = "x" * 1001

# What the page of errors shows: (name, concept or label, words, labels, message).
BAD_FILES = {
    "another number of words": (
        MANY + "a b c\n", MANY.replace("a", "P").replace("b", "O") + "P O\n",
        "labels.txt, line 417: 2 labels for the 3 words of",
    ),
    "another number of lines": ("a b\nc\n", "P O\n", "words.txt has 2 lines, "),
    "no sentence": ("\n\n", "\n\n", "words.txt holds no sentence"),
    "a NUL byte": ("a b\nc \0d\n", "P O\nO O\n", "words.txt, line 2: a NUL byte; is it a text"),
    "a word of over 1,000 characters": (
        f"a b\n{LONG} c\n", "P O\nO O\n", "words.txt, line 2: a word of 1001 characters; at",
    ),
    "not UTF-8": (b"a \xff\n", "P O\n", "words.txt cannot be read as UTF-8 text"),
    "the label is nowhere": ("a b\n", "Q O\n", "label 'P' never occurs in "),
    "the label is everywhere": ("a b\n", "P P\n", "label 'P' is at all 2 words of "),
}  # fmt: skip
BAD_NAMES = {
    "cheeses": "unknown concept 'cheeses'; allowed: locations, persons, organisations, miscellan",
    "": "unknown concept ''; allowed: locations",
    "Locations": "unknown concept 'Locations'; allowed: locations",
    "words:": "word 1 is empty; allowed: words:Monday,Tuesday",
    "words:Monday,,Friday": "word 2 is empty; allowed: words:Monday,Tuesday",
    "words:New York": "'New York' is no single word; allowed: words without spaces",
    "words:a\0b": r"'a\x00b' is no single word; allowed: words without spaces or control",
    "words:\ud800": r"'\ud800' is no single word",
    "file:": "is not of the form file:WORDS,LABELS#LABEL: two paths with a comma between them",
    "file:a,b": "is not of the form file:WORDS,LABELS#LABEL",
    "file:a,b#": "is not of the form file:WORDS,LABELS#LABEL",
    "file:a#P": "is not of the form file:WORDS,LABELS#LABEL",
    "file:a,b,c#P": "is not of the form file:WORDS,LABELS#LABEL",
    "file:no/such,words#P": "there is no file 'no/such', neither from the current folder nor from",
    "file:/dev/zero,/dev/zero#P": "there is no file '/dev/zero'",
    "file:~no-such-user/x,y#P": "file '~no-such-user/x' is no path",
    f"file:{'x' * 5000},y#P": "is no path",
    "file:a\0b,c#P": r"file 'a\x00b' is no path",
}


def write(folder, words, labels):
    for name, text in ((WORDS_FILE, words), (LABELS_FILE, labels)):
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())


def concept_of(folder, label):
    return f"file:{folder / WORDS_FILE},{folder / LABELS_FILE}#{label}"


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_is_none_is_one_clear_error(name):
    with pytest.raises(InputError) as error:
        parse_concept(name)
    assert BAD_NAMES[name] in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize("name", BAD_FILES)
def test_files_that_do_not_fit_are_one_clear_error(name, tmp_path):
    words, labels, message = BAD_FILES[name]
    write(tmp_path, words, labels)
    with pytest.raises(InputError) as error:
        parse_concept(concept_of(tmp_path, "P"))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_and_an_unreadable_file_are_no_files(tmp_path):
    write(tmp_path, *GOOD)
    with pytest.raises(InputError, match="there is no file"):
        parse_concept(f"file:{tmp_path},{tmp_path / LABELS_FILE}#P")
    (tmp_path / WORDS_FILE).unlink()
    (tmp_path / WORDS_FILE).symlink_to(tmp_path / WORDS_FILE)
    with pytest.raises(InputError, match="there is no file"):
        parse_concept(concept_of(tmp_path, "P"))


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "\ufeff" + text,
        lambda text: text.replace(" ", "\t"),
        lambda text: text.replace("\n", "  \n"),
        lambda text: text.replace("\n", "\n\n"),
        lambda text: text.removesuffix("\n"),
    ],
    ids=["CRLF", "byte order mark", "tabs", "trailing spaces", "empty lines", "no last line end"],
)
def test_harmless_differences_of_writing_change_nothing(change, tmp_path):
    write(tmp_path, *map(change, GOOD))
    corpus = file_corpus(parse_concept(concept_of(tmp_path, "X:place")))
    assert corpus.sentences == [["London", "calls"], ["Rain", "in", "Paris"]]
    assert members(corpus, "PLACE").tolist() == [True, False, False, False, True]


def test_any_script_is_a_word(tmp_path):
    family, arabic = "👨‍👩‍👧", "القاهرة"
    write(tmp_path, f"{family} {arabic} 10\u00a0000\n", "O X:place O\n")
    corpus = file_corpus(parse_concept(concept_of(tmp_path, "X:place")))
    assert corpus.words == [family, arabic, "10\u00a0000"]
    concept = parse_concept(f"words:{arabic},{family}")
    assert concept.words == (arabic, family)
    assert members(with_words(corpus, concept), "WORDS").tolist() == [True, True, False]


@pytest.mark.parametrize(
    ("label", "tag"),
    [("SEM:named_entity:location", "LOCATION"), ("X:org", "CUSTOM_ORG"), ("O", "CUSTOM_O"),
     ("città", "CITT"), ("место", "LABEL"), ("a|b*c", "ABC"), ("X:per", "CUSTOM_PER")],
)  # fmt: skip
def test_a_tag_is_short_safe_and_no_entity_type(label, tag, tmp_path):
    write(tmp_path, "a b\n", f"{label} other\n")
    concept = parse_concept(concept_of(tmp_path, label))
    assert concept.label == tag
    assert kinds(file_corpus(concept)) == (tag,)


def test_names_of_folders_stand_for_contents_and_never_for_paths(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder, *GOOD)
    one, two = (parse_concept(concept_of(tmp_path / name, "X:place")) for name in ("one", "two"))
    assert one.name == two.name
    assert re.fullmatch(r"label-place-[0-9a-f]{8}", one.name)
    write(tmp_path / "two", GOOD[0].replace("Rain", "Snow"), GOOD[1])
    assert parse_concept(two.text).name != one.name
    days = parse_concept("words:Monday,Tuesday")
    assert re.fullmatch(r"words-monday-[0-9a-f]{8}", days.name)
    assert parse_concept("words:Tuesday,Monday,Monday").name[-8:] == days.name[-8:]
    assert parse_concept("words:MondayTuesday").name[-8:] != days.name[-8:]
    for name, label in CONCEPTS.items():
        assert (parse_concept(name).name, parse_concept(name).label) == (name, label)


def test_titles_hold_no_markup():
    assert parse_concept("words:Monday,Tuesday,Friday,Sunday").title == "Monday, Tuesday, Friday, …"
    title = parse_concept("words:<b>x</b>,`y`,[z](w),*,_,|").title
    assert not set(title) & set("<>`[]()*_|")
    assert parse_concept("words:***").title == "WORDS"


def test_paths_are_taken_from_the_current_folder_or_the_projects(tmp_path, monkeypatch):
    write(tmp_path, *GOOD)
    monkeypatch.chdir(tmp_path)
    assert parse_concept(f"file:{WORDS_FILE},{LABELS_FILE}#X:place").label == "PLACE"
    with pytest.raises(InputError, match=r"README\.md has .* lines"):
        parse_concept(f"file:README.md,{LABELS_FILE}#X:place")


def test_words_are_exact_forms():
    corpus = Corpus("made up", [["May", "may", "Mayor", "May"]], {"entity": [["O"] * 4]})
    corpus = with_words(corpus, parse_concept("words:May"))
    assert members(corpus, "WORDS").tolist() == [True, False, False, True]
    assert kinds(corpus) == ("LOC", "PER", "ORG", "MISC", "WORDS")
    assert kinds(load_corpus("conll2003", "test").first(3)) == ("LOC", "PER", "ORG", "MISC")


def test_the_page_of_errors_says_what_is_said():
    page = "".join(
        (BOOK / name).read_text(encoding="utf-8") for name in ("errors.md", "errors_data.md")
    )
    for message in [*(BAD_FILES[name][2] for name in BAD_FILES), *BAD_NAMES.values()]:
        # The page has an example of each kind of message, with names of its own.
        words = re.sub(r"'[^']*('|$)|\d+|labels\.txt|words\.txt", "…", message).strip("… ,")
        key = max(re.split(r"…", words), key=len).strip(" ,:;'")
        assert key in page, key


anything = st.text(alphabet=st.characters(codec=None), max_size=40)
lines = st.lists(st.text(alphabet="ab \t\r\0\ufeff\u00a0\u2028é👩,:", max_size=8), max_size=4)
texts = st.one_of(
    lines.map("\n".join),
    st.just("a b\nb a\n"),
    anything.map(lambda t: t.encode("utf-8", "ignore")),
    st.binary(max_size=20),
)
names = st.one_of(
    anything,
    anything.map("words:{}".format),
    anything.map("file:{}".format),
    st.tuples(anything, anything, anything).map(lambda t: "file:{},{}#{}".format(*t)),
)
SETTINGS = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture],
)  # fmt: skip


def safe(concept):
    assert re.fullmatch(r"[A-Z0-9_]{1,24}", concept.label)
    assert re.fullmatch(r"[a-z0-9-]+", concept.name)
    assert len(concept.name) < 60
    assert not set(concept.title) & set("<>`[]()*_|\n")


@SETTINGS
@given(names)
def test_any_name_works_or_is_an_input_error(name):
    with suppress(InputError):
        safe(parse_concept(name))


@SETTINGS
@given(texts, texts, st.sampled_from(["a", "b", "a:b", "b,a", "é", ""]))
def test_any_pair_of_files_works_or_is_an_input_error(tmp_path, words, labels, label):
    write(tmp_path, words, labels)
    with suppress(InputError):
        concept = parse_concept(concept_of(tmp_path, label))
        safe(concept)
        corpus = file_corpus(concept)
        inside = members(corpus, concept.label)
        assert 0 < inside.sum() < corpus.n_words == inside.size
