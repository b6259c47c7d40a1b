"""One neuron as a reader sees it: words shaded by activation, lists, tables, messages.

Everything from a corpus or a user is text and never markup: a word such as ``<b>`` is shown as the
three characters that it is. Shading has two colours that mean nothing else in the book, amber above
the neuron's mean and sky blue below, and is never the only sign: the number stands in the tooltip,
and in lists beside the word.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

import numpy as np
import pandas as pd

from plasticity_utils.charts import theme
from plasticity_utils.charts.parts import need, present_in_order
from plasticity_utils.explorer.data import CLASSES, REST, Selected
from plasticity_utils.formats import fixed, short
from plasticity_utils.names import STAGE_TITLES

ABOVE, BELOW = "245, 163, 0", "77, 170, 230"
MOST_TINT = 0.5
FULL_TINT_AT = 3.0  # standard deviations
_SAME = 1e-4  # standard deviations; a removed neuron varies by rounding
PART_NAMES = {
    "CC": "conjunction", "CD": "number", "DT": "determiner", "IN": "preposition",
    "JJ": "adjective", "NN": "noun", "NNP": "proper noun", "NNS": "plural noun", "PRP": "pronoun",
    "RB": "adverb", "TO": "to", "VB": "verb", "VBD": "verb, past", "VBG": "verb, -ing",
    "VBN": "participle", "VBZ": "verb, 3rd person",
}  # fmt: skip


def heading(at: Selected, history: pd.DataFrame, label: str, n_neurons: int) -> str:
    """Name a neuron, and say in a line what it is at this stage; `n_neurons` is of the model."""
    row = history[history["stage"] == at.stage].iloc[-1]
    base = history[history["stage"] == "base"].iloc[0]
    state = "removed" if row["removed"] else "in place"
    facts = [
        f"{state}, gain {short(row['gain'])}",
        f"σ for {escape(label)} {short(row['selectivity'])} (base {short(base['selectivity'])})",
        f"effect {short(row['effect'])} (base {short(base['effect'])})",
        f"rank {int(row['rank']) + 1:,} of {n_neurons:,}",
    ]
    title = f"Layer {at.layer}, unit {at.unit}, {escape(STAGE_TITLES[at.stage])}"
    note = (
        "Gain: what is left of the neuron's own signal, 1 for all and 0 for nothing. Effect: how "
        f"much higher it is on words of {escape(label)} than on others, in standard deviations of "
        "the base model."
    )
    return (
        f"<h4>{title}, condition {escape(at.condition)}</h4><p>{' · '.join(facts)}</p>"
        f'<p class="pu-muted">{note}</p>'
    )


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


def listed_words(highest: str, lowest: str) -> str:
    """Show the few words that a run's tables hold, where activations are not kept."""
    parts = (("Highest-activating words", highest), ("Lowest-activating words", lowest))
    return "".join(f"<h4>{title}</h4><p>{escape(text) or '–'}</p>" for title, text in parts)


def sentences(shown: pd.DataFrame) -> str:
    """Show sentences with each word shaded by activation (`words_in_sentences`)."""
    if shown.empty:
        return ""
    parts = []
    for end, title in (("highest", "Where it goes furthest up"), ("lowest", "… and down")):
        parts.append(f"<h4>{title}</h4>")
        for _, rows in shown[shown["end"] == end].groupby("place"):
            parts.append(
                shaded(rows["word"].tolist(), rows["z"].to_numpy(), rows["class"].tolist(),
                       rows["peak"].tolist())
            )  # fmt: skip
    legend = (
        "Amber: above the neuron's mean; blue: below; full at ± 3 standard deviations. "
        "Underlined: names, in the colour of their entity type."
    )
    return "".join([*parts, f'<p class="pu-muted">{legend}</p>'])


def shaded(
    words: Sequence[str],
    z: np.ndarray,
    classes: Sequence[str] | None = None,
    peaks: Sequence[bool] | None = None,
) -> str:
    """Show words in a row, each shaded by its activation (in standard deviations).

    Classes underline, and peaks are in bold.
    """
    spans = []
    for i, (word, value) in enumerate(zip(words, z.tolist(), strict=True)):
        entity = classes[i] if classes is not None else ""
        is_name = entity in theme.ENTITY_COLOURS
        names = [f"pu-{entity}"] if is_name else []
        names += ["pu-peak"] if peaks is not None and peaks[i] else []
        tip = f"{entity}, z = {short(value, True)}" if is_name else f"z = {short(value, True)}"
        spans.append(
            f'<span class="{" ".join(names)}" style="background: {_tint(value)}" '
            f'title="{escape(tip)}">{escape(word)}</span>'
        )
    return f'<div class="pu-sentence">{" ".join(spans)}</div>'


