"""What one neuron does, as plain tables: the numbers behind every view of the explorer.

Which words excite it and which silence it? Does it tell places from persons, or nouns from numbers,
and did that change when neurons were removed and the model trained on? What does it do in a
sentence? Each function takes a run's table of neurons, or one neuron's activations over the words
of the measuring half, and returns a tidy frame. Nothing here draws, and nothing loads a model.

Caveat: σ of an entity type is against *all* other words, as in the run's tables; much of it is
"entity or not", which the four types share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, Num

from plasticity_utils.data.corpus import Corpus
from plasticity_utils.errors import InputError
from plasticity_utils.experiment.measure import ENTITIES
from plasticity_utils.neurons.inventory import inventory
from plasticity_utils.neurons.scores import selectivity
from plasticity_utils.neurons.words import highest_activating_words

REST = "O"
CLASSES = (*ENTITIES, REST)
BINS = 40
PARTS_OF_SPEECH = 8
EPOCHS = {0.125: "⅛", 0.25: "¼", 0.5: "½"}
CONTEXT = 12  # words shown on each side of the word for which a sentence is shown
ORDERS = ("|σ|", "rise of |σ|", "|effect|", "activation", "unit")


def word_classes(corpus: Corpus) -> list[str]:
    """Give the entity type of each word, `O` for a word of none."""
    return [tag[2:] if tag[1:2] == "-" else REST for tag in corpus.word_labels("entity")]


def concept_inventory(corpus: Corpus, n_parts: int = PARTS_OF_SPEECH) -> pd.DataFrame:
    """Tell which words belong to which concept, a column a concept: see `inventory`."""
    labels = (corpus.word_labels("entity"), corpus.word_labels("pos"))
    found = inventory(*labels, most=n_parts)
    return pd.DataFrame(found.members, columns=list(found.names))


def neuron_history(neurons: pd.DataFrame, layer: int, unit: int) -> pd.DataFrame:
    """Give one neuron's rows of a condition, a row a stage, in the order of training.

    Parameters
    ----------
    neurons : DataFrame
        Rows of one condition of `run.neurons`.
    layer, unit : int

    Returns
    -------
    DataFrame
        The columns of `neuron_table`, and `moment`: `base`, `removed`, then the epochs of
        retraining, the last of them with stage `end`.

    Raises
    ------
    InputError
        If there is no such neuron; the message names what there is.
    """
    rows = neurons[(neurons["layer"] == layer) & (neurons["unit"] == unit)]
    if rows.empty:
        raise InputError(
            f"no neuron {unit} in layer {layer}; layers run from 0 to {neurons['layer'].max()}, "
            f"units from 0 to {neurons['unit'].max()}"
        )
    rows = rows.sort_values("epoch").reset_index(drop=True)
    moments = [
        stage if stage in ("base", "removed") else EPOCHS.get(epoch, f"{epoch:g}")
        for stage, epoch in zip(rows["stage"], rows["epoch"], strict=True)
    ]
    return rows.assign(moment=moments)


def layer_neurons(neurons: pd.DataFrame, stage: str, layer: int) -> pd.DataFrame:
    """Describe the neurons of a layer at a stage beside what they were in the base model.

    Parameters
    ----------
    neurons : DataFrame
        Rows of one condition of `run.neurons`.
    stage : {"base", "removed", "end"}
    layer : int

    Returns
    -------
    DataFrame
        One row a unit: unit, removed (at any stage), sigma_base, sigma (σ of the concept, −1 to 1),
        rise (of |σ|, −1 to 1), effect (base standard deviations), gain (1, or of a removed neuron).
    """
    own = neurons[neurons["layer"] == layer]
    at = {name: own[own["stage"] == name].set_index("unit") for name in ("base", stage, "end")}
    table = pd.DataFrame(
        {
            "removed": at["end"]["removed"],
            "sigma_base": at["base"]["selectivity"],
            "sigma": at[stage]["selectivity"],
            "effect": at[stage]["effect"],
            "gain": at[stage]["gain"],
        }
    )
    table["rise"] = table["sigma"].abs() - table["sigma_base"].abs()
    return table.reset_index()


def in_order(
    layer: pd.DataFrame, order: str, activation: Float[np.ndarray, " unit"] | None = None
) -> pd.DataFrame:
    """Sort the neurons of a layer, the greatest first; `unit` counts up.

    Parameters
    ----------
    layer : DataFrame
        From `layer_neurons`.
    order : str
        One of `ORDERS`.
    activation : float array, [n_units], optional
        What `activation` sorts by, for instance the mean over the concept's words; NaN by default.

    Returns
    -------
    DataFrame
        As `layer`, with the value that it is sorted by in `value`; ties go to the lower unit.

    Raises
    ------
    InputError
        For an unknown order.
    """
    if order not in ORDERS:
        raise InputError(f"unknown order {order!r}; allowed: {', '.join(ORDERS)}")
    values = {
        "|σ|": layer["sigma"].abs(),
        "rise of |σ|": layer["rise"],
        "|effect|": layer["effect"].abs(),
        "activation": np.nan if activation is None else activation,
        "unit": layer["unit"],
    }
    table = layer.assign(value=values[order])
    return table.sort_values("value", ascending=order == "unit", kind="stable")


def activation_histogram(
    activations: Float[np.ndarray, " word"], classes: Sequence[str]
) -> pd.DataFrame:
    """Count how a neuron's activations spread within each class of words.

    Parameters
    ----------
    activations : float array, [n_words]
        One neuron: a row of `activations_at`.
    classes : sequence of str
        From `word_classes`.

    Returns
    -------
    DataFrame
        class, low, high (edges of the bin, in units of the activation), share (of the class's
        words, 0–1), n (words of the class). A class without words has no rows.
    """
    edges = np.histogram_bin_edges(activations.astype(np.float64), BINS)
    of_word = np.array(classes)
    parts = []
    for name in CLASSES:
        inside = activations[of_word == name]
        if inside.size:
            share = np.histogram(inside, edges)[0] / inside.size
            part = {"class": name, "low": edges[:-1], "high": edges[1:], "share": share}
            parts.append(pd.DataFrame({**part, "n": inside.size}))
    return pd.concat(parts, ignore_index=True)


def both_ends(
    activations: Float[np.ndarray, " word"], words: list[str], k: int = 10
) -> pd.DataFrame:
    """List the words that excite a neuron most and those that silence it most.

    Returns
    -------
    DataFrame
        As `highest_activating_words`; without rows for a neuron that does not vary.
    """
    # At the smallest scale few words occur twice; there single occurrences count.
    least = 2 if len(set(words)) < len(words) / 2 else 1
    return highest_activating_words(activations[:, None], words, [0], k, min_count=least)


def deviation_scores(activations: Float[np.ndarray, " word"]) -> Float[np.ndarray, " word"]:
    """Distance of each activation from the neuron's mean, in its standard deviations; 0 if none."""
    spread = activations.std(dtype=np.float64) if np.ptp(activations) > 0 else np.inf
    return (activations - activations.mean(dtype=np.float64)) / spread


