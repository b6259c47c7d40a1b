"""Which neurons carry the parts of a run's concept before and after, under each condition?

Locations are cut by the gazetteer, persons and organisations into clusters of their words. A neuron
carries the part that it is most selective for *within* the concept's words. Training on moves
neurons about by itself, so what `concept` does stands beside the same neurons under `none` and
`random`. Words of one name are alike, so chance is judged by shuffling the parts among the names
and not among the words: a part of few names is easily carried.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from jaxtyping import Float, Shaped

from plasticity_utils.questions.moments import BASE, Moments
from plasticity_utils.questions.polysemanticity import LEAST_SELECTIVITY, NOTHING
from plasticity_utils.questions.subconcepts import (
    Clusters,
    carried,
    carriers,
    cluster_words,
    entity_spans,
    location_kinds,
)
from plasticity_utils.words import embed_words

CONDITIONS = ("concept", "random", "none")
N_SHUFFLES = 5
N_SHOWN = 3
# With fewer words, shuffled labels alone would bring neurons above the threshold.
FEWEST_WORDS = 30
_COUNTED = ["layer", "base", "end", "removed"]


@dataclass(frozen=True)
class Parts:
    """The parts of a concept.

    Attributes
    ----------
    names : str array, [n_concept_words]
        What each word is looked up by: the whole name of a location, else the word.
    kinds : str array, [n_concept_words]
        The part of each word.
    clusters : Clusters or None
        None where a gazetteer told the parts.
    """

    names: Shaped[np.ndarray, " word"]
    kinds: Shaped[np.ndarray, " word"]
    clusters: Clusters | None

    @property
    def sizes(self) -> dict[str, int]:
        """Words of each part, the largest first."""
        return pd.Series(self.kinds).value_counts().to_dict()

    @property
    def enough(self) -> bool:
        """Whether two parts have words enough to be told apart."""
        return sum(n >= FEWEST_WORDS for n in self.sizes.values()) > 1


def subconcepts(moments: Moments) -> pd.DataFrame:
    """Count neurons by what part they carried in the base and carry at each condition's end.

    Parameters
    ----------
    moments : Moments

    Returns
    -------
    DataFrame
        condition, layer, base, end (names of parts, or `nothing`), removed (by `concept` or the
        condition), n (neurons). Sum it over layers for `transitions`; empty where no two parts have
        30 words. The threshold of |σ| is 0.4.
    """
    counts = [
        table.groupby(_COUNTED).size().rename("n").reset_index().assign(condition=condition)
        for condition, table in _carried(moments)
    ]
    columns = ["condition", *_COUNTED, "n"]
    return pd.concat(counts)[columns].reset_index(drop=True) if counts else _empty(columns)


def subconcept_parts(moments: Moments) -> pd.DataFrame:
    """Describe the parts of the concept, and how many neurons would carry each by chance.

    Parameters
    ----------
    moments : Moments

    Returns
    -------
    DataFrame
        part, n_words, n_names, shown (its most frequent names, or its most central words), compared
        (whether it has 30 words), by_chance (mean number of neurons of the base that carry it when
        parts are shuffled among names; NaN if not compared), silhouette and level (of the
        clustering, see `Clusters`; NaN where a gazetteer told the parts).
    """
    parts = _parts_of(moments)
    chance, found = _by_chance(moments, parts), parts.clusters
    rows = []
    for part, n in parts.sizes.items():
        names = pd.Series(parts.names[parts.kinds == part]).value_counts()
        rows.append(
            {
                "part": part,
                "n_words": n,
                "n_names": len(names),
                "shown": " · ".join(names.index[:N_SHOWN]) if found is None else part,
                "compared": parts.enough and n >= FEWEST_WORDS,
                "by_chance": chance.get(part, np.nan),
                "silhouette": found.silhouette if found else np.nan,
                "level": found.level if found else np.nan,
            }
        )
    return pd.DataFrame(rows)


def subconcept_neurons(moments: Moments) -> pd.DataFrame:
    """The kept neurons that came to carry a part under `concept`, the most selective ones of each.

    Parameters
    ----------
    moments : Moments

    Returns
    -------
    DataFrame
        part, layer, unit, base (the part carried before, or `nothing`), sigma_base (for that part),
        sigma_end; at most 3 a part.
    """
    columns = ["part", "layer", "unit", "base", "sigma_base", "sigma_end"]
    table = dict(_carried(moments, ("concept",))).get("concept")
    if table is None:
        return _empty(columns)
    new = table[~table["removed"] & (table["end"] != NOTHING) & (table["end"] != table["base"])]
    new = new.rename(columns={"end": "part"}).sort_values(
        ["part", "sigma_end"], key=lambda column: -column.abs() if column.dtype == float else column
    )
    return new.groupby("part").head(N_SHOWN)[columns].reset_index(drop=True)


def _carried(
    moments: Moments, conditions: tuple[str, ...] = CONDITIONS
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the table of `carriers` of each condition, with a column `removed`."""
    parts, own = _parts_of(moments), moments.is_concept
    if not parts.enough:
        return
    base = moments.activations(BASE)[own]
    for condition in conditions:
        end = moments.activations((condition, "end"))[own]
        table = _carriers(base, end, parts.kinds, moments.d_model)
        yield condition, table.assign(removed=~moments.kept(condition))


