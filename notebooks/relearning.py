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
# # Does it come back, and is that relearning?
#
# *Question 1. Can training go on until the task is relearned? How fast, and
# how much of it is relearning at all, rather than reading again?*

# %% tags=["remove-cell"]
import plasticity_utils as pu
from IPython.display import Markdown
from plasticity_utils import charts
from plasticity_utils.analysis import relearning
from plasticity_utils.analysis import relearning as reading
from plasticity_utils.analysis.readers import (
    FOUND,
    by_reader,
    mean_by_reader,
)
from plasticity_utils.book.on_page import figure, numbers
from plasticity_utils.charts import theme
from plasticity_utils.results import across, groups

theme.enable()
series = groups.series_of(pu.published_runs())
full = groups.choose(series, model="minilm", scale="full")
surgical = groups.choose(full, regime="surgical", variant="")
half = groups.choose(full, regime="half", variant="")
erased = groups.choose(full, variant="indicator=outside")
decoder = groups.choose(
    groups.largest(series),
    model="smollm2",
    regime="surgical",
    variant="",
)
on_2000 = groups.choose(
    series,
    model="smollm2",
    scale="medium",
    regime="surgical",
    variant="",
)
over = "95 % interval over seeds"

# %% [markdown]
# ## The verdict

# %% tags=["remove-input"]
Markdown(
    relearning.relearning_verdicts(
        {"surgical": surgical, "half": half, "erase": erased}
    )
)

# %% [markdown]
# *Relearned*: over all runs of a regime the 95 % interval of what training the
# whole model brings beyond the head alone lies above 0, also after what further
# training brings with nothing removed is taken off, and its mean is at least
# 0.05 F1. *Read again*: the head alone regains at least nine tenths of
# the loss, and that interval ends below 0.05. Else *not resolved*. The rule was
# written when the first surgical runs were known, and none of *half* or
# *erase*: of the surgical verdict it is a description, of the other two a
# prediction that could have failed. (Of *half* the verdict is about the task and
# not the concept: a random half takes as much, but for one run, and more comes
# back.)
#
# ## Would a better reader have found it?
#
# *head* is trained no longer than the model is, and it is linear. So two more
# readers were fitted on the frozen states from which the head reads, just after
# the removal: a linear one until it had converged, and a perceptron with a
# hidden layer ([method](../book/method)). The same rule, with the best of the
# three in the head's place:

# %% tags=["remove-input"]
Markdown(
    reading.reading_verdicts(
        {"surgical": surgical, "half": half, "erase": erased}
    )
)

# %% [markdown]
# Means over the seeds that were read. *none* is the whole base model, on which
# the readers are their own control, and come within 0.04 of its own head in
# every run; *removed* is what the model's head finds as it is. After a surgical
# removal:

# %%
columns = ["concept", "condition", "n_seeds", *FOUND]
numbers(surgical, mean_by_reader, columns)

# %% [markdown]
# After the removal of half of all neurons:

# %%
numbers(half, mean_by_reader, columns)

# %% [markdown]
# After the concept was erased from every level:

# %%
numbers(erased, mean_by_reader, columns)

# %% [markdown]
# And run by run:

# %% tags=["hide-output"]
numbers(
    surgical + half + erased,
    by_reader,
    [
        "concept",
        "regime",
        "seed",
        "condition",
        "removed",
        "head",
        "linear",
        "perceptron",
        "end",
    ],
)

# %% [markdown]
# So after a surgical removal the readers find the concept, whichever they are.
# At half of all neurons the head had not converged: a linear reader that has
# finds more than it does, and a perceptron more still. After an erasure it is
# only linear readers that find nothing. In every run of the two training the
# whole model brings more than the best reader, so something is learned anew.
# How much differs far more between concepts than between seeds. So both
# verdicts speak of these three concepts alone, and both changed as seeds came
# in: with one seed of each concept they were *not resolved*. And to a reader the
# concept's own half is not any half: after a random one it finds more of the
# concept, in every run.
#
# ## Neurons removed: the head finds the concept again
#
# The share of the loss that each condition regains, and after how many epochs
# (of those measured) 95 % of it were back. *head* trains nothing but the last
# linear layer.

# %%
charts.number_table(
    across.speeds(surgical),
    ["concept", "n_seeds", "condition", "recovery", "epochs_to_95"],
)

# %%
charts.differences(
    across.relearning(surgical),
    {
        "beyond_head": "F1 beyond the head",
        "drift": "F1 by further training, nothing removed",
    },
    "Surgical removal: recovered beyond the head",
    "Right of zero: training the whole model brings more than the head.",
    over,
)

# %% [markdown]
# ## Half of all neurons removed
#
# At the paper's dose every entity type falls below 0.25, and so it does where a
# *random* half is removed, but for LOC in one of the nine runs: whatever comes
# back after this says little about the concept, and much about a damaged
# network.

# %%
figure(
    half,
    across.outcomes,
    charts.outcomes,
    across.OVER,
)

# %%
numbers(
    half,
    across.speeds,
    ["concept", "n_seeds", "condition", "recovery", "epochs_to_95"],
)

# %% [markdown]
# How F1 of the other entity types changes from the base, just after
# (negative: lost) and in the end:

# %%
numbers(
    half,
    across.collateral,
    ["concept", "condition", "other", "at_removal", "at_end"],
)

# %% [markdown]
# ## The concept erased from every level
#
# Removing neurons leaves the concept readable in the others. An erasure takes
# out of every level what a linear reader could use, and the head alone brings
# nothing of the concept back. [Erased, and written again](erasure.ipynb) shows
# what training the whole model does bring back, how fast, at what cost and in
# which layers.

# %% [markdown]
# ## In a decoder
#
# All of the above is MiniLM, an encoder of 6 blocks. The surgical removal in
# SmolLM2, a decoder of 30 blocks, trained on all sentences as well:

# %% tags=["remove-input"]
Markdown(relearning.relearning_verdicts({"surgical": decoder}))

# %% [markdown]
# And trained on 2,000 of them, where it knows less and any further training
# brings more:

# %% tags=["remove-input"]
Markdown(relearning.relearning_verdicts({"surgical": on_2000}))

# %% [markdown]
# The figure and the table below are of the first of the two: all sentences, one
# run a concept.

# %%
figure(
    decoder,
    across.outcomes,
    charts.outcomes,
    across.OVER,
)

# %%
numbers(
    decoder,
    across.relearning,
    ["concept", "n_seeds", "lost", "by_head", "beyond_head", "drift"],
)

# %% [markdown]
# ## The controls
#
# - **head**: what the last layer regains by itself was never lost.
# - **random**: as many neurons of the same layers, or projections of shuffled
#   labels. They cost little after a surgical removal and an erasure, so there
#   is little to regain, and the tables of what is regained leave them out; at
#   half of all neurons they cost as much as the concept's own.
# - **none**: what further training brings where nothing was removed.
#
# ## What would change our mind
#
# - Of the surgical removal: a seed in which the head alone stays far below the
#   whole model. The verdict is about MiniLM, a small encoder, and about these
#   three concepts; a removal that no linear reader can undo would need other
#   neurons, or more of them.
# - Of all of it: a better reader. The perceptron is one reader that is not
#   linear, with one hidden layer, on the last level and on a part of the
#   training sentences. A deeper one, or one that reads the levels below, may
#   find more, so what is called relearned here is at most that much.
# - An interval over runs counts seeds and concepts alike. One corpus stands
#   behind all of them.
