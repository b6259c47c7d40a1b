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
# One row a run: its settings, the base model's F1 (validation and test split,
# all entity types), and when, where and with which code it was made. The
# folders of `book/results` hold the tables behind every figure of this book,
# each with a `config.json` that lists every setting and library (a
# `forced.json` for [forced neurons](forced.ipynb), which come last).

# %%
import plasticity_utils as pu
from plasticity_utils import charts
from plasticity_utils.results.forced import forced_status
from plasticity_utils.results.published import status

runs = status(pu.published_runs())

# %%
charts.number_table(
    runs,
    [
        "run",
        "concept",
        "model",
        "regime",
        "variant",
        "scale",
        "seed",
        "train",
    ],
)

# %%
charts.number_table(
    runs,
    ["run", "concept", "removed", "base_f1", "test_f1", "date", "hours"],
)

# %%
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
# Forced neurons:

# %%
charts.number_table(forced_status())

# %% [markdown]
# *commit* is that of the code of a run's stages; a + says that the code had
# changes that no commit holds. *precision* is the number type of the
# trainings: bfloat16 where the machine is faster at it, else float32. Runs of
# one seed share a base model where they share precision and machine.
#
# *hours* counts every stage that a run uses. Stages that runs share, such as
# the base model, are counted in each of them, so the sum over rows is more
# than was spent.
#
# ## What carries the front page
#
# Every number of the [front page](intro.ipynb) comes from these rows. Runs are
# named as their folders in `book/results`; *entity* is the concept's own tag
# unless another is named. Values are means over the runs of a name, with the
# interval over them.
#
# Of the decoder the runs are `*-smollm2-surgical-full-*`, with the same rows.
#
# | said there | runs | table | rows |
# |---|---|---|---|
# | score before the cut, just after, after training everything | `*-minilm-surgical-full-*` | `metrics` | `targeted`; `base`, `removed`, `end` |
# | score with random neurons cut out | the same | `metrics` | `random`; `removed` |
# | score by the last layer alone | the same | `metrics` | `head`; `end` |
# | more by training everything than by the last layer | the same | `metrics` | `targeted` minus `head`; `end` |
# | what erasing costs, and what comes back | `*-minilm-erase-outside-full-*` | `metrics` | `targeted`, `head`; `base`, `removed`, `end` |
# | its price for other names, and that of random erasers | the same | `metrics` | other entities; `removed` minus `base`; `targeted`, `random` |
# | what a better reader finds, and what training brings beyond it | the same | `readers`, `metrics` | `linear`, `perceptron` of `targeted`; `targeted`, `head`; `end` |
# | movement of the neurons that respond | `*-minilm-surgical-full-*` | `layers` | centre of `share`; `end` minus `base`; `targeted` minus `none` |
# | that of the other kinds of name | the same | the same | the same of the other entities |
# | movement of the order of all neurons | `*-minilm-half-full-*` | the same | centre of `rank_saliency`; `end` minus `base`; `targeted`, `random` |
