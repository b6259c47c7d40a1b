"""What single neurons went through in a run: tidy tables, out of the one of all neurons.

A rise of |σ| or a turnover is told beside that of `none`, the drift that training alone causes.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Float

from plasticity_utils.data.concepts import kinds
from plasticity_utils.data.corpus import Corpus
from plasticity_utils.errors import InputError
from plasticity_utils.experiment.measure import PLACE, concept_columns, kept_neurons
from plasticity_utils.experiment.record import Run
from plasticity_utils.experiment.replay import activations_at, model_at
from plasticity_utils.experiment.splits import load_sentences
from plasticity_utils.models.activations import word_activations
from plasticity_utils.names import KINDS, OTHER, STAGES
from plasticity_utils.neurons.inventory import inventory, inventory_selectivity, thresholds
from plasticity_utils.neurons.scores import flat_ids


def kept_gain_table(neurons: pd.DataFrame) -> pd.DataFrame:
    """Mean rise of |σ| from base to end over kept neurons, per layer."""
    rises = {name: _rise(neurons, name) for name in neurons["condition"].unique()}
    rise = pd.concat(rises, names=["condition"]).rename("gain").reset_index()
    grouped = rise.groupby(["condition", "entity", "layer"], sort=False)["gain"]
    table = grouped.agg(gain="mean", error="sem", n_neurons="size").reset_index()
    margin = 1.96 * table.pop("error")
    return table.assign(gain_low=table["gain"] - margin, gain_high=table["gain"] + margin)


def turnover(neurons: pd.DataFrame, share: float) -> pd.DataFrame:
    """How many of the top kept neurons, a share of them, are the same before and after."""
    rows = []
    for condition in neurons["condition"].unique():
        base, end = (
            size["selectivity"] for size in _kept_sizes(neurons, condition, ["selectivity"])
        )
        n_top = max(1, round(share * len(base)))
        both = len(base.nlargest(n_top).index.intersection(end.nlargest(n_top).index))
        chance = n_top * n_top / len(base) if len(base) else float("nan")
        rows.append(
            {
                "condition": condition,
                "n_kept": len(base),
                "n_top": n_top,
                "jaccard": both / (2 * n_top - both) if len(base) else float("nan"),
                "jaccard_by_chance": chance / (2 * n_top - chance),
                "spearman": base.corr(end, method="spearman"),
            }
        )
    return pd.DataFrame(rows)


def regrowth(neurons: pd.DataFrame) -> pd.DataFrame:
    """How far removed neurons grew back: their gains and their effects, through retraining."""
    gone = neurons[neurons["removed"]]
    base = neurons[neurons["stage"] == "base"].set_index(["condition", *PLACE])["effect"].abs()
    keys = gone.set_index(["condition", *PLACE]).index
    gone = gone.assign(share=gone["effect"].abs().to_numpy() / base.reindex(keys).to_numpy())
    grouped = gone.groupby(["condition", "epoch"], sort=False)
    table = grouped["gain"].agg(
        gain="median",
        gain_low=lambda gains: gains.quantile(0.05),
        gain_high=lambda gains: gains.quantile(0.95),
        n_neurons="size",
    )
    return table.assign(effect=grouped["share"].median()).reset_index()


def newly_salient(neurons: pd.DataFrame, k: int) -> pd.DataFrame:
    """The k kept neurons whose |σ| rose most in `targeted`, with their words through the run.

    They are picked by their rise on the ranking part and shown on the measuring part. Words are of
    the end of the scale on which the concept lies: `words_low` where σ is negative.
    """
    wide = _through_stages(neurons, "targeted")
    wide = wide[~wide["removed"]]
    none = _through_stages(neurons, "none")
    wide["rise_under_none"] = none["selectivity_end"].abs() - none["selectivity_base"].abs()
    return _shown(wide.nlargest(k, "ranking_selectivity_rise"), "rise_under_none")


def selectivity_change(neurons: pd.DataFrame, k: int, most: int = 1000) -> pd.DataFrame:
    """σ of the neurons of `targeted` in the base model and at the end, one row a neuron.

    The k kept neurons that rose most, on the ranking part, are `newly salient`. Of more than `most`
    kept neurons every n-th is taken, in flat order.
    """
    wide = _through_stages(neurons, "targeted")
    wide["kind"] = "kept"
    wide.loc[wide[~wide["removed"]].nlargest(k, "ranking_selectivity_rise").index, "kind"] = (
        "newly salient"
    )
    wide.loc[wide["removed"], "kind"] = "removed"
    wide["words"] = wide["words_base"].where(wide["removed"], wide["words_end"])
    kept = wide[wide["kind"] == "kept"].iloc[:: 1 + len(wide) // most]
    shown = pd.concat([kept, wide[wide["kind"] != "kept"]])
    names = ["selectivity_base", "selectivity_end", "kind", "words"]
    return shown[names].reset_index()


def removed_neurons(neurons: pd.DataFrame, k: int) -> pd.DataFrame:
    """The k most selective of the removed neurons, with their words through the run."""
    wide = _through_stages(neurons, "targeted")
    wide = wide[wide["removed"]]
    order = wide["selectivity_base"].abs().sort_values(ascending=False, kind="stable").index[:k]
    return _shown(wide.loc[order], "effect_end", "gain")


def _kept_sizes(
    neurons: pd.DataFrame, condition: str, columns: list[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """|σ| of a condition's kept neurons by (layer, unit), at base and at the end."""
    own = neurons[neurons["condition"] == condition]
    kept = kept_neurons(neurons, condition)
    base, end = (
        own[own["stage"] == stage].set_index(PLACE).loc[kept, columns].abs()
        for stage in ("base", "end")
    )
    return base, end


