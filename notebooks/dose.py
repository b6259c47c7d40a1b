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

# %% tags=["remove-input"]
f1 = means.pivot(
    index=["reader", "cut"], columns="dose", values="entity_f1"
)
none, at_5, at_10 = f1[0.0], f1[0.05], f1[0.1]
at_15, at_20, at_half = f1[0.15], f1[0.2], f1[0.5]
Markdown(
    "- **At 5 %** of its own neurons the model itself comes to an F1 of "
    f"{at_5['own_head', 'its own']:.2f}, and its last layer, trained "
    f"again, to {at_5['head', 'its own']:.2f}: nearly the "
    f"{none['head', 'its own']:.2f} that it has with nothing cut.\n"
    "- **Beside random neurons.** The model itself needs the neurons of "
    "the concept far more than random ones. A new reader hardly tells the "
    f"two apart: it comes to {at_20['perceptron', 'its own']:.2f} without "
    f"20 % of them, and to {at_20['perceptron', 'random']:.2f} without as "
    "many random ones. So what it finds is spread over many neurons.\n"
    "- **The right end.** With half of the neurons gone the last layer is "
    f"at {at_half['head', 'its own']:.2f}, and a new reader at "
    f"{at_half['perceptron', 'its own']:.2f}, below the floor."
)

# %% [markdown]
# ## Every reader, and training

# %% tags=["remove-input"]
charts.found_by_dose(
    means, "Thresholds go early, a reader of every layer last", note, floor
)

# %% tags=["remove-input"]
missed = "own_head", "another concept's"
Markdown(
    "- **Thresholds alone** bring F1 back to "
    f"{at_5['bias', 'its own']:.2f} at 5 %, and to "
    f"{at_10['bias', 'its own']:.2f} at 10 %: what was lost is more than a "
    "shift.\n"
    "- **Another concept's neurons** are missed too, if they are many: the "
    f"model itself comes to {at_5[missed]:.2f} without 5 % of them, to "
    f"{at_10[missed]:.2f} without 10 % and to {at_15[missed]:.2f} without "
    "15 %. Large cuts are about names, and not about one kind of them.\n"
    "- **The right end.** A reader of every layer is back at the floor, "
    f"with {at_half['linear_everywhere', 'its own']:.2f}. The training of "
    f"the whole model does worse: {at_half['whole_model', 'its own']:.2f}. "
    "Under random neurons it was not trained."
)

# %% [markdown]
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
trained = audits.trained_by_dose(table)
charts.number_table(trained)

# %% [markdown]
# Here neurons are held at their mean, and the model trains for two epochs of 1,800
# sentences. (The half of [the paper](paper.ipynb) is set to zero, and trains on all.) F1 of
# the concept is shown beside the best new reader of the same cut, and
# beside a model that never knew the concept.

# %% tags=["remove-input"]
then = trained.groupby("dose").mean(numeric_only=True)
little, much = then.loc[0.15], then.loc[0.3]
Markdown(
    "On average the whole model without 15 % comes to "
    f"{little['whole_model']:.2f}, and the best reader, which trains "
    f"nothing in it, to {little['best_reader']:.2f}. The model that never "
    f"knew gets most of the way too, to {little['never_knew']:.2f}, so F1 "
    "at the end says little of relearning. How *soon* each is there says "
    "more: see the [table of removals](removals.ipynb).\n\n"
    "Without 30 % training often fails, and comes to "
    f"{much['whole_model']:.2f} on average, where a reader of the frozen "
    f"model still finds {much['best_reader']:.2f}. The schedule was set "
    "for whole models, and two epochs of 1,800 sentences are short. So "
    "this shows no limit of what can be relearned."
)

# %% [markdown]
# ## How sure
#
# Three repeats (seeds) of each concept, one model, and the small scale *quick*: 1,800
# sentences to train on, 500 to score. The rule of nine tenths was set before these
# runs. A curve of full size in which readers fall as soon as the model does would
# change our mind. `plasticity audit --curve` makes a
# curve of any concept and model.
