"""Which neurons carry the parts of a run's concept before and after, under each condition?

Locations are cut by the gazetteer, persons and organisations into clusters of their words. A neuron
carries the part that it is most selective for *within* the concept's words. Training on moves
neurons about by itself, so what `targeted` does stands beside the same neurons under `none` and
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

from plasticity_utils.analysis.parts import (
    Clusters,
    carried,
    carriers,
    cluster_words,
    entity_spans,
    location_kinds,
)
from plasticity_utils.analysis.sameness import BY_RUN
from plasticity_utils.analysis.snapshots import BASE, Moments
from plasticity_utils.experiment.run import Run
from plasticity_utils.names import NOTHING
from plasticity_utils.neurons.inventory import LEAST_SELECTIVITY
from plasticity_utils.neurons.words import embed_words
from plasticity_utils.results.derived import derived
from plasticity_utils.results.groups import Seeds
from plasticity_utils.results.stack import SERIES, group_means, stack

CONDITIONS = ("targeted", "random", "none")
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
        condition, layer, base, end (names of parts, or `nothing`), removed (by `targeted` or the
        condition), n_neurons. Sum it over layers for `transitions`; empty where no two parts have
        30 words. The threshold of |σ| is 0.4.
    """
    counts = [
        table.groupby(_COUNTED).size().rename("n_neurons").reset_index().assign(condition=condition)
        for condition, table in _carried(moments)
    ]
    columns = ["condition", *_COUNTED, "n_neurons"]
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
        parts are shuffled among names; NaN if not compared), silhouette and silhouette_reference
        (of the clustering, see `Clusters`; NaN where a gazetteer told the parts).
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
                "silhouette_reference": found.level if found else np.nan,
            }
        )
    return pd.DataFrame(rows)


