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
# **We cut the {term}`neurons <neuron>` for place names out of a small language model, and
# it stopped finding places. Training its last layer alone brought them back, further than in a
# model never taught names. The knowledge had never left; harsher cuts may take some.**
#
# If a secret that a model was made to forget returns with training, was it learned
# again, or had it never gone?
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
removals = audits.table_of_removals(at_full_size).set_index(
    ["removal", "concept"]
)
floor = removals["floor"]["gate", "locations"]
published = groups.run_groups(pu.published_runs())
full = groups.choose(published, model="minilm", scale="full")
surgical = relearning.by_run(
    groups.choose(full, regime="surgical", variant="")
)
half = relearning.by_run(groups.choose(full, regime="half", variant=""))
erased = relearning.by_run(groups.choose(full, variant="indicator=outside"))
cuts = {
    "a few per cent of the neurons cut out": surgical,
    "half of all neurons set to zero": half,
    "erased, other names along with it": erased,
}
places = relearning.each_concept(surgical).iloc[0]
rest = removals["beyond"]["leace"]

# %% [markdown]
# The model marks places (LOC), persons (PER) and organisations (ORG) in news.

# %% tags=["remove-input"]
charts.marked_table(
    example,
    {
        "base": "before",
        "removed": "place neurons cut out",
        "head": "last layer alone learned again",
        "targeted": "whole model learned again",
    },
)

# %% [markdown]
# **[Try a sentence of your own](../book/sentence).**
#
# A {term}`reader` is trained to find the names in what the cut model still computes. The
# simplest is the last layer, trained alone.

# %% tags=["remove-input"]
curves = published_curves()
at_each_dose = audits.curve_table(curves)
by_dose = audits.mean_by_dose(at_each_dose)
who = ["own_head", "head", "perceptron", "whole_model", "never_knew"]
charts.found_by_dose(
    by_dose[
        by_dose["reader"].isin(who)
        & by_dose["cut"].isin(["its own", "random"])
    ],
    "The larger the cut, the less is left to be read",
    "F1, the score, is 1 where every name is found and nothing else. "
    "Means over the three kinds of name, and "
    f"{at_each_dose['seed'].nunique()} repeats. The whole model trained "
    "again on "
    f"{curves[0].facts['n_train_sentences']:,} sentences only (the "
    "next figure has all), and not after random cuts. Never knew: a model "
    "that was taught all names but these.",
    audits.floors(curves).mean(),
)

# %% tags=["remove-input"]
charts.regained(
    relearning.shares(cuts),
    "A small cut leaves nearly all to be read; harder ones do not",
    "What the whole model gains beyond the best reader may be new. Below "
    "zero: worse than just after the cut.",
)

# %% [markdown]
# ## Three numbers

# %% tags=["remove-input"]
Markdown(
    f"- **{places['base']:.2f} to {places['removed']:.2f}**: the score for "
    "places, before and after one neuron in twenty was cut out. As many "
    "random neurons change nothing.\n"
    f"- **{head['removed']:.2f}**: after the last layer alone learned "
    "again. A model never taught names comes to "
    f"{head['pretrained_removed']:.2f}; the {taught:.2f} beyond it had "
    "survived.\n"
    f"- **{rest['locations']:.2f}, {rest['persons']:.2f}, "
    f"{rest['organisations']:.2f}**: what training adds to the best reader "
    "for places, persons and organisations, each "
    "[erased alone](removals.ipynb)."
)

# %% [markdown]
# ## Nine questions and their answers
#
# More dots, surer. Question 1 has four parts.

# %% tags=["remove-input"]
answers = by_question(published)
links = "[" + answers["question"] + "](" + answers["page"] + ".ipynb)"
said = answers["answer"].replace(
    {
        "read again": "No. It had never left; it is read again",
        "more than was read, and sooner than if never known": "In part. "
        "Training the whole model brings back more than readers find, and "
        "sooner than in a model that never knew it",
        "more than was read, of the task": "At most in part, and that "
        "part may be the skill of finding names at all",
        "only the removed concept": "Few do, and most of that is the "
        "removed concept itself",
        "only in the class “other”": "Not for countries and cities; "
        "only place names on no list gain neurons",
        "the same directions in the kept units": "Yes, in the neurons "
        "that were left",
        "not measurable with this ruler": "Not measurable here",
        "not measurable with this inventory": "Not measurable here",
        "no": "No",
    }
)
rows = "| " + links + " | " + said + " | " + answers["strength"] + " |"
Markdown(
    "| question | answer | how sure |\n|:--|:--|:--|\n" + "\n".join(rows)
)

# %% [markdown]
# ## Before you believe it

# %% tags=["remove-input"]
Markdown(
    '<details class="fold"><summary>Did training the last layer not simply '
    "teach it again?</summary>\n\n"
    "It sees only what the layers below hold, and from that it can learn "
    "much. On a model that was never taught names, with the same neurons "
    f"cut out, it comes to {head['pretrained_removed']:.2f} for places, "
    f"and the best of all our readers to {floor:.2f}. "
    f"On the cut model it comes to {head['removed']:.2f}, and with "
    f"all neurons there to {head['base']:.2f}. The {taught:.2f} beyond the "
    "untaught model had been taught, and survived the cut "
    "([three repeats](removals.ipynb)).\n\n</details>"
)

# %% [markdown]
# <details class="fold"><summary>What the dots say</summary>
#
# Three dots: three repeats, a control and a second model agree. One: a first look, or a
# rule that was chosen after all its numbers were seen. A dash: no answer. Each answer
# follows from its numbers by a rule, and [the evidence](evidence.ipynb) has both.
#
# </details>

# %% [markdown]
# <details class="fold"><summary>What would mislead you</summary>
#
# - Two small models, and names in news texts. The second points the same way on the last
#   layer, with one run for each kind of name; where in it the concept goes is not
#   resolved. Persons in tweets and verb phrases agree, in [small runs](beyond.ipynb). Parts
#   of speech say nothing: a model that was never taught them finds them as well.
# - The wider erasure (1d) of places or organisations blinds the model to most other
#   names too. There it is the *task* that comes back, finding names at all. With persons it is the concept.
# - Half of all neurons, any half, breaks the model. That says little of a concept.
# - That nothing had to be learned does not mean that nothing changes. Where the whole
#   model trains, neurons that were left come to tell the concept
#   [more sharply](locations), though the last layer could already find it.
# - What our readers miss may still have been there: less may be new than it seems.
#   To tell *relearned* from learned for the first time, one needs yet another model, which
#   learned all names but these. Ours is back far sooner than such a model, mostly
#   measured with few training sentences; with all of them after the small cut and after
#   an erasure of one kind of name alone ([table of removals](removals.ipynb)).
# - The rule of answer 1a was set after its first repeat. The other two repeats and the
#   second model test it.
#
# </details>

# %% [markdown]
# <details class="fold"><summary>What is new here, and what is not</summary>
#
# That a last layer trained alone can bring back what looks forgotten is known
# from continual learning and from unlearning ([what others found](../book/others)).
# New is what that means for one paper. [Lo, Barez and Cohen (2024)](paper.ipynb) report
# that a model relearns a concept whose neurons were removed, and that the concept
# moves to earlier layers. After a small cut we find nothing relearned. At the paper's dose,
# half of all neurons, something may be, but most of it is the task. And after as many random
# neurons are cut the concept moves to earlier layers, too.
#
# </details>

# %% [markdown]
# ## Where to go next
#
# [How much must be taken?](dose.ipynb) · [down to single neurons](locations) ·
# [the evidence](evidence.ipynb) · [the method](../book/method) ·
# [reproduce it](../book/reproduce)
