"""What audits say of removals: what each took, what readers find, how soon the concept returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from plasticity_utils.analysis import rules
from plasticity_utils.entries import PROTOCOL_ENTRIES
from plasticity_utils.errors import InputError
from plasticity_utils.experiment.config import RunConfig
from plasticity_utils.experiment.record import Audit
from plasticity_utils.names import HEAD_RATE, READ_AGAIN
from plasticity_utils.registry import label, protocols
from plasticity_utils.results.stack import (
    DIFFERENCE_BOUNDS,
    SHARE_BOUNDS,
    Estimate,
    mean_interval,
)

KEYS = ["removal", "model", "corpus", "tags", "concept"]
OWN_HEAD = "own_head"
_F1_COLUMNS = [
    "base",
    "removed",
    "random",
    "found",
    "floor",
    "head",
    "end_targeted",
    "end_masked",
    "control_f1",
]
_ANOTHERS, _UNCUT = "another concept's", "uncut"
_CUTS = {"removed": "its own", "control": "random", "base": _UNCUT}
_WIDE = {"last layer": "", "every layer": "_everywhere"}
_TRAINED = {"targeted": "whole_model", "masked": "never_knew"}


def removal_title(audit: Audit) -> str:
    """Name a removal by its entry in the registry, and what was set of it."""
    config = audit.config
    own = [config.indicator] if config.indicator != "concept" else []
    own += [f"{config.dose:g}"] if config.dose is not None else []
    own += [config.removal_settings] if config.removal_settings else []
    return ", ".join([label(config.chosen.name), *own])


def taken(audits: Sequence[Audit]) -> pd.DataFrame:
    """What a removal took: KEYS, seed; base and removed (F1 of the concept).

    Further lost, lost_others (mean F1 that the other types lose), specificity (the one less the
    other), random and lost_random (of the concept, under the matched control), lost_another (of the
    concept, where the same removal took another concept out of the same base; a mean over those
    audits that are given, missing where there is none).
    """
    rows = []
    others: dict[frozenset[tuple[str, object]], list[tuple[str, pd.Series]]] = {}
    for one in audits:
        as_is = one.readings[one.readings["reader"] == OWN_HEAD]
        f1 = as_is.pivot(index="entity", columns="body", values="entity_f1").drop("overall")
        lost = f1["base"] - f1["removed"]
        own = one.config.label
        others.setdefault(_same_but_concept(one), []).append((own, lost))
        rows.append(
            {
                **_place(one),
                "base": f1.loc[own, "base"],
                "removed": f1.loc[own, "removed"],
                "lost": lost[own],
                "lost_others": lost.drop(own).mean(),
                "specificity": lost[own] - lost.drop(own).mean(),
                "random": f1.loc[own, "control"],
                "lost_random": f1.loc[own, "base"] - f1.loc[own, "control"],
            }
        )
    for row, one in zip(rows, audits, strict=True):
        same = others[_same_but_concept(one)]
        own = one.config.label
        taken_by = [lost[own] for another, lost in same if another != own and own in lost]
        row["lost_another"] = float(np.mean(taken_by)) if taken_by else np.nan
    return pd.DataFrame(rows)


def readings_table(audits: Sequence[Audit]) -> pd.DataFrame:
    """F1 of the concept as each reader finds it: removal, concept, seed, body, reader, place, …

    Beside it control_f1, what the same reader finds in the control task; missing where it was not
    given one.
    """
    found = _of_concept(audits, "readings")
    controlled = [one for one in audits if one.holds(["control_task"])]
    if not controlled:
        return found.assign(control_f1=np.nan)
    keys = [*KEYS, "seed", "body", "reader", "place"]
    control = _of_concept(controlled, "control_task")[[*keys, "entity_f1"]]
    control = control.rename(columns={"entity_f1": "control_f1"})
    return found.merge(control, how="left", on=keys)


def average_precision(audits: Sequence[Audit]) -> pd.DataFrame:
    """Average precision of the concept in the model as it is: a row a seed, a column a body."""
    found = readings_table(audits)
    as_is = found[found["reader"] == OWN_HEAD]
    return as_is.pivot(index="seed", columns="body", values="average_precision").reset_index()


def found_by(audits: Sequence[Audit], removal: str, concept: str, reader: str) -> pd.Series:
    """F1 that a reader of the last layer finds in each body; a mean over seeds."""
    table = readings_table(audits).set_index(["removal", "concept", "reader", "place"])
    own = table.loc[(removal, concept, reader, "last layer")]
    return own.groupby("body")["entity_f1"].mean()


def returns_table(audits: Sequence[Audit]) -> pd.DataFrame:
    """F1 of the concept by step: removal, concept, seed, condition, step, epoch, …

    `first_time` is true under conditions in which the model never knew the concept.
    """
    table = _of_concept(audits, "returns")
    named = {name: each for one in audits for name, each in one.config.conditions.items()}
    knew = [name for name, each in named.items() if _start(each) == "base"]
    return table.assign(first_time=~table["condition"].isin(knew))


def _start(protocol: str) -> str:
    """What a protocol starts from; one of this package's is not loaded for that."""
    entry = PROTOCOL_ENTRIES.get(protocol)
    return entry.start if entry else str(protocols.get(protocol).start)


