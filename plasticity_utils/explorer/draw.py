"""One neuron as a reader sees it: words shaded by activation, lists, tables, messages.

Everything from a corpus or a user is text and never markup: a word such as ``<b>`` is shown as the
three characters that it is. Shading has two colours that mean nothing else in the book, amber above
the neuron's mean and sky blue below, and is never the only sign: the number stands in the tooltip,
and in lists beside the word.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from plasticity_utils.charts import theme
from plasticity_utils.explorer.data import AS_IT_IS, Opened, Selected
from plasticity_utils.explorer.style import CARD_STYLE, PAGE
from plasticity_utils.formats import fixed, short
from plasticity_utils.names import STAGE_TITLES

ABOVE, BELOW = "245, 163, 0", "77, 170, 230"
MOST_TINT = 0.5
FULL_TINT_AT = 3.0  # standard deviations
NO_TAG = "O"
_SAME = 1e-4  # standard deviations; a removed neuron varies by rounding
PART_NAMES = {
    "CC": "conjunction", "CD": "number", "DT": "determiner", "IN": "preposition",
    "JJ": "adjective", "NN": "noun", "NNP": "proper noun", "NNS": "plural noun", "PRP": "pronoun",
    "RB": "adverb", "TO": "to", "VB": "verb", "VBD": "verb, past", "VBG": "verb, -ing",
    "VBN": "participle", "VBZ": "verb, 3rd person",
}  # fmt: skip

# The sentences whose numbers and names are filled in.
SIGMA = "σ: how well it tells words of {label} from all others, 1 or −1 perfectly, 0 not at all."
EFFECT = "Effect: how much higher it is on words of {label} than on others, in standard deviations."
BASE_EFFECT = (
    "Effect: how much higher it is on words of {label} than on others, in standard deviations of "
    "the base model."
)
CORRELATE = "Over {n_words:,} words the two correlate at r = {r}."
SHARED = "Among the highest-activating words of both: {words}."
SEARCHED = (
    '<p class="pu-muted">{n_sentences:,} sentences are searched, whatever the case of their '
    "letters. At most {most} are shown, the one in which the neuron goes highest first.</p>"
)
STRONGEST = "Strongest at “{word}”: activation {activation}, z = {z}."
THE_SAME = "The same on every word: activation {activation}, z = {z}."
OTHER_LAYER = "The head reads layer {last}, and no other."


def type_colours(types: Sequence[str]) -> dict[str, str]:
    """Give each type of word its colour, in which names of it are underlined."""
    colours = theme.entity_colours(types) if types else {}
    # Ink turns with the theme of the page.
    return {name: "var(--pu-ink)" if c == theme.INK else c for name, c in colours.items()}


def title(at: Selected) -> str:
    """Name a neuron in a line."""
    place = f"Layer {at.layer}, unit {at.unit}"
    if at.condition == AS_IT_IS:
        return place
    return f"{place}, {STAGE_TITLES[at.stage]}, condition {at.condition}"


def heading(data: Opened, at: Selected) -> str:
    """Name a neuron, and say in a line what it is at this stage."""
    history, label = data.history(at), escape(data.label)
    row = history[history["stage"] == at.stage].iloc[-1]
    base = history[history["stage"] == "base"].iloc[0]
    named = f"<h4>{escape(title(at))}</h4>"
    if not label:
        return named
    is_base = len(data.stages) == 1

    def beside_base(name: str) -> str:
        now = short(row[name])
        return now if is_base else f"{now} (base {short(base[name])})"

    facts = [
        f"σ for {label} {beside_base('selectivity')}",
        f"effect {beside_base('effect')}",
        f"rank {int(row['rank']) + 1:,} of {data.n_neurons:,}",
    ]
    notes = [
        SIGMA.format(label=label),
        (EFFECT if is_base else BASE_EFFECT).format(label=label),
    ]
    if not is_base:
        facts.insert(0, f"{'removed' if row['removed'] else 'in place'}, gain {short(row['gain'])}")
        notes.append("Gain: what is left of its own signal, 1 for all and 0 for nothing.")
    return f'{named}<p>{" · ".join(facts)}</p><p class="pu-muted">{" ".join(notes)}</p>'


def word_lists(ends: pd.DataFrame) -> str:
    """Show the words at both ends of a neuron, with mean z and occurrences (`both_ends`)."""
    if ends.empty:
        return "<p>It says the same of every word, so no word stands out.</p>"
    titles = {"positive": "Highest-activating words", "negative": "Lowest-activating words"}
    lists = [
        f"<div><h4>{title}</h4>{_word_table(ends[ends['end'] == end])}</div>"
        for end, title in titles.items()
    ]
    return f'<div class="pu-row">{"".join(lists)}</div>'


def go_together(agreement: float, n_words: int, shared: Sequence[str]) -> str:
    """Say how far two neurons go together: their correlation, and the highest words of both."""
    if not np.isfinite(agreement):
        return "<p>One of the two says the same of every word: there is nothing to compare.</p>"
    said = CORRELATE.format(n_words=n_words, r=short(agreement, True))
    both = SHARED.format(words=" · ".join(map(escape, shared)) or "none")
    return f"<p>{said} {both}</p>"


def listed_words(highest: str, lowest: str) -> str:
    """Show the few words that a run's tables hold, where activations are not kept."""
    parts = (("Highest-activating words", highest), ("Lowest-activating words", lowest))
    return "".join(f"<h4>{title}</h4><p>{escape(text) or '–'}</p>" for title, text in parts)


