"""Tag schemes: told from the tags, and names found whole whatever the scheme."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plasticity_utils.data.schemes import PREFIXES, SCHEMES, convert, recognise, spans
from plasticity_utils.errors import InputError

TYPES = ("LOC", "PER", "work-of-art")
# Two names beside each other, of one type and of two, long and short.
NAMES = [("LOC", 0, 1), ("LOC", 1, 4), ("PER", 4, 6), ("LOC", 7, 8)]
AS_IOB2 = ["B-LOC", "B-LOC", "I-LOC", "I-LOC", "B-PER", "I-PER", "O", "B-LOC"]


@st.composite
def iob2_sentences(draw):
    tags = []
    for kind, length, gap in draw(
        st.lists(st.tuples(st.sampled_from(TYPES), st.integers(1, 4), st.integers(0, 2)))
    ):
        tags += [f"B-{kind}", *[f"I-{kind}"] * (length - 1), *["O"] * gap]
    return tags


@pytest.mark.parametrize("scheme", ["IOB2", "IOB1", "BIOES", "BILOU", "BMES", "IOE"])
def test_names_are_written_and_found_again_in_every_scheme(scheme):
    written = convert(AS_IOB2, "IOB2", scheme)
    assert spans(written, scheme) == NAMES
    assert convert(written, scheme) == AS_IOB2
    assert recognise([written]) == scheme


def test_in_io_neighbours_of_one_type_are_one_name():
    written = convert(AS_IOB2, "IOB2", "IO")
    assert written == ["I-LOC"] * 4 + ["I-PER"] * 2 + ["O", "I-LOC"]
    assert spans(written, "IO") == [("LOC", 0, 4), ("PER", 4, 6), ("LOC", 7, 8)]
    assert recognise([written]) == "IO"


@given(iob2_sentences(), st.sampled_from([name for name in PREFIXES if name != "IO"]))
def test_conversion_there_and_back_changes_nothing(tags, scheme):
    assert convert(convert(tags, "IOB2", scheme), scheme) == tags


@given(st.lists(iob2_sentences(), max_size=6), st.sampled_from(sorted(PREFIXES)))
def test_whatever_is_recognised_gives_the_same_names(sentences, scheme):
    written = [convert(tags, "IOB2", scheme) for tags in sentences]
    told = recognise(written)
    if told == "plain":
        assert all(set(tags) <= {"O"} for tags in written)
        return
    assert [spans(tags, told) for tags in written] == [spans(tags, scheme) for tags in written]


@given(st.lists(st.sampled_from(["O", *(f"{p}-LOC" for p in "BIESLUM"), "I-PER"]), max_size=12))
def test_no_word_of_a_type_is_lost_in_tags_that_are_no_sound_scheme(tags):
    for scheme in PREFIXES:
        inside = [False] * len(tags)
        for _, first, stop in spans(tags, scheme):
            assert not any(inside[first:stop])
            inside[first:stop] = [True] * (stop - first)
        assert inside == [tag != "O" for tag in tags]


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [
        (["NNP", "VBZ", ".", ",", "-LRB-", "''", "#", "$"], "plain"),
        (["O", "O"], "plain"),
        ([], "plain"),
        (["B-NP", "I-NP", "O", "B-VP"], "IOB2"),
        (["I-NP", "B-NP", "I-VP"], "IOB1"),
        (["I-NP", "I-NP"], "IO"),
        (["B-X", "S-X", "O"], "BIOES"),
        (["B-X", "E-X", "O"], "BIOES"),
        (["U-X", "O"], "BILOU"),
        (["B-X", "M-X", "E-X", "S-X"], "BMES"),
        (["I-X", "E-X", "E-X"], "IOE"),
        (["B-X", "Q-X"], "plain"),
        (["B-", "O"], "plain"),
    ],
)
def test_the_scheme_is_told_from_the_tags(tags, scheme):
    assert recognise([tags]) == scheme
    assert scheme in SCHEMES


def test_an_unknown_scheme_is_named_with_those_that_there_are():
    with pytest.raises(InputError, match="unknown scheme 'IOBES'; allowed: IOB2, IOB1, IO"):
        convert(["O"], "IOBES")
    with pytest.raises(InputError, match="unknown scheme 'plain'; allowed: IOB2"):
        spans(["O"], "plain")
