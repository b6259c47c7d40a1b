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
# # Erased, and written again
#
# *Question 1, continued. Does a concept come back that no linear reader finds
# any more? How fast, in which layers, and in which directions?*
#
# Removing neurons leaves the concept readable in the others. The regime
# *erase* removes none: at every level, from the embeddings up, a fixed linear
# projection (LEACE, Belrose et al. 2023) takes out what tells words of the
# concept from words of no entity, and stays in force while the model trains on.
# *random* is the same projection fitted on shuffled labels; *none* trains on
# with nothing erased; *head* trains the last layer alone, so its neurons are
# those of the erased model.

# %% tags=["remove-cell"]
import plasticity_utils as pu
from IPython.display import Markdown
from plasticity_utils import charts
from plasticity_utils.analysis import relearning
from plasticity_utils.analysis import relearning as reading
from plasticity_utils.analysis.indicators import by_indicator
from plasticity_utils.analysis.readers import FOUND, mean_by_reader
from plasticity_utils.book.on_page import figure, numbers
from plasticity_utils.charts import theme
from plasticity_utils.results import across, groups

theme.enable()
series = groups.series_of(pu.published_runs())
full = groups.choose(series, model="minilm", scale="full")
erased = groups.choose(full, variant="indicator=outside")

# %% [markdown]
# ## The verdict
#
# By the rule of [is it relearning](relearning.ipynb), beyond the head:

# %% tags=["remove-input"]
Markdown(relearning.relearning_verdicts({"erase": erased}))

# %% [markdown]
# And beyond the best of the readers that were fitted on the frozen states, of
# which one is not linear:

# %% tags=["remove-input"]
Markdown(reading.reading_verdicts({"erase": erased}))

# %% [markdown]
# Means over the seeds that were read: how much was relearned differs more
# between concepts than between seeds.

# %%
columns = ["concept", "condition", "n_seeds", *FOUND]
numbers(erased, mean_by_reader, columns)

# %% [markdown]
# ## What comes back, how fast, and at what cost

# %%
figure(
    erased,
    across.outcomes,
    charts.outcomes,
    across.OVER,
)

# %%
numbers(
    erased,
    across.relearning,
    ["concept", "n_seeds", "lost", "by_head", "recovery", "beyond_head"],
)

# %% [markdown]
# How fast: after how many epochs (of those measured) 95 % of the loss are
# back.

# %%
numbers(
    erased,
    across.speeds,
    ["concept", "n_seeds", "condition", "recovery", "epochs_to_95"],
)

# %% [markdown]
# At what cost: how F1 of the other entity types changes from the base, just
# after the erasure (negative: lost) and in the end. With locations or
# organisations goes most of what the model can do, so what returns is the task
# as much as the concept; with persons, less.

# %%
numbers(
    erased,
    across.collateral,
    ["concept", "condition", "other", "at_removal", "at_end"],
)

# %% [markdown]
# ## What has to be made equal
#
# One base model, erased once for each choice of the classes whose means are
# made equal (the [method](../book/method) defines them). *head* is the F1 to
# which the head alone comes back; *others* is the mean F1 that the other entity
# types lose just after the erasure.

# %%
numbers(
    erased,
    by_indicator,
    ["concept", "indicator", "dimensions", "removed", "head", "others"],
)

# %% [markdown]
# For locations, in one base model: *concept* and *bio* make the concept's words
# like all others, entities among them. What that leaves to the head is little,
# and so is what the other types pay. *outside* and *types* leave it nothing, and
# take most of what tells any entity from no entity with it. The runs of this
# page take *outside*: what they bring back cannot be what a linear head might
# have found.

# %% [markdown]
# ## In which directions
#
# Erased once more in the end: with projections fitted anew on the retrained
# model, and with projections of shuffled labels. (Under *targeted* the *same*
# ones are still in force, so that row repeats the one called *nothing*: whatever
# came back lies in other directions by construction.) What the table adds is
# that one fresh linear projection a level takes away all that the model's head
# finds. What a reader that is not linear would still find was not measured.

# %%
numbers(erased, across.relied_on, ["concept", "condition", "again", "f1"])

# %% [markdown]
# ## In which layers
#
# A linear probe on each layer, fitted anew at each moment. Just after the
# erasure it still reads a part of the concept, less in the last layer than in
# the first: it is fitted on other sentences than the projections, on the mean
# of a word's tokens, and against all other words, for none of which they
# promise anything exact. The head, which reads the last layer token by token,
# finds nothing there. Where the probe reads the concept in the end, the model
# has written it there again: the blocks do, the embeddings hardly.

# %%
figure(
    groups.choose(erased, concept="locations"),
    across.readable,
    charts.probe_by_layer,
    "LOC",
)

# %%
figure(
    groups.choose(erased, concept="persons"),
    across.readable,
    charts.probe_by_layer,
    "PER",
)

# %%
figure(
    groups.choose(erased, concept="organisations"),
    across.readable,
    charts.probe_by_layer,
    "ORG",
)

# %% [markdown]
# ## In which neurons
#
# Overlap (Jaccard) of the neurons most selective for the concept before and
# after, as many as the surgical dose would remove, and what chance gives. In the
# erased model they are almost wholly others (*head*). Training brings the
# overlap back to about a half, which is less than where nothing was erased
# (*none*).

# %%
numbers(
    erased,
    across.turnovers,
    ["concept", "condition", "jaccard", "jaccard_by_chance", "spearman"],
)

# %% [markdown]
# ## What would change our mind
#
# A better reader. The perceptron reads the last level only, and it finds what
# the projections cannot take out, since they promise something to linear
# readers alone. What it leaves is called relearned until a better one finds it.
