"""What the tables say, in sentences: every number in a page's prose comes from here.

They take a run and return Markdown or plain lines. A sentence never says more than its numbers do:
it names the control beside the finding, the interval beside the number, and the negative result as
plainly as the positive one.
"""

from __future__ import annotations

import pandas as pd

from plasticity_utils import tables
from plasticity_utils.config import REGIMES
from plasticity_utils.dose import LOST, SPECIFIC, specificity
from plasticity_utils.evaluation import OVERALL
from plasticity_utils.run import Run

READ_AGAIN = 0.9


def settings(run: Run, home: str = "locations") -> str:
    """Say what the page was executed with; `home` is the concept that the notebook is named after.

    Returns
    -------
    str
        Markdown.
    """
    config, facts = run.config, run.facts
    lines = [
        f"**Concept:** {config.concept} ({config.label}) · **model:** {config.model} · "
        f"**scale:** {config.scale} · **regime:** {config.regime} · **seed:** {config.seed}",
    ]
    if config.concept != home:
        lines.append(
            f"> This page is named after {home} but was executed for **{config.concept}**: every "
            f"figure and number on it is about {config.concept}."
        )
    if config.scale == "smoke":
        lines.append(
            "> This page was executed at the **smoke** scale, a test of the machinery on about "
            f"{facts['sizes']['train']} sentences: **its numbers mean nothing.**"
        )
    elif config.scale == "quick":
        lines.append(
            "> One seed, a part of the corpus. Intervals are 95 % over sentences: they say how "
            "far a number depends on the sentences at hand, and nothing about other seeds."
        )
    return "\n\n".join(lines)


def five_lines(run: Run) -> list[str]:
    """Return the run's results in five plain lines."""
    label = run.config.label
    table = tables.recovery(run.metrics, label).set_index("condition")
    again = _reliance(run)
    return [
        f"base model: F1 {_base_f1(run, OVERALL)} on the validation split, "
        f"{label} {_base_f1(run, label)}; test split {_base_f1(run, OVERALL, 'test')}",
        f"removed: {run.facts['n_removed']} neurons ({_percent(run.facts['dose'])}) take {label} "
        f"from {_f1(run, 'concept', 'base')} to {_f1(run, 'concept', 'removed')}; "
        f"as many random ones leave {_f1(run, 'random', 'removed')}",
        f"trained on: {label} {_f1(run, 'concept', 'end')} (after a random removal "
        f"{_f1(run, 'random', 'end')}, with nothing removed {_f1(run, 'none', 'end')})",
        f"the linear head alone: {label} {_f1(run, 'head', 'end')} (base "
        f"{_f1(run, 'head', 'base')}): {_head_verdict(table, label)}",
        f"removed again at the end (without: {again['nothing']:.3f}): new top neurons "
        f"{again['new top']:.3f}, the same neurons {again['same']:.3f}, random ones "
        f"{again['random']:.3f}",
    ]


def summary(run: Run) -> str:
    """Return the answer in short: what was lost, what came back, what had never left (Markdown)."""
    label = run.config.label
    table = tables.recovery(run.metrics, label).set_index("condition")
    drift = table.loc["none", "end"] - table.loc["none", "base"]
    facts = run.facts
    return "\n".join(
        [
            f"- **Lost.** Removing {facts['n_removed']:,} neurons ({_percent(facts['dose'])}) "
            f"takes {label} from F1 {_with_interval(run, 'concept', 'base')} to "
            f"{_with_interval(run, 'concept', 'removed')}. {_others(run)} As many random neurons "
            f"of the same layers leave {label} at {_with_interval(run, 'random', 'removed')}.",
            f"- **Back.** After {_epochs(run)} of further training {label} is at "
            f"{_with_interval(run, 'concept', 'end')}; with nothing removed, training on gives "
            f"{_with_interval(run, 'none', 'end')}. {_speed(table)}",
            f"- **Never left?** With everything frozen but the linear head, {label} reaches "
            f"{_with_interval(run, 'head', 'end')}: {_head_verdict(table, label)}. Beyond the "
            f"head, training the whole model brings "
            f"{_signed(table.loc['concept', 'beyond_head'])}, where further training by itself, "
            f"with nothing removed, brings {_signed(drift)}.",
            f"- **Where it sits in the end.** {_reliance_sentence(run)}",
        ]
    )


def front(run: Run) -> str:
    """Tell the outcome of one run to a reader who knows none of the terms (one paragraph)."""
    concept, facts = run.config.concept, run.facts
    table = tables.recovery(run.metrics, run.config.label).set_index("condition")
    return (
        f"In one run ({run.config.model}, scale {run.config.scale}, one seed) "
        f"{facts['n_removed']:,} of {facts['n_neurons']:,} neurons were removed. The score for "
        f"{concept} (F1, 1 is perfect) went from {_with_interval(run, 'concept', 'base')} to "
        f"{_with_interval(run, 'concept', 'removed')}; with as many random neurons removed it "
        f"went to {_with_interval(run, 'random', 'removed')}. Trained on, the model reached "
        f"{_with_interval(run, 'concept', 'end')}. With everything frozen but the last, linear "
        f"layer it reached {_with_interval(run, 'head', 'end')}: "
        f"{_head_verdict(table, 'the concept')}. (In brackets, 95 % intervals over sentences; they "
        f"say nothing about other seeds.)"
    )


