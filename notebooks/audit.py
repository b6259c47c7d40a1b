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
# # Audit of a removal
#
# **Did a removal take the concept out of the model, or did it hide it?**
#
# An {term}`audit` puts a removal to three tests. What did it take from the concept,
# and what from the other types? What do readers of the frozen model still find?
# And how soon is the concept back under training, beside a model that never
# knew it? This page shows one removal and one concept. Any other:
#
#     papermill --cwd notebooks notebooks/audit.ipynb page.ipynb -p removal leace -p concept persons
#     plasticity audit --removal leace --concept persons
#
# A removal of your own is named by its file: `-p removal my_eraser.py:MyEraser`
# ([add your own](add_your_own.ipynb)). All removals that were audited stand side by
# side in the [table of removals](removals.ipynb).

# %% tags=["remove-cell"]
# !test ! -d /content -o -e plasticity/installed || \
#   (git clone -q https://github.com/plasticity-book/plasticity; \
#    bash plasticity/.binder/colab)

# %% tags=["parameters", "hide-input"]
concept = "locations"
removal = "gate"
model = "minilm"
scale = "quick"
seed = 0
regime = "surgical"
corpus = "conll2003"
tags = "entity"
protocols = ""
results_dir = ""

# %% tags=["hide-input"]
from IPython.display import Markdown

import plasticity_utils as pu
from plasticity_utils import charts
from plasticity_utils.analysis import audits, rules
from plasticity_utils.charts import theme
from plasticity_utils.formats import fixed
from plasticity_utils.results.published import find_audits

theme.enable()
config = pu.RunConfig.from_notebook(globals())
found = find_audits(config, make=True)
row = audits.table_of_removals(found).iloc[0]
seconds = sum(found[0].facts["seconds"].values())
Markdown(
    f"**{row['removal']}** on **{row['concept']}**, {model} at the scale "
    f"*{scale}*, {row['n_seeds']} seed(s). The concept is "
    f"**{row['verdict']}**. Back, beside a model that never knew it: "
    f"**{row['came_back']}**. All stages of one seed took "
    f"{seconds / 60:.0f} minutes."
)

# %% [markdown]
# ## What it took

# %% tags=["remove-input"]
charts.number_table(
    audits.taken(found),
    [
        "seed",
        "base",
        "removed",
        "lost",
        "lost_others",
        "specificity",
        "lost_random",
    ],
)

# %% [markdown]
# F1 of the concept before and after; the mean F1 that the other types lose; the
# difference of the two, called {term}`specificity`; and what the concept loses under
# the removal's matched control.

# %% tags=["remove-input"]
charts.number_table(
    audits.average_precision(found),
    ["seed", "base", "removed", "control"],
)

# %% [markdown]
# The same in average precision, which asks whether the model still puts the concept's
# words before all others, wherever its threshold lies. How much the thresholds alone
# bring back is the row *bias* of the figure below.

# %% [markdown]
# ## What a reader still finds
#
# A {term}`reader` is fitted on the states of the frozen model. *head* is the model's
# own last layer, trained until it converges; *bias* trains its thresholds alone;
# *linear* and *perceptron* are new. The same readers on the pretrained body,
# which was never taught names, are the floor: what they find there is owed to
# pre-training.

# %% [markdown]
# ```{exercise} Predict before you unfold
# :label: exercise-audit
#
# The cut model hardly finds the concept any more. Which reader finds how much of it:
# the thresholds alone, the last layer, a new reader?
# ```

# %% tags=["hide-input", "hide-output"]
charts.number_table(
    audits.read(found),
    [
        "seed",
        "reader",
        "found",
        "in_base",
        "average_precision",
        "control_f1",
    ],
)

# %% [markdown]
# ```{solution} exercise-audit
# :class: dropdown
#
# The table names the best reader of each seed, with what it finds in the cut model and
# in the base model. The figure below shows them all.
# ```

# %% [markdown]
# *Average precision* is of the best reader in the cut model. A reader may also have
# remembered words one by one. So the new readers, *linear* and *perceptron*, get a
# **control task** (Hewitt & Liang 2019): every form of a word has the tag of another form
# that is about as frequent, whatever its sentence. The last column is the most that any
# of them gets right there in the cut model. A dash stands for a seed whose readers were
# not given one.

# %% tags=["remove-input"]
charts.readings(
    audits.readings_table(found),
    title=f"The cut model is at {fixed(row['removed'], 2)}, and its best "
    f"reader at {fixed(row['found'], 2)}",
)

# %% tags=["remove-input"]
rules.audited

# %% [markdown]
# ## How soon it is back
#
# *targeted* trains all of the cut model. *masked* does the same to a model that
# learned the task with the tags of this concept set to O, so that it never knew
# the concept. The same removal is in force in both. *random* has the removal's
# control in force instead. Further protocols ([method](../book/method_training.md)) are
# asked for by name:
#
#     papermill --cwd notebooks notebooks/audit.ipynb page.ipynb -p protocols targeted,random,masked,first_time,few_shot_32

# %% tags=["remove-input"]
curves = audits.mean_returns(found)
charts.returns(
    curves,
    f"Back after {row['removal']}: {row['came_back']}",
    audits.goals(found),
)

# %% tags=["remove-input"]
charts.number_table(
    audits.savings(found),
    [
        "seed",
        "steps_targeted",
        "steps_masked",
        "savings",
        "end_targeted",
        "end_masked",
    ],
)

# %% [markdown]
# *targeted* has one advantage from the start: *masked* has learned that the
# concept's words are no names, and a part of its delay is that it unlearns this.
# `first_time`, from the pretrained weights, has not, but has all of the task to
# learn.

# %% tags=["remove-input"]
rules.kept
