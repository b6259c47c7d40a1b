"""What a page shows of several runs: nothing where there are none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import altair as alt
import pandas as pd
from pandas.io.formats.style import Styler

from plasticity_utils.charts.tables import number_table
from plasticity_utils.results.groups import Seeds

Table = Callable[[Sequence[Seeds]], pd.DataFrame]


def figure(
    groups: Sequence[Seeds], make: Table, draw: Callable[..., alt.VConcatChart], *rest: Any
) -> alt.VConcatChart | None:
    """Draw a table of all runs.

    Parameters
    ----------
    groups : sequence of Seeds
        From `groups.holding`.
    make : function
        Of `neuron_tables` or another module: series of runs → table.
    draw : function
        Of `charts`: table, rest → chart.
    rest : any
        Further arguments of `draw`.

    Returns
    -------
    alt.VConcatChart or None
        None where there are no runs.
    """
    return draw(make(groups), *rest) if groups else None


def numbers(groups: Sequence[Seeds], make: Table, columns: Sequence[str] = ()) -> Styler | None:
    """Show a table of all runs, as `number_table` does; None where there are no runs.

    Parameters
    ----------
    groups, make
        As for `figure`.
    columns : sequence of str
        What to show; by default everything.
    """
    return number_table(make(groups), columns) if groups else None