def _rise(neurons: pd.DataFrame, condition: str) -> pd.Series:
    """Rise of |σ| of each kept neuron for each entity type, by (layer, unit, entity)."""
    columns = [name for name in neurons if name.startswith("selectivity_")]
    base, end = _kept_sizes(neurons, condition, columns)
    rise = (end - base).rename(columns=lambda name: name.removeprefix("selectivity_"))
    return rise.rename_axis(columns="entity").stack()


def _through_stages(neurons: pd.DataFrame, condition: str) -> pd.DataFrame:
    """One row a neuron, with its σ, effect and words at base, removed and end side by side."""
    own = neurons[neurons["condition"] == condition].set_index(PLACE)
    stages = {name: own[own["stage"] == name] for name in ("base", "removed", "end")}
    wide = stages["end"][["removed", "gain"]].copy()
    for name, stage in stages.items():
        wide[f"selectivity_{name}"] = stage["selectivity"]
        wide[f"effect_{name}"] = stage["effect"]
        high = stage["words"].where(stage["selectivity"] >= 0, stage["words_low"])
        wide[f"words_{name}"] = high
    wide["ranking_selectivity_rise"] = (
        stages["end"]["ranking_selectivity"].abs() - stages["base"]["ranking_selectivity"].abs()
    )
    return wide


def _shown(wide: pd.DataFrame, *extra: str) -> pd.DataFrame:
    words = [f"words_{name}" for name in ("base", "removed", "end")]
    columns = ["selectivity_base", "selectivity_end", *extra, *words]
    return wide[columns].reset_index()


BINS = 20
_CUT = 0.005  # of the words at either end, so that one far word does not flatten all others


def neuron_cards(run: Run, n: int = 100) -> dict[str, pd.DataFrame]:
    """Describe the n neurons of a run that matter most: the four tables of cards.

    A third of them are removed, half of the rest newly salient, the others polysemantic; a run in
    which there are not as many of a kind has fewer cards. Activations come from the run's models,
    so an InputError is raised where these are gone, and if n is below 3. `n_types` in cards
    published with version 0.1.0 is from one threshold for all types.
    """
    if n < len(KINDS):
        raise InputError(f"n = {n}: at least {len(KINDS)} neurons, one of each kind")
    corpus = load_sentences(run.config).measuring
    neurons = _chosen(run, n)
    ids = flat_ids(neurons[PLACE].to_numpy(), _width(run))
    stored = {stage: activations_at(run, "targeted", stage) for stage in STAGES}
    X = {stage: activations[ids].astype(np.float32) for stage, activations in stored.items()}
    neurons["n_types"] = 0
    if "entity" in corpus.labels:
        served = _excess(run, X["end"].T, "measuring") > 1
        neurons["n_types"] = served.sum(axis=1)
    neurons["low"], neurons["high"] = _ends(np.concatenate(list(X.values()), axis=1))
    return {
        "card_neurons": neurons,
        "card_stages": _stages(run, neurons),
        "card_words": _words(run, neurons),
        "card_histograms": _histograms(X, corpus, neurons),
    }