def mean_returns(audits: Sequence[Audit]) -> pd.DataFrame:
    """Means of `returns_table` over seeds, with intervals: KEYS, condition, first_time, step, …"""
    keys = [*KEYS, "condition", "first_time", "step"]
    bounds = {"entity_f1": SHARE_BOUNDS}
    return mean_interval(returns_table(audits), keys, ["entity_f1"], bounds=bounds)


def goals(audits: Sequence[Audit]) -> pd.Series:
    """F1 from which on a concept counts as back, by concept; a mean over seeds."""
    return READ_AGAIN * taken(audits).groupby("concept")["base"].mean()


def read(audits: Sequence[Audit]) -> pd.DataFrame:
    """The best reader of the cut model: KEYS, seed, reader, found, in_base, read, …

    `found` and `in_base` are its F1 on the cut and on the base model, `read` their ratio,
    `found_control` the best that a reader finds under the matched control,
    `average_precision` that on the cut model, `floor` the best that a reader finds in the
    pretrained body under the same removal, `head` what the last layer finds in the cut model,
    trained alone, and `control_f1` the most that any reader of it remembers in the control task.
    """
    table = readings_table(audits)
    table = table[table["reader"] != OWN_HEAD]
    table = table.assign(reader=table["reader"] + ", " + table["place"])
    rows = []
    for keys, own in table.groupby([*KEYS, "seed"], sort=False):
        f1 = own.pivot(index="reader", columns="body", values="entity_f1")
        best = f1["removed"].idxmax()
        cut = own[own["body"] == "removed"].set_index("reader")
        rows.append(
            {
                **dict(zip([*KEYS, "seed"], keys, strict=True)),
                "reader": best,
                "found": f1.loc[best, "removed"],
                "found_control": f1["control"].max(),
                "in_base": f1.loc[best, "base"],
                "read": f1.loc[best, "removed"] / f1.loc[best, "base"],
                "average_precision": cut.loc[best, "average_precision"],
                "floor": f1["pretrained_removed"].max(),
                "head": f1.loc["head, last layer", "removed"],
                "control_f1": cut["control_f1"].max(),
            }
        )
    return pd.DataFrame(rows)


def further_read(audits: Sequence[Audit]) -> pd.DataFrame:
    """What further readers find beside the usual ones, of the audits that were given any.

    A row a removal and concept, means over seeds: KEYS, n_seeds; read (as in `read`), and the same
    with further readers: read_further; found_further and floor_further, the best F1 that any finds
    in the cut model, and in the pretrained body under the same removal.
    """
    given = [one for one in audits if one.holds(["further_readings"])]
    both = pd.concat([_of_concept(given, "readings"), _of_concept(given, "further_readings")])
    keys = [*KEYS, "seed"]
    new = both[both["reader"] != OWN_HEAD]
    best = new.groupby([*keys, "body"], sort=False)["entity_f1"].max().unstack("body")
    found = pd.DataFrame(
        {
            "read": read(given).set_index(keys)["read"],
            "read_further": best["removed"] / best["base"],
            "found_further": best["removed"],
            "floor_further": best["pretrained_removed"],
        }
    )
    by_concept = found.groupby(KEYS, sort=False)
    return by_concept.mean().assign(n_seeds=by_concept.size()).reset_index()


def heads(audits: Sequence[Audit]) -> pd.DataFrame:
    """What the last layer finds, by how it was trained until it converged.

    A row a removal, concept, start of its weights and factor (learning rate, where that of `head`
    is 1), of audits whose heads were trained so (`plasticity readers --heads`): base and removed
    (F1 on the body whole, and without the concept; means over seeds), n_seeds.
    """
    found = _of_concept([one for one in audits if one.holds(["heads"])], "heads")
    found["factor"] = found["rate"] / HEAD_RATE
    by_way = found.groupby([*KEYS, "start", "factor", "body"], sort=False)["entity_f1"]
    means, counts = by_way.mean().unstack("body"), by_way.size().unstack("body")
    return means.assign(n_seeds=counts["removed"]).reset_index()