def subconcept_neurons(moments: Moments) -> pd.DataFrame:
    """The kept neurons that came to carry a part under `targeted`, the most selective ones of each.

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
    table = dict(_carried(moments, ("targeted",))).get("targeted")
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
    numbers = {"layer": int, "unit": int, "n_neurons": int, "sigma_base": float, "sigma_end": float}
    types = {name: numbers.get(name, bool if name == "removed" else object) for name in columns}
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in types.items()})


TAKEN_OVER = (
    "carriers", "removed", "removed_share", "new", "new_none", "new_random", "beyond_none",
    "beyond_random", "end", "end_none", "replaced",
)  # fmt: skip


def taken_over_by_run(groups: Sequence[Seeds]) -> pd.DataFrame:
    """One row a run: who carries the parts of the concept in the end.

    Series whose concept has no two parts with words enough are left out.

    Returns
    -------
    DataFrame
        concept, seed; carriers (neurons of the base that carry a part), removed (how many of them
        `targeted` removed), removed_share; new, new_none, new_random (share of the kept carriers at
        the end that carried another part or nothing before), beyond_none, beyond_random
        (differences); end, end_none (kept carriers at the end), replaced (`end` less `end_none`,
        per removed carrier).
    """
    rows = stack(with_parts(groups), _taken_over, BY_RUN)
    return rows.reindex(columns=[*BY_RUN, *TAKEN_OVER])


def carrier_counts(groups: Sequence[Seeds]) -> pd.DataFrame:
    """How many kept neurons carry each part, in the base and at the end of each condition.

    Returns
    -------
    DataFrame
        concept, part, condition (`base` or a condition), n_neurons, n_neurons_low, n_neurons_high.
        Base, `targeted` and `none` are of the neurons that `targeted` kept, `random` of those that
        neither removed.
    """
    return group_means(with_parts(groups), _counts, ["part", "condition"], names=["concept"])


def transition_counts(groups: Sequence[Seeds]) -> pd.DataFrame:
    """Count kept neurons by what they carried in the base and carry at the end.

    Returns
    -------
    DataFrame
        concept, condition, base, end, n_neurons (mean over seeds), share (of those with this base).
    """
    keys = ["condition", "base", "end"]
    table = group_means(with_parts(groups), _transitions, keys, names=["concept"])
    if table.empty:
        return table
    return table[["concept", "condition", "base", "end", "n_neurons", "share"]]


def part_table(groups: Sequence[Seeds]) -> pd.DataFrame:
    """The parts of each concept: words, and carriers in the base, by chance, removed and new.

    Returns
    -------
    DataFrame
        concept, part, shown, n_words, n_names, compared, silhouette, silhouette_reference (of the
        first seed's run; all seeds have the same words), by_chance, carriers, removed, new,
        new_none (means over seeds; NaN where the part is not compared), each of the last five with
        `_low`, `_high`.
    """
    firsts = [Seeds(seeds.runs[:1]) for seeds in groups]
    fixed = stack(firsts, lambda run: derived(run, "subconcept_parts"), SERIES)
    counts = group_means(groups, _part_counts, ["part"])
    table = fixed.drop(columns="by_chance").merge(counts, on=[*SERIES, "part"], how="left")
    return table.drop(columns=SERIES[1:])


def _taken_over(run: Run) -> dict[str, float]:
    rows = derived(run, "subconcepts")
    concept = rows[rows["condition"] == "targeted"]
    carriers = float(concept.loc[concept["base"] != NOTHING, "n_neurons"].sum())
    removed = float(
        concept.loc[(concept["base"] != NOTHING) & concept["removed"], "n_neurons"].sum()
    )
    ends, new = {}, {}
    for condition, own in rows[~rows["removed"]].groupby("condition"):
        carried = own[own["end"] != NOTHING]
        ends[condition] = float(carried["n_neurons"].sum())
        came = float(carried.loc[carried["base"] != carried["end"], "n_neurons"].sum())
        new[condition] = came / ends[condition] if ends[condition] else np.nan
    return {
        "carriers": carriers,
        "removed": removed,
        "removed_share": removed / carriers if carriers else np.nan,
        "new": new["targeted"],
        "new_none": new["none"],
        "new_random": new["random"],
        "beyond_none": new["targeted"] - new["none"],
        "beyond_random": new["targeted"] - new["random"],
        "end": ends["targeted"],
        "end_none": ends["none"],
        "replaced": (ends["targeted"] - ends["none"]) / removed if removed else np.nan,
    }


def _counts(run: Run) -> pd.DataFrame:
    rows = derived(run, "subconcepts")
    kept = rows[~rows["removed"]]
    base = kept[kept["condition"] == "targeted"].assign(condition="base", end=lambda t: t["base"])
    table = pd.concat([base, kept]).rename(columns={"end": "part"})
    return _filled(table[table["part"] != NOTHING], ["part", "condition"])


def _transitions(run: Run) -> pd.DataFrame:
    rows = derived(run, "subconcepts")
    counts = _filled(rows[~rows["removed"]], ["condition", "base", "end"])
    total = counts.groupby(["condition", "base"])["n_neurons"].transform("sum")
    return counts.assign(share=(counts["n_neurons"] / total.where(total > 0)).fillna(0))


def _part_counts(run: Run) -> pd.DataFrame:
    rows, parts = derived(run, "subconcepts"), derived(run, "subconcept_parts")
    came = rows[~rows["removed"] & (rows["base"] != rows["end"])]
    table = pd.DataFrame({"by_chance": parts.set_index("part")["by_chance"]})
    concept = rows[rows["condition"] == "targeted"]
    table["carriers"] = concept.groupby("base")["n_neurons"].sum()
    table["removed"] = concept[concept["removed"]].groupby("base")["n_neurons"].sum()
    for name, condition in (("new", "targeted"), ("new_none", "none")):
        table[name] = came[came["condition"] == condition].groupby("end")["n_neurons"].sum()
    compared = parts.set_index("part")["compared"]
    # A part that is compared and that no neuron carries has 0; one that is not has no number.
    return table.fillna(0).where(compared).rename_axis("part").reset_index()


def _filled(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Sum n by the keys, with 0 for what never occurs, so that means over seeds count it."""
    counts = table.groupby(keys)["n_neurons"].sum()
    levels = [sorted(set(table[key])) for key in keys]
    every = pd.MultiIndex.from_product(levels, names=keys)
    return counts.reindex(every, fill_value=0).reset_index()


def with_parts(groups: Sequence[Seeds]) -> list[Seeds]:
    """Keep the series whose concept has two parts with words enough to be compared."""
    return [seeds for seeds in groups if _has_parts(seeds.runs[0])]


def _has_parts(run: Run) -> bool:
    return not derived(run, "subconcepts").empty
