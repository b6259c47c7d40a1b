"""Tables of one neuron, one layer or one word, for the explorer to draw.

σ of an entity type is against *all* other words, as in the run's tables, so that much of it is
"entity or not", which the types share. z is a distance from a neuron's mean in its standard
deviations.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, Num

from plasticity_utils.data.concepts import CUSTOM_COLUMN, kinds, members
from plasticity_utils.data.corpus import Corpus
from plasticity_utils.data.tasks import ENTITY
from plasticity_utils.errors import InputError
from plasticity_utils.names import EPOCH_TITLES, OTHER
from plasticity_utils.neurons.scores import deviations, effect_sizes, selectivity
from plasticity_utils.neurons.words import highest_activating_words

POS = "pos"
_BINS = 40
PARTS_OF_SPEECH = 8
MOST_FOUND = 8  # sentences that a search shows
CONTEXT = 12  # words shown on each side of the word for which a sentence is shown
ORDERS = ("σ", "|σ|", "rise of |σ|", "|effect|", "activation", "peak z", "unit")
# What these sort by stands in no table, and is worked out of the activations.
COMPUTED = ("activation", "peak z")
_SIGMA = "selectivity_"


def memberships(corpus: Corpus) -> dict[str, np.ndarray]:
    """Tell which words are of each type that occurs, and of a concept of one's own, which is last.

    Where a corpus says on which types it is reported, there are no others.
    """
    columns = [name for name in (ENTITY, CUSTOM_COLUMN) if name in corpus.labels]
    there = {kind for column in columns for kind in corpus.types(column)}
    return {kind: members(corpus, kind) for kind in kinds(corpus) if kind in there}


def word_classes(corpus: Corpus) -> list[str]:
    """Give the type of each word, `other` for a word of none; a concept of one's own goes first."""
    classes = np.full(corpus.n_words, OTHER, dtype=object)
    for name, inside in memberships(corpus).items():
        classes[inside] = name
    return classes.tolist()


def concept_inventory(corpus: Corpus, n_parts: int = PARTS_OF_SPEECH) -> pd.DataFrame:
    """Tell which words belong to which concept, a column each: types, then parts of speech.

    Parts of speech are the most frequent ones, punctuation left out, if the corpus has them beside
    its types.
    """
    found = memberships(corpus)
    if POS in corpus.labels and corpus.labels[POS] != corpus.labels.get(ENTITY):
        tags = np.array(corpus.word_labels(POS))
        counted = [tag for tag, _ in Counter(tags.tolist()).most_common() if tag[:1].isalpha()]
        found |= {tag: tags == tag for tag in counted[:n_parts]}
    return pd.DataFrame(found, index=range(corpus.n_words))


def types_in(neurons: pd.DataFrame) -> list[str]:
    """Name the types for which a table of neurons has σ."""
    return [name.removeprefix(_SIGMA) for name in neurons if name.startswith(_SIGMA)]


def neuron_history(neurons: pd.DataFrame, layer: int, unit: int) -> pd.DataFrame:
    """Give one neuron's rows of a condition, a row a stage, in the order of training.

    `snapshot` is added: `base`, `removed`, then the epochs of retraining, the last with
    stage `end`. InputError, naming what there is, if there is no such neuron.
    """
    rows = neurons[(neurons["layer"] == layer) & (neurons["unit"] == unit)]
    if rows.empty:
        raise InputError(
            f"no neuron {unit} in layer {layer}; layers run from 0 to {neurons['layer'].max()}, "
            f"units from 0 to {neurons['unit'].max()}"
        )
    rows = rows.sort_values("epoch").reset_index(drop=True)
    snapshots = [EPOCH_TITLES.get(epoch, f"{epoch:g}") for epoch in rows["epoch"]]
    return rows.assign(snapshot=snapshots)


def layer_neurons(neurons: pd.DataFrame, stage: str, layer: int) -> pd.DataFrame:
    """Describe the neurons of a layer at a stage beside what they were in the base model.

    One row a unit: unit, removed (at any stage), sigma_base, sigma (of the concept), rise (of |σ|),
    effect (base standard deviations), gain (1, or of a removed neuron).
    """
    own = neurons[neurons["layer"] == layer]
    at = {name: own[own["stage"] == name].set_index("unit") for name in ("base", stage)}
    table = pd.DataFrame(
        {
            "removed": own.groupby("unit")["removed"].any(),
            "sigma_base": at["base"]["selectivity"],
            "sigma": at[stage]["selectivity"],
            "effect": at[stage]["effect"],
            "gain": at[stage]["gain"],
        }
    )
    table["rise"] = table["sigma"].abs() - table["sigma_base"].abs()
    return table.reset_index()


