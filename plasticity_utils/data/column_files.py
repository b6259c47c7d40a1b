"""Corpora in column files: a word a line, its tags beside it, an empty line between sentences.

The format of CoNLL-2003, WNUT and CoNLL-U and of most that came after. Separators are tabs or
spaces, documents may be marked by `-DOCSTART-`, metadata stand in lines that begin with `#`, and a
first line may name the columns. What cannot be read is an error that names file and line; no word
is left out in silence.

`hf:NAME` (or `hf:NAME:CONFIG`) is a corpus of the Hugging Face Hub, through the package `datasets`;
`hf:FOLDER`, written by its `save_to_disk`, needs no network. Of its columns the one of words is
found by name, and tags are those that are lists of labels or of text beside it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from plasticity_utils.data.schemes import OUTSIDE, SPAN_TAG
from plasticity_utils.errors import InputError
from plasticity_utils.files import path_of
from plasticity_utils.optional import needed

SPLITS = {
    "train": ("train",),
    "validation": ("validation", "valid", "val", "dev", "testa"),
    "test": ("test", "testb"),
}
ENDINGS = (
    *("", ".txt", ".conll", ".conllu", ".tsv", ".iob", ".iob2", ".bio"),
    *(".train", ".testa", ".testb"),
)
_CONLL2003 = ("word", "pos", "chunk", "entity")
CONLLU = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
CONLLU_TAGS = ("upos", "xpos", "deprel", "lemma")
WORD_TITLES = ("word", "words", "token", "tokens", "form", "text")
DOCUMENT = "-DOCSTART-"
LONGEST_WORD = 1000
# What is cut from `train` where a corpus lacks a split.
CUT_SHARE, CUT_SEED = 0.15, 2003
PREFIX = "hf:"
WORD_COLUMNS = ("tokens", "words", "token", "word")
# What the Hub's corpora, and first lines of files, call the columns otherwise.
NAMES = {
    **dict.fromkeys(("ner_tags", "ner_tag", "ner", "entities"), "entity"),
    **dict.fromkeys(("pos_tags", "pos_tag"), "pos"),
    **dict.fromkeys(("chunk_tags", "chunk_tag"), "chunk"),
}

# Where a sentence or a text begins or ends, as other tools write it: not a word, for it has no tag.
_MARK = re.compile(r"</?(s|p|sent|sentence|doc|text)( [^<>]*)?>")

_MARKS = ("<", DOCUMENT)

# A line is cut at spaces and tabs; not at a no-break space, which is a part of its word.
split_fields = re.compile(r"[^ \t]+").findall

Columns = dict[str, list[list[str]]]


def read_columns(path: Path, word: int | str = 1) -> tuple[list[list[str]], Columns]:
    """Read a column file: sentences of words, and the tags of each column.

    Columns are named by a first line that names them, or as in CoNLL-2003 where there are four;
    else by their number, from 1. The last is `entity` where nothing else is so named, or `ner`.
    """
    lines = read_lines(path)
    if _is_conllu(lines):
        return _read_conllu(path, lines)
    rows = _token_rows(path, lines)
    names = _titles(path, rows)
    place = _place(path, word, names)
    words = [[fields[place] for _, fields in sentence] for sentence in rows]
    for sentence in rows:
        in_words = [fields[place] for _, fields in sentence]
        check_lengths(path, sentence[0][0], in_words)
        if "" in in_words:
            empty, _ = sentence[in_words.index("")]
            raise InputError(f"{path}, line {empty}: the word is empty")
        for number, fields in sentence:
            if "" in fields:
                column = names[fields.index("")]
                raise InputError(f"{path}, line {number}: the tag of column {column!r} is empty")
    if len(names) > 2 and _are_counted(words):
        raise InputError(
            f"{path}: column {names[place]!r} holds numbers that count; words must stand in the "
            "first column, or in the one that load_corpus(..., word=2) names"
        )
    labels = {
        name: [[fields[column] for _, fields in sentence] for sentence in rows]
        for column, name in enumerate(names)
        if column != place
    }
    return words, labels


def split_file(folder: Path, split: str) -> Path | None:
    """Find the file of a split in a folder by its name (`dev.conll`, `en-ud-test.conllu`)."""
    named = [
        path
        for path in sorted(folder.iterdir())
        if set(re.split(r"[^a-z]+", path.name.lower())) & set(SPLITS[split])
        and not path.name.startswith(".")
    ]
    found = [path for path in named if not path.is_dir() and path.suffix.lower() in ENDINGS]
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise InputError(f"{folder} has several files for {split!r}: {names}; keep one")
    if named and not found:
        raise InputError(
            f"{named[0]} is no column file; needed for {split!r}: a word a line, its tags beside "
            f"it, in a file that ends in one of {', '.join(ENDINGS[1:])}"
        )
    return found[0] if found else None


def deal_out(
    words: list[list[str]], labels: Columns, split: str, present: Sequence[str]
) -> tuple[list[list[str]], Columns, bool]:
    """Give a split what is its own of the sentences read for it, and whether it was cut from train.

    `train` is dealt out to the splits that a corpus lacks, the same every time.
    """
    if "train" not in present or (split != "train" and split in present):
        return words, labels, False
    missing = [name for name in ("validation", "test") if name not in present]
    order = np.random.default_rng(CUT_SEED).permutation(len(words)).tolist()
    size = int(len(words) * CUT_SHARE)
    parts = {name: order[at * size : (at + 1) * size] for at, name in enumerate(missing)}
    chosen = {**parts, "train": sorted(order[len(missing) * size :])}[split]
    labels = {name: [column[i] for i in chosen] for name, column in labels.items()}
    return [words[i] for i in chosen], labels, split not in present


def read_lines(path: Path) -> list[str]:
    """Read a text file's lines, whatever their ends; a byte-order mark is no part of it."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as UTF-8 text: {error}") from error
    # Not splitlines: a word may hold one of the rarer line ends of Unicode.
    # A byte-order mark also stands where files were put together.
    lines = [line.removeprefix("\ufeff") for line in text.removesuffix("\n").split("\n")]
    if "\0" in text:
        number = next(number for number, line in enumerate(lines, start=1) if "\0" in line)
        raise InputError(f"{path}, line {number}: a NUL byte; is it a text file in UTF-8?")
    return lines


