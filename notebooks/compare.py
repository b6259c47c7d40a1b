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
# # Concepts and models side by side
#
# Every published run with the settings below on one page, concept by concept
# and model by model, each at the largest scale that was run. *minilm* is an
# encoder of 6 blocks, which reads a sentence at once; *smollm2* is a decoder of
# 30 blocks, which reads from left to right. Both were trained on all 14,041
# sentences. Points are means over seeds and lines 95 % intervals over seeds
# (Student's t); a difference is taken within each seed before it is averaged.
# Where there is one seed, the line of an F1 is its interval over sentences, and
# a difference has none: neither says anything of other seeds.

# %% tags=["parameters"]
regime = "surgical"

# %%
import plasticity_utils as pu
from IPython.display import Markdown
from plasticity_utils import charts
from plasticity_utils.analysis import movement, relearning
from plasticity_utils.analysis import movement as centres
from plasticity_utils.book.on_page import figure, numbers
from plasticity_utils.charts import theme
from plasticity_utils.results import across, groups

theme.enable()
series = groups.largest(groups.series_of(pu.published_runs()))
surgical = groups.choose(series, regime=regime, variant="")
over = "95 % interval over seeds"

# %% [markdown]
# ## What removal takes, and what comes back
#
# The distance between *targeted* and *head* is the one to look at: what the
# head alone regains had never left. *random* and *none* show what the same
# training does where nothing of the concept was removed.

# %%
charts.outcomes(across.outcomes(surgical), across.OVER)

# %%
charts.number_table(
    across.relearning(surgical),
    ["concept", "model", "n_seeds", "lost", "by_head", "recovery"],
)

# %% [markdown]
# ## What is relearned
#
# F1 that training the whole model brings beyond what the head alone brings,
# and, as its control, what further training brings where nothing was removed.
# First in a sentence a model, over all of its concepts and seeds.

# %% tags=["remove-input"]
Markdown(relearning.model_verdicts(surgical))

# %%
charts.differences(
    across.relearning(surgical),
    {
        "beyond_head": "F1 beyond the head",
        "drift": "F1 by further training, nothing removed",
    },
    "Relearned: recovered beyond the head",
    "Right of zero: training the whole model brings more than the head.",
    over,
)

# %% [markdown]
# ## Dose, and what else goes
#
# How many neurons had to go, what that took from the concept without any
# retraining, what from the other entity types, and what random neurons take.
# These are numbers of the dose–response: on a part of the scoring half, and of
# random neurons the median over several draws. Elsewhere on this page one draw
# is trained on, and all of that half is scored.

# %%
charts.number_table(
    across.dose_table(surgical),
    ["concept", "model", "dose", "loss", "loss_others", "random_loss"],
)

# %% [markdown]
# How F1 of the other entity types changes from the base, just after the removal
# (negative: lost) and in the end. *random* is the control: what a random cut
# takes as well is no mark of the concept.

# %%
charts.number_table(
    across.collateral(surgical),
    ["concept", "model", "condition", "other", "at_removal", "at_end"],
)

# %% [markdown]
# ## The paper's dose: half of all neurons
#
# The 50 % that the released runs remove, by the same ranking (probeless), held
# at 0 at every token. *random* removes as many neurons of the same layers: if
# it takes as much, the loss is the network's and not the concept's.

# %%
half = groups.choose(series, regime="half", variant="")
figure(half, across.outcomes, charts.outcomes, across.OVER)

# %%
numbers(
    half,
    across.relearning,
    ["concept", "model", "n_seeds", "lost", "by_head", "recovery"],
)

# %% [markdown]
# ## Does the concept move?
#
# First the centre of |σ| over kept neurons, minus its movement where nothing
# was removed; then minus the same of the other entity types, in the same
# neurons. Then the centre of the ranks of |σ|, minus what removal alone
# predicts. The last panels are what one would read off the ranks without that
# control, for the concept's neurons and for as many random ones of each layer.
# All are shares of the model's depth, so that 6 blocks stand beside 30: 0.01 is
# 0.06 layers of the one and 0.3 of the other. Left of zero is towards the
# embedding.

