"""What two pages show, or one sentence where no run has the answers yet.

The pages of questions 3 and 4 are executed with whatever is published. Runs made before there were
answers are left out; without any, the verdict says how to make them, and the figures stay away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import TypeVar

import altair as alt
import pandas as pd
from IPython.display import Markdown, display
from pandas.io.formats.style import Styler

from plasticity_utils import charts
from plasticity_utils.analysis import parts_tables, sameness
from plasticity_utils.book import prose_same
from plasticity_utils.charts.f1 import AGAIN
from plasticity_utils.charts.tables import number_table
from plasticity_utils.results.derived import derived
from plasticity_utils.results.groups import Seeds

OVER_SEEDS = "95 % over the seeds of a concept; none where there is one seed"
NOT_YET = (
    "**No published run has these answers yet.** `plasticity run --concept locations --scale full` "
    "makes a run, and `plasticity publish` works its answers out and puts them here."
)
_Shown = TypeVar("_Shown")


def _if_any(view: Callable[[Sequence[Seeds]], _Shown]) -> Callable[..., _Shown | None]:
    """Show nothing where there is no run, or where none has parts to tell apart."""

    @wraps(view)
    def shown(groups: Sequence[Seeds]) -> _Shown | None:
        return view(groups) if groups else None

    return shown


def _if_parts(view: Callable[[Sequence[Seeds]], _Shown]) -> Callable[..., _Shown | None]:
    @wraps(view)
    def shown(groups: Sequence[Seeds]) -> _Shown | None:
        return view(groups) if parts_tables.with_parts(groups) else None

    return shown


def same_verdict(groups: Sequence[Seeds]) -> Markdown:
    """Answer question 4."""
    if not groups:
        return Markdown(NOT_YET)
    runs = sameness.same_by_run(groups)
    return Markdown(prose_same.same_verdict(sameness.averaged(runs, sameness.SAME)))


def taken_over_verdict(groups: Sequence[Seeds]) -> Markdown:
    """Answer question 3."""
    if not groups:
        return Markdown(NOT_YET)
    runs = parts_tables.taken_over_by_run(groups)
    table = sameness.averaged(runs, parts_tables.TAKEN_OVER) if len(runs) else runs
    return Markdown(prose_same.taken_over_verdict(table))


@_if_any
def cka(groups: Sequence[Seeds]) -> alt.VConcatChart:
    """CKA of kept units by layer, base and end."""
    table = _representation(groups)
    return charts.cka_by_layer(
        table[(table["stage"] == "end") & (table["units"] == "kept")], OVER_SEEDS
    )


@_if_any
def cka_just_removed(groups: Sequence[Seeds]) -> Styler:
    """CKA of the base and the base with its neurons just removed, over all units and kept ones."""
    table = _representation(groups)
    table = table[table["stage"] == "removed"]
    wide = table.pivot_table(
        index=["concept", "layer"], columns="units", values="cka_debiased", sort=False
    )
    names = {"all": "all units", "kept": "kept units"}
    return number_table(wide.rename(columns=names).reset_index().rename_axis(columns=None))


@_if_any
def transfer(groups: Sequence[Seeds]) -> alt.VConcatChart:
    """F1 of the base's probe at the end, by layer and alignment."""
    table = sameness.answer_table(
        groups, "transfer", ["condition", "stage", "units", "layer", "alignment"]
    )
    shown = (table["stage"] == "end") & (table["units"] == "all")
    return charts.transfer_by_layer(table[shown], OVER_SEEDS)


@_if_any
def last_layer(groups: Sequence[Seeds]) -> Styler:
    """Shares of F1 that the base's probe keeps at the last layer, by concept and over all runs."""
    return _averages(groups, ["as_is", "as_is_none", "aligned", "aligned_none", "shuffled"])


@_if_any
def last_layer_kept_units(groups: Sequence[Seeds]) -> Styler:
    """The same shares of a probe that was fitted on kept units alone, not aligned."""
    return _averages(groups, ["as_is_kept", "as_is_kept_none", "lost_as_is_kept"])


@_if_any
def last_layer_beyond_none(groups: Sequence[Seeds]) -> Styler:
    """What `targeted` loses beyond `none`: the numbers of the verdict."""
    return _averages(groups, ["lost_as_is", "lost_aligned", "lost_cka"])


@_if_any
def reliance(groups: Sequence[Seeds]) -> None:
    """Display for each concept what is lost when neurons are removed again at the end."""
    for seeds in groups:
        display(charts.reliance(seeds.reliance, seeds.config.label, seeds.interval))


@_if_any
def reliance_numbers(groups: Sequence[Seeds]) -> Styler:
    """F1 of each concept when neurons are removed again at the end."""
    table = sameness.reliance_of(groups)
    # Random draws stand last in a run's table, whatever their condition.
    order = table["again"].map(AGAIN.index)
    return number_table(
        table.assign(order=order)
        .sort_values(["concept", "condition", "order"])
        .drop(columns="order")
    )


@_if_parts
def carrier_counts(groups: Sequence[Seeds]) -> alt.VConcatChart:
    """Kept neurons that carry each part, before and after."""
    return charts.carrier_counts(parts_tables.carrier_counts(groups), OVER_SEEDS)


@_if_parts
def transitions(groups: Sequence[Seeds]) -> alt.VConcatChart:
    """What kept neurons carried and carry, under `targeted` and `none`."""
    table = parts_tables.transition_counts(groups)
    return charts.part_transitions(table[table["condition"].isin(["targeted", "none"])])


@_if_any
def parts(groups: Sequence[Seeds]) -> Styler:
    """Words and names of each part, and how well they are told apart."""
    return number_table(
        parts_tables.part_table(groups),
        ["concept", "part", "shown", "n_words", "n_names", "silhouette", "silhouette_reference"],
    )


@_if_parts
def part_carriers(groups: Sequence[Seeds]) -> Styler:
    """Carriers of each part: before, by chance, removed, and new ones."""
    table = parts_tables.part_table(groups)
    columns = ["concept", "part", "carriers", "by_chance", "removed", "new", "new_none"]
    counts = ["carriers", "by_chance", "removed", "new", "new_none"]
    table = table.loc[table["compared"], columns]
    return number_table(
        table.astype({name: float for name in counts})
        .round()
        .astype({name: int for name in counts})
    )


@_if_parts
def taken_over(groups: Sequence[Seeds]) -> Styler:
    """The numbers of the verdict, by concept and over all runs."""
    runs = parts_tables.taken_over_by_run(groups)
    table = sameness.averaged(runs, parts_tables.TAKEN_OVER)
    columns = ["removed_share", "new", "new_none", "new_random", "beyond_none", "replaced"]
    return number_table(table, ["concept", "n_runs", *columns])


@_if_parts
def new_carriers(groups: Sequence[Seeds]) -> Styler:
    """The strongest neurons that came to carry a part, of each concept's first seed."""
    tables = [
        derived(seeds.runs[0], "subconcept_neurons").assign(concept=seeds.config.about.title)
        for seeds in groups
    ]
    table = pd.concat(tables, ignore_index=True)
    columns = ["concept", "part", "layer", "unit", "base", "sigma_base", "sigma_end"]
    return number_table(table, columns)


def _representation(groups: Sequence[Seeds]) -> pd.DataFrame:
    return sameness.answer_table(groups, "representation", ["condition", "stage", "units", "layer"])


def _averages(groups: Sequence[Seeds], values: list[str]) -> Styler:
    table = sameness.averaged(sameness.same_by_run(groups), values)
    return number_table(table, ["concept", "n_runs", *values])
