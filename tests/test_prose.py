"""The length of what a reader reads: words and figures of a page, words of a sentence."""

import re
from pathlib import Path

import nbformat
import pytest
import yaml

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def listed(entry):
    """The file of an entry of the contents, and those of its sections."""
    name = entry["file"]
    yield ROOT / (name if name.endswith(".ipynb") else f"{name}.md")
    for section in entry.get("sections", []):
        yield from listed(section)


CONTENTS = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
CHAPTERS = [chapter for part in CONTENTS["parts"] for chapter in part["chapters"]]
# Every page of the book, and the template of those that are made for a concept.
PAGES = [ROOT / CONTENTS["root"], *(path for entry in CHAPTERS for path in listed(entry)),
         ROOT / "notebooks" / "concept.ipynb"]  # fmt: skip
HAND_WRITTEN = [ROOT / "README.md", *sorted((ROOT / "book").glob("*.md"))]
WORD = re.compile(r"[^\W\d_][\w’-]*")
# What is not read: where a link leads, and what a role is called.
ADDRESS = re.compile(r"(?<=\])\(\S+\)|\{\w+\}(?=`)|(?<=\w) <[\w ]+>(?=`)")
MOST_WORDS, MOST_FIGURES, MOST_IN_A_SENTENCE = 1000, 6, 38
# Aloud one reads 150 to 180 words in a minute.
MOST_IN_A_MINUTE = 180
# What is looked at or opened, not read aloud: headings, tables, pictures, folds, lists of links.
NOT_ALOUD = re.compile(
    r"(?ms)^#.*?$|^\|.*?$|!\[.*?\]\(\S+\)|<details.*?</details>|^\[[^\]]+\]\(\S+\) ·.*?(?=\n\n|\Z)"
)
# Where a sentence ends, beside a blank line: an item, a heading, a cell of a table.
END = re.compile(r"[.!?](?=[\s*_”)]|$)|\n\s*\n|\n\s*(?:[-*#|>]|\d+\.)|\|")
# Before a number, and after nothing that it could join it to.
HYPHEN = re.compile(r"(?m)(?:^|[\s(\[|])-\.?\d[^\s]*")
# Of a term that is linked to the glossary, what is read of it.
LINKED = re.compile(r"\{term\}`([^`<]+?)(?: <[^`]*>)?`")
# A page of Markdown may be another file's text.
INCLUDE = re.compile(r"(?m)^```\{include\} (\S+)\n```$")
# Its entries are looked up one at a time, mostly by a link to one of them, and not read through.
DEFINITIONS = re.compile(r"(?ms)^```\{glossary\}.*?^```")
PICTURE = re.compile(r"!\[|\{(?:figure|image)\}|<(?:img|svg)\b")
NO_PROSE = re.compile(r"(?ms)^(```|~~~|:::).*?^\1|^\$\$.*?\$\$|^    .*?$|`[^`]*`|<!--.*?-->")


