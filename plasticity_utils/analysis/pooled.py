"""What several runs say together on the questions about neurons: tables, and claims to be judged.

A claim is a row with its effect, the same after a random removal, and the difference, each with the
interval over the seeds of a concept; `rules.decide` gives the verdict. The smallest effects that
would matter stand here. They were chosen after smoke runs and before any full-scale run was seen.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from plasticity_utils.analysis import rules
from plasticity_utils.data.concepts import ENTITIES
from plasticity_utils.errors import InputError
from plasticity_utils.names import BASE, NOTHING, RULER
from plasticity_utils.results.derived import OF_SNAPSHOTS, derived
from plasticity_utils.results.groups import RunGroup, check_poolable, choose, holding, run_groups
from plasticity_utils.results.published import published_runs
from plasticity_utils.results.stack import Estimate, mean_interval, stack

_RUN = ["concept", "entity", "seed"]
# In shares of neurons, cosines of directions and dimensions, cosines of words, shares of the gain,
# and standard deviations.
LEAST_SHARE, LEAST_OVERLAP, LEAST_COSINE = 0.05, 0.01, 0.02
LEAST_MIGRATION, LEAST_PRIMING = 0.05, 0.1
OWN, OTHER_TYPES = "the concept itself", "other entity types"
TAKEN_ON = {
    "took_on": "any concept",
    "took_on_concept": "the removed concept",
    "took_on_else": "something else alone",
    "polysemantic": "two concepts or more",
}
# Nearness was predicted to raise the gain. That |σ| lowers it was found, not predicted.
TERMS = {
    ("profile", "similarity"): ("nearness of its σ profile", 1),
    ("words", "similarity"): ("nearness of its top words", 1),
    ("profile", "base"): ("its |σ| for the concept", -1),
}
MEASURES = ("interference", "dimensionality")


def groups_with_tables(**wanted: str) -> list[RunGroup]:
    """Published runs of these settings that have their answers; InputError if there are none."""
    groups = choose(run_groups(published_runs()), **{"variant": "", **wanted})
    found = holding(groups, OF_SNAPSHOTS)
    if not found:
        settings = ", ".join(f"{name} {value}" for name, value in wanted.items())
        raise InputError(
            f"no published run of {settings} has derived tables; `plasticity publish` on the "
            "folder of a finished run works them out"
        )
    return found


def stacked(groups: Sequence[RunGroup], name: str) -> pd.DataFrame:
    """One answer of all runs: concept, entity (its type), seed, and the answer's columns."""
    check_poolable(groups)
    return stack(groups, lambda run: derived(run, name), _RUN)


def over_runs(table: pd.DataFrame, keys: Sequence[str], values: Sequence[str]) -> pd.DataFrame:
    """Mean of the concepts' means, with the interval that seeds give within a concept."""
    return mean_interval(table, keys, values, over="concept")


def judged_runs(
    rows: pd.DataFrame, keys: Sequence[str], value: str, least: float, side: int = 1
) -> pd.DataFrame:
    """Judge a value after the concept's removal against that after a random one, within each run.

    Gives the keys; effect, control and beyond_control (their difference), each with `_low` and
    `_high`; least, verdict. `side` is the predicted sign.
    """
    wide = rows.pivot_table(index=[*_RUN, *keys], columns="condition", values=value, sort=False)
    wide = wide[["targeted", "random"]].set_axis(["effect", "control"], axis=1)
    wide = wide.assign(beyond_control=wide["effect"] - wide["control"]).reset_index()
    table = over_runs(wide, keys, ["effect", "control", "beyond_control"])
    effects, beyond = (
        [Estimate.of(row, name).times(side) for _, row in table.iterrows()]
        for name in ("effect", "beyond_control")
    )
    verdicts = [rules.decide(*pair, least) for pair in zip(effects, beyond, strict=True)]
    return table.assign(least=side * least, verdict=verdicts)


