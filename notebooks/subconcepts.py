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
# # Which neurons carry the parts of a concept?
#
# Locations are countries, states and cities; persons and organisations fall
# into kinds too. Some neurons tell these apart. When a concept's neurons are
# removed and the model is trained on, do other neurons take the parts over?

# %% tags=["parameters"]
regime = "surgical"
scale = "full"
model = "minilm"

# %% tags=["remove-input"]
import plasticity_utils as pu
from plasticity_utils.book import prose_views
from plasticity_utils.charts import theme
from plasticity_utils.results import groups
from plasticity_utils.results.derived import OF_SNAPSHOTS

theme.enable()
series = groups.choose(
    groups.series_of(pu.published_runs()),
    regime=regime,
    scale=scale,
    model=model,
    variant="",
)
runs = groups.holding(series, OF_SNAPSHOTS)
prose_views.taken_over_verdict(runs)

# %% [markdown]
# The rule was set before the numbers were seen. Of the neurons that carry a
# part in the end, some are new to it: they carried another or none before.
# Training on brings such changes by itself, so what counts is their share
# after a removal less that where nothing was removed, over the same neurons.
# An interval wholly above zero, and a twentieth on average: yes. Wholly below
# a tenth: no. Else nothing is resolved.
#
# ## Before and after
#
# A neuron carries the part of the concept for which its selectivity |σ|,
# taken within the concept's words, is largest, if it is above 0.4. Only
# neurons that were not removed are shown.

# %%
prose_views.transitions(runs)

# %%
prose_views.carrier_counts(runs)

# %% [markdown]
# ## The numbers
#
# *removed*: of the neurons that carried a part, the share that was removed.
# *replaced*: how many more carriers there are in the end than where nothing
# was removed, for each one that was removed.

# %%
prose_views.taken_over(runs)

# %% [markdown]
# Part by part. *by chance*: how many neurons would carry a part if the parts
# were shuffled among the names. A part of few names is easily carried.

# %%
prose_views.part_carriers(runs)

# %% [markdown]
# ## The parts
#
# Locations are looked up in a gazetteer (GeoNames): a country, a US state, a
# city of a million and more, a smaller city, or something else. Persons and
# organisations are clustered by the embeddings of their words, taken from the
# packaged sentence transformer, which was never fine-tuned; each cluster is
# named by its most central words. The silhouette has to beat the *level* of
# shapeless data, else there are no clusters. Parts with too few words are not
# compared.

# %%
prose_views.parts(runs)

# %% [markdown]
# ## Which neurons came to carry a part?
#
# The most selective ones of each, in the first seed's run. They were picked
# on the words on which they are shown, so their σ is a little too large.

# %%
prose_views.new_carriers(runs)

# %% [markdown]
# ## What would change our mind
#
# - More seeds, or more words: the measuring half is small for rare parts.
# - Other parts. Clusters of embeddings are what one model thinks is alike.
# - A threshold other than 0.4 that turns the sign of the difference.
# - A part that is lost when its new carriers are removed: carrying a part is
#   a correlation, and says not yet that the model uses it.
