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

# %% [markdown] tags=["own-opening"]
# # Locations
#
# **With its neurons for places cut out, the model marks hardly any. Its last layer,
# trained alone, marks them as before: they had not left.**
#
# "Anna flew from Oslo to Geneva for Reuters": a small model, fine-tuned on news,
# marks Oslo and Geneva as places. The neurons that answer most to places are cut
# out, and it no longer does. Then it trains on, and F1 comes back, as
# [Lo, Barez and Cohen (2024)](paper) found. Was the
# concept learned anew, or was it there all along and only not read?

# %% tags=["remove-cell"]
# !test ! -d /content -o -e plasticity/installed || \
#   (git clone -q https://github.com/plasticity-book/plasticity; \
#    bash plasticity/.binder/colab)

# %% tags=["parameters", "hide-input"]
concept = "locations"
model = "minilm"
scale = "full"
seed = 0
regime = "surgical"
corpus = "conll2003"
tags = "entity"
results_dir = ""

# %% tags=["own-home", "remove-input"]
_home = {
    "concept": "locations",
    "model": "minilm",
    "scale": "full",
    "regime": "surgical",
    "corpus": "conll2003",
    "tags": "entity",
}

# %% tags=["hide-input"]
from IPython.display import Markdown

import plasticity_utils as pu
from plasticity_utils import charts
from plasticity_utils.analysis import answers, rules
from plasticity_utils.book import banner
from plasticity_utils.charts import theme
from plasticity_utils.formats import fixed
from plasticity_utils.results import across, groups, tables
from plasticity_utils.results.derived import CARDS, derive, derived

theme.enable()
config = pu.RunConfig.from_notebook(globals())
run = pu.find_run(config, make=True)
group = pu.run_group(run)
Markdown(banner.settings(group, _home))

# %% [markdown]
# ## The answer in short

# %% [markdown] tags=["explains"]
# A model learns to tag words. What carries the concept is cut out. Then the
# model trains on: whole, or only its last layer, which reads what the layers
# below offer. {term}`F1` is the score: 1 is perfect, 0 is nothing found.

# %% tags=["remove-input"]
answer = answers.answer(group)
f1 = answer.set_index("step")["targeted"]
charts.number_table(answer)

# %% [markdown] tags=["explains"]
# *targeted*: its own neurons cut. *random*: as many of the same layers.
# *none*: nothing cut; of the difference, it says what training brings where
# nothing was lost. In brackets: 95 %. The {term}`probe` is scored word by word:
# compare it with its neighbours only.

# %% tags=["remove-input"]
Markdown(
    "What was cut, read by the last layer alone (or, where that did not "
    "train or no tag names the concept, by the probe): "
    f"**{answers.found(group)}**."
)

# %% tags=["remove-input"]
rules.reader_finds

# %% [markdown] tags=["own-particular"]
# ## What is particular about locations
#
# - **Nothing is left over for learning.** What the whole model reaches, the last
#   layer reaches alone, within the interval.
# - **The cut is specific.** Persons keep their F1. Organisations give up a
#   little, and more than they give up to a random cut. Perhaps that is because so
#   many bear the name of a town; we have not tested it.
# - **The same share was cut under every seed.** It is the smallest of the three
#   concepts, but by a single step of the grid and not under every seed.
# - **And yet training writes.** No neuron needed to learn places, and those that
#   were left tell them more sharply in the end than in the base model.

# %% [markdown]
# ## How much must go

# %% [markdown] tags=["explains"]
# {term}`σ <selectivity>` = 2·AUROC − 1 says how well a neuron alone tells the concept's words from
# others (1 or −1: perfectly). Growing shares of the best are held at their
# mean, and the model is not trained. If they are the concept's own, its F1
# falls first, and long before random ones do harm.

# %% tags=["hide-input"]
charts.dose_response(
    tables.dose_curve(run.dose),
    run.facts["dose"],
    config.label,
    title=f"The cut takes the F1 of {config.label} from "
    f"{fixed(f1[answers.BEFORE], 2)} to {fixed(f1[answers.CUT], 2)}",
)

# %% [markdown] tags=["explains"]
# What is cut is the smallest share that takes nine tenths of the F1 or, if
# that harms the other types, the most specific one, picked on other sentences.
# The share goes by a few steps: one step of difference says little. The diamond
# is the paper's removal, half of all neurons. Look at what a *random* half does
# first.

# %% [markdown]
# ## What comes back

# %% [markdown] tags=["explains"]
# {term}`head` is the last layer alone, on a body that does not change. Only what lies
# above it is new.

# %% tags=["hide-input"]
charts.f1_through_retraining(
    group.metrics,
    config.label,
    tables.base_f1(group.metrics),
    group.interval,
    group.config.only_reading,
    title=f"Training brings the F1 of {config.label} back to "
    f"{fixed(f1[answers.WHOLE], 2)}",
)

