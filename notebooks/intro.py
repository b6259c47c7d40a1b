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
# finding places. Retraining only its last layer brought them back, beyond what that does
# for a model that was never taught names: the knowledge had never left. After harsher
# cuts a part of it may really be new.**
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
# whatever it finds, the layers below must hold.
#
# ![The experiment in four steps: the model learns to mark places; neurons are cut and
# the mark is gone; the last layer alone learns and it is back; or the whole model
# learns.](../book/_static/experiment.svg)

# %% tags=["remove-cell"]
# !test ! -d /content -o -e plasticity/installed || \
#   (git clone -q https://github.com/plasticity-book/plasticity; \
#    bash plasticity/.binder/colab)

# %% tags=["remove-cell"]
from IPython.display import Markdown

import plasticity_utils as pu
from plasticity_utils import charts
from plasticity_utils.analysis import audits, relearning
from plasticity_utils.analysis.answers import by_question
from plasticity_utils.charts import theme
from plasticity_utils.results import groups
from plasticity_utils.results.published import (
    published_audits,
    published_curves,
    published_examples,
)

theme.enable()
(example,) = (one.table("example") for one in published_examples())
at_full_size = published_audits(scale="full")
head = audits.found_by(at_full_size, "gate", "locations", "head")
taught = head["removed"] - head["pretrained_removed"]
published = groups.run_groups(pu.published_runs())
full = groups.choose(published, model="minilm", scale="full")
surgical = groups.choose(full, regime="surgical", variant="")
half = groups.choose(full, regime="half", variant="")
erased = groups.choose(full, variant="indicator=outside")
decoder = groups.choose(
    published, model="smollm2", scale="full", regime="surgical", variant=""
)
cuts = {
    "a few per cent of the neurons silenced": relearning.by_run(surgical),
    "half of all neurons set to zero": relearning.by_run(half),
    "erased from every layer": relearning.by_run(erased),
}
small, halved, gone = (
    row for _, row in relearning.side_by_side(cuts).iterrows()
)
places = relearning.each_concept(relearning.by_run(surgical)).iloc[0]
rest = relearning.each_concept(relearning.by_run(erased))["beyond"]
second = relearning.summary(relearning.by_run(decoder))

# %% [markdown]
# One sentence of the news, and what the model marks in it. LOC is a place, PER a
# person, ORG an organisation, MISC another name.

# %% tags=["remove-input"]
charts.marked_table(
    example,
    {
        "base": "before",
        "removed": "place neurons silenced",
        "head": "last layer alone learned again",
        "targeted": "whole model learned again",
    },
)

# %% tags=["remove-input"]
Markdown(
    "*Did training the last layer not simply teach it again?* It sees only "
    "what the layers below hold, and from that it can learn much: on a "
    "model that was never taught names, with the same neurons silenced, it "
    f"comes to a score of {head['pretrained_removed']:.2f} for places. On "
    f"the silenced model it comes to {head['removed']:.2f}, and with all "
    f"neurons there to {head['base']:.2f}. The {taught:.2f} beyond the "
    "untaught model had been taught, and survived the silencing (one "
    "[repeat](removals.ipynb)).\n\n"
    "**[Try a sentence of your own](../book/sentence).**"
)

# %% tags=["remove-input"]
charts.regained(
    relearning.shares(cuts),
    "A small cut leaves nearly all to be read; harder ones do not",
    "What the whole model gains beyond the best reader may be new. Below "
    "zero: that training made it worse.",
)

# %% tags=["remove-input"]
curves = published_curves()
by_dose = audits.mean_by_dose(audits.curve_table(curves))
who = ["own_head", "head", "perceptron", "whole_model", "never_knew"]
charts.found_by_dose(
    by_dose[
        by_dose["reader"].isin(who)
        & by_dose["cut"].isin(["its own", "random"])
    ],
    "The larger the cut, the less is left to be read",
    "Few sentences, two repeats; means over the three kinds of name.",
    audits.floors(curves).mean(),
)

# %% [markdown]
# ## Three numbers

