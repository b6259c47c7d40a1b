"""Is what comes back relearned, or only read again (question 1)?

Numbers of every run, and their means over the named concepts; `rules.came_back` says what follows.
The unit is the seed within a concept: runs of three concepts are not draws from all concepts, so
an interval has the spread that seeds have within a concept, and speaks of these concepts alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from plasticity_utils.analysis import rules
from plasticity_utils.analysis.readers import by_reader
from plasticity_utils.experiment.record import Run
from plasticity_utils.names import OVERALL, READ_AGAIN
from plasticity_utils.results.across import readable
from plasticity_utils.results.groups import RunGroup, check_poolable
from plasticity_utils.results.stack import Estimate, mean_interval, seed_columns
from plasticity_utils.results.tables import reliance_table

_RUN = ["concept", "seed"]


def by_run(groups: Sequence[RunGroup]) -> pd.DataFrame:
    """One row a run: what was lost, what readers find of it, and what training brings beyond them.

    Columns: concept, seed; F1 of the concept: base, removed, head, linear, perceptron and others
    (readers of the frozen network; missing where they were not fitted), best (the best), end; lost,
    lost_others (mean of the other types), lost_random (of the concept, after a random cut); shares
    of the loss: by_head, by_best, by_end; F1: beyond_head, beyond (the best reader), drift (what
    training brings with nothing cut out), control (what it brings beyond the best reader after a
    random cut; drift where that was not read), beyond_control.
    Where no reader was fitted, the last layer is the best one if it finds nine tenths by itself,
    and else the best is not known.
    """
    check_poolable(groups)
    rows = pd.DataFrame([_numbers(run) for group in groups for run in group.runs])
    read = by_reader(groups).set_index([*_RUN, "condition"])
    own, random = (_of(read, condition) for condition in ("targeted", "random"))
    fitted = list(read.loc[:, "head":"end"])[1:-1]
    rows = rows.join(own[fitted], on=_RUN)
    rows["by_head"] = (rows["head"] - rows["removed"]) / rows["lost"]
    known = rows[fitted].notna().any(axis=1) | (rows["by_head"] >= READ_AGAIN)
    rows["best"] = rows[["head", *fitted]].max(axis=1).where(known)
    rows["by_best"] = (rows["best"] - rows["removed"]) / rows["lost"]
    rows["by_end"] = (rows["end"] - rows["removed"]) / rows["lost"]
    rows["beyond_head"], rows["beyond"] = rows["end"] - rows["head"], rows["end"] - rows["best"]
    after_random = (random["end"] - random[fitted].max(axis=1)).rename("control")
    rows = rows.join(after_random, on=_RUN)
    rows["control"] = rows["control"].fillna(rows["drift"])
    rows["beyond_control"] = rows["beyond"] - rows["control"]
    return rows


def summary(rows: pd.DataFrame) -> pd.Series:
    """Mean of every number over the concepts of these rows, with intervals, and the rules' words.

    The words: cut (what was cut out), head_finds and reader_finds (what the last layer and the best
    reader find of it), came_back.
    """
    values = [name for name in rows if name not in _RUN]
    found = mean_interval(rows, [], values, over="concept").iloc[0]
    words = {
        "cut": rules.cut(found["lost"], found["lost_others"]),
        "head_finds": rules.reader_finds(found["lost"], found["by_head"] * found["lost"]),
        "reader_finds": rules.reader_finds(found["lost"], found["by_best"] * found["lost"]),
        "came_back": rules.came_back(
            found["by_best"], Estimate.of(found, "beyond"), Estimate.of(found, "beyond_control")
        ),
    }
    return pd.concat([found, pd.Series(words)])


def side_by_side(cuts: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """A row a way of cutting: its `summary`, named in the column way."""
    rows = [pd.concat([pd.Series({"way": way}), summary(own)]) for way, own in cuts.items()]
    return pd.DataFrame(rows)


def each_concept(rows: pd.DataFrame) -> pd.DataFrame:
    """A row a concept: means over its seeds, and in `cut` what was cut out."""
    values = [name for name in rows if name not in _RUN]
    means = rows.groupby("concept", sort=False)[values].mean()
    means["cut"] = [rules.cut(row["lost"], row["lost_others"]) for _, row in means.iterrows()]
    return means.reset_index()


def each_concept_and_model(models: Mapping[str, Sequence[RunGroup]]) -> pd.DataFrame:
    """Lay `each_concept` of several models under each other, with the model's name first."""
    parts = [each_concept(by_run(of)).assign(model=name) for name, of in models.items()]
    return pd.concat(parts, ignore_index=True)