def sorted_neurons(
    layer: pd.DataFrame, order: str, computed: Float[np.ndarray, " unit"] | None = None
) -> pd.DataFrame:
    """Sort the neurons of a layer, the greatest first (`unit` counts up), with `value` as column.

    `computed` is what the orders `COMPUTED` sort by; InputError for an unknown order.
    """
    if order not in ORDERS:
        raise InputError(f"unknown order {order!r}; allowed: {', '.join(ORDERS)}")
    values = {
        **dict.fromkeys(COMPUTED, np.nan if computed is None else computed),
        "σ": layer["sigma"],
        "|σ|": layer["sigma"].abs(),
        "rise of |σ|": layer["rise"],
        "|effect|": layer["effect"].abs(),
        "unit": layer["unit"],
    }
    table = layer.assign(value=values[order])
    return table.sort_values("value", ascending=order == "unit", kind="stable")


def activation_histogram(
    activations: Float[np.ndarray, " word"],
    classes: Sequence[str],
    names: Iterable[str],
    among: Float[np.ndarray, " of_range"] | None = None,
) -> pd.DataFrame:
    """Count how a neuron's activations spread within each of these classes of words.

    Bins go over the range of `among`, by default of the activations themselves. Columns: class,
    low, high (edges of the bin), share (of the class's words), n (words of the class).
    """
    among = activations if among is None else among
    edges = np.histogram_bin_edges(among.astype(np.float64), _BINS)
    of_word = np.array(classes)
    parts = []
    for name in names:
        inside = activations[of_word == name]
        if inside.size:
            share = np.histogram(inside, edges)[0] / inside.size
            part = {"class": name, "low": edges[:-1], "high": edges[1:], "share": share}
            parts.append(pd.DataFrame({**part, "n": inside.size}))
    return pd.concat(parts, ignore_index=True)


def both_ends(
    activations: Float[np.ndarray, " word"], words: list[str], k: int = 10
) -> pd.DataFrame:
    """List the words that excite a neuron most and those that silence it most, if it varies."""
    # At the smallest scale few words occur twice; there single occurrences count.
    least = 2 if len(set(words)) < len(words) / 2 else 1
    return highest_activating_words(activations[:, None], words, [0], k, min_count=least)


def agreement(one: Float[np.ndarray, " word"], other: Float[np.ndarray, " word"]) -> float:
    """Correlate two neurons over the words; NaN if one of them does not vary."""
    z = deviation_scores(one) * deviation_scores(other)
    return float(z.mean()) if min(np.ptp(one), np.ptp(other)) > 0 else np.nan


def shared_words(
    one: Float[np.ndarray, " word"], other: Float[np.ndarray, " word"], words: list[str], k: int
) -> list[str]:
    """List the words that are among the k highest of both neurons, the first neuron's order."""
    ends = [both_ends(activations, words, k) for activations in (one, other)]
    highest = [end.loc[end["end"] == "positive", "word"].tolist() for end in ends]
    return [word for word in highest[0] if word in highest[1]]


def deviation_scores(
    activations: Float[np.ndarray, " word"], base: Float[np.ndarray, " of_base"] | None = None
) -> Float[np.ndarray, " word"]:
    """Distance of each activation from the mean over `base`, or over themselves, in its deviations.

    0 where the neuron does not vary there.
    """
    base = activations if base is None else base
    spread = base.std(dtype=np.float64) if np.ptp(base) > 0 else np.inf
    return (activations - base.mean(dtype=np.float64)) / spread


def words_in_sentences(
    activations: Float[np.ndarray, " word"], corpus: Corpus, k: int = 4
) -> pd.DataFrame:
    """Give the k sentences in which a neuron goes furthest up, and furthest down, if it varies.

    One row a word: end (`highest`, `lowest`), place (0 = strongest), sentence (its index), word,
    class, z, peak (the word for which the sentence is shown). Long ones are cut around the peak.
    """
    z = deviation_scores(activations)
    orders = {}
    for end, sign in (("highest", 1), ("lowest", -1)):
        order = np.argsort(-sign * z, kind="stable")
        orders[end] = order[sign * z[order] > 0]
    return _around(orders, 1, z, corpus, k)


