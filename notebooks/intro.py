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
# # Do models relearn removed concepts?
#
# A language model that finds the names of places in a text holds the concept
# "location" somewhere in its neurons, the numbers that make up its hidden
# states. Suppose we find the neurons that carry it and hold them still, so that
# they say nothing any more. The model now misses places. Then we let it train
# on a little. It finds places again.
#
# **Was the concept relearned, or had it never left?** If the rest of the
# network still held it, then the last, linear layer, which merely reads what
# the network offers, can find it again by itself. That is the control on
# which this book turns: after the cut, only that last layer may learn. What it
# regains alone was never lost.

# %% tags=["remove-cell"]
import plasticity_utils as pu
from IPython.display import Markdown
from plasticity_utils import charts
from plasticity_utils.analysis import movement, relearning
from plasticity_utils.analysis import relearning as reading
from plasticity_utils.book import front as banner
from plasticity_utils.charts import theme
from plasticity_utils.results import across, groups

theme.enable()
published = groups.series_of(pu.published_runs())
full = groups.choose(published, model="minilm", scale="full")
series = groups.choose(full, regime="surgical", variant="")
decoder = groups.choose(
    groups.largest(published),
    model="smollm2",
    regime="surgical",
    variant="",
)
half = groups.choose(full, regime="half", variant="")
erased = groups.choose(full, variant="indicator=outside")

# %% tags=["remove-input"]
charts.steps(across.steps(series), "95 % intervals over seeds")

# %% tags=["remove-input"]
Markdown(banner.front(series))

# %% [markdown]
# In brackets are 95 % intervals over random seeds (over sentences where there
# is one run). The *score* is F1 over whole names: 1 if every name is found and
# nothing else, 0 if none is. The model is MiniLM, a small language model that
# reads a sentence at once (an *encoder*), trained to mark names in news text
# (CoNLL-2003, all 14,041 sentences).
#
# ## And if nothing is left to read?
#
# That answer is about one way of cutting: the neurons that respond most to the
# concept, held still, while the other neurons say it too. So we also left the
# neurons and took out of every layer what lets a linear reader tell the
# concept. The last layer then has nothing to read, and the same control speaks
# the other way.

# %% tags=["remove-input"]
Markdown(relearning.plain_sentence(erased))

# %% tags=["remove-input"]
Markdown(reading.plain_sentence(erased))

# %% [markdown]
# [Erased, and written again](erasure.ipynb) has the figures, the cost to the
# other names, and where in the network it comes back.
#
# ## And where does it go?
#
# After the cut the concept sits in neurons that were left. Does it move between
# the layers, of which MiniLM has six? The
# [paper](https://arxiv.org/abs/2401.01814) that asked first says: to earlier
# ones. Here, after the small cut above, it moves a little, and to later ones.

# %% tags=["remove-input"]
Markdown(movement.plain_sentence(series, half))

# %% [markdown]
# ## And in a model of another kind?
#
# MiniLM sees a whole sentence at once. *SmolLM2* has six times as many weights
# and was made to write: of a sentence it knows, at each word, only what stands
# up to there (a *decoder*). Trained on the same sentences it finds fewer names
# to begin with. The same cut, and the same control:

# %% tags=["remove-input"]
Markdown(banner.front(decoder))

# %% tags=["remove-input"]
Markdown(relearning.cost_sentence(decoder))

# %% [markdown]
# [Side by side](compare) has both models in each figure, and what training the
# whole model brings beyond the last layer.
#
# ## Where to go next
#
# - [Locations](locations), [persons](persons) and
#   [organisations](organisations): each concept with every control: random
#   neurons of the same layers, nothing removed, the last layer alone.
# - The questions, each with a verdict and its control:
#   [is it relearning](relearning.ipynb), also where it was
#   [erased](erasure.ipynb), do neurons
#   [take on new functions](polysemanticity.ipynb), who carries
#   [the parts of a concept](subconcepts.ipynb), is it
#   [the same concept](same_concept.ipynb),
#   [where does it go](migration.ipynb), and can neurons be
#   [forced to carry two](forced.ipynb)?
# - [Side by side](compare): how the concepts differ, what is relearned beyond
#   the last layer, and whether anything moves between layers.
# - [The paper](paper): what the results that started this book show beside a
#   control.
# - [The method](../book/method) defines every quantity;
#   [how to reproduce it](../book/reproduce) needs one command, and a concept
#   of your own one more. [Status](status.ipynb) lists every run behind these pages.
#
# Charts answer to the pointer: hover over a mark to see its numbers. They need
# no network.
