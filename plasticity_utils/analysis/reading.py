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

from plasticity_utils.analysis.readers import AS_ERASED, PLACES
from plasticity_utils.errors import InputError
from plasticity_utils.experiment.record import Run
from plasticity_utils.experiment.replay import model_at
from plasticity_utils.experiment.stages import Stages
from plasticity_utils.experiment.store import read_tables
from plasticity_utils.names import INDICATORS
from plasticity_utils.registry import removals
from plasticity_utils.removal.leace import Erasers
from plasticity_utils.training.readers import check_readers, read_states
from plasticity_utils.training.train import tag_sentences

N_SENTENCES, _READERS = 5000, ("linear", "perceptron")


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


def compare_indicators(run: Run) -> pd.DataFrame:
    """Erase a run's base model with each indicator and train the head alone.

    What is done already is not done again; a run of another regime is an InputError.
    """
    if "indicator" not in removals.settings(run.config.chosen.name):
        raise InputError(
            f"removal {run.config.chosen.name!r} has no indicator; indicators are compared of leace"
        )
    return pd.concat([_scores(run, indicator) for indicator in INDICATORS], ignore_index=True)


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
        for snapshot, folder in zip(AS_ERASED, folders, strict=True)
    ]
    named = pd.concat(tables).assign(indicator=indicator, n_dimensions=sum(erasers.ranks))
    return named.set_index(["indicator", "n_dimensions", "snapshot"]).reset_index()