# %% tags=["remove-input"]
Markdown(
    f"- **{places['base']:.2f} to {places['removed']:.2f}**: the score for "
    "places, before and after one neuron in twenty was silenced. As many "
    "random neurons change nothing.\n"
    f"- **{places['head']:.2f}**: the score for places after the last "
    "layer "
    "alone learned again. With the whole model it is "
    f"{places['end']:.2f}.\n"
    f"- **{rest.iloc[0]:.2f}, {rest.iloc[1]:.2f}, {rest.iloc[2]:.2f}**: "
    "for places, persons and organisations, after an erasure: every layer "
    "is changed so that no linear reader finds them, though others may. "
    "Trained on, the whole model scores this much above our best reader. "
    "At most so much had to be learned."
)

# %% [markdown]
# ## Nine questions and their answers
#
# How sure is each? Three dots: three repeats of each kind of name, a control, and a second
# model that points the same way. One dot: a first look, or a rule set when all the numbers
# were known. A rule gives each answer, and [stands beside its numbers](evidence.ipynb).

# %% tags=["remove-input"]
answers = by_question(published)
links = "[" + answers["question"] + "](" + answers["page"] + ".ipynb)"
said = answers["answer"].replace(
    {
        "read again": "No. It had never left; it is read again",
        "more than was read, of the task": "In part, at most; most names "
        "of other kinds had gone too",
        "only the removed concept": "Few do, and most of that is the "
        "removed concept itself",
        "only in the class “other”": "Not for countries and cities; only "
        "place names on no list gain neurons",
        "the same directions in the kept units": "Yes, in the neurons "
        "that were left",
        "not measurable with this ruler": "Not measurable here",
        "not measurable with this inventory": "Not measurable here",
        "no": "No",
    }
)
lines = "- " + links + " **" + said + "** " + answers["strength"]
Markdown("\n".join(lines))

# %% [markdown]
# The rule of 1a was set after its first repeat; the other two repeats and the second model
# test it.
#
# ## What would mislead you
#
# - Two small models, and names in news texts. The second points the same way on the last
#   layer, with one run for each kind of name; where in it the concept goes is not
#   resolved. Persons in tweets and verb phrases agree, in [small runs](beyond.ipynb). Parts
#   of speech say nothing: a model that was never taught them finds them as well.
# - Erasing places or organisations blinds the model to most other names too. There
#   it is the *task* that comes back, finding names at all. With persons it is the concept.
# - Half of all neurons, any half, breaks the model. That says little of a concept.
# - That nothing had to be learned does not mean that nothing changes. Where the whole
#   model trains, neurons that were left come to tell the concept
#   [more sharply](locations), though the last layer could already find it.
# - What our readers miss may still have been there: less may be new than it seems.
#   To tell *relearned* from learned for the first time, one needs yet another model, which
#   learned all names but these. Ours is back far sooner than such a
#   model, mostly measured with few training sentences; with all of them in one run each,
#   after the small cut ([table of removals](removals.ipynb)).
#
# ## What is new here, what is not
#
# That a last layer trained alone can bring back what looks forgotten is known
# from continual learning and from unlearning ([what others found](../book/others)).
# New is what that means for one paper. [Lo, Barez and Cohen (2024)](paper.ipynb) report
# that a model relearns a concept whose neurons were removed, and that the concept
# moves to earlier layers. After a small cut we find nothing relearned. At the paper's dose,
# half of all neurons, something may be, but most of it is the task. And after as many random
# neurons are cut the concept moves to earlier layers, too.
#
# ## Where to go next
#
# - [How much must be taken?](dose.ipynb) Readers and training as the cut grows.
#   [What each answer rests on](evidence.ipynb), and what would change our mind.
# - [Locations](locations), [persons](persons), [organisations](organisations):
#   one concept at a time, down to single neurons.
# - [The paper](paper.ipynb) that started this, and what we find of it.
#   [Side by side](compare.ipynb): two models.
# - [The method](../book/method) defines every quantity;
#   [how to reproduce it](../book/reproduce) takes one command.
