"""The answer of a concept page, in sentences: what was lost, what came back, what had never left.

Every number comes from the tables. *Relearned* is said only of what training the whole model brings
beyond the head alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from plasticity_utils.analysis.wording import eraser_share, wording
from plasticity_utils.formats import percent, signed
from plasticity_utils.names import READ_AGAIN
from plasticity_utils.results import tables
from plasticity_utils.results.groups import Seeds
from plasticity_utils.training.evaluate import OVERALL

# Settings that the fixed prose of a concept's page is about.
OF_PROSE = {"model": "minilm", "scale": "full", "regime": "surgical"}


def settings(seeds: Seeds, home: str = "locations") -> str:
    """Say what the page was executed with; `home` is the concept that the notebook is named after.

    The template of all concepts has no `home`.

    Returns
    -------
    str
        Markdown.
    """
    config, facts, n = seeds.config, seeds.facts, len(seeds.runs)
    numbers = ", ".join(map(str, seeds.numbers))
    lines = [
        f"**Concept:** {config.about.title} ({config.label}) · **model:** {config.model} · "
        f"**scale:** {config.scale} · **regime:** {config.regime} · "
        f"**seed{'s' if n > 1 else ''}:** {numbers} · "
        f"{facts['n_train_sentences']:,} training sentences",
    ]
    if home and config.concept != home:
        lines.append(
            f"> This page is named after {home} but was executed for **{config.about.title}**: "
            f"every figure and number on it is about {config.about.title}."
        )
    if home and any(getattr(config, name) != value for name, value in OF_PROSE.items()):
        lines.append(
            "> The prose of this page was written about MiniLM at the scale `full` under the "
            "regime `surgical`. This is another run: read its numbers, not what is said of them."
        )
    if not config.about.is_entity:
        lines.append(_what_f1_means(seeds))
    if config.scale == "smoke":
        lines.append(
            "> This page was executed at the **smoke** scale, a test of the machinery on about "
            f"{facts['sizes']['train']} sentences: **its numbers mean nothing.**"
        )
    elif n == 1:
        lines.append(
            "> One seed. Intervals are 95 % over sentences: they say how far a number depends on "
            "the sentences at hand, and nothing about other seeds."
        )
    else:
        lines.append(
            f"> {n} seeds. F1 is their mean, with a 95 % interval over seeds (Student's t); what "
            "is said of single neurons, and the dose–response, is of seed "
            f"{config.seed}."
        )
    return "\n\n".join(lines)


def five_lines(seeds: Seeds) -> list[str]:
    """Return the results in five plain lines."""
    label, about = seeds.config.label, seeds.config.about
    words = wording(seeds.config)
    again = _reliance(seeds)["entity_f1"]
    own = _base_f1(seeds, label) if about.is_entity else _f1(seeds, "targeted", "base")
    return [
        f"base model: F1 {_base_f1(seeds, OVERALL)} on the validation split, "
        f"{label} {own}; test split {_base_f1(seeds, OVERALL, 'test')}",
        f"{words.done}: {removed_share(seeds)} take {label} "
        f"from {_f1(seeds, 'targeted', 'base')} to {_f1(seeds, 'targeted', 'removed')}; "
        f"{words.random_short} leave {_f1(seeds, 'random', 'removed')}",
        f"trained on: {label} {_f1(seeds, 'targeted', 'end')} (after a random {words.act} "
        f"{_f1(seeds, 'random', 'end')}, with nothing removed {_f1(seeds, 'none', 'end')})",
        f"the linear head alone: {label} {_f1(seeds, 'head', 'end')} (base "
        f"{_f1(seeds, 'head', 'base')}): {head_verdict(_recovery(seeds), label)}"
        if about.is_entity
        else f"a probe fitted anew: {_fitted_anew(seeds)}",
        f"{words.done} again at the end (without: {again['nothing']:.3f}): {words.new_short} "
        f"{again[words.new]:.3f}, {words.same_short} {again['same']:.3f}, {words.random_again} "
        f"{again['random']:.3f}",
    ]


def summary(seeds: Seeds) -> str:
    """Return the answer in short: what was lost, what came back, what had never left (Markdown)."""
    label, table, words = seeds.config.label, _recovery(seeds), wording(seeds.config)
    drift = table.loc["none", "end"] - table.loc["none", "base"]
    return "\n".join(
        [
            f"- **Lost.** {words.doing} {removed_share(seeds)} "
            f"takes {label} from F1 {_with_interval(seeds, 'targeted', 'base')} to "
            f"{_with_interval(seeds, 'targeted', 'removed')}. {_others(seeds)} "
            f"{words.random_long} leave {label} at "
            f"{_with_interval(seeds, 'random', 'removed')}.",
            f"- **Back.** After {_epochs(seeds)} of further training {label} is at "
            f"{_with_interval(seeds, 'targeted', 'end')}; with nothing removed, training on gives "
            f"{_with_interval(seeds, 'none', 'end')}. {_speed(table, _epochs_to_95(seeds))}",
            f"- **Never left?** {_never_left(seeds, drift)}",
            f"- **Where it sits in the end.** {_reliance_sentence(seeds)}",
        ]
    )


def front(groups: Sequence[Seeds]) -> str:
    """Tell the outcome to a reader who knows none of the terms (Markdown, a bullet a concept)."""
    return "\n".join(f"- {_front_line(seeds)}" for seeds in groups)


def head_verdict(recovery: pd.DataFrame, label: str) -> str:
    """Say what the head alone regains of what was lost.

    Parameters
    ----------
    recovery : DataFrame
        `Seeds.recovery`, by condition.
    label : str
        Entity type of the concept.
    """
    base, removed, end = recovery.loc["head", ["base", "removed", "end"]]
    lost, regained = base - removed, end - removed
    if lost <= tables.MEASURABLE_LOSS:
        return f"the removal took little of {label}, so there was little to regain"
    if regained >= READ_AGAIN * lost:
        return f"{label} had not left the model, it was only not read"
    if regained < (1 - READ_AGAIN) * lost:
        return f"what the head reads no longer carries {label}"
    return f"a part of {label} had never left; the head alone does not regain the rest"


def beyond_head(seeds: Seeds) -> str:
    """Write what training the whole model brings beyond the head, paired by seed."""
    row = _recovery(seeds).loc["targeted"]
    value = signed(row["beyond_head"])
    if pd.isna(row["beyond_head_low"]):
        return value
    low, high = signed(row["beyond_head_low"]), signed(row["beyond_head_high"])
    return f"{value} ({low} to {high} over {len(seeds.runs)} seeds)"


def removed_share(seeds: Seeds) -> str:
    """Write how many neurons were removed; a range where the dose differs between seeds.

    Where the concept was erased: how many dimensions of each level.
    """
    if seeds.config.regime == "erase":
        ranks = [rank for run in seeds.runs for rank in run.facts["ranks"]["targeted"]]
        n_levels = len(seeds.facts["ranks"]["targeted"])
        return eraser_share(ranks, seeds.facts["n_neurons"] // n_levels)
    counts = sorted({run.facts["n_removed"] for run in seeds.runs})
    shares = sorted({run.facts["dose"] for run in seeds.runs})
    if len(counts) == 1:
        return f"{counts[0]:,} neurons ({percent(shares[0])})"
    share = f"{percent(shares[0]).removesuffix(' %')}–{percent(shares[-1])}"
    return f"{counts[0]:,}–{counts[-1]:,} neurons ({share}, by seed)"


def _front_line(seeds: Seeds) -> str:
    config, n, words = seeds.config, len(seeds.runs), wording(seeds.config)
    cut = words.front.format(share=removed_share(seeds), n_neurons=seeds.facts["n_neurons"])
    runs = "one run" if n == 1 else f"{n} runs with different random seeds"
    if not config.about.is_entity:
        return _own_front_line(seeds, runs)
    return (
        f"**{config.concept.capitalize()}**: {head_verdict(_recovery(seeds), 'the concept')}"
        f"{_and_more(seeds)}. "
        f"{cut} took the score from "
        f"{_with_interval(seeds, 'targeted', 'base')} to "
        f"{_with_interval(seeds, 'targeted', 'removed')}; {words.front_random} took it to "
        f"{_with_interval(seeds, 'random', 'removed')}. Training only the last, linear layer "
        f"brought {_with_interval(seeds, 'head', 'end')}, training everything "
        f"{_with_interval(seeds, 'targeted', 'end')} ({runs})."
    )


def _own_front_line(seeds: Seeds, runs: str) -> str:
    title = seeds.config.about.title
    return (
        f"**{title[:1].upper()}{title[1:]}** (no entity type; read by a probe): cutting out "
        f"{removed_share(seeds)} of {seeds.facts['n_neurons']:,} took the score from "
        f"{_with_interval(seeds, 'targeted', 'base')} to "
        f"{_with_interval(seeds, 'targeted', 'removed')}; as many random neurons took it to "
        f"{_with_interval(seeds, 'random', 'removed')}. Training everything brought "
        f"{_with_interval(seeds, 'targeted', 'end')} ({runs}). Probes fitted anew: "
        f"{_fitted_anew(seeds)}."
    )


def _what_f1_means(seeds: Seeds) -> str:
    """Say how a concept is scored that no tag of the model's names."""
    about = seeds.config.about
    files = (
        " Its words come from a pair of files: neurons are ranked and measured on their sentences, "
        "which have no entity types, while the model trains on CoNLL-2003."
        if about.kind == "label"
        else ""
    )
    return (
        f"> **What F1 means here.** {about.title} is no entity type, so no tag of the model's "
        "names it: its F1 is over words, of a linear probe that was fitted once, on the base "
        "model's last level, and is applied unchanged to the model at every moment. So the "
        "condition *head*, in which nothing below the head changes, says nothing about it; whether "
        "the concept is still there to be read is for the probes to say that are fitted anew on "
        f"each layer.{files}"
    )