def both(table: pd.DataFrame, row: str) -> pd.DataFrame:
    """Lay effect and control of each claim under each other, as `charts.claims` draws them."""
    sides = {"targeted": "effect", "random": "control"}
    parts = [
        table[[row, name, f"{name}_low", f"{name}_high"]]
        .set_axis(["row", "value", "value_low", "value_high"], axis=1)
        .assign(condition=condition)
        for condition, name in sides.items()
    ]
    return pd.concat(parts, ignore_index=True)


def functions(groups: Sequence[RunGroup]) -> pd.DataFrame:
    """Question 2: what share of kept neurons takes on what, beyond `none`; a row for each kind."""
    rows = stacked(groups, "polysemanticity")
    rows = rows[rows["layer"].isna()]
    places = [*_RUN, "condition"]
    wide = rows.pivot_table(index=places, columns="quantity", values="beyond_none", sort=False)
    # A neuron that took on the removed concept may have taken on others too: it is left out here.
    wide["took_on_else"] = wide["took_on"] - wide["took_on_concept"]
    long = wide[list(TAKEN_ON)].rename(columns=TAKEN_ON).rename_axis(columns="serves")
    return judged_runs(long.stack().rename("share").reset_index(), ["serves"], "share", LEAST_SHARE)


def new_functions_word(table: pd.DataFrame) -> str:
    """The word for question 2, from the rows of `functions`."""
    rows = table.set_index("serves")
    any_concept, removed, another = (
        rows.loc[TAKEN_ON[name]] for name in ("took_on", "took_on_concept", "took_on_else")
    )
    return rules.new_functions(
        any_concept["verdict"], another["verdict"], Estimate.of(removed, "beyond_control")
    )


def sharing(groups: Sequence[RunGroup]) -> pd.DataFrame:
    """Question 5: are parts of speech that share an end of a neuron in the base alike? One row.

    Runs of one seed share their base model, so the values are of base models: seeds. p_adjusted is
    by permutation (Holm over the places looked at in a run: the largest over runs).
    """
    rows = stacked(groups, "sharing")
    rows = rows[(rows["scope"] == "parts of speech") & (rows["sign"] == "same")]
    rows = rows[(rows["condition"] == BASE[0]) & (rows["stage"] == BASE[1])]
    models = rows.groupby("seed")[["shared", "expected", "difference"]].mean()
    found = mean_interval(models.reset_index(), [], ["shared", "expected", "difference"])
    model = groups[0].config.model
    found = found.assign(
        model=model, models=len(models), ruler=RULER, p_adjusted=rows["p_adjusted"].max()
    )
    difference = Estimate.of(found.iloc[0], "difference")
    verdict = rules.likeness(difference, LEAST_COSINE, len(models), model == RULER)
    return found.assign(least=LEAST_COSINE, verdict=verdict)


def superposition_by_layer(groups: Sequence[RunGroup]) -> pd.DataFrame:
    """Interference and dimensionality by layer: base, the ends, and the base's words shuffled.

    Gives condition (`base`, `shuffled words`, `targeted`, `random`, `none`), layer, and both
    measures with `_low` and `_high`.
    """
    rows = stacked(groups, "superposition")
    base = rows[rows["stage"] == "base"].assign(condition="base")
    chance = {f"{name}_shuffled": name for name in MEASURES}
    shuffled = base.drop(columns=list(MEASURES)).rename(columns=chance)
    shown = [base, shuffled.assign(condition="shuffled words"), rows[rows["stage"] == "end"]]
    return over_runs(pd.concat(shown), ["condition", "layer"], list(MEASURES))