def sentences(shown: pd.DataFrame, colours: Mapping[str, str]) -> str:
    """Show sentences with each word shaded by activation (`words_in_sentences`)."""
    if shown.empty:
        return ""
    parts = []
    titles = {"highest": "Where it goes furthest up", "lowest": "… and down", "found": "Found"}
    for end, rows in shown.groupby("end", sort=False):
        parts.append(f"<h4>{titles[str(end)]}</h4>")
        parts += [_sentence(own, colours) for _, own in rows.groupby("place")]
    legend = (
        "Amber: above the neuron's mean; blue: below; full at ± 3 standard deviations. "
        "Underlined: words of a type, in its colour."
    )
    return "".join([*parts, f'<p class="pu-muted">{legend}</p>'])


def _sentence(rows: pd.DataFrame, colours: Mapping[str, str]) -> str:
    """Show words in a row, each shaded by its activation; types underline, and peaks are bold."""
    spans = []
    for row in rows.rename(columns={"class": "kind"}).itertuples():
        colour = colours.get(row.kind)
        line = f"; border-bottom: 2px solid {colour}" if colour else ""
        tip = f"{row.kind}, " if colour else ""
        spans.append(
            f'<span class="{"pu-peak" if row.peak else ""}" '
            f'style="background: {_tint(row.z)}{line}" '
            f'title="{escape(f"{tip}z = {short(row.z, True)}")}">{escape(row.word)}</span>'
        )
    return f'<div class="pu-sentence">{" ".join(spans)}</div>'


def responses(shown: pd.DataFrame, colours: Mapping[str, str], factor: float) -> str:
    """Show a sentence at every stage, shaded, with the model's tags under it (`respond`)."""
    parts, stages = [], shown["stage"].nunique()
    for stage, rows in shown.groupby("stage", sort=False):
        greatest = rows.loc[rows["z"].abs().idxmax()]
        said = (THE_SAME if np.ptp(rows["z"]) < _SAME else STRONGEST).format(
            word=greatest["word"],
            activation=short(greatest["activation"]),
            z=short(greatest["z"], True),
        )
        words = "".join(_tagged(row, colours, factor) for row in rows.itertuples())
        if stages > 1:
            parts.append(f"<h4>{escape(STAGE_TITLES[str(stage)].capitalize())}</h4>")
        parts.append(
            f'<div class="pu-sentence pu-tagged">{words}</div>'
            f'<p class="pu-muted">{escape(said)}</p>'
        )
    notes = []
    if (shown["tag"] + shown["tag_now"]).any():
        notes.append("Under a word: the tag that the model gives it, and its probability.")
    if factor != 1:
        notes.append("After the arrow: with the neuron scaled.")
    if stages > 1:
        notes.append(
            "z counts from the neuron's mean in the base model, in the base model's standard "
            "deviations, so that the three can be compared."
        )
    return "".join(parts) + f'<p class="pu-muted">{" ".join(notes)}</p>'


def _tagged(row: Any, colours: Mapping[str, str], factor: float) -> str:
    """Show a word, and under it its tag, and what becomes of that when the neuron is scaled."""
    tag = tags = f"<b>{escape(row.tag)}</b> {fixed(row.share, 2)}" if row.tag else ""
    if factor != 1 and (row.tag or row.tag_now):
        now = fixed(row.share_now, 2) if row.tag_now == row.tag else escape(row.tag_now or NO_TAG)
        tags = f"{tag or NO_TAG} → <b>{now}</b>"
    colour = colours.get(row.tag_now if factor != 1 else row.tag)
    line = f"; border-bottom: 2px solid {colour}" if colour else ""
    return (
        f'<span style="background: {_tint(row.z)}{line}" title="z = {short(row.z, True)}">'
        f"{escape(row.word)}<small>{tags or '&nbsp;'}</small></span>"
    )


