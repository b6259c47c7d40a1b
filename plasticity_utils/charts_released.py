"""The chart of the paper's released ranks, beside what removal alone predicts."""

from __future__ import annotations

import altair as alt
import pandas as pd

from plasticity_utils.charts_layers import layer_panel
from plasticity_utils.charts_parts import REMOVAL_ALONE, need, stack


def released_profile(table: pd.DataFrame) -> alt.VConcatChart:
    """Draw mean rank saliency by layer, of all neurons and of those that were left intact.

    Parameters
    ----------
    table : DataFrame
        From `released.released_lines`.

    Returns
    -------
    alt.VConcatChart

    Raises
    ------
    InputError
        If a column is missing.
    """
    need(table, ["neurons", "condition", "layer", "saliency"])
    groups = list(dict.fromkeys(table["neurons"]))
    panels = [
        layer_panel(
            table[table["neurons"] == group],
            "saliency",
            "rank saliency",
            group,
            ["base", "concept", REMOVAL_ALONE],
            alt.Scale(domain=[0, 1]),
            group == groups[-1],
        )
        for group in groups
    ]
    return stack(
        panels,
        "Released ranks of DistilBERT, locations",
        ["base: before removal. concept: after 8 epochs of retraining."],
        f"Line charts by layer, a panel for each of {', '.join(groups)}: mean rank saliency before "
        "removal and after retraining, and what removal alone predicts.",
    )
