"""What is measured of a model at one snapshot: before removal, just after, and while it trains on.

Three tidy tables come of it. *metrics*: entity F1 on the scoring part. *neurons*: for every neuron
its selectivity, probeless score and effect for every entity type, and the words that excite and
silence it, on the measuring part. *layers*: how well a linear probe reads each entity type off each
layer. (A concept of one's own stands beside the entity types, or alone where a pair of files has
none.) The probe answers a question of its own: F1 falls as soon as the head is misled, but is the
concept still there to be read? It is Fisher's linear discriminant with Ledoit–Wolf shrinkage:
linear like the head, fitted in closed form on the ranking part, scored on the measuring part.

Neurons get their selectivity on the ranking part too (`ranking_selectivity_*`): whoever looks for
the neurons that rose most picks them by that, and reports what they do on the measuring part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool
from sklearn.metrics import precision_recall_fscore_support
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from plasticity_utils.data.concepts import kinds, members
from plasticity_utils.data.corpus import Corpus
from plasticity_utils.experiment.splits import Sentences
from plasticity_utils.models.activations import StoredActivations, stored_activations
from plasticity_utils.models.load import width
from plasticity_utils.neurons.probes import Discriminants, Moments, discriminants
from plasticity_utils.neurons.scores import (
    Ranking,
    deviations,
    effect_sizes,
    flat_ids,
    layer_unit,
    probeless,
    rank_neurons,
    rank_saliency,
    ranking_of,
    removal_only_profile,
    scores_alone,
    selectivity,
)
from plasticity_utils.neurons.words import highest_activating_words
from plasticity_utils.progress import bar
from plasticity_utils.registry import rankings
from plasticity_utils.removal.interface import Intervention
from plasticity_utils.training.evaluate import entity_scores
from plasticity_utils.training.train import TaggedSentences, predict_tags

WORDS_SHOWN = 5


def score_tagged(model: PreTrainedModel, data: TaggedSentences) -> pd.DataFrame:
    """Precision, recall and F1 of a model on a task's types: the table of `entity_scores`."""
    return entity_scores(data.tags, predict_tags(model, data), data.types)


def concept_columns(corpus: Corpus) -> np.ndarray:
    """Membership of each word in each of `kinds`, bool [n_words, n_kinds]."""
    return np.stack([members(corpus, kind) for kind in kinds(corpus)], axis=1)


@dataclass(frozen=True)
class Classes:
    """Words of a corpus, and which of them belong to each concept (`concept_columns`)."""

    words: Sequence[str]
    names: tuple[str, ...]
    inside: Bool[np.ndarray, "word concept"]

    @classmethod
    def of(cls, corpus: Corpus) -> Classes:
        """Look the concepts up once for all layers."""
        return cls(corpus.words, tuple(kinds(corpus)), concept_columns(corpus))


def measure_neurons(
    X: np.ndarray, classes: Classes, base_deviation: np.ndarray | None = None
) -> pd.DataFrame:
    """Describe neurons: scores for each type, words at either end, and the deviation.

    `base_deviation` is the standard deviation of each neuron on these words in the base model; by
    default the neurons are of the base.
    """
    table, deviation = pd.DataFrame(index=range(X.shape[1])), deviations(X)
    reference = deviation if base_deviation is None else base_deviation
    sigma = selectivity(X, classes.inside)
    for column, entity in enumerate(classes.names):
        inside = classes.inside[:, column]
        table[f"selectivity_{entity}"] = sigma[:, column].astype(np.float32)
        table[f"probeless_{entity}"] = probeless(X, inside).astype(np.float32)
        table[f"effect_{entity}"] = effect_sizes(X, inside, reference).astype(np.float32)
    return table.join(_top_words(X, classes.words)).assign(deviation=deviation.astype(np.float32))


def score_readings(read: np.ndarray, classes: Classes) -> pd.DataFrame:
    """How well a linear probe read each type off one layer, bool [n_words, n_concepts]."""
    rows = []
    for column, entity in enumerate(classes.names):
        truth = classes.inside[:, column]
        precision, recall, f1, _ = precision_recall_fscore_support(
            truth, read[:, column], average="binary", zero_division=0
        )
        rows.append((entity, precision, recall, f1, int(truth.sum())))
    names = ["entity", "word_precision", "word_recall", "word_f1", "n_words"]
    return pd.DataFrame(rows, columns=names)


def measure(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    sentences: Sentences,
    scoring: TaggedSentences,
    base_deviation: np.ndarray | None = None,
    folder: Path | None = None,
) -> dict[str, pd.DataFrame]:
    """Measure a model as it is now, with whatever is removed from it.

    Gives `metrics`, `neurons` and `layers`, as in the module's description. `base_deviation` holds
    the standard deviations of the base model; by default the model is the base. Activations lie in
    `folder` meanwhile, see `stored_activations`.
    """
    tables = measure_layers(
        model, tokenizer, sentences.measuring, sentences.ranking, base_deviation, folder
    )
    return {"metrics": score_tagged(model, scoring), **tables}