def _excess(
    run: Run, X: Float[np.ndarray, "word neuron"], part: str
) -> Float[np.ndarray, "neuron entity"]:
    """|σ| of neurons for each entity type among entity words, over the type's threshold.

    A neuron serves a type from 1 on: thresholds are those of the base, as in `RunSnapshots`.
    """
    types = inventory(getattr(load_sentences(run.config), part).word_labels("entity"))
    base = np.asarray(activations_at(run, "none", "base", part)).T.astype(np.float32)
    tau = thresholds(base, types, run.config.seed)
    return np.abs(inventory_selectivity(X, types)) / tau


def _chosen(run: Run, n: int) -> pd.DataFrame:
    """Layer, unit, kind and place of the neurons that get a card, each of one kind."""
    removed = removed_neurons(run.neurons, n // 3)[PLACE]
    new = newly_salient(run.neurons, (n - len(removed)) // 2)[PLACE]
    taken = pd.concat([removed, new])
    several = _polysemantic(run, taken, n - len(taken))
    parts = [
        part.assign(kind=kind, place=range(1, len(part) + 1))
        for kind, part in zip(KINDS, (removed, new, several), strict=True)
    ]
    return pd.concat(parts, ignore_index=True)


def _polysemantic(run: Run, taken: pd.DataFrame, k: int) -> pd.DataFrame:
    """Kept neurons that serve two entity types, those first that serve their second one best."""
    corpus = load_sentences(run.config).ranking
    if "entity" not in corpus.labels:
        return taken.iloc[:0]
    with model_at(run, "targeted", "end") as (model, tokenizer):
        X = word_activations(model, tokenizer, corpus.sentences)
    second = np.sort(_excess(run, X, "ranking"), axis=1)[:, -2]
    at_end = _at(run, "targeted", "end")
    second[at_end["removed"].to_numpy()] = 0
    second[flat_ids(taken.to_numpy(), _width(run))] = 0
    order = np.argsort(-second, kind="stable")[:k]
    return at_end.iloc[order[second[order] > 1]][PLACE].reset_index(drop=True)


def _ends(pooled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each neuron's histogram begins and ends, over all of its stages."""
    low, high = np.quantile(pooled, [_CUT, 1 - _CUT], axis=1)
    return low, np.where(high > low, high, low + 1)


def _histograms(X: dict[str, np.ndarray], corpus: Corpus, neurons: pd.DataFrame) -> pd.DataFrame:
    members = concept_columns(corpus)
    low = neurons["low"].to_numpy()[:, None]
    width = (neurons["high"] - neurons["low"]).to_numpy()[:, None] / BINS
    classes = [*members.T, ~members.any(axis=1)]
    parts = []
    for stage, activation in X.items():
        bins = ((activation - low) / width).astype(int).clip(0, BINS - 1)
        for name, inside in zip([*kinds(corpus), OTHER], classes, strict=True):
            counts = np.stack([np.bincount(row, minlength=BINS) for row in bins[:, inside]])
            shares = (counts / max(inside.sum(), 1)).round(4)
            part = neurons[PLACE].assign(stage=stage, entity=name, n_words=int(inside.sum()))
            parts.append(part.assign(share=list(shares.astype(np.float32))))
    return pd.concat(parts, ignore_index=True)


def _stages(run: Run, neurons: pd.DataFrame) -> pd.DataFrame:
    sigma = [name for name in run.neurons if name.startswith("selectivity_")]
    columns = ["condition", "stage", "epoch", *PLACE, "gain", *sigma]
    both = run.neurons[run.neurons["condition"].isin(["targeted", "none"])]
    return neurons[PLACE].merge(both[columns], on=PLACE)[columns].round(dict.fromkeys(sigma, 3))


def _words(run: Run, neurons: pd.DataFrame) -> pd.DataFrame:
    columns = ["stage", *PLACE, "words", "words_low"]
    shown = pd.concat([_at(run, "targeted", stage) for stage in STAGES])
    return neurons[PLACE].merge(shown[columns], on=PLACE)[columns]


def _at(run: Run, condition: str, stage: str) -> pd.DataFrame:
    """Rows of one snapshot, in flat order."""
    rows = (run.neurons["condition"] == condition) & (run.neurons["stage"] == stage)
    return run.neurons[rows].sort_values(PLACE, ignore_index=True)


def _width(run: Run) -> int:
    return int(run.neurons["unit"].max()) + 1