def words_in_sentences(
    activations: Float[np.ndarray, " word"], corpus: Corpus, k: int = 4
) -> pd.DataFrame:
    """Give the sentences in which a neuron goes furthest up, and furthest down.

    Parameters
    ----------
    activations : float array, [n_words]
    corpus : Corpus
        The sentences of these words.
    k : int
        Sentences at each end; one sentence stands once at an end.

    Returns
    -------
    DataFrame
        One row a word: end (`highest`, `lowest`), place (0 = strongest), sentence (its index),
        word, class (from `word_classes`), z (from `deviation_scores`), peak (the word for which the
        sentence is shown). Long sentences are cut around the peak. A neuron that does not vary has
        no rows.
    """
    z = deviation_scores(activations)
    lengths = [len(sentence) for sentence in corpus.sentences]
    sentence_of = np.repeat(np.arange(len(lengths)), lengths)
    first = np.cumsum([0, *lengths])
    classes, words, parts = word_classes(corpus), corpus.words, []
    for end, sign in (("highest", 1), ("lowest", -1)):
        order = np.argsort(-sign * z, kind="stable")
        order = order[sign * z[order] > 0]
        _, earliest = np.unique(sentence_of[order], return_index=True)
        for place, peak in enumerate(order[np.sort(earliest)[:k]]):
            sentence = int(sentence_of[peak])
            shown = range(
                max(first[sentence], peak - CONTEXT), min(first[sentence + 1], peak + CONTEXT + 1)
            )
            part = {
                "word": [words[i] for i in shown],
                "class": [classes[i] for i in shown],
                "z": z[list(shown)],
                "peak": [i == peak for i in shown],
            }
            parts.append(pd.DataFrame(part).assign(end=end, place=place, sentence=sentence))
    names = ["end", "place", "sentence", "word", "class", "z", "peak"]
    return pd.concat(parts, ignore_index=True)[names] if parts else pd.DataFrame(columns=names)


def concept_selectivity(
    activations: Num[np.ndarray, " word"], inventory: pd.DataFrame
) -> pd.Series:
    """σ of one neuron for every concept of the inventory, by the concept's name."""
    values = activations.astype(np.float32)[:, None]
    sigma = selectivity(values, inventory.to_numpy(dtype=bool))[0]
    return pd.Series(sigma, index=inventory.columns)


def selectivity_profile(history: pd.DataFrame, computed: Mapping[str, pd.Series]) -> pd.DataFrame:
    """σ of one neuron for every concept through the stages of a run.

    Parameters
    ----------
    history : DataFrame
        From `neuron_history`: it holds the entity types at every moment.
    computed : mapping of moment to Series
        From `concept_selectivity`, where activations are kept, else empty; the rest of the
        inventory is taken from it.

    Returns
    -------
    DataFrame
        A row a concept and moment, in the order of the inventory and of training: concept, kind
        (`entity type`, `part of speech`), moment, selectivity (−1 to 1; NaN where unknown).
    """
    moments = history["moment"].tolist()
    known = {
        entity: history[f"selectivity_{entity}"].tolist()
        for entity in ENTITIES
        if f"selectivity_{entity}" in history
    }
    kinds = dict.fromkeys(known, "entity type")
    rest = [concept for sigma in computed.values() for concept in sigma.index]
    for concept in dict.fromkeys(rest):
        if concept not in known:
            kinds[concept] = "part of speech"
            known[concept] = [
                computed[moment].get(concept, np.nan) if moment in computed else np.nan
                for moment in moments
            ]
    rows = [
        (concept, kinds[concept], moment, float(value))
        for concept, values in known.items()
        for moment, value in zip(moments, values, strict=True)
    ]
    return pd.DataFrame(rows, columns=["concept", "kind", "moment", "selectivity"])
