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
# # Was it relearned?
#
# **After a small cut the concept was only unread. After harder ones more came
# back than any reader of ours had found.**
#
# *Question 1. Of a concept that came back with training, how much had never left?*
#
# A **reader** is a small model that looks at a frozen network and tags its
# words. What a reader finds had never left: it only was not read any more. This
# page takes a concept away in three ways, and compares what comes back with
# what the best reader finds. {term}`F1` is the score of whole names: 1 is perfect.
#
# - **The small cut** (`surgical`): a few per cent of the neurons, those that respond most to
#   the concept, are held at their mean.
# - **The half** (`half`): half of all neurons are set to 0, as in [the paper](paper.ipynb).
# - **The erasure** (`erase`): no neuron goes, but every layer is projected so that
#   linear readers lose the concept ([erased](erasure.ipynb)).

# %% tags=["remove-cell"]
# !test ! -d /content -o -e plasticity/installed || \
#   (git clone -q https://github.com/plasticity-book/plasticity; \
#    bash plasticity/.binder/colab)

# %% tags=["remove-cell"]
from IPython.display import Markdown

import plasticity_utils as pu
from plasticity_utils import charts
from plasticity_utils.analysis import audits, relearning, rules
from plasticity_utils.analysis.readers import mean_by_reader
from plasticity_utils.charts import theme
from plasticity_utils.formats import percent, signed
from plasticity_utils.results import groups
from plasticity_utils.results.published import published_audits

theme.enable()
published = groups.run_groups(pu.published_runs())
full = groups.choose(published, model="minilm", scale="full")
surgical = groups.choose(full, regime="surgical", variant="")
half = groups.choose(full, regime="half", variant="")
erased = groups.choose(full, variant="indicator=outside")
cuts = {
    "the small cut": relearning.by_run(surgical),
    "the half": relearning.by_run(half),
    "the erasure": relearning.by_run(erased),
}
table = relearning.side_by_side(cuts)
small, halved, gone = (row for _, row in table.iterrows())
of_half = cuts["the half"].groupby("concept")["beyond_control"].mean()

# %% [markdown]
# ## The answer

# %% tags=["remove-input"]
charts.number_table(
    table,
    ["way", "cut", "by_head", "by_best", "by_end", "came_back"],
)

# %% [markdown]
# Shares of the lost F1 that are regained: three concepts, MiniLM.

# %% tags=["remove-input"]
Markdown(
    f"- **The small cut: {small['came_back']}.** The last layer alone "
    f"regains {percent(small['by_head'])} of what was lost. Training "
    f"everything adds {signed(small['beyond'])} F1, and "
    f"{signed(small['beyond_control'])} "
    f"({signed(small['beyond_control_low'])} to "
    f"{signed(small['beyond_control_high'])}) beyond the control.\n"
    f"- **The half: {halved['came_back']}, but of {halved['cut']}.** A "
    f"random half takes {halved['lost_random']:.2f} F1 of the concept, its "
    f"own half {halved['lost']:.2f}. So most of what returns is the skill "
    "to find names of any kind. Beyond what the same training brings after "
    f"a random half it adds {signed(halved['beyond_control'])} "
    f"({signed(of_half.min())} to {signed(of_half.max())} by concept).\n"
    f"- **The erasure: {gone['came_back']}, and also of {gone['cut']}.** "
    f"What lies beyond the best reader is {gone['beyond']:.2f} F1 at "
    "most: a better reader would find more. The other types lost "
    f"{gone['lost_others']:.2f} as well; of persons alone the erasure is "
    "about the concept."
)

# %% tags=["remove-input"]
rules.came_back

# %% tags=["remove-input"]
rules.cut

# %% tags=["remove-input"]
charts.regained(
    relearning.shares(cuts),
    "The small cut leaves nearly all to be read, the other two do not",
    "The gap between the best reader and the whole model is what to look "
    "at.",
)

# %% [markdown]
# ## How sure is that?
#
# What training the whole model brings beyond the best reader, in F1 and less the
# same after the control: a random cut, or no cut where that was not read. Concepts
# differ more than seeds do, so the mean speaks of these three concepts alone.

# %% tags=["remove-input"]
charts.number_table(relearning.beyond_by_seed(cuts))

# %% [markdown]
# A dash is a run without readers. Two small cuts of organisations have none either; the
# [audits](removals.ipynb) do. The erasure's seeds 0 and 1 have another machine and bases.
#
# ## What each reader finds
#
# Three readers see what the last layer sees. *head* is that layer, trained as long as
# the model is. *linear* is a linear {term}`reader` fitted until it no longer improves,
# and *perceptron* has a hidden layer. Both saw 5,000 sentences and the head 14,041, so
# *linear* finds less than the head even in an intact model.