def responses(shown: pd.DataFrame) -> str:
    """Show a sentence three times, shaded by what the neuron does in each model (`respond`)."""
    parts = []
    for stage, rows in shown.groupby("stage", sort=False):
        greatest = rows.loc[rows["z"].abs().idxmax()]
        said = f"activation {short(greatest['activation'])}, z = {short(greatest['z'], True)}"
        where = f"Strongest at “{greatest['word']}”"
        if np.ptp(rows["z"]) < _SAME:
            where = "The same on every word"
        parts.append(
            f"<h4>{escape(STAGE_TITLES[str(stage)].capitalize())}</h4>"
            + shaded(rows["word"].tolist(), rows["z"].to_numpy())
            + f'<p class="pu-muted">{escape(where)}: {said}.</p>'
        )
    note = (
        "z counts from the neuron's mean in the base model, in the base model's standard "
        "deviations, so that the three can be compared."
    )
    return "".join(parts) + f'<p class="pu-muted">{note}</p>'


def profile_table(profile: pd.DataFrame, history: pd.DataFrame) -> str:
    """Show σ for every concept at every snapshot, and the gain below it (`selectivity_profile`)."""
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
        '<div class="pu-scroll"><table><thead><tr><th scope="col">σ for</th>'
        f"{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


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


Number = int | float
CLASS_COLOURS = {**theme.ENTITY_COLOURS, REST: theme.MUTED}
WIDTH, LEFT, RIGHT = 330, 44, 12
PANEL, PANEL_GAP = 30, 22
COURSE_HEIGHT = 170
POINT = 4.5
_LINE_TICKS = (-1.0, -0.5, 0.0, 0.5, 1.0)


def activation_spread(histogram: pd.DataFrame) -> str:
    """Draw `activation_histogram` of a neuron as SVG, a panel for each class of words."""
    need(histogram, ["class", "low", "high", "share", "n"])
    classes = present_in_order(histogram, "class", CLASSES)
    low, high = float(histogram["low"].min()), float(histogram["high"].max())
    per_unit = (WIDTH - LEFT - RIGHT) / (high - low)
    note = _text(0, 29, "Height: share of the class's words", colour=theme.MUTED)
    parts, top = [note], 32
    for name in classes:
        rows = histogram[histogram["class"] == name]
        top += PANEL_GAP
        parts += [
            _text(LEFT, top - 6, f"{name} ({rows['n'].iloc[0]} words)"),
            _text(LEFT - 6, top + 9, f"{rows['share'].max():.0%}", "end", theme.MUTED),
            _bars(rows, low, per_unit, top, CLASS_COLOURS[name]),
            _rule(LEFT, top + PANEL, WIDTH - RIGHT, top + PANEL, theme.MUTED),
        ]
        top += PANEL
    for value, anchor in ((low, "start"), ((low + high) / 2, "middle"), (high, "end")):
        parts.append(_text(LEFT + (value - low) * per_unit, top + 16, short(value), anchor))
    title = "Activation, by class of word"
    description = f"Histograms of the neuron's activation on words of {', '.join(classes)}."
    return _figure(parts, top + 24, title, description)


def selectivity_course(profile: pd.DataFrame) -> str:
    """Draw a neuron's σ for each entity type of `selectivity_profile`, from base to end, as SVG."""
    need(profile, ["concept", "kind", "snapshot", "selectivity"])
    rows = profile[profile["kind"] == "entity type"]
    entities = present_in_order(rows, "concept", list(theme.ENTITY_COLOURS))
    need(rows, ["concept"])
    snapshots = list(dict.fromkeys(rows["snapshot"]))
    step = (WIDTH - LEFT - RIGHT - 24) / max(1, len(snapshots) - 1)
    x_of = {snapshot: LEFT + 12 + i * step for i, snapshot in enumerate(snapshots)}
    parts = _course_axes(x_of)
    for i, entity in enumerate(entities):
        own = rows[rows["concept"] == entity]
        points = [
            (x_of[snapshot], _height(value), f"{entity}, {snapshot}: σ = {short(value, True)}")
            for snapshot, value in zip(own["snapshot"], own["selectivity"], strict=True)
            if math.isfinite(value)
        ]
        parts += _line(points, entity)
        parts += _legend(entity, LEFT + 12 + i * 66)
    description = (
        f"Line chart of the neuron's selectivity for {', '.join(entities)} in the base model, "
        "just after removal and through retraining."
    )
    return _figure(parts, COURSE_HEIGHT + 92, "σ through the run", description)