# %%
charts.differences(
    centres.shifts(surgical),
    {
        "beyond_none_depth": "by selectivity, beyond none",
        "beyond_others_depth": "by selectivity, beyond the other types",
        "beyond_removal_depth": "by rank, beyond removal alone",
        "rank_shift_depth": "by rank, as read without controls",
        "rank_shift_random_depth": "by rank, random neurons cut out",
    },
    "Movement between layers (share of the depth)",
    "Left of zero: towards the embedding.",
    over,
)

# %% tags=["remove-input"]
Markdown(movement.movement_sentence(centres.shifts(surgical)))

# %% [markdown]
# ## Which neurons does the model use in the end?
#
# F1 of the concept when neurons are removed once more after retraining: the
# same ones, the model's new top ones, random ones.

# %%
charts.number_table(
    across.relied_on(surgical),
    ["concept", "model", "condition", "again", "f1"],
)

# %% [markdown]
# In the encoder as many new top neurons take all of it once more. In the decoder
# they take 0.02 to 0.25: in the end no set of that size, as far as the ranking
# finds one, carries the concept, and the head reads it all the same. That is one
# seed, and what the removal alone does to this is not told apart.
#
# How far the top neurons among those kept are the same before and after, with
# what chance would give. *none* shows how much training on changes by itself,
# *head* how much the removal changes with no neuron trained: an overlap as low
# as that of *head* says nothing about relearning.

# %%
charts.number_table(
    across.turnovers(surgical),
    ["concept", "model", "condition", "jaccard", "jaccard_by_chance"],
)

# %% [markdown]
# ## And if neurons are held in another way?
#
# Above, a removed neuron rests at its mean on every word, for good. Here it
# rests there on the special tokens as well, which mark where a sentence begins
# and ends (`positions=all`); or at 0 (`rest=zero`); or it starts at its mean and
# may grow back while the model trains (`regrow=True`): the gate that holds it
# trains with the model. Special tokens that rest too change none of these F1 by
# more than 0.015 at the same seed.
# Locations in MiniLM; the rows without a variant are the removal of the rest of
# this page. Each picks its own dose, by the same rule. Of neurons that rest at
# 0, no dose of the rule takes nine tenths of the concept's F1; the most specific
# one is taken instead, and little is lost that could come back.

# %%
ways = groups.choose(series, concept="locations", model="minilm")
ways = groups.choose(ways, regime=regime)
numbers(
    ways,
    across.relearning,
    ["variant", "n_seeds", "lost", "by_head", "recovery", "beyond_head"],
)

# %%
numbers(
    ways,
    across.dose_table,
    ["variant", "dose", "loss", "loss_others", "random_loss"],
)

# %%
numbers(ways, across.recoveries, ["variant", "condition", "removed", "end"])

# %% [markdown]
# How far do neurons grow back that may? *gain* is 0 for a neuron that rests and
# 1 for one that is as it was; *effect* is how far its mean on words of the
# concept lies from that on others, as a share of the base's (medians over the
# removed neurons). Where both stay near 0, the model does without them: what
# comes back does not come back there.

# %%
numbers(
    groups.choose(ways, regrow=True),
    across.grown_back,
    ["variant", "condition", "gain", "effect"],
)

# %% [markdown]
# ## All of it in numbers
#
# F1 of the concept in the base model, just after, and in the end, for every
# condition: first the surgical removal, then half of all neurons, then the
# erasure.

# %%
columns = ["concept", "model", "condition", "base", "removed", "end"]
numbers(surgical, across.recoveries, columns)

# %%
numbers(half, across.recoveries, columns)

# %%
erased = groups.choose(series, variant="indicator=outside")
numbers(erased, across.recoveries, columns)

# %% [markdown]
# ## What is missing here
#
# The decoder on all sentences with more seeds than one (`--model smollm2 --scale
# full --seed 1`, which asks for a graphics processor), with half of its neurons
# removed (`--regime half`), or erased (`--regime erase`); other ways to hold a
# neuron for more than one concept and seed.
