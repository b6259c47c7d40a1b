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
# # How much must be taken?

# %% tags=["remove-cell"]
# !test ! -d /content -o -e plasticity/installed || \
#   (git clone -q https://github.com/plasticity-book/plasticity; \
#    bash plasticity/.binder/colab)

# %% tags=["remove-input"]
from IPython.display import Markdown

from plasticity_utils import charts
from plasticity_utils.analysis import audits
from plasticity_utils.charts import theme
from plasticity_utils.formats import chosen_percent
from plasticity_utils.results.published import published_curves

theme.enable()
curves = published_curves()
table = audits.curve_table(curves)
kept = audits.read_up_to(table)
own, random = kept["its own"], kept["random"]
floor = audits.floors(curves).mean()
uncut = table[table["dose"] == 0].groupby("reader")["entity_f1"].mean()
whole = uncut.max()
Markdown(
    "**With one neuron in twenty silenced the model finds next to nothing "
    f"of the concept. With {chosen_percent(own.min())} silenced a new "
    "reader still finds nine tenths of what it finds in the whole model, "
    "each time; of random neurons "
    f"{chosen_percent(random.min())} can go.**\n\n"
    "Not all of that was taught: in a model that was never taught names "
    f"such a reader comes to an F1 of {floor:.2f}, and in the whole "
    f"model to {whole:.2f}."
)

# %% [markdown]
# The neurons of a concept are those that answer most differently to its words. Here
# more and more of them are held at their mean, up to half of all neurons of MiniLM.
# At each {term}`dose` **readers** look at the model, in which nothing else changes. They
# are its own last layer, trained again whole or in its thresholds alone, and new readers
# of what the last layer sees and of every layer. At four doses the whole model trains on. It
# stands beside a model that never knew the concept and lost the same neurons.
#
# ## What is found of the concept

# %% tags=["remove-input"]
means = audits.mean_by_dose(table)
few = means["reader"].isin(["own_head", "head", "perceptron"])
note = (
    "Means of locations, persons and organisations and of "
    f"{table['seed'].nunique()} seeds."
)
charts.found_by_dose(
    means[few & means["cut"].isin(["its own", "random"])],
    "The model loses the concept long before a reader does",
    note,
    floor,
)

# %% [markdown]
# The dotted line is the {term}`floor`: what the best reader finds in the model that was
# never taught names, with nothing cut. What a reader finds up to there need not come
# from the teaching. Small doses have more room on the axis than large ones.
#
# - **At 5 %** of its own neurons the model itself finds next to nothing. Its last
#   layer, trained again, finds nearly what it found before.
# - **Beside random neurons.** The model itself needs the neurons of the concept far
#   more than random ones. Up to 20 % a new reader hardly tells the two apart: what it
#   finds is spread over many neurons.
# - **The right end.** With half of the neurons gone the last layer is at nothing, and a
#   new reader below the floor.
#
# ## Every reader, and training

# %% tags=["remove-input"]
charts.found_by_dose(
    means, "Thresholds go early, a reader of every layer last", note, floor
)

# %% [markdown]
# - **Thresholds alone** bring back most at 5 %, and hardly anything at 10 %: what was
#   lost is more than a shift.
# - **Another concept's neurons** are missed too, from 10 % on: large cuts are about
#   names, and not about one kind of them.
# - **The right end.** A reader of every layer is back at the floor. The training of the
#   whole model does worse. Under random neurons it was not trained.
#
# ## Up to which dose

# %% tags=["remove-input"]
charts.number_table(kept, ["seed", "concept", "its own", "random"])

# %% [markdown]
# The largest dose up to which the best new reader keeps nine tenths of its F1 on the
# whole model, of the seven doses in the figure. A seed and concept have one value, and
# no interval is drawn of so few.
#
# ## What training brings beyond reading

# %% tags=["remove-input"]
charts.number_table(audits.trained_by_dose(table))

# %% [markdown]
# Here neurons are held at their mean, and the model trains for two epochs of 1,800
# sentences. (The half of [the paper](paper.ipynb) is set to zero, and trains on all.) F1 of
# the concept is shown beside the best new reader of the same cut, and
# beside a model that never knew the concept. Up to 15 % the whole model regains what a
# reader finds without it. The model that never knew gets most of the way too, so F1 at
# the end says little of relearning. How *soon* each is there says more: see the
# [table of removals](removals.ipynb).
#
# At 30 % and beyond training often fails where a reader of the frozen model still
# finds the concept. The schedule was set for whole models, and two epochs of 1,800
# sentences are short. So this shows no limit of what can be relearned.
#
# ## How sure
#
# Two repeats (seeds) of each concept, one model, and the small scale *quick*: 1,800
# sentences to train on, 500 to score. The rule of nine tenths was set before these
# runs. A curve of full size in which readers fall as soon as the model does would
# change our mind. `plasticity audit --curve` makes a
# curve of any concept and model.
