"""What any reader finds in a network whose concept was removed: a linear one at its best, and more.

The condition `head` trains the linear head as long as the whole model would be trained. Two
objections to it: it may not have converged, and a reader that is not linear may find more. So
readers are fitted anew on the frozen states that the head reads: logistic regression until it
converges, and a perceptron with a hidden layer. What they find had never left; what the whole model
brings beyond them was learned. On the whole base model they are a control of themselves, as a probe
without one says little (Hewitt & Liang 2019).

An erased concept is only gone for the head if no linear reader of the last layer can tell its tags.
Which classes have to be made equal for that is a question of fact: the same base model is erased
once for each indicator, and the head alone is trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from plasticity_utils.errors import InputError
from plasticity_utils.experiment.replay import model_at
from plasticity_utils.experiment.run import Run
from plasticity_utils.experiment.stages import Stages
from plasticity_utils.experiment.store import read_tables
from plasticity_utils.names import INDICATORS, OVERALL
from plasticity_utils.registry import removals
from plasticity_utils.removal.leace import Erasers
from plasticity_utils.results.groups import RunGroup
from plasticity_utils.results.stack import stack
from plasticity_utils.training.readers import check_readers, read_states
from plasticity_utils.training.train import tag_sentences

# Where a reader reads: the whole model as a control of the reader itself, and after each removal.
PLACES = {"none": "base", "targeted": "removed", "random": "removed"}
N_SENTENCES, _READERS = 5000, ("linear", "perceptron")
READER_COLUMNS = ["removed", "head", "linear", "perceptron", "end"]
_SNAPSHOTS = ("removed", "head")


def read_anew(
    run: Run, n_sentences: int = N_SENTENCES, names: Sequence[str] = _READERS
) -> pd.DataFrame:
    """Fit readers on the frozen states of the last layer, and score them as the head is scored.

    Gives the table `readers`; at most `n_sentences` of training are fitted on, and `names` are of
    the registry. An InputError for a concept that is no entity type, and if the run's models are
    gone.
    """
    if not run.config.concept_info.is_entity:
        raise InputError(f"{run.config.concept_info.title!r} is no entity type, so no tag names it")
    names = list(dict.fromkeys(names))
    check_readers(names)
    stages, tables = Stages(run.config), []
    for condition, stage in PLACES.items():
        if condition not in run.config.conditions:
            continue
        with model_at(run, condition, stage) as (model, tokenizer):
            corpora = stages.sentences.train.first(n_sentences), stages.sentences.scoring
            train, scoring = (tag_sentences(model, tokenizer, corpus) for corpus in corpora)
            found = read_states(model, train, scoring, names, scoring.types, run.config.seed)
        tables.append(found.assign(condition=condition))
    return pd.concat(tables).set_index(["condition", "reader", "n_fitted"]).reset_index()


def by_reader(groups: Sequence[RunGroup]) -> pd.DataFrame:
    """F1 of the concept as each reader finds it, beside the head and the whole model trained on.

    Gives concept, regime, seed, condition (`none` is the whole base model); removed (F1 as the
    model is), head (trained for as long as the model; only of `targeted`), linear, perceptron, end
    (the whole model trained on). Runs without the table are left out.
    """
    names = ["concept", "regime", "seed", "condition"]
    found = stack(
        groups, lambda run: _by_reader(run) if run.holds(["readers"]) else None, names[:-1]
    )
    # Readers of one's own stand between those of the book and the model that was trained on.
    further = [name for name in found if name not in (*names, *READER_COLUMNS)]
    return found.reindex(columns=[*names, *READER_COLUMNS[:-1], *further, READER_COLUMNS[-1]])


def mean_by_reader(groups: Sequence[RunGroup]) -> pd.DataFrame:
    """The means of `by_reader` over seeds, after concept, regime, condition and n_seeds."""
    keys, table = ["concept", "regime", "condition"], by_reader(groups)
    by_seed = table.groupby(keys, sort=False)
    found = [name for name in table if name not in (*keys, "seed")]
    return pd.concat(
        [by_seed.size().rename("n_seeds"), by_seed[found].mean()], axis=1
    ).reset_index()


def _by_reader(run: Run) -> pd.DataFrame:
    label, last_layer = run.config.label, run.config.last_layer
    metrics, table = run.metrics, run.table("readers")
    f1 = metrics[metrics["entity"] == label].set_index(["condition", "stage"])["entity_f1"]
    found = table[table["entity"] == label].set_index(["condition", "reader"])["entity_f1"]
    rows = [
        {
            "condition": condition,
            "removed": f1[condition, "removed"],
            "head": f1.get((last_layer, "end")) if condition == "targeted" else None,
            **found[condition],
            "end": f1[condition, "end"],
        }
        for condition in PLACES
        if condition in found.index.get_level_values("condition")
    ]
    return pd.DataFrame(rows)


def compare_indicators(run: Run) -> pd.DataFrame:
    """Erase a run's base model with each indicator and train the head alone.

    What is done already is not done again; a run of another regime is an InputError.
    """
    if "indicator" not in removals.settings(run.config.chosen.name):
        raise InputError(
            f"removal {run.config.chosen.name!r} has no indicator; indicators are compared of leace"
        )
    return pd.concat([_scores(run, indicator) for indicator in INDICATORS], ignore_index=True)


def by_indicator(groups: Sequence[RunGroup]) -> pd.DataFrame:
    """What each indicator leaves to the head, of the published runs that were asked.

    Gives concept, seed, indicator, dimensions; removed and head (F1 of the concept just after the
    erasure, and after training the head alone), others (mean F1 that the other entity types lose at
    the erasure).
    """
    names = ["concept", "seed"]
    found = stack(
        groups, lambda run: _by_indicator(run) if run.holds(["indicators"]) else None, names
    )
    return found.reindex(columns=[*names, "indicator", "dimensions", *_SNAPSHOTS, "others"])


def _scores(run: Run, indicator: str) -> pd.DataFrame:
    stages = Stages(replace(run.config, indicator=indicator))
    erasers = stages.removal
    assert isinstance(erasers, Erasers)
    last = f"{run.config.snapshots[-1]:g}"
    folders = (
        stages.measured("targeted"),
        stages.retrained(run.config.last_layer) / "snapshots" / last,
    )
    tables = [
        read_tables(folder)["metrics"].assign(snapshot=snapshot)
        for snapshot, folder in zip(_SNAPSHOTS, folders, strict=True)
    ]
    named = pd.concat(tables).assign(indicator=indicator, n_dimensions=sum(erasers.ranks))
    return named.set_index(["indicator", "n_dimensions", "snapshot"]).reset_index()


def _by_indicator(run: Run) -> pd.DataFrame:
    table = run.table("indicators")
    base = run.metrics[(run.metrics["condition"] == "targeted") & (run.metrics["stage"] == "base")]
    label, whole = run.config.label, base.set_index("entity")["entity_f1"]
    rows = []
    for indicator in [name for name in INDICATORS if name in set(table["indicator"])]:
        own = table[table["indicator"] == indicator]
        f1 = own.pivot(index="snapshot", columns="entity", values="entity_f1")
        others = (whole - f1.loc["removed"]).drop([label, OVERALL])
        rows.append(
            {
                "indicator": indicator,
                "dimensions": own["n_dimensions"].iloc[0],
                **{snapshot: f1.loc[snapshot, label] for snapshot in _SNAPSHOTS},
                "others": others.mean(),
            }
        )
    return pd.DataFrame(rows)
