"""Schemes of span tags: which tag says that a name begins, goes on or ends.

A corpus writes *New York* as `B-LOC I-LOC` (IOB2), `I-LOC I-LOC` (IOB1, IO), `B-LOC E-LOC` (BIOES,
whose single words are `S-LOC`), `B-LOC L-LOC` (BILOU, `U-LOC`), `B-LOC E-LOC` with `M-LOC` between
(BMES), or `I-LOC E-LOC` (IOE). Read by the wrong scheme, names are split, joined or lost, without
an error. So the scheme is told from the tags themselves, and spans are turned into IOB2, the scheme
in which models here are trained and scored (entity F1 of Tjong Kim Sang & De Meulder 2003).

Tags without a prefix (parts of speech) are *plain* and stay as they are.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from plasticity_utils.errors import InputError

OUTSIDE, PLAIN = "O", "plain"
# The tag of words that no training sees; no corpus has it.
UNTAUGHT = ""
# What each scheme writes at the begin, inside and end of a name, and for a name of one word.
PREFIXES = {
    "IOB2": "BIIB",
    "IOB1": "BIII",
    "IO": "IIII",
    "IOE": "IIEE",
    "BIOES": "BIES",
    "BILOU": "BILU",
    "BMES": "BMES",
}
SCHEMES = (*PREFIXES, PLAIN)
SPAN_TAG = re.compile(r"([BIOESLUM])-(.+)", re.DOTALL)
_STARTS, _ENDS = frozenset("BSU"), frozenset("ESLU")


def recognise(sentences: Iterable[Sequence[str]]) -> str:
    """Tell the scheme of tags from the tags themselves.

    Tags that hold under several schemes are given the stricter one: where every name begins with B-
    it is IOB2, where no B- is found IO, else IOB1 (there a name begins where the type changes,
    too). One tag that is neither `O` nor of a span makes a column plain.
    """
    seen = [list(tags) for tags in sentences]
    tags = {tag for sentence in seen for tag in sentence}
    found = {tag: SPAN_TAG.fullmatch(tag) for tag in tags - {OUTSIDE}}
    if not found or not all(found.values()):
        return PLAIN
    prefixes = {match[1] for match in found.values() if match}
    for name, marks in (("BILOU", "LU"), ("BMES", "M"), ("BIOES", "S")):
        if prefixes & set(marks) and prefixes <= set(PREFIXES[name]):
            return name
    if "E" in prefixes:
        return "BIOES" if "B" in prefixes else "IOE"
    if not prefixes <= {"B", "I"}:
        return PLAIN
    if "B" not in prefixes:
        return "IO"
    return "IOB2" if _every_name_begins(seen) else "IOB1"


def is_of_spans(sentences: Iterable[Sequence[str]]) -> bool:
    """Tell whether most words that are not outside have tags of spans."""
    counts = Counter(tag for tags in sentences for tag in tags)
    of_spans = sum(count for tag, count in counts.items() if SPAN_TAG.fullmatch(tag))
    outside = counts[OUTSIDE] or max(counts.values(), default=0)
    # A column of lemmas may hold an I-95, but no O.
    least = counts.total() - outside + (OUTSIDE not in counts)
    return of_spans > 0 and 2 * of_spans >= least


def spans(tags: Sequence[str], scheme: str) -> list[tuple[str, int, int]]:
    """Find the names in one sentence's tags: type, first word, word after the last.

    A tag that cannot stand where it stands (an `I-` after nothing) begins a name, as the shared
    task's own scorer has it: no word of a type is lost. Plain tags have none: an InputError.
    """
    if scheme not in PREFIXES:
        raise InputError(f"unknown scheme {scheme!r}; allowed: {', '.join(PREFIXES)}")
    found: list[tuple[str, int, int]] = []
    open_type, begun = "", 0
    for place, tag in enumerate([*tags, OUTSIDE]):
        prefix, _, kind = tag.partition("-") if tag != OUTSIDE else ("", "", "")
        if open_type and (kind != open_type or prefix in _STARTS):
            found.append((open_type, begun, place))
            open_type = ""
        if kind and not open_type:
            open_type, begun = kind, place
        if kind and prefix in _ENDS:
            found.append((open_type, begun, place + 1))
            open_type = ""
    return found


def convert(tags: Sequence[str], scheme: str, to: str = "IOB2") -> list[str]:
    """Write one sentence's tags in another scheme; `plain` is left as it is.

    In IO, neighbours of one type run into each other.
    """
    for name in (scheme, to):
        if name not in SCHEMES:
            raise InputError(f"unknown scheme {name!r}; allowed: {', '.join(SCHEMES)}")
    if PLAIN in (scheme, to) or scheme == to == "IOB2":
        return list(tags)
    begin, inside, end, single = tuple(PREFIXES[to])
    written, last = [OUTSIDE] * len(tags), ("", 0, 0)
    for kind, first, stop in spans(tags, scheme):
        marks = [begin, *inside * (stop - first - 2), end] if stop - first > 1 else [single]
        if to == "IOB1":
            # B- only where a name of the same type stands just before.
            marks[0] = "B" if last[0] == kind and last[2] == first else "I"
        written[first:stop] = [f"{mark}-{kind}" for mark in marks]
        last = kind, first, stop
    return written


def _every_name_begins(sentences: list[list[str]]) -> bool:
    return all(
        before[2:] == tag[2:]
        for tags in sentences
        for before, tag in zip(["", *tags], tags, strict=False)
        if tag.startswith("I-")
    )
