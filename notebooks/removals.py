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
# # The table of removals
#
# **Holding the neurons of a concept still hides it. Erasing its direction weakens it.
# After either, it is back long before a model that never knew it would have learned it.**
#
# These are audits of MiniLM at the small scale *quick*, with three seeds. No removal is
# judged without its controls: readers of the frozen model, the matched control, and a
# model that never knew the concept. Each row is a removal and a concept. How each number
# is found stands on the page of [one audit](audit.ipynb). To add a row, write the
# removal in a file ([add your own](add_your_own.ipynb)), run
#
#     plasticity audit --removal my_eraser.py:MyEraser --concept persons --seed 0
#     plasticity publish runs/audit-…
#
# for each concept and seed, and execute this page again. An audit without its
# controls is refused.

# %% tags=["remove-cell"]

import plasticity_utils as pu
from plasticity_utils import charts
from plasticity_utils.analysis import audits, rules
from plasticity_utils.charts import theme
from plasticity_utils.names import READ_AGAIN
from plasticity_utils.results.published import published_audits
from plasticity_utils.results.stack import SHARE_BOUNDS, mean_interval

theme.enable()
found = published_audits()
table = audits.table_of_removals(found)

# %% [markdown]
# ```{exercise} Predict before you unfold
# :label: exercise-removals
#
# Two removals bring the F1 of a concept to nothing. One holds neurons still, the other
# projects a direction away. After which of them does a new reader of the frozen model
# still find the concept?
# ```

# %% tags=["remove-input", "hide-output"]
charts.number_table(table, ["removal", "concept", "removed", "read"])

# %% [markdown]
# ```{solution} exercise-removals
# :class: dropdown
#
# *read* is near one where the reader finds as much as before. F1 near zero and a *read*
# near one together mean that the concept was hidden, and not removed.
# ```

# %% [markdown]
# ## What each took, and what is still read

# %% tags=["remove-input"]
charts.number_table(
    table,
    [
        "removal",
        "concept",
        "verdict",
        "read",
        "floor",
        "removed",
        "specificity",
    ],
)

# %% [markdown]
# *removed* is F1 of the concept just after the removal. *specificity* is what the concept
# loses less what the others lose on average. *read* is the best reader's F1 on
# the cut model as a share of its F1 on the base model. *floor* is the best F1
# that a reader finds in the pretrained body, cut in the same way.

# %% tags=["remove-input"]
rules.audited

# %% [markdown]
# ## Relearned, or learned?

# %% tags=["remove-input"]
charts.number_table(
    table,
    [
        "removal",
        "concept",
        "came_back",
        "savings",
        "steps_targeted",
        "steps_masked",
        "n_reached",
    ],
)

# %% [markdown]
# Steps of training until the concept has nine tenths of its F1 in the base
# model: of the model that knew it, and of the one that never did. *savings* is
# what the first needs less, with its interval over seeds. *never knew, gets there* counts
# the seeds in which the second gets so far at all; in the others its last step stands
# for it, so *savings* is larger than is said.

# %% [markdown]
# One thing speaks for *targeted* from the start: *masked* has learned that the
# concept's words are no names, and a part of its delay is that it unlearns this.
# `first_time`, from the pretrained weights, has not, but has all of the task to
# learn.

# %% tags=["remove-input"]
rules.kept

# %% tags=["remove-input"]
curves = mean_interval(
    audits.returns_table(found),
    ["removal", "concept", "condition", "step"],
    ["entity_f1"],
    bounds={"entity_f1": SHARE_BOUNDS},
)
goal = READ_AGAIN * audits.taken(found).groupby("concept")["base"].mean()
charts.returns(curves[curves["removal"] == "gate"], goal)

# %% tags=["remove-input"]
charts.returns(curves[curves["removal"] == "leace"], goal)

# %% [markdown]
# ## The ways of taking a concept out

# %% tags=["remove-input"]
charts.number_table(pu.list_removals())

# %% [markdown]
# | removal | changes | is fitted on | its control |
# |---|---|---|---|
# | `gate` | what chosen units say, at words | a ranking of units | random units of the same layers |
# | `layernorm` | gains of chosen units in the norms after each block | the same | the same |
# | `leace` | a direction or more of every layer | tags of words | tags dealt out anew |
# | `mean_projection` | one direction of every layer | tags of words | directions of like variance |
# | `inlp` | some directions of every layer | tags of words | the same |
#
# All are undone exactly: afterwards the model is bit for bit as it was. Units can be
# allowed to grow back (`regrow`), directions cannot.