def dose_sentence(run: Run) -> str:
    """Say which dose was chosen, why, and what it costs the other entity types (Markdown)."""
    label, dose = run.config.label, run.facts["dose"]
    regime = "half" if run.config.removal == REGIMES["half"] else "curve"
    row = specificity(run.dose, label, regime=regime).set_index("dose").loc[dose]
    draws = tables.dose_curve(run.dose)
    draws = draws[
        (draws["condition"] == "random")
        & (draws["entity"] == label)
        & (draws["regime"] == regime)
        & (draws["dose"] == dose)
    ].iloc[0]
    picked, n_sentences = run.config.removal.dose is None, run.facts["n_curve_sentences"]
    parts = [
        f"The dose {'picked on the dose half' if picked else 'of this regime'} is "
        f"**{_percent(dose)}** "
        f"({run.facts['n_removed']:,} neurons). On {n_sentences} sentences of the scoring half it "
        f"takes {label} from {row['f1_base']:.3f} to {row['f1']:.3f}; the other entity types lose "
        f"{row['loss_others']:.3f} on average, a specificity of {row['specificity']:.2f}. "
        f"{int(draws['n_draws'])} layer-matched random draws leave {label} at a median of "
        f"{draws['f1']:.3f} (range {draws['f1_low']:.3f}–{draws['f1_high']:.3f})."
    ]
    if picked and row["f1"] >= LOST * row["f1_base"]:
        parts.append(f"On the scoring half that is not under {_percent(LOST)} of the base value.")
    if row["specificity"] <= SPECIFIC:
        parts.append(
            f"**That is not specific** (not above {SPECIFIC:g}), so what follows is not about "
            f"{run.config.concept} alone."
        )
    if run.facts["random_overlap"]:
        parts.append(
            f"Layers were too full for a wholly different draw: {run.facts['random_overlap']} "
            "neurons of the `random` condition are also the concept's."
        )
    return " ".join(parts)


def half_sentence(run: Run) -> str:
    """Say what the paper's 50 % does, to the concept and to everything else (Markdown)."""
    label = run.config.label
    rows = tables.dose_curve(run.dose)
    rows = rows[rows["regime"] == "half"]
    concept = rows[rows["condition"] == "concept"].set_index("entity")["f1"]
    random = rows[rows["condition"] == "random"].set_index("entity")["f1"]
    others = ", ".join(f"{e} {concept[e]:.3f}" for e in concept.index if e != label)
    return (
        f"The paper's removal (half of all neurons by probeless, set to zero at every token) "
        f"leaves {label} at {concept[label]:.3f} and the others at {others}; a random half "
        f"leaves {label} at {random[label]:.3f}. "
        + (
            "A random half destroys the task as well, so at this dose nothing about the concept is "
            "shown."
            if random.max() < 0.5
            else "A random half does less, so some of that is owed to the choice of neurons."
        )
    )


def place_sentence(run: Run) -> str:
    """Say whether the concept moved between layers beyond training and removal (Markdown)."""
    table = tables.redistribution(run.layers, run.config.label).set_index("condition")
    concept, none = table.loc["concept"], table.loc["none"]
    return (
        f"Over neurons that were not removed, the centre of |σ| lies at layer "
        f"{concept['centroid_base']:.2f} before and {concept['centroid_end']:.2f} after "
        f"retraining ({concept['shift']:+.2f}); training on with nothing removed moves it by "
        f"{none['shift']:+.2f}. By rank, the centre moves by {concept['rank_shift']:+.2f}, of "
        f"which removal alone accounts for {concept['rank_shift_removal_only']:+.2f}."
    )


def turnover_sentence(run: Run) -> str:
    """Say how far the top neurons are the same before and after (Markdown)."""
    table = tables.turnover(run.neurons, run.facts["dose"]).set_index("condition")
    parts = [
        f"{name}: Jaccard {row['jaccard']:.2f} (by chance {row['jaccard_by_chance']:.2f}), "
        f"Spearman {row['spearman']:.2f}"
        for name, row in table.loc[["concept", "random", "none"]].iterrows()
        if row["n_kept"]
    ]
    return (
        f"Overlap of the top {_percent(run.facts['dose'])} of kept neurons, base and end. "
        + "; ".join(parts)
        + "."
    )