def check_lengths(path: Path, number: int, words: Sequence[str]) -> None:
    """Refuse a word that no text has: the file is something else."""
    longest = max(map(len, words), default=0)
    if longest > LONGEST_WORD:
        raise InputError(
            f"{path}, line {number}: a word of {longest} characters; at most {LONGEST_WORD} are "
            "allowed"
        )


def _are_counted(words: list[list[str]]) -> bool:
    """Whether each sentence counts from 0 or 1, as ids of words do; ranges of ids are none."""
    if not all(row[0][0].isdigit() for row in words):
        return False
    counted = [[word for word in row if not re.fullmatch(r"\d+[-.]\d+", word)] for row in words]
    ways = [[str(start + at) for at in range(max(map(len, counted)))] for start in (0, 1)]
    return len(ways[0]) > 1 and all(row in [way[: len(row)] for way in ways] for row in counted)


Row = tuple[int, list[str]]


def _token_rows(path: Path, lines: list[str]) -> list[list[Row]]:
    """Sentences of (line number, fields), without comments, marks of documents and empty lines."""
    tabs = _has_tabs(lines)
    rows = [_cells(line) if tabs and "\t" in line else split_fields(line) for line in lines]
    last_fields = {
        fields[-1] for fields, line in zip(rows, lines, strict=True) if fields and line[0] != "#"
    }
    sentences: list[list[Row]] = [[]]
    for number, (fields, line) in enumerate(zip(rows, lines, strict=True), start=1):
        if not fields or (fields[0].startswith(_MARKS) and _is_mark(fields)):
            sentences.append([])
        elif line[0] != "#" or _is_begun(sentences) or _is_tag(fields[-1], last_fields):
            # A "#" that is a word, and no comment, has a tag.
            sentences[-1].append((number, fields))
    sentences = [sentence for sentence in sentences if sentence]
    if not sentences:
        raise InputError(f"{path} holds no sentence")
    counts = [len(fields) for sentence in sentences for _, fields in sentence]
    width = max(set(counts), key=counts.count)
    for sentence in sentences:
        for number, fields in sentence:
            if len(fields) != width:
                raise InputError(
                    f"{path}, line {number}: {len(fields)} columns, expected {width}{_named(width)}"
                    f", as in most lines: {' '.join(fields)[:80]!r}"
                )
    if width < 2:
        raise InputError(f"{path} has one column; a word and at least one tag are needed")
    return sentences


