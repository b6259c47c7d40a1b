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
# # Cut out, or only unread?
#
# **We silenced the neurons for place names in a small language model. It stopped
# finding places. Retraining only its last layer brought them back: the knowledge
# had never left.**
#
# Whoever wants a model to forget something, a private fact or a dangerous one,
# can cut out the neurons that carry it. If the model trains on and the skill
# returns, it looks as if it had been learned again. This book asks whether it was
# ever gone.
#
# The model is MiniLM, taught to mark places, persons and organisations in news
# sentences. Its **score** is 1 if it finds every name and nothing else. A
# **reader** looks at the damaged model from outside, without changing it. The
# model's own last layer is the simplest reader: let it alone learn again, and
# what it finds the layers below still hold.
#
# ![The experiment in four steps: the model learns to mark places; neurons are cut and
# the mark is gone; the last layer alone learns and it is back; or the whole model
# learns.](../book/_static/experiment.svg)

# %% tags=["remove-cell"]
from IPython.display import Markdown

import plasticity_utils as pu
from plasticity_utils import charts
from plasticity_utils.analysis import relearning, rules
from plasticity_utils.analysis.answers import by_question
from plasticity_utils.charts import theme
from plasticity_utils.results import groups
from plasticity_utils.results.published import published_examples

theme.enable()
(example,) = (one.table("example") for one in published_examples())
published = groups.run_groups(pu.published_runs())
full = groups.choose(published, model="minilm", scale="full")
surgical = groups.choose(full, regime="surgical", variant="")
half = groups.choose(full, regime="half", variant="")
erased = groups.choose(full, variant="indicator=outside")
decoder = groups.choose(
    published, model="smollm2", scale="full", regime="surgical", variant=""
)
cuts = {
    "a few per cent of the neurons held still": relearning.by_run(surgical),
    "half of all neurons set to zero": relearning.by_run(half),
    "erased from every layer": relearning.by_run(erased),
}
small, halved, gone = (
    row for _, row in relearning.side_by_side(cuts).iterrows()
)
places = relearning.each_concept(relearning.by_run(surgical)).iloc[0]
rest = relearning.each_concept(relearning.by_run(erased))["beyond_control"]
second = relearning.summary(relearning.by_run(decoder))

# %% [markdown]
# One sentence of the news, and what the model marks in it. LOC is a place, PER a
# person, ORG an organisation, MISC another name.

# %% tags=["remove-input"]
charts.marked_table(
    example,
    {
        "base": "before",
        "removed": "place neurons held still",
        "head": "last layer alone learned again",
        "targeted": "whole model learned again",
    },
)

# %% tags=["remove-input"]
charts.regained(
    relearning.shares(cuts),
    "A small cut leaves everything to be read; harder ones do not",
    "Look at the gap between the best reader and the whole model.",
)

# %% [markdown]
# ## Three numbers

# %% tags=["remove-input"]
Markdown(
    f"- **{places['base']:.2f} to {places['removed']:.2f}**: the score for "
    "places, before and after one neuron in twenty was held still. As many "
    "random neurons change nothing.\n"
    f"- **{places['head']:.2f}**: the score for places after the last "
    "layer "
    "alone learned again. With the whole model it is "
    f"{places['end']:.2f}.\n"
    f"- **{rest.iloc[0]:.2f}, {rest.iloc[1]:.2f}, {rest.iloc[2]:.2f}**: "
    "the "
    "score for places, persons and organisations that no reader of ours "
    "found "
    "after the concept was erased from every layer, and that training "
    "brought "
    "back. At most so much had to be learned."
)

# %% [markdown]
# ## Nine questions, nine answers
#
# Each answer is the word that a rule gives; the page of the question prints its
# rule and its numbers. *Read again* means that it had never left.

# %% tags=["remove-input"]
charts.number_table(by_question(published))

# %% tags=["remove-input"]
rules.strength

# %% [markdown]
# The rule of the first answer was written when its first seed was known; the
# other two seeds and the second model came after it. The pages, in this order:
# [relearned](relearning.ipynb) and [erased](erasure.ipynb) (1),
# [several concepts in one neuron](polysemanticity.ipynb) (2, 5, 6),
# [the parts of a concept](subconcepts.ipynb) (3),
# [the same concept](same_concept.ipynb) (4),
# [who takes it over](migration.ipynb) (7, 9),
# [forced to carry two](forced.ipynb) (8).
#
# ## What would mislead you
#
# - Two small models, one task, one collection of news texts. The second model
#   agrees on the last layer, with one run for each kind of name; it does not
#   agree on the layers.
# - Erasing places or organisations blinds the model to most other names too. Of
#   these it is the *task* that comes back. Of persons it is the concept.
# - Half of all neurons, any half, breaks the model. That says little of a concept.
# - What lies beyond our readers is an upper bound. Whether it was *relearned*, or
#   learned as if for the first time, takes a model that never knew these names.
#   Beside such a model the concept is back far sooner; so far that is measured on few
#   sentences: see the [table of removals](removals.ipynb).
# - *Why is training the last layer not learning?* Because it can only read what
#   is below. What it finds in a body that was never taught names stands on the
#   page of [an audit](audit.ipynb): much of it was there before.
#
# ## What is new here, what is not
#
# That a last layer trained alone can bring back what looks forgotten is known
# from continual learning and from unlearning ([what others found](../book/others)).
# New is that the relearning after the removal of concept neurons which
# [Lo, Barez and Cohen (2024)](paper.ipynb) report, and its move to earlier layers,
# vanish beside such controls.
#
# ## Where to go next
#
# - [Was it relearned?](relearning.ipynb) All three cuts, with readers and
#   controls. [Erased](erasure.ipynb): what an erasure takes, and what it costs.
#   [How much must be taken?](dose.ipynb) Readers and training as the cut grows.
# - [Locations](locations), [persons](persons), [organisations](organisations):
#   one concept at a time, down to single neurons.
# - [The paper](paper.ipynb) that started this, and what we find of it.
#   [Side by side](compare.ipynb): two models.
# - [The method](../book/method) defines every quantity;
#   [how to reproduce it](../book/reproduce) takes one command.