# %% [markdown] tags=["explains"]
# How fast the score rose before the first snapshot, the figure cannot say; step by
# step it stands in the [table of removals](removals).

# %% tags=["hide-output", "remove-input"]
charts.number_table(
    group.recovery,
    ["condition", "base", "removed", "end", "recovery", "beyond_head"],
)

# %% [markdown]
# ## What training writes all the same

# %% [markdown] tags=["explains"]
# Where the last layer alone finds the concept, nothing *has* to be written into
# the neurons that were left. Is it? By how much |σ| rises in the last layer,
# from the base model to the end:

# %% tags=["remove-input"]
rises = answers.rises(group)
rise = rises.set_index("condition")["rise"]
charts.number_table(rises)

# %% [markdown] tags=["explains"]
# Under *head* no neuron was trained: what falls there, the cut has done, since
# neurons above it no longer hear what was cut. *none* is what training does by
# itself. What rises under *targeted* beyond both was written by training.

# %% tags=["hide-input"]
charts.kept_gain(
    group.kept_gain,
    group.neuron_interval,
    title=f"In the last layer |σ| for {config.label} rises by "
    f"{fixed(rise['targeted'], 2)}",
)

# %% [markdown]
# ## In which layers

# %% [markdown] tags=["explains"]
# The mean |σ| of the neurons that were left, and their ranks. Ranks only say who
# is first: cutting moves them by itself (dotted). [Two models side by side](compare)
# says whether a concept moves beyond its controls.

# %% tags=["hide-input"]
best = answers.told_best(group)
charts.layer_profile(
    group.layers,
    config.label,
    title=f"Kept neurons tell {config.label} best in layer {best['base']}, "
    f"and in the end in layer {best['end']}",
)

# %% [markdown]
# ## Cut again, at the end

# %% [markdown] tags=["explains"]
# As many of the *new* top neurons are cut out of the trained model, or random
# ones. The last columns: what that takes from the other types, on average, and
# at worst of one type under one seed.

# %% tags=["remove-input"]
charts.number_table(answers.second_cut(group))

# %% [markdown] tags=["explains"]
# F1 here, and of the growing cuts, is on fewer sentences (200 at `full`). A score that falls says that the reading broke, as after the first cut. It is
# no evidence that the concept sits in these neurons: readers fitted after it
# [find names](same_concept.ipynb) in MiniLM.

# %% [markdown]
# ## Neurons, one by one
#
# Choose a neuron that was cut, one that rose most, or one that serves several
# types, and move the slider from the base model to the end.

# %% tags=["hide-input"]
cards = derive(run, CARDS)
charts.neuron_card(cards, config.label)

# %% [markdown] tags=["explains"]
# The words of a neuron that rose need not be the concept's: the five that move it
# furthest may be surnames, while over all words, which σ is about, it tells places
# better than before.

# %% tags=["hide-input"]
charts.neuron_map(cards, config.label)

# %% [markdown]
# Folded: the most selective neurons that were cut; those that rose most, picked
# on other sentences, with their rise under *none*; and which share of the cut
# other rankings would have cut too.

# %% tags=["hide-output", "remove-input"]
charts.words_table(derived(run, "removed_neurons"))

# %% tags=["hide-output", "remove-input"]
charts.words_table(derived(run, "newly_salient"))

# %% tags=["hide-output", "remove-input"]
charts.number_table(derived(run, "method_overlap"))

# %% [markdown]
# ## Beside the other concepts
#
# Folded: how much was cut of each and what that took; then what came back.

# %% tags=["hide-output", "remove-input"]
charts.number_table(
    across.dose_table(groups.beside(group)),
    [
        "concept",
        "doses",
        "loss",
        "loss_others",
        "specificity",
        "random_loss",
    ],
)

# %% tags=["hide-output", "remove-input"]
charts.number_table(
    across.relearning(groups.beside(group)),
    ["concept", "lost", "by_head", "recovery", "beyond_head", "drift"],
)

# %% [markdown]
# ## Look inside
#
# Live (`make lab`): any neuron and stage, your own sentence, of your own run
# (`scale = "quick"` makes one) or any model: `pu.explore(model="minilm")`.
# Without a kernel, nothing stands below.

# %% tags=["skip-execution"]
pu.explore(run)

# %% [markdown] tags=["explains"]
# ## What this does not show
#
# - Neurons are units of the {term}`residual stream`, which every layer reads and
#   writes. Another basis, or a larger model, may differ.
# - No interval holds both other seeds and other sentences.
# - A small cut says nothing about larger ones: see
#   [relearning](relearning) and the [method](../book/method).

# %% tags=["remove-input"]
Markdown(banner.made_with(run))