def probe_sentence(run: Run) -> str:
    """Say how well a linear probe still reads the concept just after removal (Markdown)."""
    label = run.config.label
    rows = run.layers[(run.layers["condition"] == "concept") & (run.layers["entity"] == label)]
    best = rows.loc[rows.groupby("stage")["probe_f1"].idxmax()].set_index("stage")
    parts = [
        f"{name} {best.loc[stage, 'probe_f1']:.3f} (layer {best.loc[stage, 'layer']})"
        for stage, name in (("base", "base"), ("removed", "just removed"), ("end", "end"))
    ]
    last = rows[rows["layer"] == rows["layer"].max()].set_index("stage")["probe_f1"]
    return (
        f"Word-level F1 for {label} of a linear probe at its best layer: {', '.join(parts)}; "
        f"at the last layer, which the head reads: base {last['base']:.3f}, just removed "
        f"{last['removed']:.3f}, end {last['end']:.3f}."
    )


def made_with(run: Run) -> str:
    """Say with which code, libraries and machine the run was made (Markdown)."""
    facts = run.facts
    libraries = ", ".join(f"{name} {v}" for name, v in facts["libraries"].items() if v)
    machine, code = facts["machine"], facts["code"]
    commit = f", commit {code['commit'][:10]}" if code["commit"] else ""
    changed = " with local changes" if code.get("changed") else ""
    return (
        f"Run of {facts['date']} in {sum(facts['seconds'].values()) / 60:.1f} minutes on "
        f"{machine['device']} ({machine['accelerator'] or machine['processor']}, "
        f"{machine['cores']} cores, {machine['precision']}); plasticity {code['version']}{commit}"
        f"{changed}; Python {facts['python']}; {libraries}."
    )


def _head_verdict(table: pd.DataFrame, label: str) -> str:
    base, removed, end = table.loc["head", ["base", "removed", "end"]]
    lost, regained = base - removed, end - removed
    if lost <= tables.MEASURABLE_LOSS:
        return f"the removal took little of {label}, so there was little to regain"
    if regained >= READ_AGAIN * lost:
        return f"{label} had not left the model, it was only not read"
    if regained < (1 - READ_AGAIN) * lost:
        return f"what the head reads no longer carries {label}"
    return f"a part of {label} had never left; the head alone does not regain the rest"


def _speed(table: pd.DataFrame) -> str:
    epochs = table.loc["concept", "epochs_to_95"]
    if pd.isna(table.loc["concept", "recovery"]):
        return "Too little was lost to speak of a recovery."
    if pd.isna(epochs):
        return "It does not regain 95 % of the loss."
    return f"95 % of the loss is regained at the snapshot of epoch {epochs:g}."


def _others(run: Run) -> str:
    rows = run.metrics[(run.metrics["condition"] == "concept")]
    rows = rows[~rows["entity"].isin([run.config.label, OVERALL])]
    f1 = rows.pivot_table(index="entity", columns="stage", values="f1", sort=False)
    changes = [f"{e} goes from {r['base']:.3f} to {r['removed']:.3f}" for e, r in f1.iterrows()]
    return f"{', '.join(changes)}."


def _reliance(run: Run) -> pd.Series:
    return _reliance_rows(run)["f1"]


def _reliance_rows(run: Run) -> pd.DataFrame:
    table = tables.reliance_table(run.reliance)
    own = (table["condition"] == "concept") & (table["entity"] == run.config.label)
    return table[own].set_index("again")


def _reliance_sentence(run: Run) -> str:
    rows = _reliance_rows(run)
    f1 = {
        name: f"{row['f1']:.3f} ({row['f1_low']:.3f}–{row['f1_high']:.3f})"
        for name, row in rows.iterrows()
    }
    return (
        f"On {run.facts['n_curve_sentences']} sentences {run.config.label} is at {f1['nothing']} "
        f"in the end. Removing as many of the model's new top neurons leaves {f1['new top']}; "
        f"removing the same neurons again {f1['same']}; random ones {f1['random']} (median and "
        "range of draws)."
    )


def _row(run: Run, condition: str, stage: str) -> pd.Series:
    rows = run.metrics
    chosen = (rows["condition"] == condition) & (rows["stage"] == stage)
    return rows[chosen & (rows["entity"] == run.config.label)].iloc[0]


def _f1(run: Run, condition: str, stage: str) -> str:
    return f"{_row(run, condition, stage)['f1']:.3f}"


def _with_interval(run: Run, condition: str, stage: str) -> str:
    row = _row(run, condition, stage)
    return f"{row['f1']:.3f} ({row['f1_low']:.3f}–{row['f1_high']:.3f})"


def _base_f1(run: Run, entity: str, split: str = "validation") -> str:
    rows = run.base[(run.base["split"] == split) & (run.base["entity"] == entity)]
    return f"{rows['f1'].iloc[0]:.3f}"


def _epochs(run: Run) -> str:
    epochs = run.facts["sizes"]["retrain_epochs"]
    return f"{epochs} epoch{'s' if epochs != 1 else ''}"


def _signed(value: float) -> str:
    # Adding 0.0 turns the −0.0 of a rounded tiny loss into 0.0.
    return f"{round(value, 3) + 0.0:+.3f}"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
