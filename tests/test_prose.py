"""The length of what a reader reads: words and figures of a page, words of a sentence."""

import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parent.parent
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# Beside the notebooks, what is meant for every reader; the rest one looks things up in.
READ_THROUGH = ["sentence", "method", "method_training", "method_removals", "method_measures",
                "others"]  # fmt: skip
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
NO_PROSE = re.compile(r"(?ms)^(```|~~~|:::).*?^\1|^\$\$.*?\$\$|^    .*?$|`[^`]*`|<!--.*?-->")


def hand_written(path):
    """Markdown that a person wrote: a file, or the cells of a notebook."""
    if path.suffix == ".md":
        return path.read_text(encoding="utf-8")
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
    return END.split(ADDRESS.sub("", NO_PROSE.sub("code", text)))


def shown(path):
    """What a page shows, in its order: prose, and outputs as text; of tables, a line a cell."""
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


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_first_line_of_a_page_is_its_claim(path):
    title, *rest = "\n\n".join(text for text in shown(path) if text.strip()).split("\n\n")
    assert title.startswith("# ")
    assert re.fullmatch(r"\*\*[^*]+[.?]\*\*", rest[0].strip()), rest[0]


@pytest.mark.parametrize("name", READ_THROUGH)
def test_a_page_without_figures_opens_with_its_claim_and_is_short(name):
    text = hand_written(ROOT / "book" / f"{name}.md")
    assert re.match(r"# [^\n]+\n\n\*\*[^*]+[.?]\*\*\n\n", text)
    assert len(words(text)) <= MOST_WORDS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_page_is_read_in_five_minutes(path):
    # What a run was made with is a list, and no prose.
    said = [text for text in outputs(path, "text/markdown") if not text.startswith("**Made with**")]
    assert len(words("\n".join([hand_written(path), *said]))) <= MOST_WORDS
    figures = [
        kind
        for kind in ("application/vnd.vegalite.v5+json", "application/vnd.vegalite.v6+json")
        for _ in outputs(path, kind)
    ]
    assert len(figures) <= MOST_FIGURES


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