def superposition_judged(groups: Sequence[RunGroup]) -> pd.DataFrame:
    """Question 6: does the inventory crowd more, beyond `none` and chance? A row a measure.

    With units gone there are fewer dimensions, and overlaps by chance grow: what shuffled words
    show is subtracted. base and by_chance are means over layers; concepts and dimensions count
    those of the inventory and of a layer.
    """
    rows = stacked(groups, "superposition")
    excess = {name: rows[name] - rows[f"{name}_shuffled"] for name in MEASURES}
    means = rows.assign(**excess).groupby([*_RUN, "condition", "stage"], sort=False)[list(MEASURES)]
    ends = means.mean().xs("end", level="stage")
    # The base cancels out: both conditions started from it.
    beyond = ends.drop(index="none", level="condition") - ends.xs("none", level="condition")
    beyond = beyond.reorder_levels([*_RUN, "condition"]).rename_axis(columns="measure")
    long = beyond.stack().rename("change").reset_index()
    base = rows[rows["stage"] == "base"].mean(numeric_only=True)
    parts = [
        judged_runs(
            long[long["measure"] == name], ["measure"], "change", LEAST_OVERLAP, side
        ).assign(
            base=base[name],
            by_chance=base[f"{name}_shuffled"],
            concepts=int(base["n_concepts"]),
            dimensions=groups[0].facts["n_neurons"] // rows["layer"].nunique(),
        )
        for name, side in zip(MEASURES, (1, -1), strict=True)
    ]
    return pd.concat(parts, ignore_index=True)


def crowding_word(table: pd.DataFrame) -> str:
    """The word for question 6, from the rows of `superposition_judged`."""
    concepts, dimensions = (int(table[name].iloc[0]) for name in ("concepts", "dimensions"))
    return rules.crowding(table["verdict"].tolist(), concepts, dimensions)


def migration(groups: Sequence[RunGroup]) -> pd.DataFrame:
    """Question 7: who gained selectivity for the concept, above what the layers let expect?

    A row a former role: share and expected under `targeted`; the difference as `effect`, that under
    `random` as `control`. Only the row of the other entity types is a claim.
    """
    rows = stacked(groups, "migration")
    rows = rows[rows["target"] == rows["entity"]]
    kind = rows["role"].mask(rows["role"].isin(ENTITIES), OTHER_TYPES)
    rows = rows.assign(role=kind.mask(rows["role"] == rows["entity"], OWN))
    values = ["share", "expected", "difference"]
    rows = rows.groupby([*_RUN, "condition", "role"], sort=False)[values].sum().reset_index()
    table = judged_runs(rows, ["role"], "difference", LEAST_MIGRATION)
    shares = over_runs(rows[rows["condition"] == "targeted"], ["role"], ["share", "expected"])
    table = table.merge(shares[["role", "share", "expected"]], on="role")
    last = table["role"].eq(NOTHING)
    first = table["role"].isin([OWN, OTHER_TYPES])
    return (
        table.assign(place=last * 2 - first)
        .sort_values("place", kind="stable")
        .drop(columns="place")
    )


def priming(groups: Sequence[RunGroup]) -> pd.DataFrame:
    """Question 9: what of a neuron in the base goes with its gain? A row a term of the regression.

    Effects are in standard deviations of the gain beyond `none`, layer held fixed; see `TERMS`.
    """
    rows = stacked(groups, "priming")
    rows = rows[(rows["outcome"] == "beyond_none") & (rows["errors"] == "HC3")]
    parts = []
    for (measure, term), (title, side) in TERMS.items():
        own = rows[(rows["similarity"] == measure) & (rows["term"] == term)]
        own = own.assign(predictor=title)
        parts.append(judged_runs(own, ["predictor"], "effect", LEAST_PRIMING, side))
    return pd.concat(parts, ignore_index=True)


def interval(groups: Sequence[RunGroup]) -> str:
    """Say what the intervals of `over_runs` are, for a chart's note."""
    seeds = max(len(group.runs) for group in groups)
    if seeds < 2:
        return "one seed, so no interval"
    return f"mean of {len(groups)} concepts, 95 % interval over their seeds (up to {seeds} each)"
