"""What any reader finds in a network whose concept was removed: a linear one at its best, and more.

The condition `head` trains the linear head as long as the whole model would be trained. Two
objections to it: it may not have converged, and a reader that is not linear may find more. So
readers are fitted anew on the frozen states that the head reads: logistic regression until it
converges, and a perceptron with a hidden layer. What they find had never left; what the whole model
brings beyond them was learned. On the whole base model they are a control of themselves, as a probe
without one says little (Hewitt & Liang 2019).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from transformers import PreTrainedModel

from plasticity_utils.data.concepts import ENTITIES
from plasticity_utils.errors import InputError
from plasticity_utils.experiment.replay import model_at
from plasticity_utils.experiment.run import Run
from plasticity_utils.experiment.stages import Stages
from plasticity_utils.models.activations import inference_batches, inputs
from plasticity_utils.models.load import head
from plasticity_utils.progress import bar
from plasticity_utils.results.groups import Seeds
from plasticity_utils.results.stack import stack
from plasticity_utils.training.evaluate import entity_scores
from plasticity_utils.training.train import EVALUATION_TOKENS, TaggedSentences, tag_sentences

NAME = "readers"
# Where a reader reads: the whole model as a control of the reader itself, and after each removal.
PLACES = {"none": "base", "targeted": "removed", "random": "removed"}
N_SENTENCES, N_HIDDEN = 5000, 256
FOUND = ["removed", "head", "linear", "perceptron", "end"]


def read_anew(run: Run, n_sentences: int = N_SENTENCES) -> pd.DataFrame:
    """Fit readers on the frozen states of the last level, and score them as the head is scored.

    Parameters
    ----------
    run : Run
        Of an entity type, with its stages still kept.
    n_sentences : int
        Training sentences to fit on; at most those of the run.

    Returns
    -------
    DataFrame
        condition (`none`: nothing removed; `targeted`, `random`: just after the removal), reader
        (`linear`, `perceptron`), n_fitted (sentences), entity, precision, recall, entity_f1,
        entity_f1_low, entity_f1_high, n_gold: see `entity_scores`.

    Raises
    ------
    InputError
        For a concept that is no entity type, or if the run's models are not kept here.
    """
    if not run.config.about.is_entity:
        raise InputError(f"{run.config.about.title!r} is no entity type, so no tag names it")
    stages, tables = Stages(run.config), []
    for condition, stage in PLACES.items():
        with model_at(run, condition, stage) as (model, tokenizer):
            corpora = stages.sentences.train.first(n_sentences), stages.sentences.scoring
            train, scoring = (tag_sentences(model, tokenizer, corpus) for corpus in corpora)
            states = [label_states(model, part) for part in (train, scoring)]
        for name, reader in _readers(run.config.seed).items():
            reader.fit(states[0], np.concatenate(train.tags))
            scores = entity_scores(scoring.tags, _read(reader, states[1], scoring), ENTITIES)
            tables.append(scores.assign(condition=condition, reader=name, n_fitted=len(train.tags)))
    return pd.concat(tables).set_index(["condition", "reader", "n_fitted"]).reset_index()


def label_states(
    model: PreTrainedModel, data: TaggedSentences
) -> Float[np.ndarray, "words d_model"]:
    """Give the hidden state from which the head reads each word's tag, in 32-bit floats.

    Parameters
    ----------
    model : PreTrainedModel
        Usually from `model_at`, with its removal in force.
    data : TaggedSentences
        From `tag_sentences`.

    Returns
    -------
    float32 array, [n_words, d_model]
        The words of the first sentence, then of the next.
    """
    seen: list[torch.Tensor] = []
    found = [np.empty(0)] * len(data.encoded)
    hook = head(model).register_forward_pre_hook(lambda _, read: seen.append(read[0]))
    try:
        lengths = [len(sentence.ids) for sentence in data.encoded]
        for batch in bar(inference_batches(lengths, EVALUATION_TOKENS), "states"):
            with torch.no_grad():
                model(**inputs(model, [data.encoded[i] for i in batch]))
            for i, states in zip(batch, seen.pop(), strict=True):
                found[i] = states[data.positions[i]].float().cpu().numpy()
    finally:
        hook.remove()
    return np.concatenate(found)


def by_reader(groups: Sequence[Seeds]) -> pd.DataFrame:
    """F1 of the concept as each reader finds it, beside the head and the whole model trained on.

    Parameters
    ----------
    groups : sequence of Seeds
        From `grouping.choose`; runs without the table are left out.

    Returns
    -------
    DataFrame
        concept, regime, seed, condition (`none` is the whole base model); removed (F1 as the model
        is), head (trained for as long as the model; only of `targeted`), linear, perceptron, end
        (the whole model trained on).
    """
    names = ["concept", "regime", "seed"]
    found = stack(groups, lambda run: _by_reader(run) if run.holds([NAME]) else None, names)
    return found.reindex(columns=[*names, "condition", *FOUND])


def mean_by_reader(groups: Sequence[Seeds]) -> pd.DataFrame:
    """Average `by_reader` over seeds.

    Parameters
    ----------
    groups : sequence of Seeds
        As for `by_reader`.

    Returns
    -------
    DataFrame
        concept, regime, condition, n_seeds, and the means of removed, head, linear, perceptron and
        end.
    """
    by_seed = by_reader(groups).groupby(["concept", "regime", "condition"], sort=False)
    counted = by_seed.size().rename("n_seeds")
    return pd.concat([counted, by_seed[FOUND].mean()], axis=1).reset_index()


def _readers(seed: int) -> dict[str, Pipeline]:
    perceptron = MLPClassifier(N_HIDDEN, early_stopping=True, random_state=seed)
    return {
        "linear": make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000)),
        "perceptron": make_pipeline(StandardScaler(), perceptron),
    }


def _read(reader: Pipeline, states: np.ndarray, data: TaggedSentences) -> list[list[str]]:
    """Tags of each sentence's words."""
    tags = reader.predict(states).tolist()
    ends = np.cumsum([len(sentence) for sentence in data.tags])
    return [tags[end - len(own) : end] for end, own in zip(ends, data.tags, strict=True)]


def _by_reader(run: Run) -> pd.DataFrame:
    label, metrics, table = run.config.label, run.metrics, run.table(NAME)
    f1 = metrics[metrics["entity"] == label].set_index(["condition", "stage"])["entity_f1"]
    found = table[table["entity"] == label].set_index(["condition", "reader"])["entity_f1"]
    rows = [
        {
            "condition": condition,
            "removed": f1[condition, "removed"],
            "head": f1["head", "end"] if condition == "targeted" else None,
            **found[condition],
            "end": f1[condition, "end"],
        }
        for condition in PLACES
    ]
    return pd.DataFrame(rows)