def measure_layers(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    measuring: Corpus,
    ranking: Corpus,
    base_deviation: np.ndarray | None = None,
    folder: Path | None = None,
) -> dict[str, pd.DataFrame]:
    """Give the tables `neurons` and `layers` of `measure`, reading activations a part at a time."""
    reported, fitted = Classes.of(measuring), Classes.of(ranking)
    with stored_activations(model, tokenizer, ranking.sentences, folder) as stored:
        on_ranking, probes = _ranked_and_probed(stored, fitted)
    neurons, layers = [], []
    with stored_activations(model, tokenizer, measuring.sentences, folder) as stored:
        with bar(desc="neurons", total=stored.n_neurons) as progress:
            for ids, X in stored.by_neurons():
                own = None if base_deviation is None else base_deviation[ids]
                neurons.append(measure_neurons(X, reported, own))
                progress.update(X.shape[1])
        for layer, probe in enumerate(probes):
            read = np.concatenate([probe.predict(X) for X in stored.by_words(layer)])
            scores = score_readings(read, reported)
            scores.insert(0, "layer", layer)
            layers.append(scores)
    table = pd.concat(neurons, ignore_index=True)
    table[[f"ranking_selectivity_{entity}" for entity in fitted.names]] = on_ranking
    places = layer_unit(range(len(table)), width(model))
    return {
        "neurons": pd.DataFrame(places, columns=PLACE).join(table),
        "layers": pd.concat(layers, ignore_index=True),
    }


def _ranked_and_probed(
    stored: StoredActivations, classes: Classes
) -> tuple[np.ndarray, list[Discriminants]]:
    """Selectivity of all neurons, and a probe of each layer."""
    scores, parts = [], []
    for _, X in stored.by_neurons():
        scores.append(selectivity(X, classes.inside).astype(np.float32))
        parts.append(Moments.of(X, classes.inside))
    moments, shares = Moments.joined(parts), classes.inside.mean(axis=0)
    probes = [
        discriminants(stored.by_words(layer), shares, moments.of_units(stored.units(layer)))
        for layer in range(stored.n_layers)
    ]
    return np.concatenate(scores), probes


def rank_stored(stored: StoredActivations, is_concept: np.ndarray, method: str) -> Ranking:
    """Rank all neurons as `rank_neurons` does, some at a time where each is scored alone."""
    if not scores_alone(rankings.get(method)):
        X = np.concatenate([X for _, X in stored.by_neurons()], axis=1)
        return rank_neurons(X, is_concept, method)
    scores = [rank_neurons(X, is_concept, method).scores for _, X in stored.by_neurons()]
    return ranking_of(np.concatenate(scores), method, stored.n_layers)


def _top_words(X: np.ndarray, words: Sequence[str]) -> pd.DataFrame:
    """Join the highest- and lowest-activating words of each neuron into one text each."""
    table = highest_activating_words(X, words, range(X.shape[1]), WORDS_SHOWN)
    texts = table.groupby(["neuron", "end"])["word"].agg(" · ".join).unstack()
    texts = texts.reindex(range(X.shape[1]), columns=["positive", "negative"]).fillna("")
    return texts.set_axis(["words", "words_low"], axis=1)


Measured = Mapping[str, Mapping[tuple[str, float], Mapping[str, pd.DataFrame]]]
_KEYS = ["condition", "stage", "epoch"]
# Rankings that are measured at every stage.
_RANKED = ("probeless", "selectivity")
PLACE = ["layer", "unit"]


def metrics_table(measured: Measured) -> pd.DataFrame:
    """F1 at every stage of every condition: the table `metrics`.

    `measured` holds the tables of `measure` by condition, stage (`base`, `removed`, `retraining`,
    `end`) and epoch (−1 for the base, 0 just removed).
    """
    return _stacked(measured, "metrics")


