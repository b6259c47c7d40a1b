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
# # Add your own
#
# **A way of removing a concept is one small file, and the whole experiment
# runs with it.**
#
# Four things can be added by name: *removals* take a concept out, *protocols*
# say how it may come back, *readers* tell what a frozen network still holds,
# *rankings* choose neurons. A name is registered
# (`pu.removals.register("mean", MeanProjection)`), or it is `FILE.py:NAME`, and
# nothing need be registered. Either name can be used as a setting, on the
# command line, in a grid and as a notebook's parameter:
#
#     plasticity run --removal book/examples/mine.py:MeanProjection
#
# What a removal alone knows goes in by its name: `--removal rmu --removal-settings
# layer=2`, or as the parameter `removal_settings`.
#
# This page does it at the scale `smoke`: a test of the machinery, whose numbers
# mean nothing.

# %% tags=["remove-cell"]
# !test ! -d /content -o -e plasticity/installed || \
#   (git clone -q https://github.com/plasticity-book/plasticity; \
#    bash plasticity/.binder/colab)

# %% tags=["parameters"]
concept = "locations"
model = "minilm"
scale = "smoke"
seed = 0
regime = "surgical"
results_dir = ""
removal = "book/examples/mine.py:MeanProjection"
protocols = "targeted, random, none, head, book/examples/mine.py:HALF_SEEN"

# %% tags=["remove-cell"]
from IPython.display import Code

import plasticity_utils as pu
from plasticity_utils import charts
from plasticity_utils.analysis.reading import read_anew
from plasticity_utils.charts import theme
from plasticity_utils.files import ROOT
from plasticity_utils.models.activations import word_activations
from plasticity_utils.results import tables

theme.enable()
config = pu.RunConfig.from_notebook(globals())
mine = "book/examples/mine.py"

# %% [markdown]
# ## The file
#
# A removal has two steps. `fit` looks at the model and at training words, and
# gives an *intervention*: a dataclass of arrays that can be put in force on a
# model and taken off again. What it looks at is a `Material`: `model`,
# `tokenizer`, `corpus`, `concept` and `seed`. `activations` of every word at
# every layer and `is_concept` are worked out on demand. `control` makes its matched counterpart, which has
# nothing to do with the concept. Here that is a random direction.

# %%
Code(filename=ROOT / mine)

# %% [markdown]
# ## The run
#
# The intervention is fitted once and kept. It is in force while the model
# trains, except under `none`; at the end the concept is taken out again, by the
# same projections and by ones that are fitted anew. `HALF_SEEN` is a protocol
# of one's own: the same removal, half of the sentences.

# %%
run = pu.run_experiment(config)
shown = run.metrics[run.metrics["entity"] == run.config.label]
at = shown[shown["stage"] != "retraining"]
charts.number_table(
    at.pivot_table(
        "entity_f1", "condition", "stage", sort=False
    ).reset_index()
)

# %%
charts.f1_through_retraining(
    shown,
    run.config.label,
    tables.base_f1(run.metrics),
    "95 % bootstrap over sentences",
)

# %% [markdown]
# ## A reader and a ranking
#
# A reader is a function that gives, for a seed, an object with `fit` and
# `predict`: any classifier of scikit-learn. A ranking is a function of
# activations and of which words belong to the concept.

# %%
read = read_anew(run, 100, ["linear", f"{mine}:neighbours"])
charts.number_table(
    read[read["entity"] == run.config.label]
    .pivot_table("entity_f1", "reader", "condition")
    .reset_index()
)

# %%
model_of_run, tokenizer = run.model("base")
corpus = pu.load_corpus("conll2003", "test").first(60)
X = word_activations(model_of_run, tokenizer, corpus.sentences)
is_concept = pu.concept_words(corpus, run.config.label)
n_layers = run.ranking["layer"].nunique()
pu.rank_neurons(X, is_concept, f"{mine}:by_largest", n_layers=n_layers).top(
    5
)

# %% [markdown]
# ## What there is

# %%
charts.number_table(pu.list_removals())

# %%
charts.number_table(pu.list_protocols())

# %%
charts.number_table(pu.list_readers())

# %%
charts.number_table(pu.list_rankings())

# %% [markdown]
# A package of yours can offer names to everybody who installs it, by an entry
# point in its `pyproject.toml`:
#
#     [project.entry-points."plasticity.removals"]
#     mean = "my_package.projections:MeanProjection"
#
# The other groups are `plasticity.protocols`, `plasticity.readers` and
# `plasticity.rankings`. What is kept on disk is known by a file's contents: a
# changed file is fitted and trained anew. What was registered is known by its
# name alone: give it another when you change it.
