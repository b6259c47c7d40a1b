"""What audits say of removals: what each took, what readers find, how soon the concept returns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from plasticity_utils.analysis import rules
from plasticity_utils.experiment.audit import Audit
from plasticity_utils.names import READ_AGAIN
from plasticity_utils.registry import label
from plasticity_utils.results.stack import SHARE_BOUNDS, Estimate, mean_interval

KEYS = ["removal", "concept"]
OWN_HEAD = "own_head"
_ANOTHERS, _UNCUT = "another concept's", "uncut"
_CUTS = {"removed": "its own", "control": "random", "base": _UNCUT}
_WIDE = {"last layer": "", "every layer": "_everywhere"}
_TRAINED = {"targeted": "whole_model", "masked": "never_knew"}


def removal_title(audit: Audit) -> str:
    """Name a removal by its entry in the registry, and what was set of it."""
    config = audit.config
    own = [config.indicator] if config.indicator != "concept" else []
    own += [f"{config.dose:g}"] if config.dose is not None else []
    return ", ".join([label(config.chosen.name), *own])


def taken(audits: Sequence[Audit]) -> pd.DataFrame:
    """What a removal took: removal, concept, seed; base and removed (F1 of the concept).

    Further lost, lost_others (mean F1 that the other types lose), specificity (the one less the
    other), lost_random (of the concept, under the matched control).
    """
    rows = []
    for one in audits:
        as_is = one.readings[one.readings["reader"] == OWN_HEAD]
        f1 = as_is.pivot(index="entity", columns="body", values="entity_f1").drop("overall")
        lost = f1["base"] - f1["removed"]
        own = one.config.label
        rows.append(
            {
                **_place(one),
                "base": f1.loc[own, "base"],
                "removed": f1.loc[own, "removed"],
                "lost": lost[own],
                "lost_others": lost.drop(own).mean(),
                "specificity": lost[own] - lost.drop(own).mean(),
                "lost_random": f1.loc[own, "base"] - f1.loc[own, "control"],
            }
        )
    return pd.DataFrame(rows)


def readings_table(audits: Sequence[Audit]) -> pd.DataFrame:
    """F1 of the concept as each reader finds it: removal, concept, seed, body, reader, place, …"""
    return _of_concept(audits, "readings")


def returns_table(audits: Sequence[Audit]) -> pd.DataFrame:
    """F1 of the concept by step: removal, concept, seed, condition, step, epoch, …"""
    return _of_concept(audits, "returns")


def read(audits: Sequence[Audit]) -> pd.DataFrame:
    """The best reader of the cut model: removal, concept, seed, reader, found, base, read, floor.

    `found` and `base` are its F1 on the cut and on the base model, `read` their ratio, `floor` the
    best that a reader of the same kind finds in the pretrained body under the same removal.
    """
    table = readings_table(audits)
    table = table[table["reader"] != OWN_HEAD]
    table = table.assign(reader=table["reader"] + ", " + table["place"])
    rows = []
    for keys, own in table.groupby([*KEYS, "seed"], sort=False):
        f1 = own.pivot(index="reader", columns="body", values="entity_f1")
        best = f1["removed"].idxmax()
        rows.append(
            {
                **dict(zip([*KEYS, "seed"], keys, strict=True)),
                "reader": best,
                "found": f1.loc[best, "removed"],
                "in_base": f1.loc[best, "base"],
                "read": f1.loc[best, "removed"] / f1.loc[best, "base"],
                "floor": f1["pretrained_removed"].max(),
            }
        )
    return pd.DataFrame(rows)


def savings(audits: Sequence[Audit]) -> pd.DataFrame:
    """How much sooner the concept is back than in a model that never knew it.

    A row a seed: removal, concept, seed; for each of `targeted`, `masked` and `first_time` steps
    (until 0.9 of the base's F1; the last step where it is not reached), reached, end (F1); savings
    (over `masked`) and savings_first_time, 1 − ratio of the steps.
    """
    base = taken(audits).set_index([*KEYS, "seed"])["base"]
    rows = []
    for keys, own in returns_table(audits).groupby([*KEYS, "seed"], sort=False):
        goal, row = READ_AGAIN * base[keys], dict(zip([*KEYS, "seed"], keys, strict=True))
        for name in ("targeted", "masked", "first_time"):
            curve = own[own["condition"] == name].sort_values("step")
            if len(curve):
                steps, reached = _steps_to(curve, goal)
                row |= {f"steps_{name}": steps, f"reached_{name}": reached}
                row[f"end_{name}"] = curve["entity_f1"].iloc[-1]
        row["savings"] = 1 - row["steps_targeted"] / row["steps_masked"]
        if "steps_first_time" in row:
            row["savings_first_time"] = 1 - row["steps_targeted"] / row["steps_first_time"]
        rows.append(row)
    return pd.DataFrame(rows)


def table_of_removals(audits: Sequence[Audit]) -> pd.DataFrame:
    """A row a removal and concept, means over seeds: what it took, what is read, what comes back.

    Columns: removal, concept, n_seeds, base, removed, specificity, lost_random, read, floor,
    verdict (`rules.audited`), steps_targeted, steps_masked, n_reached (seeds in which a model that
    never knew gets so far; in others its last step counts, and savings are at least so large),
    savings (with its interval over seeds), came_back (`rules.kept`).
    """
    seeds = taken(audits)
    for further in (read(audits).drop(columns="reader"), savings(audits)):
        seeds = seeds.merge(further, on=[*KEYS, "seed"])
    numbers = seeds.drop(columns=[name for name in seeds if name.startswith("reached")])
    bounds = {name: SHARE_BOUNDS for name in ("base", "removed", "found", "floor")}
    bounds |= {name: (0.0, np.inf) for name in numbers if name.startswith("steps")}
    bounds["savings"] = (-np.inf, 1.0)
    table = mean_interval(numbers, KEYS, bounds=bounds)
    reached = seeds.groupby(KEYS, sort=False)["reached_masked"].sum()
    table = table.merge(reached.rename("n_reached").reset_index(), on=KEYS)
    verdicts = [rules.audited(row["specificity"], row["read"]) for _, row in table.iterrows()]
    kept = [rules.kept(Estimate.of(row, "savings")) for _, row in table.iterrows()]
    return table.assign(verdict=verdicts, came_back=kept)


def curve_table(curves: Sequence[Audit]) -> pd.DataFrame:
    """F1 by the share of neurons taken: seed, concept, cut, dose, reader, entity_f1.

    `cut` says whose neurons: `its own`, `random`, or `another concept's` (the mean over the other
    curves of the seed). Readers are those of an audit, and `whole_model` and `never_knew` what
    training on the whole cut model brings, and what it brings a model that never knew the concept.
    """
    titles = {one.config.label: one.config.concept_info.title for one in curves}
    parts = []
    for one in curves:
        read = one.readings.assign(reader=one.readings["reader"] + one.readings["place"].map(_WIDE))
        is_last = one.returns["step"] == one.returns.groupby("dose")["step"].transform("max")
        after = one.returns[is_last].assign(body="removed")
        both = pd.concat([read, after.assign(reader=after["condition"].map(_TRAINED))])
        both["seed"] = one.config.seed
        is_own = both["entity"] == one.config.label
        # A base, and a random cut, are of no concept: its own curve has them.
        others = both[~is_own & (both["body"] == "removed") & (both["reader"] != "never_knew")]
        own = both[is_own & both["body"].isin(_CUTS)]
        parts += [own.assign(cut=own["body"].map(_CUTS)), others.assign(cut=_ANOTHERS)]
    found = pd.concat(parts)
    found = found[found["entity"].isin(titles)]
    found["concept"] = found["entity"].map(titles)
    uncut = found[found["cut"] == _UNCUT]
    cuts = [uncut.assign(cut=name) for name in found["cut"].unique() if name != _UNCUT]
    found = pd.concat([found[found["cut"] != _UNCUT], *cuts])
    keys = ["seed", "concept", "cut", "dose", "reader"]
    return found.groupby(keys, sort=False)["entity_f1"].mean().reset_index()


def read_up_to(table: pd.DataFrame) -> pd.DataFrame:
    """Up to which dose a new reader keeps nine tenths of what it finds with nothing taken.

    From `curve_table`; a row a seed and concept, a column a cut: the largest dose up to which the
    best of the readers still does, 0 where it does at none.
    """
    keys = ["seed", "concept", "cut"]
    new = table[~table["reader"].isin([OWN_HEAD, *_TRAINED.values()])]
    best = new.groupby([*keys, "dose"])["entity_f1"].max().unstack("dose")
    kept = best.ge(READ_AGAIN * best[0.0], axis=0).cummin(axis=1)
    doses = kept.mul(kept.columns.to_numpy(), axis=1).max(axis=1)
    return doses.unstack("cut").reset_index().rename_axis(columns=None)


def trained_by_dose(table: pd.DataFrame) -> pd.DataFrame:
    """What training brings a concept without its own neurons; means over seeds.

    From `curve_table`: concept, dose (those at which was trained), whole_model, never_knew (F1) and
    best_reader (F1 of the best new reader).
    """
    own = table[table["cut"] == "its own"]
    f1 = own.groupby(["concept", "dose", "reader"], sort=False)["entity_f1"].mean().unstack()
    new = f1.drop(columns=[OWN_HEAD, *_TRAINED.values()])
    found = f1[list(_TRAINED.values())].assign(best_reader=new.max(axis=1))
    return found.dropna().reset_index().rename_axis(columns=None)


def floors(curves: Sequence[Audit]) -> pd.Series:
    """Best F1 that a reader finds in the uncut pretrained body, by concept; a mean over seeds."""
    table = _of_concept(curves, "readings")
    table = table[table["body"] == "pretrained"]
    return table.groupby(["concept", "seed"])["entity_f1"].max().groupby("concept").mean()


def _place(one: Audit) -> dict[str, object]:
    config = one.config
    return {
        "removal": removal_title(one),
        "concept": config.concept_info.title,
        "seed": config.seed,
    }


def _of_concept(audits: Sequence[Audit], name: str) -> pd.DataFrame:
    parts = []
    for one in audits:
        table = one.table(name)
        own = table[table["entity"] == one.config.label].drop(columns="entity")
        parts.append(own.assign(**_place(one)))
    found = pd.concat(parts, ignore_index=True)
    front = [*KEYS, "seed"]
    return found[[*front, *(column for column in found if column not in front)]]


def _steps_to(curve: pd.DataFrame, goal: float) -> tuple[float, bool]:
    """The step at which a curve first has a value, between snapshots as if it rose evenly."""
    steps, values = curve["step"].to_numpy(float), curve["entity_f1"].to_numpy()
    above = values >= goal
    if not above.any():
        return float(steps[-1]), False
    at = int(above.argmax())
    if at == 0:
        return float(steps[0]), True
    share = (goal - values[at - 1]) / (values[at] - values[at - 1])
    return float(steps[at - 1] + share * (steps[at] - steps[at - 1])), True