def neuron_table(
    measured: Measured, in_force: Mapping[str, Intervention | None], label: str, method: str
) -> pd.DataFrame:
    """Every neuron at every stage: the table `neurons`.

    `in_force` is what each condition removes, and `method` the ranking by which it was chosen:
    `rank` is by that where it is measured at every stage, else by |σ|.
    """
    table = _stacked(measured, "neurons")
    table["removed"] = False
    for condition, intervention in in_force.items():
        if intervention is not None:
            d_model = int(table["unit"].max()) + 1
            ids = table["layer"] * d_model + table["unit"]
            after = (table["condition"] == condition) & (table["stage"] != "base")
            table.loc[after, "removed"] = ids[after].isin(flat_ids(intervention.neurons, d_model))
    if "gain" not in table:
        table["gain"] = np.nan
    table["gain"] = table["gain"].fillna(1 - table["removed"].astype(float))
    for score in (*_RANKED, "effect", "ranking_selectivity"):
        table[score] = table[f"{score}_{label}"]
    # What is not measured ranks the base model only; through the stages |σ| stands in for it.
    by = table[method if method in _RANKED else "selectivity"].abs()
    grouped = by.groupby([table[key] for key in _KEYS], sort=False)
    table["rank"] = grouped.transform(_ranks).astype(int)
    table["rank_saliency"] = grouped.transform(_saliency)
    kept = [name for name in table if name.startswith("selectivity_")]
    return table[
        [*_KEYS, "layer", "unit", "removed", "gain", "probeless", "selectivity", "effect",
         "ranking_selectivity", "rank", "rank_saliency", *kept, "words", "words_low"]
    ]  # fmt: skip


def layer_table(measured: Measured, neurons: pd.DataFrame, label: str) -> pd.DataFrame:
    """Every layer at every stage, for every type: the table `layers`."""
    kept = {name: kept_neurons(neurons, name) for name in neurons["condition"].unique()}
    rows = [
        _layers(group, kept[group["condition"].iloc[0]]).assign(
            **dict(zip(_KEYS, key, strict=True))
        )
        for key, group in neurons.groupby(_KEYS, sort=False)
    ]
    table = pd.concat(rows, ignore_index=True).merge(
        _removal_only(neurons), on=["condition", "layer"], how="left"
    )
    table.loc[table["entity"] != label, ["rank_saliency", "removal_only"]] = np.nan
    probes = _stacked(measured, "layers")
    return table.merge(probes, on=[*_KEYS, "layer", "entity"])


def kept_neurons(neurons: pd.DataFrame, condition: str) -> pd.MultiIndex:
    """(layer, unit) of the neurons that neither `targeted` nor the condition itself removed."""
    compared = neurons[neurons["condition"].isin(["targeted", condition])]
    gone = compared.groupby(PLACE)["removed"].any()
    return gone.index[~gone]


def _stacked(measured: Measured, name: str) -> pd.DataFrame:
    parts = [
        found[name].assign(condition=condition, stage=stage, epoch=epoch)
        for condition, stages in measured.items()
        for (stage, epoch), found in stages.items()
    ]
    table = pd.concat(parts, ignore_index=True)
    return table[[*_KEYS, *(column for column in table if column not in _KEYS)]]


def _ranks(scores: pd.Series) -> np.ndarray:
    return ranking_of(scores.to_numpy(dtype=np.float64), "").ranks


def _saliency(scores: pd.Series) -> np.ndarray:
    return rank_saliency(ranking_of(scores.to_numpy(dtype=np.float64), "").order)


def _layers(neurons: pd.DataFrame, kept_places: pd.MultiIndex) -> pd.DataFrame:
    """Describe the layers of one stage of one condition, for every entity type."""
    kept = neurons[pd.MultiIndex.from_frame(neurons[PLACE]).isin(kept_places)]
    n_removed = neurons.groupby("layer")["removed"].sum()
    saliency = neurons.groupby("layer")["rank_saliency"].mean()
    parts = []
    for column in (name for name in neurons if name.startswith("selectivity_")):
        size = kept[column].abs().groupby(kept["layer"])
        parts.append(
            pd.DataFrame(
                {
                    "entity": column.removeprefix("selectivity_"),
                    "n_kept": size.size().reindex(n_removed.index, fill_value=0),
                    "n_removed": n_removed,
                    "selectivity": size.mean(),
                    "share": size.sum() / kept[column].abs().sum(),
                    "rank_saliency": saliency,
                }
            ).reset_index()
        )
    return pd.concat(parts, ignore_index=True)


def _removal_only(neurons: pd.DataFrame) -> pd.DataFrame:
    """Layer profile that removal alone would make of each condition's base ranking."""
    d_model, n_layers = int(neurons["unit"].max()) + 1, int(neurons["layer"].max()) + 1
    rows = []
    for condition, group in neurons.groupby("condition", sort=False):
        base = group[group["stage"] == "base"].sort_values("rank")
        order = flat_ids(base[["layer", "unit"]].to_numpy(), d_model)
        gone = group[(group["stage"] == "end") & group["removed"]]
        removed = flat_ids(gone[["layer", "unit"]].to_numpy(), d_model)
        profile = removal_only_profile(order, removed.tolist(), n_layers)
        rows.append(
            pd.DataFrame(
                {"condition": condition, "layer": range(n_layers), "removal_only": profile}
            )
        )
    return pd.concat(rows, ignore_index=True)