def _carriers(
    base: Float[np.ndarray, "word neuron"],
    end: Float[np.ndarray, "word neuron"],
    kinds: Shaped[np.ndarray, " word"],
    d_model: int,
) -> pd.DataFrame:
    return carriers(base, end, kinds, d_model, LEAST_SELECTIVITY, FEWEST_WORDS)


@lru_cache(maxsize=1)
def _parts_of(moments: Moments) -> Parts:
    """Cut the concept's words into parts, the same ones for every seed of the run."""
    corpus, label, own = moments.measuring, moments.run.config.label, moments.is_concept
    if label == "LOC":
        spans = entity_spans(corpus.sentences, corpus.labels["entity"], label)
        names = np.array(spans, dtype=object)[own]
        return Parts(names, location_kinds(names.tolist()).astype(object), None)
    return cluster_parts([word for word, inside in zip(corpus.words, own, strict=True) if inside])


def cluster_parts(words: Sequence[str]) -> Parts:
    """Cut words into the clusters of their embeddings.

    Parameters
    ----------
    words : sequence of str
        More than 8 different ones, capitals apart.
    """
    # The model that embeds the words knows no capitals: GERMANY and Germany are one word to it.
    names = np.array([word.casefold() for word in words], dtype=object)
    types, place = np.unique(names.astype(str), return_inverse=True)
    found = cluster_words(types.tolist(), embed_words(types.tolist()))
    return Parts(names, np.array(found.names, dtype=object)[found.labels[place]], found)


def _by_chance(moments: Moments, parts: Parts) -> dict[str, float]:
    """Mean number of carriers of each part in the base, parts shuffled among names."""
    if not parts.enough:
        return {}
    base = moments.activations(BASE)[moments.is_concept]
    _, first, place = np.unique(parts.names.astype(str), return_index=True, return_inverse=True)
    compared = [part for part, n in parts.sizes.items() if n >= FEWEST_WORDS]
    counts, rng = dict.fromkeys(compared, 0.0), np.random.default_rng(0)
    for _ in range(N_SHUFFLES):
        shuffled = parts.kinds[rng.permutation(first)][place]
        members = shuffled[:, None] == np.array(compared, dtype=object)
        found, _ = carried(base, members, compared, LEAST_SELECTIVITY)
        for part in compared:
            counts[part] += float(np.sum(found == part)) / N_SHUFFLES
    return counts


def _empty(columns: list[str]) -> pd.DataFrame:
    numbers = {"layer": int, "unit": int, "n": int, "sigma_base": float, "sigma_end": float}
    types = {name: numbers.get(name, bool if name == "removed" else object) for name in columns}
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in types.items()})