def _is_begun(sentences: list[list[Row]]) -> bool:
    """Whether a sentence has a word already; a line of titles is none."""
    first = [row[0].lower() for _, row in sentences[-1]]
    return bool(first) and not (len(sentences) == len(first) == 1 and first[0] in WORD_TITLES)


def _is_mark(fields: list[str]) -> bool:
    """Whether a line parts documents or sentences: a mark alone, or the same in every column."""
    if fields[0][:1] == "<":
        return _MARK.fullmatch(" ".join(dict.fromkeys(fields))) is not None
    return fields[0] == DOCUMENT


def _is_tag(field: str, tags: set[str]) -> bool:
    """Whether a line's last field is a tag: one of other words, or of a span or outside one."""
    return field in tags or field == OUTSIDE or SPAN_TAG.fullmatch(field) is not None


def _has_tabs(lines: list[str]) -> bool:
    """Whether columns are cut by tabs alone, so that spaces are parts of fields."""
    rows = [line for line in lines if line.strip() and line[0] != "#"]
    return bool(rows) and all("\t" in line or _is_mark(split_fields(line)) for line in rows)


def _cells(line: str) -> list[str]:
    return [cell.strip(" ") for cell in line.split("\t")] if line.strip() else []


def _named(width: int) -> str:
    return f" ({' '.join(_CONLL2003)})" if width == len(_CONLL2003) else ""


def _titles(path: Path, rows: list[list[Row]]) -> list[str]:
    """Names of the columns; a first line that gives them is taken out of the sentences."""
    number, first = rows[0][0]
    others = {fields[-1] for sentence in rows for at, fields in sentence if at != number}
    if first[0].lower() in WORD_TITLES and not _is_tag(first[-1], others):
        names = [NAMES.get(name.lower(), name.lower()) for name in first]
        doubled = {name for name in names if names.count(name) > 1}
        if doubled:
            raise InputError(f"{path}, line {number}: column {sorted(doubled)[0]!r} stands twice")
        del rows[0][0]
        if not rows[0]:
            del rows[0]
        if not rows:
            raise InputError(f"{path} holds no sentence")
    elif len(first) == len(_CONLL2003):
        return list(_CONLL2003)
    else:
        names = [str(column) for column in range(1, len(first) + 1)]
    return names if "entity" in names else [*names[:-1], "entity"]


def _place(path: Path, word: int | str, names: list[str]) -> int:
    numbers = [str(column) for column in range(1, len(names) + 1)]
    for known in (names, numbers):
        if str(word) in known:
            return known.index(str(word))
    raise InputError(f"{path} has no column {word!r}; allowed: 1 to {len(names)}, or its names")


def _is_conllu(lines: list[str]) -> bool:
    words = [line for line in lines if line.strip() and line[0] != "#"]
    # The first line tells of most files, and no other is then cut.
    rows = (line.split("\t") for line in words)
    return bool(words) and all(
        len(row) == len(CONLLU) and re.fullmatch(r"\d+(-\d+|\.\d+)?", row[0]) for row in rows
    )


