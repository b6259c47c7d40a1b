"""What the figures show, in sentences: every number in a page's prose comes from here.

A sentence never says more than its numbers do: it names the control beside the finding, and the
negative result as plainly as the positive one. Those that take `Seeds` speak of means over seeds,
those that take a run of that run.
"""

from __future__ import annotations

from plasticity_utils.analysis import movement
from plasticity_utils.experiment.config import REGIMES
from plasticity_utils.experiment.dose import LOST, SPECIFIC, specificity
from plasticity_utils.experiment.run import Run, variant
from plasticity_utils.formats import percent, with_interval
from plasticity_utils.results import tables
from plasticity_utils.results.groups import Seeds
from plasticity_utils.training.evaluate import OVERALL


def dose_sentence(run: Run) -> str:
    """Say which dose was chosen, why, and what it costs the other entity types (Markdown)."""
    if run.config.regime == "erase":
        return _erased_sentence(run)
    label, dose = run.config.label, run.facts["dose"]
    if run.config.regime == "half" and run.config.removal != REGIMES["half"]:
        return f"This run removes half in a way of its own: {variant(run.config)}."
    regime = "half" if run.config.regime == "half" else "curve"
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
        f"**{percent(dose)}** "
        f"({run.facts['n_removed']:,} neurons). On {n_sentences} sentences of the scoring half it "
        f"takes {label} from {row['entity_f1_base']:.3f} to {row['entity_f1']:.3f}; the other "
        f"entity types lose "
        f"{row['loss_others']:.3f} on average, a specificity of {row['specificity']:.2f}. "
        f"{int(draws['n_draws'])} layer-matched random draws leave {label} at a median of "
        f"{draws['entity_f1']:.3f} (range "
        f"{draws['entity_f1_low']:.3f}–{draws['entity_f1_high']:.3f})."
    ]
    if picked and row["entity_f1"] >= LOST * row["entity_f1_base"]:
        parts.append(f"On the scoring half that is not under {percent(LOST)} of the base value.")
    if row["specificity"] <= SPECIFIC:
        parts.append(
            f"**That is not specific** (not above {SPECIFIC:g}), so what follows is not about "
            f"{run.config.about.title} alone."
        )
    if run.facts["random_overlap"]:
        parts.append(
            f"Layers were too full for a wholly different draw: {run.facts['random_overlap']} "
            "neurons of the `random` condition are also the concept's."
        )
    return " ".join(parts)


def _erased_sentence(run: Run) -> str:
    label = run.config.label
    f1 = run.metrics.pivot_table(index="entity", columns=["condition", "stage"], values="entity_f1")
    own, random = f1.loc[label, "targeted"], f1.loc[label, "random"]
    lost = f1["targeted", "base"] - f1["targeted", "removed"]
    return (
        "No neuron is removed under this regime: the curve is there to compare. Erasing takes "
        f"{label} from {own['base']:.3f} to {own['removed']:.3f}; the other entity types lose "
        f"{lost.drop([label, OVERALL]).mean():.3f} on average. Erasers of shuffled labels leave "
        f"{label} at {random['removed']:.3f}."
    )


def half_sentence(run: Run) -> str:
    """Say what the paper's 50 % does, to the concept and to everything else (Markdown)."""
    label = run.config.label
    rows = tables.dose_curve(run.dose)
    rows = rows[rows["regime"] == "half"]
    concept = rows[rows["condition"] == "targeted"].set_index("entity")["entity_f1"]
    random = rows[rows["condition"] == "random"].set_index("entity")["entity_f1"]
    whole = run.dose[(run.dose["condition"] == "base") & (run.dose["part"] == "scoring")]
    left = (random / whole.set_index("entity")["entity_f1"]).max()
    others = ", ".join(f"{e} {concept[e]:.3f}" for e in concept.index if e != label)
    return (
        f"The paper's removal (half of all neurons by probeless, set to zero at every token) "
        f"leaves {label} at {concept[label]:.3f} and the others at {others}; a random half "
        f"leaves {label} at {random[label]:.3f}. "
        + (
            "A random half destroys the task as well, so at this dose nothing about the concept is "
            "shown."
            if left < 0.5
            else "A random half does less, so some of that is owed to the choice of neurons."
        )
    )