def found_in_sentences(
    activations: Float[np.ndarray, " word"], corpus: Corpus, phrase: Sequence[str]
) -> pd.DataFrame:
    """Give the sentences in which these words stand in a row, whatever their case.

    Columns as `words_in_sentences`, end `found`; the `MOST_FOUND` in which the neuron is highest at
    any of them come first and are all.
    """
    z, words = deviation_scores(activations), np.array([word.lower() for word in corpus.words])
    n, first = len(phrase), _first_words(corpus)
    matches = np.ones(max(0, len(words) - n + 1), dtype=bool)
    for i, word in enumerate(phrase):
        matches &= words[i : i + len(matches)] == word.lower()
    starts = np.flatnonzero(matches)
    # A phrase does not go over the end of its sentence.
    ends = first[np.searchsorted(first, starts, side="right")]
    starts = starts[starts + n <= ends]
    heights = np.array([z[start : start + n].max() for start in starts])
    return _around({"found": starts[np.argsort(-heights, kind="stable")]}, n, z, corpus, MOST_FOUND)


def _first_words(corpus: Corpus) -> np.ndarray:
    """Place of each sentence's first word; the number of all words comes last."""
    return np.cumsum([0, *(len(sentence) for sentence in corpus.sentences)])


def _around(
    orders: Mapping[str, np.ndarray], n: int, z: np.ndarray, corpus: Corpus, k: int
) -> pd.DataFrame:
    """Show the first k sentences of each order of places, at each of which n words are meant."""
    first, classes, words, parts = _first_words(corpus), word_classes(corpus), corpus.words, []
    for end, order in orders.items():
        sentence_of = np.searchsorted(first, order, side="right") - 1
        _, earliest = np.unique(sentence_of, return_index=True)
        for place, at in enumerate(np.sort(earliest)[:k].tolist()):
            peak, sentence = int(order[at]), int(sentence_of[at])
            shown = range(
                max(first[sentence], peak - CONTEXT),
                min(first[sentence + 1], peak + n + CONTEXT),
            )
            part = {
                "word": [words[i] for i in shown],
                "class": [classes[i] for i in shown],
                "z": z[list(shown)],
                "peak": [peak <= i < peak + n for i in shown],
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

    `computed` holds, by snapshot, what `concept_selectivity` gives where activations are kept. A
    row a concept and snapshot: concept, kind (`entity type`, `part of speech`), snapshot,
    selectivity.
    """
    snapshots = history["snapshot"].tolist()
    known = {entity: history[f"{_SIGMA}{entity}"].tolist() for entity in types_in(history)}
    kinds = dict.fromkeys(known, "entity type")
    rest = [concept for sigma in computed.values() for concept in sigma.index]
    for concept in dict.fromkeys(rest):
        if concept not in known:
            kinds[concept] = "part of speech"
            known[concept] = [
                computed[snapshot].get(concept, np.nan) if snapshot in computed else np.nan
                for snapshot in snapshots
            ]
    rows = [
        (concept, kinds[concept], snapshot, float(value))
        for concept, values in known.items()
        for snapshot, value in zip(snapshots, values, strict=True)
    ]
    return pd.DataFrame(rows, columns=["concept", "kind", "snapshot", "selectivity"])


def described_neurons(
    X: Iterable[Float[np.ndarray, "word unit"]], corpus: Corpus, label: str
) -> pd.DataFrame:
    """Describe all neurons of one model as a run's table describes those of its base model.

    X is a layer at a time. Without a concept (`label` is empty) there is no σ of it to tell.
    """
    found = memberships(corpus)
    inside = np.stack(list(found.values()), axis=1) if found else None
    parts = []
    for layer, own in enumerate(X):
        part = pd.DataFrame({"layer": layer, "unit": range(own.shape[1])})
        if inside is not None:
            sigma = selectivity(own, inside)
            part = part.assign(**{f"{_SIGMA}{n}": sigma[:, i] for i, n in enumerate(found)})
        if label:
            part["effect"] = effect_sizes(own, found[label], deviations(own))
        parts.append(part)
    table = pd.concat(parts, ignore_index=True)
    facts = {"stage": "base", "epoch": -1.0, "removed": False, "gain": 1.0}
    if not label:
        return table.assign(**facts, selectivity=np.nan, effect=np.nan, rank=0)
    sigma = table[f"{_SIGMA}{label}"]
    rank = sigma.abs().rank(method="first", ascending=False).astype(int) - 1
    return table.assign(**facts, selectivity=sigma, rank=rank)


def strongest_neurons(z: Float[np.ndarray, " neuron"], d_model: int, k: int = 20) -> pd.DataFrame:
    """List the neurons that go highest on a word: layer, unit, z (one for each flat id)."""
    order = np.argsort(-z, kind="stable")[:k]
    return pd.DataFrame({"layer": order // d_model, "unit": order % d_model, "z": z[order]})