def after_second_cut(audits: Sequence[Audit]) -> pd.DataFrame:
    """What the best reader finds after a second cut, of the audits that were read so.

    A row a seed: KEYS, seed; for the model trained on and, with `_removed`, for the cut model as it
    was before that: found (F1 where nothing is cut again), found_top and found_random (where what
    the removal picks now is, or a control), and taken, the latter less the former. Further head
    and head_top, F1 of the trained model itself, before its second cut and after; floor, as in
    `read`; and beyond_untrained, taken less taken_removed.
    """
    keys = [*KEYS, "seed"]
    given = [one for one in audits if one.holds(["second_cut"])]
    picked = {"again": {"new top": "top", "refitted": "top"}}
    rows = _of_concept(given, "second_cut").replace(picked)
    own = rows["reader"] == OWN_HEAD
    best = rows[~own].groupby([*keys, "body", "again"], sort=False)["entity_f1"].max()
    best = best.unstack(["body", "again"])
    head = rows[own & (rows["body"] == "retrained")]
    head = head.set_index([*keys, "again"])["entity_f1"].unstack("again")
    table = pd.DataFrame(index=best.index)
    for body, end in (("retrained", ""), ("removed", "_removed")):
        table[f"found{end}"] = best[body]["nothing"]
        for again in ("top", "random"):
            table[f"found_{again}{end}"] = best[body][again]
        table[f"taken{end}"] = best[body]["random"] - best[body]["top"]
    floor = read(given).set_index(keys)["floor"]
    table = table.assign(head=head["nothing"], head_top=head["top"], floor=floor)
    beyond_untrained = table["taken"] - table["taken_removed"]
    return table.assign(beyond_untrained=beyond_untrained).reset_index()


def where_it_sits(again: pd.DataFrame) -> pd.DataFrame:
    """The rule's word for each removal and concept of `after_second_cut`.

    Columns: KEYS, n_seeds; taken and beyond_untrained, each with its interval over seeds; verdict.
    """
    judged = ["taken", "beyond_untrained"]
    table = mean_interval(again, KEYS, judged, bounds=dict.fromkeys(judged, DIFFERENCE_BOUNDS))
    verdicts = [
        rules.sits(*(Estimate.of(row, name) for name in judged)) for _, row in table.iterrows()
    ]
    return table.assign(verdict=verdicts)


def savings(audits: Sequence[Audit]) -> pd.DataFrame:
    """How much sooner the concept is back than in a model that never knew it.

    A row a seed: removal, concept, seed; for each of `targeted`, `masked` and `first_time` steps
    (until 0.9 of the base's F1; the last step where it is not reached), reached, end (F1); savings
    (over `masked`) and savings_first_time, 1 − ratio of the steps; end_random, under the matched
    control. What an audit did not train is missing.
    """
    base = taken(audits).set_index([*KEYS, "seed"])["base"]
    rows = []
    for keys, own in returns_table(audits).groupby([*KEYS, "seed"], sort=False):
        goal, row = READ_AGAIN * base[keys], dict(zip([*KEYS, "seed"], keys, strict=True))
        for name in ("targeted", "masked"):
            row |= {f"{what}_{name}": np.nan for what in ("steps", "reached", "end")}
        for name in ("targeted", "masked", "first_time"):
            curve = own[own["condition"] == name].sort_values("step")
            if len(curve):
                steps, reached = _steps_to(curve, goal)
                row |= {f"steps_{name}": steps, f"reached_{name}": reached}
                row[f"end_{name}"] = curve["entity_f1"].iloc[-1]
        control = own[own["condition"] == "random"].set_index("step")["entity_f1"]
        row["end_random"] = control[control.index.max()] if len(control) else np.nan
        row["savings"] = 1 - row["steps_targeted"] / row["steps_masked"]
        if "steps_first_time" in row:
            row["savings_first_time"] = 1 - row["steps_targeted"] / row["steps_first_time"]
        rows.append(row)
    return pd.DataFrame(rows)


def by_seed(audits: Sequence[Audit]) -> pd.DataFrame:
    """A row an audit: what `taken`, `read` and `savings` say of it.

    Further beyond, the F1 that training the whole model adds to the best reader's, and
    beyond_control, that less the same under the matched control.
    """
    seeds = taken(audits)
    for further in (read(audits).drop(columns="reader"), savings(audits)):
        seeds = seeds.merge(further, on=[*KEYS, "seed"])
    beyond = seeds["end_targeted"] - seeds["found"]
    under_control = seeds.pop("end_random") - seeds.pop("found_control")
    return seeds.assign(beyond=beyond, beyond_control=beyond - under_control)