def _read_conllu(path: Path, lines: list[str]) -> tuple[list[list[str]], Columns]:
    """Syntactic words of a CoNLL-U file; ranges such as 1-2 repeat them and 1.1 is no word."""
    conllu = needed("conllu", f"{path}, in CoNLL-U,")
    try:
        parsed = conllu.parse("\n".join([*lines, "", ""]))
    except conllu.exceptions.ParseException as error:
        raise InputError(f"{path} is no sound CoNLL-U: {error}") from error
    sentences = [[token for token in tokens if isinstance(token["id"], int)] for tokens in parsed]
    sentences = [tokens for tokens in sentences if tokens]
    if not sentences:
        raise InputError(f"{path} holds no sentence")
    words = [[token["form"] for token in tokens] for tokens in sentences]
    labels = {
        name: [[str(token[name] or "_") for token in tokens] for tokens in sentences]
        for name in CONLLU_TAGS
    }
    return words, labels


def read_hub(source: str, split: str) -> tuple[list[list[str]], Columns, bool]:
    """Read a split: sentences, tags of each column, and whether it was cut from `train`."""
    parts = _load(source)
    found = {name: _first(parts, names) for name, names in SPLITS.items()}
    present = [name for name, part in found.items() if part is not None]
    part = found[split] if found[split] is not None else found["train"]
    if part is None:
        raise InputError(f"{source!r} has no split {split!r} and no 'train'; it has: {list(parts)}")
    words, labels = _columns(source, part)
    return deal_out(words, labels, split, present)


def _load(source: str) -> dict[str, Any]:
    datasets = needed("datasets", f"corpus {source!r}")
    name, _, config = source.removeprefix(PREFIX).partition(":")
    folder = path_of(name, "corpus")
    try:
        if folder.is_dir():
            loaded = datasets.load_from_disk(str(folder))
        else:
            loaded = datasets.load_dataset(name, config or None)
    except Exception as error:
        # The package raises many kinds, for want of a network, a name, or a sound folder.
        said = str(error).strip().splitlines()
        raise InputError(
            f"corpus {source!r} cannot be loaded by 'datasets': {said[0] if said else error!r}"
        ) from error
    return dict(loaded) if isinstance(loaded, dict) else {"train": loaded}


def _first(parts: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((parts[name] for name in names if name in parts), None)


def _columns(source: str, part: Any) -> tuple[list[list[str]], Columns]:
    word = next((name for name in WORD_COLUMNS if name in part.features), None)
    if word is None:
        raise InputError(
            f"corpus {source!r} has no column of words; it has: {', '.join(part.features)}; "
            f"allowed: {', '.join(WORD_COLUMNS)}"
        )
    words = [list(sentence or []) for sentence in part[word]]
    for at, sentence in enumerate(words, start=1):
        wrong = [token for token in sentence if not isinstance(token, str) or not token.strip()]
        if wrong:
            raise InputError(f"corpus {source!r}, sentence {at}: {wrong[0]!r} is no word")
    labels: Columns = {}
    for name, feature in part.features.items():
        inner = getattr(feature, "feature", None)
        if name == word or inner is None or getattr(inner, "dtype", "") not in ("int64", "string"):
            continue
        names = getattr(inner, "names", None)
        column = [list(tags or []) for tags in part[name]]
        for at, tags in enumerate(column, start=1):
            if len(tags) != len(words[at - 1]):
                raise InputError(
                    f"corpus {source!r}, sentence {at}: {len(tags)} tags in {name!r} for "
                    f"{len(words[at - 1])} words"
                )
            wrong = [
                tag for tag in tags if tag in (None, "") or (names and not 0 <= tag < len(names))
            ]
            if wrong:
                raise InputError(f"corpus {source!r}, sentence {at}: {wrong[0]!r} is no tag")
        column = [[names[tag] if names else str(tag) for tag in tags] for tags in column]
        labels[NAMES.get(name, name)] = column
    if not labels:
        raise InputError(f"corpus {source!r} has no column of tags beside {word!r}")
    kept = [at for at, sentence in enumerate(words) if sentence]
    labels = {name: [column[at] for at in kept] for name, column in labels.items()}
    return [words[at] for at in kept], labels