def hand_written(path):
    """Markdown that a person wrote: a file, or the cells of a notebook."""
    if path.suffix == ".md":
        text = path.read_text(encoding="utf-8")
        return INCLUDE.sub(lambda found: hand_written(path.parent / found[1]), text)
    cells = nbformat.read(path, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def outputs(path, kind):
    return [
        output["data"][kind]
        for cell in nbformat.read(path, as_version=4).cells
        for output in cell.get("outputs", [])
        if kind in output.get("data", {})
    ]


def words(text):
    return WORD.findall(ADDRESS.sub("", text))


def sentences(text):
    return END.split(ADDRESS.sub("", NO_PROSE.sub("code", LINKED.sub(r"\1", text))))


def shown(path):
    """What a page shows, in its order: prose, and outputs as text; of tables, a line a cell."""
    if path.suffix == ".md":
        yield hand_written(path)
        return
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type == "markdown":
            yield cell.source
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            table = re.sub(r"(?s)<style.*?</style>", "", data.get("text/html", ""))
            yield data.get("text/markdown") or re.sub(r"<[^>]*>", "\n", table)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_minus_is_no_hyphen(path):
    assert HYPHEN.search("a rise of\n-0.5\n")
    assert not HYPHEN.search("from 2-5, −0.5 or conll-2003")
    assert [found for text in shown(path) for found in HYPHEN.findall(NO_PROSE.sub("", text))] == []


def test_every_file_that_could_be_a_page_is_in_the_contents():
    assert {*PAGES} == {*NOTEBOOKS, *(ROOT / "book").glob("*.md")}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_the_first_line_of_a_page_is_its_claim(path):
    title, *rest = "\n\n".join(text for text in shown(path) if text.strip()).split("\n\n")
    assert re.fullmatch(r"# [^\n]+", title.strip()), title
    assert re.fullmatch(r"\*\*[^*]+[.?]\*\*", rest[0].strip()), rest[0]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_is_read_in_five_minutes(path):
    written, said, figures = hand_written(path), [], []
    if path.suffix == ".ipynb":
        # What a run was made with is a list, and no prose.
        said = [t for t in outputs(path, "text/markdown") if not t.startswith("**Made with**")]
        kinds = [f"application/vnd.vegalite.v{version}+json" for version in (5, 6)]
        figures = [each for kind in kinds for each in outputs(path, kind)]
    assert len(words("\n".join([DEFINITIONS.sub("", written), *said]))) <= MOST_WORDS
    assert len(figures) + len(PICTURE.findall(written)) <= MOST_FIGURES


def test_the_front_page_is_read_aloud_in_a_minute():
    page = ROOT / "notebooks" / "intro.ipynb"
    said = "\n\n".join([hand_written(page), *outputs(page, "text/markdown")])
    aloud = re.findall(r"[^\W_][\w.’-]*", ADDRESS.sub("", NOT_ALOUD.sub("", said)))
    assert len(aloud) <= MOST_IN_A_MINUTE, " ".join(aloud)


@pytest.mark.parametrize(
    "path", [*NOTEBOOKS, *HAND_WRITTEN], ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_no_sentence_is_a_paragraph(path):
    long = [text for text in sentences(hand_written(path)) if len(words(text)) > MOST_IN_A_SENTENCE]
    assert long == []


# Words of the trade, as pages write them, and the entry of the glossary that says what they mean.
TRADE = {
    "average precision": "average precision", "AUROC": "selectivity", "centre": "centre",
    "CKA": "CKA", "decoder": "decoder", "eras(?:ure|er)": "eraser", "features?": "feature",
    "floor": "floor", "host": "host", "perceptron": "perceptron", "pretrained": "pretrained",
    "primed": "primed", "probes?": "probe", "rank saliency": "rank saliency",
    "residual stream": "residual stream", "savings": "savings", "selectivity": "selectivity",
    "small cut": "small cut", "sparse autoencoder": "sparse autoencoder",
    "superposition": "superposition", "survivors?": "survivor", "tokens?": "token",
    "unlearning": "unlearning",
}  # fmt: skip


def test_words_of_the_trade_stand_in_the_glossary_and_it_is_in_order():
    glossary = (ROOT / "book" / "glossary.md").read_text(encoding="utf-8")
    entries = re.findall(r"(?m)^(?! |```|#)(\S.*)\n  \S", glossary)
    assert entries == sorted(entries, key=str.lower)
    pages = " ".join("\n".join(map(hand_written, NOTEBOOKS)).split())
    for word, entry in TRADE.items():
        assert re.search(rf"(?i)\b{word}\b", pages), f"no page says {word}"
        assert entry in entries, word


QUESTIONS = ["relearning", "erasure", "dose", "features", "polysemanticity", "subconcepts",
             "same_concept", "migration", "forced", "compare", "paper", "concept"]  # fmt: skip


@pytest.mark.parametrize("page", QUESTIONS)
def test_a_page_links_its_terms_to_the_glossary(page):
    assert "{term}`" in hand_written(ROOT / "notebooks" / f"{page}.ipynb")


# What is a word of the trade elsewhere and none there: features of a model in general, and a task.
OTHER_SENSE = re.compile(r"newly learned features|token classification")
TERM = re.compile(r"\{term\}`(?:[^`<]+<)?([^`>]+)>?`")
# Not the glossary itself; the changes and what errors say are quoted as they were written.
LINKING = [path for path in PAGES if path.suffix == ".md"
           and not path.stem.startswith(("glossary", "changes", "errors"))]  # fmt: skip


@pytest.mark.parametrize("path", LINKING, ids=lambda path: path.stem)
def test_each_word_of_the_trade_is_linked_once_on_a_manuals_page(path):
    written = re.sub(r"(?m)^#.*$", "", hand_written(path))
    linked = set(TERM.findall(written))
    bare = OTHER_SENSE.sub("", NO_PROSE.sub("", ADDRESS.sub("", TERM.sub("", written))))
    used = {entry for word, entry in TRADE.items() if re.search(rf"(?i)\b{word}\b", bare)}
    assert used <= linked
