"""Tables as a reader sees them: sensible digits, words as they are written.

A word of the corpus is text and never markup: `<b>` is shown as the four characters that it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import partial
from hashlib import sha256
from html import escape
from typing import Any

import pandas as pd
from pandas.io.formats.style import Styler

from plasticity_utils.charts.parts import need
from plasticity_utils.charts.theme import CUSTOM_COLOUR, ENTITY_COLOURS
from plasticity_utils.errors import is_whole
from plasticity_utils.formats import digits_with_interval, fixed, number

# Characters of a text that stays in one line: a date, a name.
SHORT = 16
QUANTITY, _STEPS = "quantity", "steps_"
_WORD_COLUMNS = ("words_base", "words_removed", "words_end")
# Headings, and the names of quantities in a column of them; of others the name, with spaces.
_NAMES = {
    "entity_f1": "F1",
    "base_f1": "F1, validation",
    "test_f1": "F1, test",
    "words_base": "words, base",
    "words_removed": "words, just removed",
    "words_end": "words, end",
    "selectivity_base": "σ base",
    "selectivity_end": "σ end",
    "effect_end": "effect, end",
    "rise_under_none": "rise of |σ| under none",
    "epochs_to_95": "epochs to 95 %",
    "n_seeds": "seeds",
    "n_neurons": "neurons",
    "entity_f1_removed": "F1, just removed",
    "entity_f1_end": "F1, end",
    "n_both_removed": "both, just removed",
    "n_both_end": "both, end",
    "n_same_end": "same sign, end",
    "beyond_others": "beyond the other types",
    "loss_others": "loss, others",
    "random_loss": "loss, random",
    "by_head": "by the last layer",
    "by_best": "by the best reader",
    "by_end": "by the whole model",
    "came_back": "what came back",
    "lost_others": "others lost",
    "lost_random": "lost, random cut",
    "lost_another": "lost, another's cut",
    "control_f1": "F1, control task",
    "read_further": "read, further readers",
    "found_further": "F1, further readers",
    "floor_further": "floor, further readers",
    "head_top": "head, cut again",
    "found_top": "found, cut again",
    "found_random": "found, random cut again",
    "found_top_removed": "found, cut again untrained",
    "others_removed": "others, just removed",
    "others_head": "others, head",
    "way": "taken away",
    "cut": "what was cut",
    "again": "cut again",
    "others_lost": "other types lose, mean",
    "most_lost": "at worst",
    "rank_shift": "shift by rank",
    "jaccard_by_chance": "by chance",
    "n_runs": "runs",
    "n_reached": "reached",
    "n_read": "how many",
    "n_concepts": "concepts served",
    "took_on": "took on a concept",
    "took_on_concept": "took on the removed concept",
    "n_words": "words",
    "n_names": "names",
    "as_is": "as it is",
    "as_is_none": "as it is, none",
    "aligned_none": "aligned, none",
    "lost_as_is": "lost, as it is",
    "lost_aligned": "lost, aligned",
    "new_none": "new under none",
    "sigma_base": "σ base",
    "sigma_end": "σ end",
    "beyond_control": "effect minus control",
    "set_in": "commits",
    "change_none": "change under none",
    "least": "smallest that matters",
    "p_adjusted": "p, adjusted",
    "intact_base": "intact, before",
    "intact_after": "intact, after",
}


def number_table(frame: pd.DataFrame, columns: Sequence[str] = ()) -> Styler:
    """Show a tidy frame, or some of its columns in this order, as an HTML table.

    Numbers have three decimals, larger ones fewer, steps none, and a dash stands for none. A value
    with columns `<value>_low` and `<value>_high` beside it is shown with them in brackets, in one
    line.
    """
    whole = _with_intervals(frame)
    names = list(columns or whole)
    headings = {name: _heading(name) for name in names}
    if QUANTITY in whole:
        whole[QUANTITY] = whole[QUANTITY].map(_heading, na_action="ignore")
    shown = whole[names].rename(columns=headings)
    texts = [
        headings[name] for name in names if any(isinstance(value, str) for value in frame[name])
    ]
    # A step is never a part of one, though where a curve crosses a line may be.
    written = {
        headings[name]: partial(_written, digits=0 if name.startswith(_STEPS) else 3)
        for name in names
    }
    table = _styled(shown).format(written, na_rep="–", escape="html").hide(axis="index")
    table.set_table_styles({heading: _looks(shown[heading]) for heading in texts})
    return table.set_table_attributes('class="dataframe"')


def words_table(frame: pd.DataFrame) -> Styler:
    """Show neurons with their highest-activating words at three stages, as an HTML table."""
    names = [_NAMES[column] for column in _WORD_COLUMNS]
    # On a phone the table scrolls in its box: narrower columns would make it many screens tall.
    return number_table(frame).set_properties(subset=names, **{"min-width": "8em"})


def marked_table(frame: pd.DataFrame, stages: Mapping[str, str]) -> Styler:
    """Show one sentence with its names marked, a row for each stage of a table `example`.

    `stages` says which are shown, in this order, and what each is called.
    """
    need(frame, ["stage", "position", "word", "tag"])
    rows = [
        (title, _marked(frame[frame["stage"] == stage].sort_values("position")))
        for stage, title in stages.items()
    ]
    shown = pd.DataFrame(rows, columns=["when", "what the model marks"])
    # Words are escaped where they are marked.
    table = _styled(shown).hide(axis="index").set_table_attributes('class="dataframe"')
    return table.set_table_styles({name: _looks(shown[name]) for name in shown})


def _styled(frame: pd.DataFrame) -> Styler:
    """Name a table after what it holds: a page that is executed again is the same."""
    return Styler(frame, uuid=sha256(frame.to_csv().encode()).hexdigest()[:8], cell_ids=False)


def _marked(words: pd.DataFrame) -> str:
    """Write a sentence as HTML; the words of a name are underlined and have its type beside."""
    parts: list[tuple[str, list[str]]] = []
    for word, tag in zip(words["word"].map(escape), words["tag"], strict=True):
        kind = tag[2:]
        if kind and tag.startswith("I-") and parts and parts[-1][0] == kind:
            parts[-1][1].append(word)
        else:
            parts.append((kind, [word]))
    return " ".join(_name(kind, " ".join(own)) if kind else own[0] for kind, own in parts)


def _name(kind: str, words: str) -> str:
    line = f"border-bottom:2px solid {ENTITY_COLOURS.get(kind, CUSTOM_COLOUR)}"
    return f'<span style="{line}"><b>{words}</b> <small>{escape(kind)}</small></span>'


def _heading(name: str) -> str:
    return _NAMES.get(name, name.replace("_", " "))


def _looks(texts: pd.Series) -> list[dict[str, Any]]:
    """Left-aligned, the heading as well; short texts stay in one line."""
    looks = [("text-align", "left")]
    if texts.map(str).map(len).max() <= SHORT:
        looks.append(("white-space", "nowrap"))
    return [{"selector": part, "props": looks} for part in ("td", "th")]


def _with_intervals(frame: pd.DataFrame) -> pd.DataFrame:
    """Put each interval into one cell with its value."""
    values = [name for name in frame if {f"{name}_low", f"{name}_high"} <= set(frame)]
    shown = frame.drop(columns=[f"{name}_{end}" for name in values for end in ("low", "high")])
    for name in values:
        rows = zip(frame[name], frame[f"{name}_low"], frame[f"{name}_high"], strict=True)
        shown[name] = [row[0] if pd.isna(row[1]) else _Estimate(*row) for row in rows]
    return shown


@dataclass(frozen=True)
class _Estimate:
    value: float
    low: float
    high: float


def _written(value: object, digits: int) -> object:
    """Write a cell as HTML, with so many digits at most; Styler has escaped texts before."""
    if isinstance(value, _Estimate):
        digits = min(digits, digits_with_interval(*astuple(value)))
        mean, low, high = (fixed(end, digits) for end in astuple(value))
        return f"{mean} <small>[{low},\u00a0{high}]</small>"
    if is_whole(value):
        return fixed(value, 0)
    return number(value, digits) if isinstance(value, float) else value