def head_table(reads: pd.DataFrame, last_layer: int, has_tags: bool) -> str:
    """Show what the head makes of a neuron (`head_reads`), or why there is nothing to show."""
    if reads.empty:
        why = OTHER_LAYER.format(last=last_layer)
        why = why if has_tags else "No head of this model was trained, so it gives no tags."
        return f'<p class="pu-muted">{why}</p>'
    row = "".join(
        f'<td style="background: {_tint(FULL_TINT_AT * weight)}">{short(weight, True)}</td>'
        for weight in reads["weight"]
    )
    names = "".join(f'<th scope="col">{escape(tag)}</th>' for tag in reads["tag"])
    return (
        "<p>What one standard deviation of it adds to each tag's logit:</p>"
        f'<div class="pu-scroll"><table><thead><tr><th scope="col">tag</th>{names}</tr></thead>'
        f'<tbody><tr><th scope="row">logit</th>{row}</tr>'
        "</tbody></table></div>"
    )


def profile_table(profile: pd.DataFrame, history: pd.DataFrame) -> str:
    """Show σ for every concept at every snapshot, and the gain below it (`selectivity_profile`)."""
    if profile.empty:
        return ""
    wide = profile.pivot_table(
        index="concept", columns="snapshot", values="selectivity", sort=False, dropna=False
    )
    snapshots = history["snapshot"].tolist()
    head = "".join(f'<th scope="col">{escape(snapshot)}</th>' for snapshot in snapshots)
    rows = []
    for concept in wide.index:
        name = escape(str(concept))
        if concept in PART_NAMES:
            name += f' <span class="pu-muted">{PART_NAMES[concept]}</span>'
        cells = "".join(_sigma_cell(wide[snapshot][concept]) for snapshot in snapshots)
        rows.append(f'<tr><th scope="row">{name}</th>{cells}</tr>')
    gains = "".join(f"<td>{short(gain)}</td>" for gain in history["gain"])
    rows.append(f'<tr><th scope="row">gain</th>{gains}</tr>')
    return (
        "<details><summary>σ for every concept</summary>"
        '<div class="pu-scroll"><table><thead><tr><th scope="col">σ for</th>'
        f"{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div></details>"
    )


def save_link(page: str, name: str) -> str:
    """Show a link that saves a card as a page."""
    data = b64encode(page.encode()).decode()
    return (
        f'<p><a download="{escape(name)}.html" href="data:text/html;base64,{data}">'
        "Save this card as HTML</a></p>"
    )


def code_line(code: str) -> str:
    """Show the line that opens this view again."""
    return f'<p class="pu-muted">Open this view again: <code>{escape(code)}</code></p>'


def card_page(at: Selected, code: str, parts: Sequence[str]) -> str:
    """Put a card's parts into a page that needs nothing beside it."""
    body = "".join([*parts, f'<p class="pu-muted"><code>{escape(code)}</code></p>'])
    return PAGE.format(title=escape(title(at)), style=CARD_STYLE, body=body)


def message(text: str) -> str:
    """Show a message; screen readers say it when it comes."""
    return f'<div role="status">{_paragraph(text)}</div>'


def _paragraph(text: str) -> str:
    return f'<p class="pu-message">{escape(text)}</p>' if text else ""


def _word_table(rows: pd.DataFrame) -> str:
    cells = [
        f'<tr><td class="pu-word" style="background: {_tint(row.score)}">{escape(row.word)}</td>'
        f"<td>{short(row.score, True)}</td><td>{row.n}</td></tr>"
        for row in rows.itertuples()
    ]
    return (
        '<table><thead><tr><th scope="col">word</th><th scope="col">mean z</th>'
        f'<th scope="col">times</th></tr></thead><tbody>{"".join(cells)}</tbody></table>'
    )


def _sigma_cell(value: float) -> str:
    if not np.isfinite(value):
        return "<td>–</td>"
    return f'<td style="background: {_tint(FULL_TINT_AT * value)}">{short(value, True)}</td>'


def _tint(z: float) -> str:
    strength = MOST_TINT * min(1.0, abs(z) / FULL_TINT_AT)
    return f"rgba({ABOVE if z > 0 else BELOW}, {strength:.2f})"
