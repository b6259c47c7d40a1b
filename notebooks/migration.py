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
# # Who takes the concept on
#
# The neurons of a concept are gone, the model trains on, and others gain
# selectivity for it. What did these serve before? And were they near the
# concept already? These are questions 7 and 9 of the book.

# %% tags=["parameters"]
regime = "surgical"
scale = "full"
model = "minilm"

# %%
import plasticity_utils as pu
from IPython.display import Markdown
from plasticity_utils import charts
from plasticity_utils.analysis import pooled as tables
from plasticity_utils.book import prose_neurons as verdicts
from plasticity_utils.book.on_page import figure, numbers
from plasticity_utils.charts import theme
from plasticity_utils.results import groups
from plasticity_utils.results.derived import OF_SNAPSHOTS

theme.enable()
chosen = {"regime": regime, "scale": scale, "model": model, "variant": ""}
published = groups.series_of(pu.published_runs())
series = groups.holding(groups.choose(published, **chosen), OF_SNAPSHOTS)
Markdown(verdicts.runs_sentence(series))

# %% [markdown]
# ## Whom did the concept move in with?

# %%
Markdown(verdicts.migration_sentence(series))

# %%
figure(series, tables.migration, charts.migration)

# %% [markdown]
# Each kept neuron has one role: the concept that it served best in the base
# model, read off other words than those on which gains are measured. The
# gain is the rise of |σ| for the run's concept beyond that under *none*.
# Neurons of the layers that gain have roles of their own, so a share means
# nothing by itself; it stands beside the share that they would have if
# within each layer it made no difference what a neuron had served. Roles
# shuffled within layers give the *p* of each cell.
#
# *random* is the control: there the concept's own neurons are still in
# place, and what other neurons gain is no move of the concept.

# %%
numbers(
    series,
    verdicts.migration,
    ["claim", "effect", "control", "beyond_control", "least", "verdict"],
)

# %% [markdown]
# Shares and their expectation over all runs, with a *t* test of the
# difference over runs, adjusted (Holm) for the number of roles and
# conditions.

# %%
numbers(
    series,
    tables.migration_in_all,
    ["condition", "role", "share", "expected", "difference", "p_adjusted"],
)

# %% [markdown]
# Concept by concept, with the number of kept neurons that had the role; *p*
# by permutation, adjusted (Benjamini–Hochberg) for all cells of all runs.

# %%
numbers(
    series,
    tables.migration,
    [
        "concept",
        "condition",
        "role",
        "n_neurons",
        "share",
        "expected",
        "p_adjusted",
    ],
)

# %% [markdown]
# **What would change our mind.** A role that gains more than expected in
# every concept and seed, and not under *random*, would show that a concept
# seeks out company. A finer inventory of roles could show it where this one
# does not. One role a neuron is a simplification: a neuron that served two
# concepts is counted under the stronger.

# %% [markdown]
# ## Were they primed, or is it persistence?

# %%
Markdown(verdicts.priming_sentence(series))

# %%
figure(series, tables.priming, charts.priming)

# %% [markdown]
# The gain beyond *none* is regressed on how near a neuron was to the concept
# in the base model, with its |σ| in the base (persistence, and the fall
# back to the mean of what was extreme by chance) and its layer held fixed.
# Nearness is measured twice: by the σ profile (how like that of neurons
# that serve the concept, the concept itself left out) and by the words that
# the neuron answers to most (how near to the concept's words, these
# themselves left out). All quantities are standardised.

# %%
numbers(
    series,
    verdicts.priming,
    ["claim", "effect", "control", "beyond_control", "least", "verdict"],
)

# %% [markdown]
# Run by run; *p* adjusted (Holm) for all rows.

# %%
numbers(
    series,
    tables.priming,
    [
        "concept",
        "seed",
        "condition",
        "similarity",
        "term",
        "effect",
        "p_adjusted",
    ],
)

# %% [markdown]
# The same with errors clustered by layer, to see if the answer hangs on one
# layer. With so few clusters these intervals tend to be too narrow.

# %%
numbers(
    series,
    tables.priming_by_layer,
    ["concept", "seed", "condition", "similarity", "term", "effect"],
)

# %% [markdown]
# **What would change our mind.** An effect of nearness on the gain beyond
# *none* that both measures show and the random removal does not. If nearness
# alone predicts the gain and, with |σ| in the base beside it, no longer
# does, that was persistence. |σ| is measured with noise, and what it misses
# can go to nearness, so a small effect would not convince us.