def over_concepts(audits: Sequence[Audit]) -> pd.Series:
    """What the audits of one removal say of its concepts together.

    Of `by_seed` with intervals within concepts: beyond, beyond_control, savings, and regained, the
    share of the loss that the best reader finds; n_seeds, the fewest of any concept; came_back and
    sooner, the words of `rules.came_back` and `rules.kept`.
    """
    seeds = by_seed(audits)
    lost = seeds["base"] - seeds["removed"]
    seeds["regained"] = (seeds["found"] - seeds["removed"]) / lost
    values = ["regained", "beyond", "beyond_control", "savings"]
    (row,) = mean_interval(seeds, [], values, over="concept").to_dict("records")
    found = pd.Series(row | {"n_seeds": seeds.groupby("concept")["seed"].nunique().min()})
    judged = {name: Estimate.of(found, name) for name in values}
    words = {
        "came_back": rules.came_back(found["regained"], judged["beyond"], judged["beyond_control"]),
        "sooner": rules.kept(judged["savings"]),
    }
    return pd.concat([found, pd.Series(words)])


def shares_of_base(audits: Sequence[Audit], titles: Mapping[str, str]) -> pd.DataFrame:
    """F1 of concepts as a share of what it was before the cut; a row an audit and column.

    `titles` names columns of `by_seed`. Columns: removal, row (the concept, and what is unusual of
    its task and model), condition (the title), value, seed.
    """
    seeds = by_seed(audits)
    usual = RunConfig.tags, RunConfig.corpus, RunConfig.model
    unusual = [
        [part for part, as_ever in zip(parts, usual, strict=True) if part != as_ever]
        for parts in seeds[["tags", "corpus", "model"]].itertuples(index=False)
    ]  # fmt: skip
    rows = [
        f"{concept} ({', '.join(parts)})" if parts else concept
        for concept, parts in zip(seeds["concept"], unusual, strict=True)
    ]
    shares = seeds[list(titles)].div(seeds["base"], axis=0)
    kept = ["removal", "seed"]
    wide = pd.concat([seeds[kept].assign(row=rows), shares], axis=1)
    return wide.rename(columns=titles).melt([*kept, "row"], var_name="condition")


def table_of_removals(audits: Sequence[Audit]) -> pd.DataFrame:
    """A row a removal and concept, means over seeds: what it took, what is read, what comes back.

    Columns: removal, model, corpus, tags, concept, n_seeds, base, removed, specificity,
    random, lost_random, lost_another, read, floor, head, control_f1, beyond and beyond_control
    (of `by_seed`, with their intervals over seeds), verdict (`rules.audited`),
    steps_targeted, steps_masked, n_reached (seeds in which a model that never knew gets so far; in
    others its last step counts, and savings are at least so large), savings (with its interval over
    seeds), came_back (`rules.kept`).
    """
    seeds = by_seed(audits)
    numbers = seeds.drop(columns=[name for name in seeds if name.startswith("reached")])
    bounds = {name: SHARE_BOUNDS for name in _F1_COLUMNS}
    bounds |= {name: DIFFERENCE_BOUNDS for name in numbers if name.startswith(("lost", "beyond"))}
    bounds |= {name: (0.0, np.inf) for name in numbers if name.startswith("steps")}
    bounds["savings"] = (-np.inf, 1.0)
    table = mean_interval(numbers, KEYS, bounds=bounds)
    reached = seeds.astype({"reached_masked": float}).groupby(KEYS, sort=False)["reached_masked"]
    n_reached = pd.to_numeric(reached.sum(min_count=1), downcast="integer")
    table = table.merge(n_reached.rename("n_reached").reset_index(), on=KEYS)
    judged = ["base", "removed", "specificity", "read"]
    verdicts = [rules.audited(*values) for values in table[judged].itertuples(index=False)]
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


def mean_by_dose(table: pd.DataFrame) -> pd.DataFrame:
    """Means of `curve_table` over seeds and concepts: cut, dose, reader, entity_f1."""
    own = table.groupby(["cut", "dose", "reader"], sort=False)["entity_f1"]
    return own.mean().reset_index()


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
        "model": config.model,
        "corpus": config.corpus,
        "tags": config.tags,
        "concept": config.concept_info.title,
        "seed": config.seed,
    }


def _same_but_concept(one: Audit) -> frozenset[tuple[str, object]]:
    """What two audits share that differ in their concept, and in how it is trained back, alone."""
    own = {"concept": "", "protocols": "", "results_dir": ""}
    return frozenset({**one.config.settings(), **own}.items())


def _check_apart(audits: Sequence[Audit]) -> None:
    """Raise InputError for audits that one table could not tell from one another."""
    seen: set[tuple[object, ...]] = set()
    for one in audits:
        place = tuple(_place(one).values())
        if place in seen:
            raise InputError(
                f"two audits are of {', '.join(map(str, place[:-1]))}, seed {place[-1]}; needed: "
                "audits that differ in one of these, and not in their scale or dose alone"
            )
        seen.add(place)


def _of_concept(audits: Sequence[Audit], name: str) -> pd.DataFrame:
    _check_apart(audits)
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