def _course_axes(x_of: dict[str, float]) -> list[str]:
    parts = []
    for tick in _LINE_TICKS:
        y = _height(tick)
        colour = theme.MUTED if tick == 0 else theme.GRID
        parts.append(_rule(LEFT, y, WIDTH - RIGHT, y, colour))
        parts.append(_text(LEFT - 6, y + 4, fixed(tick, 1), "end"))
    foot = _height(-1)
    for snapshot, x in x_of.items():
        parts.append(_text(x, foot + 18, "cut" if snapshot == "removed" else snapshot, "middle"))
    parts.append(_text(LEFT, foot + 36, "base, just cut, epochs of retraining", "start"))
    return parts


def _line(points: Sequence[tuple[float, float, str]], entity: str) -> list[str]:
    colour = theme.ENTITY_COLOURS[entity]
    course = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in points)
    line = f'<polyline points="{course}" fill="none" stroke="{colour}" stroke-width="2"/>'
    marks = [_mark(x, y, entity, tip) for x, y, tip in points]
    return [line, *marks]


def _legend(entity: str, x: Number) -> list[str]:
    y = COURSE_HEIGHT + 80
    return [_mark(x, y - 4, entity, entity), _text(x + 10, y, entity)]


def _mark(x: Number, y: Number, entity: str, tip: str) -> str:
    """Draw the entity type's own point (`vega.ENTITY_SHAPES`), with a tooltip."""
    r = POINT
    corners = {
        "square": [(-r, -r), (r, -r), (r, r), (-r, r)],
        "triangle-up": [(0, -r * 1.2), (r * 1.2, r), (-r * 1.2, r)],
        "diamond": [(0, -r * 1.3), (r * 1.3, 0), (0, r * 1.3), (-r * 1.3, 0)],
    }
    shape = theme.ENTITY_SHAPES[entity]
    fill = f'fill="{theme.ENTITY_COLOURS[entity]}"'
    title = f"<title>{escape(tip)}</title>"
    if shape == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r}" {fill}>{title}</circle>'
    points = " ".join(f"{x + dx:.1f},{y + dy:.1f}" for dx, dy in corners[shape])
    return f'<polygon points="{points}" {fill}>{title}</polygon>'


def _bars(rows: pd.DataFrame, low: float, per_unit: float, top: Number, colour: str) -> str:
    """Draw the bins of a class as one shape; the fullest bin has the panel's height."""
    tallest, foot = float(rows["share"].max()), top + PANEL
    steps = []
    for row in rows.itertuples():
        left, right = (LEFT + (edge - low) * per_unit for edge in (row.low, row.high))
        y = foot - PANEL * row.share / tallest
        steps.append(f"M{left:.1f},{foot}V{y:.1f}H{right:.1f}V{foot}")
    return f'<path d="{"".join(steps)}" fill="{colour}"/>'


def _height(sigma: Number) -> float:
    return 34 + (1 - sigma) / 2 * (COURSE_HEIGHT - 8)


def _rule(x1: Number, y1: Number, x2: Number, y2: Number, colour: str) -> str:
    return f'<path d="M{x1:.1f},{y1:.1f}L{x2:.1f},{y2:.1f}" stroke="{colour}" fill="none"/>'


def _text(x: Number, y: Number, text: str, anchor: str = "start", colour: str = theme.INK) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}"'
    return f"<text {place}>{escape(text)}</text>"


def _figure(parts: Sequence[str], height: Number, title: str, description: str) -> str:
    heading = f'<text x="0" y="13" font-weight="600" fill="{theme.INK}">{escape(title)}</text>'
    return (
        f'<svg role="img" aria-label="{escape(description)}" width="{WIDTH}" '
        f'height="{height:.0f}" viewBox="0 0 {WIDTH} {height:.0f}" font-size="12" '
        f'font-family="system-ui, sans-serif">{heading}{"".join(parts)}</svg>'
    )