def place_sentence(seeds: Seeds) -> str:
    """Say whether the concept moved between layers beyond its controls (Markdown)."""
    beyond = movement.summary([seeds])
    concept = seeds.redistribution.set_index("condition").loc["targeted"]
    return (
        f"Over neurons that were not removed, the centre of |σ| lies at layer "
        f"{concept['centroid_base']:.2f} before and {concept['centroid_end']:.2f} after "
        f"retraining ({concept['shift']:+.2f}). Beyond what training on does with nothing removed "
        f"it moves by {with_interval(beyond, 'survivors')} layers, and beyond what the other "
        f"types do in the same neurons by {with_interval(beyond, 'beyond_others')}. By rank, the "
        f"centre moves by {concept['rank_shift']:+.2f}, under *random* by "
        f"{beyond['ranks_random']:+.2f}; removal alone accounts for "
        f"{concept['rank_shift_removal_only']:+.2f} (negative: towards the embedding)."
    )


def gain_sentence(seeds: Seeds) -> str:
    """Say where kept neurons took over most, beside the controls (Markdown)."""
    label, table = seeds.config.label, seeds.kept_gain
    rows = table[table["entity"] == label].set_index("condition")
    layer = int(rows.loc[["targeted"]].sort_values("gain")["layer"].iloc[-1])
    at = rows[rows["layer"] == layer]
    parts = [
        f"{with_interval(at.loc[name], 'gain')} under *{name}*"
        for name in ("targeted", "head", "none")
        if name in at.index
    ]
    more = at.loc["targeted", "gain_low"] > at.loc["none", "gain_high"]
    return f"|σ| for {label} rises most at layer {layer}: {', '.join(parts)}. " + (
        "So training does write the concept into neurons that were left, whether or not the "
        "head needs it there."
        if more
        else "That is not clearly more than without a removal."
    )


def turnover_sentence(seeds: Seeds) -> str:
    """Say how far the top neurons are the same before and after (Markdown)."""
    table = seeds.turnover.set_index("condition")
    parts = [
        f"{name}: Jaccard {row['jaccard']:.2f} (by chance {row['jaccard_by_chance']:.2f}), "
        f"Spearman {row['spearman']:.2f}"
        for name, row in table.loc[["targeted", "head", "random", "none"]].iterrows()
        if row["n_kept"]
    ]
    erases = seeds.config.regime == "erase"
    counted, act = (
        ("the surgical dose removes", "erasure") if erases else ("were removed", "removal")
    )
    return (
        f"Overlap of the top kept neurons, as many as {counted}, base and end (Jaccard: neurons "
        "in both sets over neurons in either; Spearman: correlation of all ranks). "
        + "; ".join(parts)
        + f". Under *head* no neuron was trained: that overlap is what the {act} alone does."
    )


def probe_sentence(seeds: Seeds) -> str:
    """Say how well a linear probe still reads the concept just after removal (Markdown)."""
    label, layers = seeds.config.label, seeds.layers
    rows = layers[(layers["condition"] == "targeted") & (layers["entity"] == label)]
    best = rows.loc[rows.groupby("stage")["word_f1"].idxmax()].set_index("stage")
    parts = [
        f"{name} {best.loc[stage, 'word_f1']:.3f} (layer {best.loc[stage, 'layer']})"
        for stage, name in (("base", "base"), ("removed", "just removed"), ("end", "end"))
    ]
    last = rows[rows["layer"] == rows["layer"].max()].set_index("stage")["word_f1"]
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
    minutes, chip = sum(facts["seconds"].values()) / 60, machine["accelerator"]
    return (
        f"Seed {run.config.seed}: run of {facts['date']} in {minutes:.1f} minutes on "
        f"{machine['device']} ({chip or machine['processor']}, "
        f"{machine['cores']} cores, {machine['precision']}); plasticity {code['version']}{commit}"
        f"{changed}; Python {facts['python']}; {libraries}."
    )
