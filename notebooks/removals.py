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
# # The table of removals
#
# **Fixing the neurons of a concept hides it, and so does training it away.
# Erasing its direction weakens it, or takes names in general. After each of them it is
# back long before a model that never knew it would have learned it.**
#
# Audits of MiniLM at the scale *quick*, under three seeds. No removal is judged without
# its {term}`controls <control>`:
# {term}`readers <reader>` of the frozen model, the matched control, and a model that never
# knew the concept. [One audit](audit.ipynb) shows
# how each number is found. To add one, write the
# removal in a file ([add your own](add_your_own.ipynb)), run
#
#     plasticity audit --removal my_eraser.py:MyEraser --concept persons --seed 0
#     plasticity publish runs/audit-…
#
# for each concept and seed, and execute this page again. An audit without its
# controls is refused.

# %% tags=["remove-cell"]
# !test ! -d /content -o -e plasticity/installed || \
#   (git clone -q https://github.com/plasticity-book/plasticity; \
#    bash plasticity/.binder/colab)

# %% tags=["remove-cell"]

from IPython.display import Markdown

import plasticity_utils as pu
from plasticity_utils import charts
from plasticity_utils.analysis import audits, rules
from plasticity_utils.charts import theme
from plasticity_utils.results.published import published_audits

theme.enable()
found = published_audits()
table = audits.table_of_removals(found)

# %% [markdown]
# ```{exercise} Predict before you unfold
# :label: exercise-removals
#
# Two removals bring the F1 of a concept to nothing. One holds neurons still, the other
# projects a direction away. After which of them does a new reader of the frozen model
# still find the concept?
# ```

# %% tags=["hide-input", "hide-output"]
charts.number_table(table, ["removal", "concept", "removed", "read"])

# %% [markdown]
# ```{solution} exercise-removals
# :class: dropdown
#
# *read* is near one where the reader finds as much as before. F1 near zero and a *read*
# near one together mean that the concept was hidden, and not removed.
# ```

# %% [markdown]
# ## What each took, and what is still read

# %% tags=["remove-input"]
shares = audits.shares_of_base(
    found,
    {
        "removed": "after it",
        "found": "best reader",
        "floor": "never taught",
    },
)
charts.values(
    shares.assign(panel=shares["row"], row=shares["removal"]),
    "Of most removals a reader finds again what they took",
    "A point a seed. Never taught: the best reader of the pretrained body, "
    "after the same removal.",
    "share of the F1 before",
    (0, 1.2),
)

# %% tags=["remove-input"]
charts.number_table(
    table,
    [
        "removal",
        "concept",
        "verdict",
        "read",
        "specificity",
    ],
)

# %% tags=["remove-input"]
charts.number_table(
    table, ["removal", "concept", "lost_random", "lost_another"]
)

# %% [markdown]
# *read* is the best reader's
# F1 on the cut model as a share of its F1 on the base model. {term}`specificity` is what the
# concept loses less what the others lose on average. The second table has controls:
# what the concept loses under the removal's matched control, and where the same removal
# took another concept.
#
# - After `leace` a reader finds less here than in the pretrained body, erased in the same
#   way. With all sentences it finds more: see below.
# - `npo` and `gradient_difference` take much under their control, too, which forgets random
#   words (*lost_random*). So much of the damage is not about the concept.
# - `relabel` and `rmu` take little under theirs.
# - `mean_projection` takes a concept nearly as well where it is fitted to another one. It
#   takes away names, and not this concept.

# %% tags=["remove-input"]
rules.audited

# %% [markdown]
# ## Back sooner than if never known?

# %% tags=["remove-input"]
charts.number_table(
    table,
    [
        "removal",
        "concept",
        "came_back",
        "savings",
        "steps_targeted",
        "steps_masked",
        "n_reached",
    ],
)

# %% [markdown]
# Steps of training until the concept has nine tenths of its F1 in the base
# model: of the model that knew it, and of the one that never did. {term}`savings` is
# what the first needs less, with its interval over seeds. *reached* counts the seeds in
# which the second gets so far at all; in the others its last step stands for it, so
# *savings* is larger than is said.

# %% [markdown]
# *targeted* has one advantage from the start: *masked* has learned that the
# concept's words are no names, and a part of its delay is that it unlearns this.

# %% tags=["remove-input"]
rules.kept

