# ---
# jupyter:
#   jupytext:
#     cell_metadata_filter: tags,-all
#     notebook_metadata_filter: kernelspec,jupytext,-jupytext.text_representation.jupytext_version
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A grid of runs
#
# **What the cells of a grid say, side by side; each cell has a page of its own.**
#
# This is the first page of the book that `plasticity book FOLDER OUT` makes of
# the results of `plasticity batch`. It can be made while the grid still runs, and shows
# what is there.

# %% tags=["parameters"]
folder = "../runs"

# %% tags=["hide-input"]
from IPython.display import Markdown

import plasticity_utils as pu
from plasticity_utils import charts
from plasticity_utils.charts import theme
from plasticity_utils.results import cells

theme.enable()
table = pu.grid_results(folder)
compared = cells.compared_cells(table)
status = table.groupby("cell")["status"].first()
Markdown(
    f"{status.eq('done').sum()} of {len(status)} cells are done; "
    f"{len(compared)} have scores of a concept."
)

# %% [markdown]
# ## Side by side

# %% tags=["remove-input"]
charts.values(
    cells.outcomes_of_cells(
        compared,
        {
            "base": "before",
            "removed": "just after the removal",
            "end_head": "last layer alone learned again",
            "end_targeted": "whole model learned again",
            "end_random": "whole model, random neurons cut",
            "end_none": "whole model, nothing cut",
        },
    ),
    "What the removal takes, and what comes back",
    "A point a seed.",
    "F1 of the concept",
)

# %% tags=["remove-input"]
charts.number_table(compared.drop(columns=["cell", "protocols"]))

# %% [markdown]
# F1 of each cell's own concept. `plasticity results` writes all scores of all types into
# one file for further use.
#
# ## How far the cells are

# %% tags=["remove-input"]
charts.number_table(
    table.groupby("cell", sort=False).first().reset_index(),
    ["cell", "status", "seconds", "error"],
)
