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
# # Is it the same concept?
#
# A concept is removed and comes back. Is what came back the concept as it was,
# or does the model now do the same job in another way? Three looks at that:
# how alike the words' representations are, whether a probe of the old model
# reads the new one, and on which neurons the new one relies.

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
prose_views.same_verdict(runs)

# %% [markdown]
# The rule was set before the numbers were seen. What counts is F1 at the last
# layer, which the head reads, of a probe fitted on the base model: how much of
# its F1 it loses after removal and retraining *beyond* what it loses where
# nothing was removed. Less than a tenth: the same directions. More, but less
# than a tenth after an orthogonal alignment, which must do better by a tenth
# than alignment to shuffled words: the same geometry, turned. More even then:
# another representation. An interval that holds the tenth resolves nothing.
#
# One case was added once the first run had shown it. A probe that read
# neurons which are gone must fail, whatever became of the others. So where it
# loses more than a tenth, but one fitted on the kept neurons alone does not,
# the verdict is: the same directions in the kept units.
#
# ## Does the old probe read the new model?
#
# A linear probe is fitted on the base model and applied to the retrained one:
# as it is, after an alignment (a rotation that is fitted on other sentences),
# and, as a floor, after an alignment to shuffled words. *none* was trained on
# for just as long with nothing removed.

# %%
prose_views.transfer(runs)

# %% [markdown]
# At the last layer, the share of F1 that the probe keeps:

# %%
prose_views.last_layer(runs)

# %% [markdown]
# Some of what the probe loses it must lose: it read neurons that are gone. A
# probe that was fitted on the kept neurons alone does not have that excuse.

# %%
prose_views.last_layer_kept_units(runs)

# %% [markdown]
# What the probe of all units loses beyond *none*, paired run by run; these are the numbers of the
# verdict. All layers are in the figure, but only this one is judged, so there
# is no choice among layers to correct for.

# %%
prose_views.last_layer_beyond_none(runs)

# %% [markdown]
# ## How alike are the representations?
#
# Linear CKA of the concept's words, base model against the end, over neurons
# that were not removed. It is 1 for the same geometry up to rotation and
# scale, so it cannot see a turn; and a few wide units weigh most in it.
# *none* and *random* show what training on changes by itself.

# %%
prose_views.cka(runs)

# %% [markdown]
# The same just after removal, before any training. Removed neurons are held
# constant and so add nothing to the geometry: over all units CKA shows what
# was taken out and what follows from it, over kept units only what follows.

# %%
prose_views.cka_just_removed(runs)

# %% [markdown]
# ## On which neurons does it rely?
#
# F1 when neurons are removed once more at the end. *same*: the
# ones that had been removed. *new top*: as many of the retrained model's own
# top ones. *random*: as many random ones of the same layers. In the rows of
# *none*, nothing had been removed before.

# %%
prose_views.reliance(runs)

# %%
prose_views.reliance_numbers(runs)

# %% [markdown]
# ## What would change our mind
#
# - More seeds: an interval that now holds the tenth would lie on one side.
# - Another model: a deeper one may bring the concept back elsewhere.
# - A probe that is not linear, or an alignment that is not a rotation. One
#   that may stretch the space would find more in common.
# - Another margin. The tables give the numbers, so a reader who thinks that a
#   twentieth or a fifth is what matters can judge by that.
