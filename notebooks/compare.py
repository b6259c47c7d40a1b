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
# # Two models side by side
#
# **In both models the last layer alone finds the concept again after a small cut.
# In MiniLM the neurons that were left gain in later layers; in SmolLM2 that is not
# resolved.**
#
# *minilm* (MiniLM) reads a whole sentence at once and has 6 blocks. *smollm2*
# (SmolLM2), a {term}`decoder`, reads from left to right and has 30. Both were trained to mark names
# on all 14,041 sentences. The **small cut** holds the few per cent of the
# neurons that respond most to the concept at their mean. MiniLM was run with
# three seeds of each concept, SmolLM2 with one.

# %% tags=["remove-cell"]
# !test ! -d /content -o -e plasticity/installed || \
#   (git clone -q https://github.com/plasticity-book/plasticity; \
#    bash plasticity/.binder/colab)

# %% tags=["parameters"]
regime = "surgical"

# %% tags=["remove-cell"]
from IPython.display import Markdown

import plasticity_utils as pu
from plasticity_utils import charts
from plasticity_utils.analysis import movement, relearning, rules
from plasticity_utils.charts import theme
from plasticity_utils.formats import percent, signed, with_interval
from plasticity_utils.results import across, groups

theme.enable()
published = groups.run_groups(pu.published_runs())
largest = groups.largest(published)
surgical = groups.choose(largest, regime=regime, variant="")
encoder = groups.choose(surgical, model="minilm")
decoder = groups.choose(surgical, model="smollm2")
on_2000 = groups.choose(
    published, model="smollm2", scale="medium", regime=regime, variant=""
)
by_concept = relearning.each_concept(relearning.by_run(decoder))

# %% [markdown]
# ## What the cut takes, and what comes back
#
# *targeted* trains the whole model after the cut, *head* its last layer alone.
# *random* cuts other neurons of the same layers, *none* cuts nothing.

# %% tags=["remove-input"]
charts.outcomes(
    across.outcome_table(surgical),
    across.OVER,
    title="The last layer alone brings back nearly all that was taken",
)

# %% tags=["remove-input"]
Markdown(
    "In SmolLM2 the last layer alone regains "
    f"{percent(by_concept['by_head'].min())} to "
    f"{percent(by_concept['by_head'].max())} of the loss. That is one run "
    "a "
    "concept on one base model, so there is no interval and no verdict."
)

# %% [markdown]
# [Was it relearned?](relearning.ipynb) has MiniLM's verdict, and SmolLM2 on 2,000
# sentences with two seeds.

# %% [markdown]
# ## Is the cut about the concept?

# %% tags=["remove-input"]
charts.number_table(
    relearning.each_concept_and_model(
        {"minilm": encoder, "smollm2": decoder}
    ),
    ["model", "concept", "lost", "lost_others", "lost_random", "cut"],
)

# %% [markdown]
# F1 that the concept and the other types lose to its own cut, and the concept to
# a random one. In SmolLM2 the cut of organisations takes much of locations with
# it.

# %% tags=["remove-input"]
rules.cut

# %% [markdown]
# ## Does the concept move?
#
# |σ| ({term}`selectivity`) says how well a neuron alone tells the concept's words from others. Its
# **centre** is the mean layer, weighted by |σ|. There are two ways to take it.
#
# - *Of the survivors*: over the neurons that were left. It asks where training
#   makes them respond.
# - *Of the whole*: over all neurons, those cut out as silent. It asks where the
#   concept sits, before and after.

# %% tags=["remove-input"]
charts.differences(
    movement.depth_shares(surgical),
    {
        "survivors": "survivors, beyond no cut",
        "survivors_random": "survivors after a random cut, beyond no cut",
        "whole": "the whole",
        "whole_random": "the whole, as many random neurons silent",
    },
    "In MiniLM the neurons that were left gain in later layers",
    "Shares of the depth. Left of zero: towards the embedding.",
    "the least and the greatest seed",
)

