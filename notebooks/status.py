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
# # Status: every published run
#
# **Each row is a run whose tables stand behind the figures of this book.**
#
# The folders of `book/results` hold them, each with a `config.json` that lists
# every setting and library.

# %% tags=["remove-cell"]
# !test ! -d /content -o -e plasticity/installed || \
#   (git clone -q https://github.com/plasticity-book/plasticity; \
#    bash plasticity/.binder/colab)

# %% tags=["remove-input"]
from IPython.display import Markdown

import plasticity_utils as pu
from plasticity_utils import charts
from plasticity_utils.experiment.forcing_config import ForcingConfig
from plasticity_utils.results.published import status

runs = status(pu.published_runs())
forcings = status(pu.published_runs(kind=ForcingConfig))
kinds = ["model", "regime", "variant", "scale"]
Markdown(
    f"{len(runs)} runs and {len(forcings)} of forced neurons. How "
    "many there are of each kind:"
)

# %% tags=["remove-input"]
charts.number_table(
    runs.groupby(kinds, sort=False)
    .agg(runs=("run", "size"), seeds=("seed", "nunique"))
    .reset_index()
)

# %% [markdown]
# ## Settings

# %% tags=["remove-input", "hide-output"]
charts.number_table(runs, ["run", "concept", *kinds, "seed", "train"])

# %% [markdown]
# ## Base model, date and cost
#
# F1 of all entity types before any cut, on the validation and the test split: whole at
# `full`, 1,000 sentences of each at `medium`. Means over runs. All other F1 of runs is
# on half of the validation split.

# %% tags=["remove-input"]
charts.number_table(
    runs.groupby(["model", "scale"], sort=False)[["base_f1", "test_f1"]]
    .mean()
    .reset_index()
)

# %% [markdown]
# Run by run: *hours* counts every stage that a run uses. Stages that runs share, such
# as the base model, are counted in each of them, so the sum over rows is more than was
# spent.

# %% tags=["remove-input", "hide-output"]
charts.number_table(
    runs, ["run", "removed", "base_f1", "test_f1", "date", "hours"]
)

# %% [markdown]
# ## Code and machine
#
# *commit* is that of the code of a run's stages; a + says that the code had
# changes that no commit holds. *precision* is the number type of the
# trainings: bfloat16 where the machine is faster at it, else float32. Runs of
# one seed share a base model where they share precision and machine; of runs
# that were made on other machines the pages say so where they are averaged.

# %% tags=["remove-input", "hide-output"]
charts.number_table(
    runs,
    [
        "run",
        "commit",
        "precision",
        "threads",
        "processor",
        "torch",
        "transformers",
    ],
)

# %% [markdown]
# ## Forced neurons

# %% tags=["remove-input"]
charts.number_table(
    forcings,
    ["concept", *kinds, "seed", "date", "hours", "precision", "commit"],
)