# %% tags=["remove-input"]
curves = audits.mean_returns(found)
goal = audits.goals(found)
steps = table.groupby("removal")[["steps_targeted", "steps_masked"]].mean()
back = "Back after {:.0f} steps; never known, after {:.0f}"

# %% [markdown]
# After `gate`:

# %% tags=["remove-input"]
charts.returns(
    curves[curves["removal"] == "gate"],
    back.format(*steps.loc["gate"]) + " or more",
    goal,
)

# %% [markdown]
# After `leace`:

# %% tags=["remove-input"]
charts.returns(
    curves[curves["removal"] == "leace"],
    back.format(*steps.loc["leace"]) + " or more",
    goal,
)

# %% [markdown]
# After `relabel`:

# %% tags=["remove-input"]
charts.returns(
    curves[curves["removal"] == "relabel"],
    back.format(*steps.loc["relabel"]) + " or more",
    goal,
)

# %% [markdown]
# ## With all sentences
#
# Here all sentences train, under three seeds. *floor* is
# the F1 that the best reader finds in a body that was never taught names, cut or erased
# in the same way. *beyond* is what training the whole model adds to the best reader's F1.

# %% tags=["remove-input"]
everything = published_audits(scale="full")
at_full_size = audits.table_of_removals(everything)
charts.number_table(
    at_full_size,
    [
        "removal",
        "concept",
        "base",
        "removed",
        "verdict",
        "read",
        "found",
        "floor",
        "beyond",
        "steps_targeted",
        "steps_masked",
        "savings",
        "came_back",
    ],
)

# %% tags=["remove-input"]
erased = at_full_size.set_index("removal").loc["leace"]
taught = erased["found"] - erased["floor"]
net = erased["beyond_control"]
Markdown(
    "After `leace` the best reader finds more than in a body that was "
    f"never taught names, by {taught.min():.2f} to {taught.max():.2f} F1: "
    "so much was taught, and survived the erasure. Training the whole "
    f"model adds {net.min():.2f} to {net.max():.2f}; what it adds under "
    "the control is subtracted. At most so much was {term}`relearned`: a "
    "better reader would make it less."
)

# %% tags=["remove-input"]
whole = audits.mean_returns(everything)
full_goal = audits.goals(everything)
mean_steps = at_full_size.groupby("removal")[
    ["steps_targeted", "steps_masked"]
].mean()
charts.returns(
    whole[whole["removal"] == "gate"],
    "All sentences: " + back.format(*mean_steps.loc["gate"]).lower(),
    full_goal,
)

# %% [markdown]
# After `leace`, with all sentences:

# %% tags=["remove-input"]
charts.returns(
    whole[whole["removal"] == "leace"],
    "All sentences: " + back.format(*mean_steps.loc["leace"]).lower(),
    full_goal,
)

# %% [markdown]
# ## Stronger readers
#
# *read* is the share that the best usual reader finds. The other columns add a wider
# perceptron and perceptrons of every layer, the last in the pretrained body, cut in the
# same way.

# %% tags=["remove-input"]
charts.number_table(
    audits.further_read(found),
    [
        "removal",
        "concept",
        "n_seeds",
        "read",
        "read_further",
        "found_further",
        "floor_further",
    ],
)

# %% [markdown]
# They find more of what `leace` erased, yet at this scale less than in the pretrained
# body.

# %% [markdown]
# ## The ways of taking a concept out

# %% tags=["remove-input"]
charts.number_table(pu.list_removals())

# %% [markdown]
# | removal | changes | is fitted on | its control |
# |---|---|---|---|
# | `gate` | what chosen units say, at words | a ranking of units | random units of the same layers |
# | `layernorm` | gains of chosen units in the norms after each block | the same | the same |
# | `weights` | weights that write chosen units, and that read them | the same | the same |
# | `leace` | a direction or more of every layer | tags of words | reshuffled tags |
# | `mean_projection` | one direction of every layer | tags of words | directions of like variance |
# | `inlp` | some directions of every layer | tags of words | the same |
# | `relabel` | weights, by some steps of training | tags of words | training that forgets random words of other types |
# | `gradient_difference` | the same | the same | the same |
# | `npo` | the same | the same | the same |
# | `rmu` | weights of three MLPs, by some steps of training | which words are the concept's | the same |