def taken_again(groups: Sequence[RunGroup]) -> pd.Series:
    """F1 that cutting the new top neurons out takes in the end, a run a row: model, scale."""
    rows = []
    for run in (run for group in groups for run in group.runs):
        own = reliance_table(run.reliance)
        own = own[(own["condition"] == "targeted") & (own["entity"] == run.config.label)]
        f1 = own.set_index("again")["entity_f1"]
        rows.append((run.config.model, run.config.scale, f1["nothing"] - f1["new top"]))
    table = pd.DataFrame(rows, columns=["model", "scale", "taken"])
    return table.set_index(["model", "scale"])["taken"]


def means_by_way(cuts: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Mean F1 over seeds: way, concept, and all numbers of `by_run`."""
    rows = pd.concat([own.assign(way=way) for way, own in cuts.items()], ignore_index=True)
    return rows.groupby(["way", "concept"], sort=False).mean().reset_index()


def beyond_by_seed(cuts: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """What training brings beyond best reader and control: way, concept, a column a seed, mean."""
    rows = pd.concat([own.assign(way=way) for way, own in cuts.items()], ignore_index=True)
    return seed_columns(rows, "beyond_control", ["way", "concept"])


def shares(cuts: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Share of the loss that the last layer, the best reader and the whole model regain.

    A row a way of cutting, a concept and who regains it, for a chart: way, concept, who, share and
    the least and the greatest over seeds (share_low, share_high).
    """
    who = {"by_head": "last layer alone", "by_best": "best reader", "by_end": "whole model"}
    parts = [
        own.melt([*_RUN], list(who), "who", "share").assign(way=way) for way, own in cuts.items()
    ]
    table = pd.concat(parts, ignore_index=True).replace({"who": who})
    grouped = table.groupby(["way", "concept", "who"], sort=False)["share"]
    ends = grouped.agg(share="mean", share_low="min", share_high="max")
    return ends.reset_index()


def head_brings(groups: Sequence[RunGroup]) -> pd.DataFrame:
    """What the last layer alone brings back, of the concept and of the other types (mean F1).

    concept, n_seeds; removed, head (of the concept), others_removed, others_head.
    """
    rows = []
    for run in (run for group in groups for run in group.runs):
        f1 = run.metrics.pivot_table(
            index="entity", columns=["condition", "stage"], values="entity_f1"
        )
        at = f1[run.config.last_layer][["removed", "end"]].set_axis(["removed", "head"], axis=1)
        others = at.drop([run.config.label, OVERALL]).mean().add_prefix("others_")
        name = run.config.concept_info.title
        rows.append({"concept": name, **at.loc[run.config.label], **others})
    by_concept = pd.DataFrame(rows).groupby("concept", sort=False)
    return by_concept.mean().assign(n_seeds=by_concept.size()).reset_index()


def read_by_layer(groups: Sequence[RunGroup]) -> pd.Series:
    """Least and greatest word F1 over concepts of a linear reader fitted on one layer.

    first_ and last_ (of the first and the last layer, just after the cut), end_ (of the last one in
    the end), each with least and greatest.
    """
    table = readable(groups)
    own = table[table["condition"] == "targeted"]
    last = own["layer"].max()
    at = {"first": (0, "removed"), "last": (last, "removed"), "end": (last, "end")}
    found: dict[str, float] = {}
    for name, (layer, stage) in at.items():
        f1 = own[(own["layer"] == layer) & (own["stage"] == stage)]["word_f1"]
        found |= {f"{name}_least": f1.min(), f"{name}_greatest": f1.max()}
    return pd.Series(found)


def _numbers(run: Run) -> dict[str, object]:
    label = run.config.label
    f1 = run.metrics.pivot_table(index="entity", columns=["condition", "stage"], values="entity_f1")
    lost = {name: f1[name, "base"] - f1[name, "removed"] for name in ("targeted", "random")}
    own = f1.loc[label]
    return {
        "concept": run.config.concept_info.title,
        "seed": run.config.seed,
        "base": own["targeted", "base"],
        "removed": own["targeted", "removed"],
        "head": own[run.config.last_layer, "end"],
        "end": own["targeted", "end"],
        "lost": lost["targeted"][label],
        "lost_others": lost["targeted"].drop([label, OVERALL]).mean(),
        "lost_random": lost["random"][label],
        "drift": own["none", "end"] - own["none", "base"],
    }


def _of(read: pd.DataFrame, condition: str) -> pd.DataFrame:
    return read[read.index.get_level_values("condition") == condition].droplevel("condition")