def _never_left(seeds: Seeds, drift: float) -> str:
    """Say what was still there to be read: by the head, or else by probes fitted anew."""
    label = seeds.config.label
    if not seeds.config.about.is_entity:
        return (
            f"The head gives no tag for {label}, so training it alone says nothing here. Probes "
            f"fitted anew: {_fitted_anew(seeds)}. Further training by itself, with nothing "
            f"removed, brings {signed(drift)}."
        )
    return (
        f"With everything frozen but the linear head, {label} reaches "
        f"{_with_interval(seeds, 'head', 'end')}: {head_verdict(_recovery(seeds), label)}. Beyond "
        f"the head, training the whole model brings {beyond_head(seeds)}, where further training "
        f"by itself, with nothing removed, brings {signed(drift)}."
    )


def _fitted_anew(seeds: Seeds) -> str:
    """Say what a probe of the last layer reads in the base, just after removal and at the end.

    Not of the best layer: the embeddings tell the words of a list apart whatever is removed above.
    """
    label, layers = seeds.config.label, seeds.layers
    rows = layers[(layers["condition"] == "targeted") & (layers["entity"] == label)]
    last = rows[rows["layer"] == rows["layer"].max()].set_index("stage")["word_f1"]
    found = (
        f"on the last layer {label} has {last['base']:.3f} in the base model, "
        f"{last['removed']:.3f} just after the removal and {last['end']:.3f} in the end"
    )
    if last["removed"] >= READ_AGAIN * last["base"]:
        return f"{found}, so {label} was still there to be read"
    if last["removed"] < (1 - READ_AGAIN) * last["base"]:
        return f"{found}, so the last layer no longer carried {label}"
    return f"{found}, so a part of {label} was still there to be read"