# %% tags=["remove-input", "hide-output"]
charts.number_table(
    relearning.means_by_way(cuts),
    ["way", "concept", "removed", "head", "linear", "perceptron", "end"],
)

# %% [markdown]
# Means over seeds: F1 just after the cut (*removed*), of each reader, and at the *end* of
# training the whole model. After the half the head ends below where it began: it trained
# too fast, so there the other two readers stand for it.
#
# On intact models, and after random cuts:

# %% tags=["remove-input", "hide-output"]
whole = mean_by_reader(surgical + half + erased)
charts.number_table(whole[whole["condition"] != "targeted"])

# %% [markdown]
# Does it matter how the last layer is trained? After the small cut, from its own weights
# or fresh ones, at four rates, until it improves no more:

# %% tags=["remove-input", "hide-output"]
ways = audits.heads(published_audits(scale="full"))
charts.number_table(ways, ["concept", "start", "factor", "base", "removed"])

# %% tags=["remove-input"]
found = ways.groupby("concept")["removed"]
apart = (found.max() - found.min()).max()
below = (ways["base"] - ways["removed"]).groupby(ways["concept"]).mean()
Markdown(
    f"Between the worst and the best way lie at most {apart:.3f} F1, and "
    f"between the uncut model and this one {below.min():.3f} to "
    f"{below.max():.3f}."
)

# %% [markdown]
# ## In a decoder
#
# SmolLM2 was cut once for each concept: no interval, no verdict.

# %% tags=["remove-input", "hide-output"]
decoder = relearning.by_run(
    groups.choose(
        published,
        model="smollm2",
        scale="full",
        regime="surgical",
        variant="",
    )
)
charts.number_table(
    relearning.each_concept(decoder),
    ["concept", "cut", "lost", "lost_others", "by_head", "beyond_control"],
)

# %% tags=["remove-input"]
on_2000 = relearning.by_run(
    groups.choose(
        published,
        model="smollm2",
        scale="medium",
        regime="surgical",
        variant="",
    )
)
less = relearning.summary(on_2000)
survived = (on_2000["removed"] > 0.1 * on_2000["base"]).sum()
Markdown(
    "Trained on 2,000 sentences, with two seeds, the last layer regains "
    f"{percent(less['by_head'])}. What training everything adds, less the "
    "same without a cut, is "
    f"{signed(less['beyond_control'])} "
    f"({signed(less['beyond_control_low'])} to "
    f"{signed(less['beyond_control_high'])}): indistinguishable from zero. "
    f"Of these {len(on_2000)} cuts {survived} left more than a tenth of F1."
)

# %% [markdown]
# ## Back sooner than if never known?

# %% tags=["remove-input"]
saved = audits.table_of_removals(published_audits())
saved = saved.groupby("removal")["savings"].mean()
Markdown(
    "**Yes: it is back long before a model that never knew it has learned "
    "it.** At the small scale *quick*, after the small cut, the one that "
    "knew saves "
    f"{percent(saved['gate'])} of the steps; after an erasure of the "
    f"concept alone it saves {percent(saved['leace'])} "
    "([table of removals](removals.ipynb))."
)

# %% tags=["remove-input"]
rules.kept

# %% tags=["remove-input"]
read = audits.readings_table(published_audits())
columns = ["entity_f1", "average_precision"]
means = read.groupby(["removal", "reader", "body"])[columns].mean()
cut, none_cut = (
    means.loc["gate", audits.OWN_HEAD, at] for at in ("removed", "base")
)
after = means.loc["leace", audits.OWN_HEAD, "removed"]
Markdown(
    "**Was more lost than a threshold?** After the small cut, not much. "
    "*Average precision*, which has no threshold, falls from "
    f"{none_cut['average_precision']:.2f} to "
    f"{cut['average_precision']:.2f}, and F1 from "
    f"{none_cut['entity_f1']:.2f} to {cut['entity_f1']:.2f}. Training "
    "the biases of the last layer alone brings F1 back to "
    f"{means.loc['gate', 'bias', 'removed']['entity_f1']:.2f}. After the "
    "narrower erasure, of the concept alone, it falls to "
    f"{after['average_precision']:.2f}."
)

# %% [markdown]
# With all sentences, more comes back after the narrower erasure [than readers had
# found](removals.ipynb). Training on
# a few sentences, or on other names, has [its own page](how_little.ipynb).
#
# ## What would change our mind
#
# - For the small cut: a seed in which every reader stays far below the whole
#   model.
# - For the erasure and the half: a better reader. Ours read one word at a time
#   from the last layer.
