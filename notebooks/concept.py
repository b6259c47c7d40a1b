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
# # A concept of your own
#
# **Does a language model relearn a concept after the neurons that carry it are
# cut out, and where does the concept go?**
#
# This page is the template from which the page of any concept is made:
#
#     papermill --cwd notebooks notebooks/concept.ipynb page.ipynb -p concept miscellaneous
#
# It makes the same calls as the pages of locations, persons and organisations.
# As it stands it shows locations. A concept is an entity type, a list of words
# (`words:Monday,Tuesday`) or a label of a pair of files
# (`file:WORDS,LABELS#LABEL`); where it is no entity type, the page says below
# what F1 means.

# %% tags=["parameters"]
concept = "locations"
model = "minilm"
scale = "full"
seed = 0
regime = "surgical"
results_dir = ""

# %%
import plasticity_utils as pu
from IPython.display import Markdown
from plasticity_utils import charts
from plasticity_utils.book import banner, prose
from plasticity_utils.charts import theme
from plasticity_utils.results import across, groups, tables
from plasticity_utils.results.derived import CARDS, derive, derived

theme.enable()
config = pu.RunConfig.from_notebook(globals())

# %%
run = pu.find_run(config, make=True)
seeds = pu.seeds_of(run)
Markdown(banner.settings(seeds, home=""))

# %% [markdown]
# ## The answer in short

# %% tags=["remove-input"]
Markdown(banner.summary(seeds))

# %% [markdown]
# ## What was done
#
# 1. MiniLM (or the model named above) is fine-tuned on CoNLL-2003, and scored by
#    F1 over whole names (1: all found and nothing else; 0: none).
# 2. Every neuron, a unit of a hidden state, is scored by how well it tells words
#    of the concept from other words: its *selectivity* σ = 2·AUROC − 1.
# 3. In the *surgical* regime the most selective neurons are held at their mean
#    on every word, so that they say the same whatever the word: they are
#    *removed*, for good. (*half* sets half of all neurons to 0, by *probeless*:
#    how far a neuron's mean on words of the concept is from that on others.)
# 4. How many? The smallest share of all neurons that takes nine tenths of the
#    concept's F1, or the most specific share if that one takes the other entity
#    types along; picked on sentences on which nothing is reported.
# 5. The model trains on, on the same sentences in the same order, under four
#    conditions: **targeted** (the concept's neurons removed), **random** (as many
#    of each layer, drawn at random), **none** (nothing removed), and **head**
#    (the concept's removed, and only the linear head trained).
# 6. **head** is the condition on which the verdict hangs: what the linear layer
#    can learn to read off a body that does not change had never left it.
# 7. Neurons are ranked on one half of the test split and described on the
#    other; F1 is scored on a half of the validation split.
#
# The [method page](../book/method) has the definitions.

# %% [markdown]
# ## How much must go, and what else goes with it
#
# Growing shares of the neurons are removed, without any retraining. If the
# neurons found are the concept's own, its F1 falls long before that of the
# others, and long before as many random neurons do any harm.

# %%
charts.dose_response(
    tables.dose_curve(run.dose), run.facts["dose"], config.label
)

# %% tags=["remove-input"]
Markdown(prose.dose_sentence(run))

# %% tags=["remove-input"]
Markdown(prose.half_sentence(run))

# %% [markdown]
# ## F1 through retraining
#
# The figure to look at is the distance between *targeted* and *head*: only what
# lies above *head* was learned anew. *random* and *none* show what training on
# does by itself. (Of a concept that is no entity type *head* says nothing, and is
# not drawn.)

# %%
charts.f1_through_retraining(
    seeds.metrics,
    config.label,
    tables.base_f1(seeds.metrics),
    seeds.interval,
)

# %%
charts.number_table(
    seeds.recovery,
    ["condition", "base", "removed", "end", "recovery", "beyond_head"],
)

# %% [markdown]
# ## Is it still there to be read?
#
# F1 falls as soon as the head is misled. A linear probe on each layer asks
# whether words of the concept can still be told from others there. It is fitted
# on the ranking half and scored on the measuring half.

# %%
charts.probe_by_layer(
    seeds.layers[seeds.layers["condition"] != "head"], config.label
)

# %% tags=["remove-input"]
Markdown(prose.probe_sentence(seeds))