def _recovery(seeds: Seeds) -> pd.DataFrame:
    return seeds.recovery.set_index("condition")


def _and_more(seeds: Seeds) -> str:
    """Add to what the head finds what training everything surely brings beyond it."""
    if not _recovery(seeds).loc["targeted", "beyond_head_low"] > 0:
        return ""
    return f"; training everything adds {beyond_head(seeds)} to what the last layer finds by itself"


def _epochs_to_95(seeds: Seeds) -> list[float]:
    label = seeds.config.label
    by_run = [tables.recovery(run.metrics, label).set_index("condition") for run in seeds.runs]
    return [table.loc["targeted", "epochs_to_95"] for table in by_run]


def _speed(table: pd.DataFrame, epochs: list[float]) -> str:
    if pd.isna(table.loc["targeted", "recovery"]):
        return "Too little was lost to speak of a recovery."
    if any(map(pd.isna, epochs)):
        return "It does not regain 95 % of the loss" + (
            "." if all(map(pd.isna, epochs)) else " under every seed."
        )
    low, high = min(epochs), max(epochs)
    when = f"{low:g} epochs" if low == high else f"{low:g} to {high:g} epochs, by seed"
    return f"95 % of the loss is regained after {when} (of the moments measured)."


def _others(seeds: Seeds) -> str:
    rows = seeds.metrics[seeds.metrics["condition"] == "targeted"]
    rows = rows[~rows["entity"].isin([seeds.config.label, OVERALL])]
    f1 = rows.pivot_table(index="entity", columns="stage", values="entity_f1", sort=False)
    changes = [f"{e} goes from {r['base']:.3f} to {r['removed']:.3f}" for e, r in f1.iterrows()]
    return f"{', '.join(changes)}."