# %% tags=["remove-input"]
small = movement.mean_moves(encoder)
large = movement.mean_moves(on_2000)
Markdown(
    f"- **MiniLM, survivors: {small['survivors_word']}.** Their centre "
    "moves by "
    f"{with_interval(small, 'survivors')} layers, towards the last; after "
    "a "
    f"random cut by {with_interval(small, 'survivors_random')}. Of six "
    "layers "
    "that is little. Survivors gain most where most was cut out.\n"
    f"- **MiniLM, the whole.** It moves the other way, by "
    f"{with_interval(small, 'whole')}. Silencing as many random neurons of "
    f"each layer gives {with_interval(small, 'whole_random')} without any "
    "training. So this tells the cut, and not the concept.\n"
    f"- **SmolLM2, survivors: {large['survivors_word']}.** On 2,000 "
    "sentences, "
    f"with two seeds of each concept, they move by "
    f"{with_interval(large, 'survivors')} layers and after a random cut by "
    f"{with_interval(large, 'survivors_random')}. On all sentences, one "
    "run a "
    "concept, persons do not move where a random cut does (figure)."
)

# %% tags=["remove-input"]
rules.moves

# %% [markdown]
# ## Which neurons does the model use in the end?
#
# F1 of the concept in the end, and with neurons cut out once more: as many new
# top ones, or random ones. A low F1 says that the model reads these neurons, and
# not that the concept sits there: in MiniLM
# [new readers still find it](same_concept.ipynb).

# %% tags=["remove-input", "hide-output"]
relied = across.relied_on(encoder + decoder)
charts.number_table(
    relied[relied["again"].isin(["nothing", "new top", "random"])],
    ["concept", "model", "condition", "again", "entity_f1"],
)

# %% tags=["remove-input"]
taken = relearning.taken_again(encoder + decoder + on_2000)
Markdown(
    "A second cut takes all of it in MiniLM "
    f"({taken.loc['minilm', 'full'].min():.2f} or more). In SmolLM2 on all "
    f"sentences it takes {taken.loc['smollm2', 'full'].min():.2f} to "
    f"{taken.loc['smollm2', 'full'].max():.2f}, on 2,000 sentences "
    f"{signed(taken.loc['smollm2', 'medium'].min())} to "
    f"{signed(taken.loc['smollm2', 'medium'].max())}, most of it from "
    "locations."
)

# %% [markdown]
# ## If neurons are held in another way
#
# Locations in MiniLM, one run each but for the first row. Neurons rest at their
# mean on the words; on the special tokens too (`positions=all`); at 0
# (`rest=zero`); or they may grow back while the model trains (`regrow=True`).
# Each picks its own dose by the same rule. At 0 no dose of the rule takes nine
# tenths of the F1, so the most specific one is taken.

# %% tags=["remove-input"]
ways = groups.choose(largest, concept="locations", model="minilm")
ways = groups.choose(ways, regime=regime)
charts.number_table(
    across.relearning(ways),
    ["variant", "n_seeds", "lost", "by_head", "beyond_head"],
)

# %% [markdown]
# Doses and costs, and how far neurons grow back (*gain* is 0 for one that rests
# and 1 for one that is as it was; medians):

# %% tags=["remove-input", "hide-output"]
charts.number_table(
    across.dose_table(ways),
    ["variant", "doses", "loss", "loss_others", "random_loss"],
)

# %% tags=["remove-input", "hide-output"]
charts.number_table(
    across.grown_back(groups.choose(ways, regrow=True)),
    ["variant", "condition", "gain", "effect"],
)

# %% [markdown]
# ## All of it in numbers
#
# F1 of the concept in the base, just after, and in the end: the small cut, half
# of all neurons ([the paper's dose](paper.ipynb)), and the
# [erasure](erasure.ipynb).

# %% tags=["remove-input", "hide-output"]
half = groups.choose(largest, regime="half", variant="")
erased = groups.choose(largest, variant="indicator=outside")
charts.number_table(
    across.recoveries(surgical + half + erased),
    ["concept", "model", "regime", "condition", "base", "removed", "end"],
)

# %% [markdown]
# ## What is not measured yet
#
# SmolLM2 on all sentences with more seeds than one, with half of its neurons cut
# out or erased, and with readers of the frozen network; other ways to hold a
# neuron for more than one concept and seed.