# %% [markdown]
# ## Where the concept lives, before and after
#
# Rank says who is first, not how strong: its mean over the model is always ½,
# so a rise in one layer is a fall in another, and cutting neurons out moves the
# profile by itself. So selectivity stands beside it, *none* beside both, and
# the dashed line shows what removal alone would do to the ranks.

# %%
charts.layer_profile(seeds.layers, config.label)

# %% tags=["remove-input"]
Markdown(prose.place_sentence(seeds))

# %% [markdown]
# Did the neurons that are left take over? The figure shows by how much |σ|
# rose from base to end, for the concept and for the other entity types, over
# neurons that were not removed.

# %%
charts.kept_gain(seeds.kept_gain, seeds.neuron_interval)

# %% tags=["remove-input"]
Markdown(prose.gain_sentence(seeds))

# %% tags=["remove-input"]
Markdown(prose.turnover_sentence(seeds))

# %% [markdown]
# ## What the retrained model relies on
#
# Neurons are removed once more, at the end: the same ones, as many of the
# model's new top neurons, and random ones of the same layers.

# %%
charts.reliance(seeds.reliance, config.label, seeds.interval)

# %% [markdown]
# ## Neurons, one by one
#
# Each point is a neuron: how well it told words of the concept from others in
# the base model, and how well it does in the end. Hover for its words. Where
# there are many kept neurons, a regular sample of them is drawn.

# %%
charts.neuron_scatter(derived(run, "neuron_changes"), config.label)

# %% [markdown]
# The words are those that move the neuron furthest from its mean, on the side
# on which the concept lies, in the base model, just after removal and at the
# end. First the most selective of the removed neurons; their words vanish,
# since they say the same of every word.

# %%
charts.words_table(derived(run, "removed_neurons"))

# %% [markdown]
# Then the neurons that were left and gained most, with what the same neuron
# gained when nothing was removed.

# %%
charts.words_table(derived(run, "newly_salient"))

# %% [markdown]
# A card for each of about a hundred neurons: those removed, those that gained
# most, and those that in the end serve several entity types. Choose one from
# the list and move the slider from the base model to the end.

# %%
cards = derive(run, CARDS)
charts.neuron_card(cards, config.label)

# %% [markdown]
# The same neurons by layer: drag over a range of layers in the upper chart,
# and the lower one shows what the neurons there do together.

# %%
charts.neuron_map(cards, config.label)

# %% [markdown]
# How do other rankings see it? The share of the removed neurons that each
# method would have removed too.

# %%
charts.number_table(derived(run, "method_overlap"))

# %% [markdown]
# ## Beside the other concepts
#
# The same experiment on the other concepts of the book, where their results
# are published. *dose* is the share of all neurons that was removed; *loss*,
# what that took from the concept's F1 without retraining, beside what it took
# from the other entity types and what random neurons take.

# %%
charts.number_table(
    across.dose_table(groups.beside(seeds)),
    [
        "concept",
        "dose",
        "loss",
        "loss_others",
        "specificity",
        "random_loss",
    ],
)

# %% [markdown]
# *by head* is the share of the loss that the linear head regains alone, and
# *beyond head* the F1 that training the whole model brings beyond it: that
# alone is relearning.

# %%
charts.number_table(
    across.relearning(groups.beside(seeds)),
    ["concept", "lost", "by_head", "recovery", "beyond_head", "drift"],
)

# %% [markdown]
# ## Look inside
#
# In the notebook the next cell is live (`make lab` opens it): choose any
# neuron, at any stage and under any condition; see its words, its activations
# and sentences shaded by it; compare two; type a sentence of your own. It
# needs a run of your own, with its models: `scale = "quick"` above makes one
# in about ten minutes. A page has no kernel, so here nothing stands below it.

# %% tags=["skip-execution"]
pu.explore(run)

# %% [markdown]
# ## What this shows, and what it does not
#
# - A fall in F1 after a removal says that the *reading* broke. Whether the
#   concept is gone is for the head and the probes to say.
# - A return of F1 is relearning only where it goes beyond *head*.
# - The neurons here are units of the residual stream, which every layer reads
#   and writes. Another basis, another model or a larger one may differ.
# - Intervals are over seeds where there are several, else over sentences (F1)
#   or over neurons, which share their words and so are not independent (|σ|).
# - The neurons that gained most were picked by their rise on the ranking half;
#   what is shown of them is measured on the other.

# %% tags=["remove-input"]
Markdown(prose.made_with(run))