def _reliance(seeds: Seeds) -> pd.DataFrame:
    table = seeds.reliance
    own = (table["condition"] == "targeted") & (table["entity"] == seeds.config.label)
    return table[own].set_index("again")


def _reliance_sentence(seeds: Seeds) -> str:
    f1 = {
        name: f"{row['entity_f1']:.3f} ({row['entity_f1_low']:.3f}–{row['entity_f1_high']:.3f})"
        for name, row in _reliance(seeds).iterrows()
    }
    draws = " (median and range of draws)" if len(seeds.runs) == 1 else ""
    words = wording(seeds.config)
    return (
        f"On {seeds.facts['n_curve_sentences']} sentences {seeds.config.label} is at "
        f"{f1['nothing']} in the end. {words.again_new} "
        f"{f1[words.new]}; {words.random_again} {f1['random']}{draws}; {words.again_same}"
        + (f" {f1['same']}." if seeds.config.regrow else f", {words.still}, changes nothing.")
    )


def _row(seeds: Seeds, condition: str, stage: str) -> pd.Series:
    rows = seeds.metrics
    chosen = (rows["condition"] == condition) & (rows["stage"] == stage)
    return rows[chosen & (rows["entity"] == seeds.config.label)].iloc[0]


def _f1(seeds: Seeds, condition: str, stage: str) -> str:
    return f"{_row(seeds, condition, stage)['entity_f1']:.3f}"


def _with_interval(seeds: Seeds, condition: str, stage: str) -> str:
    row = _row(seeds, condition, stage)
    return f"{row['entity_f1']:.3f} ({row['entity_f1_low']:.3f}–{row['entity_f1_high']:.3f})"


def _base_f1(seeds: Seeds, entity: str, split: str = "validation") -> str:
    rows = seeds.base[(seeds.base["split"] == split) & (seeds.base["entity"] == entity)]
    return f"{rows['entity_f1'].iloc[0]:.3f}"


def _epochs(seeds: Seeds) -> str:
    epochs = seeds.config.retrain_epochs
    return f"{epochs} epoch{'s' if epochs != 1 else ''}"
