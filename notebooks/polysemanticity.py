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
# # Several concepts in one neuron

# %% tags=["remove-cell"]
# !test ! -d /content -o -e plasticity/installed || \
#   (git clone -q https://github.com/plasticity-book/plasticity; \
#    bash plasticity/.binder/colab)

# %% tags=["parameters", "remove-input"]
regime = "surgical"
scale = "full"
model = "minilm"

# %% tags=["remove-input"]
import pandas as pd
from IPython.display import Markdown

import plasticity_utils.analysis.pooled as tables
from plasticity_utils import charts
from plasticity_utils.analysis import rules
from plasticity_utils.charts import theme
from plasticity_utils.formats import fixed, number, signed

theme.enable()
runs = tables.groups_with_tables(model=model, scale=scale, regime=regime)
decoder = tables.groups_with_tables(model="smollm2", scale="medium")
over = tables.interval(runs)

new, small = tables.functions(runs), tables.functions(decoder)
any_, removed, other, several = new.itertuples()
word = tables.new_functions_word(new)
says = {
    rules.ONLY_REMOVED: "Few neurons that were left take on anything new, "
    "and most of that is the removed concept",
    rules.YES: "Neurons that were left take on new functions",
    rules.NO: "Neurons that were left take on nothing new",
    rules.OPEN: "Whether neurons that were left take on new functions is "
    "not resolved",
}[word]
Markdown(f"**{says}.**")

# %% [markdown]
# A concept's neurons are cut out and the model trains on. Do the neurons that
# were left take on new functions (question 2)? Are concepts that share a neuron
# alike (question 5)? Do concepts crowd each other (question 6)?
#
# ## Do neurons that were left take on new functions?

# %% tags=["remove-input"]
Markdown(
    f"Of 100 neurons that were left, **{fixed(100 * any_.effect, 1)}** "
    "more "
    "serve a concept that they did not serve before than where nothing was "
    f"cut out. After a random cut it is {fixed(100 * any_.control, 1)}. "
    "The "
    f"difference is {fixed(100 * any_.beyond_control, 1)}; 5 was set as "
    "the "
    f"smallest that would matter. {fixed(100 * removed.beyond_control, 1)} "
    "of it "
    "is the removed concept itself, which came back (question 1). "
    f"Something else alone makes {fixed(100 * other.beyond_control, 1)}. "
    "Each of these is below the 5. Of neurons with two concepts or more "
    "there are "
    f"{fixed(100 * several.beyond_control, 1)} more (*{several.verdict}*)."
)

# %% tags=["remove-input"]
charts.claims(
    tables.both(new, "serves"), says, "share of neurons", over, any_.least
)

# %% [markdown]
# A neuron *serves* a concept if its {term}`selectivity` |σ| for it passes a threshold:
# two fifths, or what shuffled labels reach. Entity types are told apart within entity
# words. Many neurons cross the threshold by a hair in any training, so only
# what goes beyond training with nothing cut out is counted, and the random cut
# is subtracted.

# %% tags=["remove-input"]
charts.number_table(
    new,
    ["serves", "effect", "control", "beyond_control", "least", "verdict"],
)

# %% tags=["remove-input"]
rules.decide

# %% tags=["remove-input"]
rules.new_functions

# %% tags=["remove-input"]
Markdown(
    "In the decoder SmolLM2 (2,000 sentences, one seed of each concept) "
    "the differences from the random cut are larger: "
    f"{fixed(100 * small.beyond_control[0], 1)} in 100 for any concept, "
    "and "
    f"{fixed(100 * small.beyond_control[2], 1)} for something else alone. "
    "With "
    f"one seed there is no interval: *{tables.new_functions_word(small)}*."
)

# %% [markdown]
# ## Are concepts that share a neuron alike?

# %% tags=["remove-input"]
alike = tables.sharing(runs), tables.sharing(decoder)
own, second = (table.iloc[0] for table in alike)
Markdown(
    f"**{own.verdict.capitalize()}.** How alike two concepts are is "
    "measured by the words that they have, as a sentence transformer "
    "embeds them. That is the very checkpoint from which MiniLM was "
    f"fine-tuned. So the difference of {number(own.difference)} says "
    "nothing "
    "of MiniLM, and an earlier *yes* is withdrawn. For SmolLM2 the ruler "
    "is another model. There, words of two parts of speech that share an "
    f"end of a neuron have a mean cosine of {number(second.shared)}, and "
    f"shuffled pairs {number(second.expected)}. With one base model and an "
    f"adjusted p of {second.p_adjusted:.2f} this is *{second.verdict}*."
)

# %% tags=["remove-input"]
charts.number_table(
    pd.concat(alike),
    ["model", "ruler", "models", "shared", "expected", "p_adjusted",
     "verdict"],
)  # fmt: skip

# %% tags=["remove-input"]
rules.likeness

# %% [markdown]
# *Shared* is the mean cosine of the words of two parts of speech that share an
# end of a neuron in the base model; its interval is over three fine-tunings of one
# checkpoint. *Expected* is the same with the concepts shuffled. Four entity types have
# too few orders to tell anything by shuffling. This is one of six ways to look at it in
# the tables (three sets of concepts, two ways to share), and p is adjusted for all of
# them.
#
# ## Do concepts crowd each other?

# %% tags=["remove-input"]
crowd = tables.superposition_judged(runs)
verdict = tables.crowding_word(crowd)
angle = crowd.iloc[0]
Markdown(
    f"**{verdict.capitalize()}.** Superposition needs more features than "
    f"dimensions. The inventory has {angle.concepts} concepts, and a layer "
    f"of MiniLM {angle.dimensions} dimensions. In the base model "
    f"interference is {angle.base:.3f} on average, and "
    f"{angle.by_chance:.3f} by chance: the instrument stands at its zero. "
    f"It moves by {signed(angle.effect)} after the cut, "
    f"{signed(angle.control)} after a random one."
)

# %% tags=["remove-input"]
charts.superposition(
    tables.superposition_by_layer(runs),
    "Before and after, the concepts overlap alike",
    over,
)

# %% tags=["remove-input"]
rules.crowding

# %% [markdown]
# ## What would change our mind
#
# - More seeds, in which something other than the removed concept is taken on
#   by more than 5 in 100 neurons, beyond a random cut.
# - A finer inventory. Parts of speech are coarse, and topics might show
#   functions that they do not.
# - Question 5: a ruler that is no model under study, and three base models.
# - Question 6: the thousands of features of a sparse autoencoder in place of
#   a few labelled concepts.
