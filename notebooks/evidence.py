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
# # What each answer rests on
#
# **One answer is sure: after a small cut the last layer reads the concept again. For
# every other answer this page says what it lacks, and what would change our mind.**
#
# The first table has the number that decides each question, with its 95 % interval
# over seeds within a concept. *effect minus control* is the same number less what the
# control shows: a random cut, or training with nothing cut. The word of the answer
# follows from these numbers by a rule. The table has the rule's commits in this
# project: the one that wrote it, and the last that changed what it says.

# %% tags=["remove-cell"]
# !test ! -d /content -o -e plasticity/installed || \
#   (git clone -q https://github.com/plasticity-book/plasticity; \
#    bash plasticity/.binder/colab)

# %% tags=["remove-input"]
import plasticity_utils as pu
from plasticity_utils import charts
from plasticity_utils.analysis import answers, rules
from plasticity_utils.charts import theme
from plasticity_utils.results import groups

theme.enable()
evidence = answers.evidence(groups.run_groups(pu.published_runs()))
charts.number_table(
    evidence,
    [
        "question",
        "answer",
        "n_seeds",
        "effect",
        "beyond_control",
        "set_in",
    ],
)

# %% [markdown]
# *Seeds* are the fewest of any concept. Where a concept has a single seed, its
# interval comes from the other two.

# %% tags=["remove-input"]
rules.strength

# %% [markdown]
# ## 1. Is what comes back relearned?
#
# **The number** is the F1 that training the whole model adds to the best reader of the
# frozen one. **Tables:** `metrics` and `readers` of the published runs. **Control:**
# the same after a random cut.
#
# - *After a small cut.* A second body, task or language in which the last layer fails
#   where the whole model succeeds would change our mind. So far a decoder, parts of
#   speech and tweets do not ([beyond names in news](beyond.ipynb)).
# - *After the concept alone was erased.* The number is of the audits with all sentences
#   (`readings` and `returns`), and the control an erasure of shuffled tags. A model that
#   never knew the concept needs more steps there ([table of removals](removals.ipynb)).
#   The rules are older than these audits; that they are asked of this erasure was chosen
#   later. A reader that finds what ours
#   miss would make "more than was read" smaller.
# - *After half of all neurons, and after an erasure that takes the task along.* The
#   answer speaks of the task. Whether the rest is relearned or learned is not measured at full
#   size: no model that never knew the concept stands beside these cuts. After the half the mean
#   hides that with organisations too little is added to matter
#   ([by concept](relearning.ipynb)).
#
# ## 2. Do neurons take on new functions?
#
# **The number** is the share of kept neurons that take on a concept *other* than the
# removed one, beyond training with nothing cut. **Table:** `polysemanticity`. **Control:** a
# random cut. A second and third seed of organisations in which other concepts are
# taken on by one neuron in twenty more would change our mind.
#
# ## 3. Do other neurons carry the parts of the concept?
#
# **The number** is the share of a part's neurons that are new to it, without the class
# "other", beyond training with nothing cut. **Table:** `subconcept_parts`. **Control:** a random
# cut. Only locations have parts here. A gazetteer that names the rest, or a concept
# with parts of its own, could turn the answer to a yes.
#
# ## 4. Is it the same concept in the end?
#
# **The number** is the share of its F1 that a probe of the kept units of the base loses
# at the end, beyond what it loses with nothing cut. **Table:** `transfer`. **Control:** the same probe on another seed's base (`other_bases`),
# of which it reads anything from nothing to most. Seeds whose bases it reads as well would change our
# mind.
#
# ## 5. Are concepts that share a neuron alike?
#
# **The number** is how much more alike the words of such concepts are than those of
# shuffled pairs. **Table:** `sharing`. The ruler is the model under study, so nothing
# follows. A ruler of another family would make it an answer.
#
# ## 6. Are concepts more in superposition?
#
# **The number** is the rise of the interference of concepts. **Table:**
# `superposition`. **Control:** a random cut. Fewer concepts are known here than a layer
# has dimensions, so the measure cannot move. An inventory of hundreds of concepts, such
# as a sparse autoencoder gives, would make it an answer.
#
# ## 7. Do neurons of other concepts take it over?
#
# **The number** is by how much the share of neurons of other entity types in what is
# gained goes beyond what their layers let expect. **Table:** `migration`. **Control:** a random cut. An
# excess of a twentieth in two further seeds would change our mind.
#
# ## 8. Can neurons be forced to carry two?
#
# **The number** is the rise of the share of forced neurons that carry both concepts, at
# the largest number of them. **Table:** `forced`. **Control:** as many random neurons.
# A rise in ten seeds, at equal learning rates, would change our mind: in three seeds
# the share falls.
#
# ## 9. Are neurons that take over primed?
#
# **The number** is the slope of what a neuron gains on how near it was to the concept
# before. **Table:** `priming`. **Control:** the same after a random cut. A slope of a
# tenth of a deviation would change our mind. What was found and not predicted is on the
# [page of the question](migration.ipynb): the *less* a survivor told the concept, the
# more it gained.
#
# ## What is judged apart
#
# Audits of removals are at the scale *quick*, with three seeds at most. After the small cut
# and the erasure of the concept alone there are audits with all sentences, too. Their rules
# were written before their numbers, but for one word, and stand on their pages:
# [removals](removals.ipynb), [beyond names in news](beyond.ipynb),
# [how much must be taken](dose.ipynb).
