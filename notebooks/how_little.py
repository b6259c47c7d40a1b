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
# # How little brings it back?

# %% tags=["remove-cell"]
# !test ! -d /content -o -e plasticity/installed || \
#   (git clone -q https://github.com/plasticity-book/plasticity; \
#    bash plasticity/.binder/colab)

# %% tags=["remove-input"]
from IPython.display import Markdown

from plasticity_utils import charts
from plasticity_utils.analysis import audits
from plasticity_utils.charts import theme
from plasticity_utils.formats import percent
from plasticity_utils.results.published import published_audits

theme.enable()
FEW, OTHERS = "few_shot_32", "other_names"
knew, never_knew = "knew the concept", "never knew it"
names = {FEW: knew, f"{FEW}_masked": never_knew}
names |= {OTHERS: knew, f"{OTHERS}_masked": never_knew}
found = published_audits(protocol=f"{FEW}_masked")
before = audits.taken(found).groupby("concept")["base"].mean()
curves = audits.mean_returns(found).drop(columns="first_time")
ends = curves.groupby(["condition", "concept"])["entity_f1"].last()
ends = ends.unstack("condition")
few, never = ends[FEW] / before, ends[f"{FEW}_masked"] / before
Markdown(
    f"**Of a concept that was cut out, 32 sentences bring back "
    f"{percent(few.min())} to {percent(few.max())} of its F1. A model that "
    f"never knew it, cut in the same way, learns {percent(never.min())} to "
    f"{percent(never.max())} of it from the same sentences.**"
)

# %% [markdown]
# On most pages the model trains on all sentences after the cut. Then it might learn the
# {term}`concept` anew. Here it is shown little. It sees either 32 sentences that hold the concept, over and
# over, or half of all its names. Then sentences with a name of the other half are left
# out, and F1 is measured on those other names alone. Each stands beside a model that
# never knew the concept ({term}`masked`, on the page of [the method](../book/method_training.md)), with
# the same neurons silenced and the same sentences to learn from.
#
# ## Thirty-two sentences

# %% tags=["remove-input"]
charts.returns(
    curves[curves["condition"].isin([FEW, f"{FEW}_masked"])].replace(names),
    "Few sentences do more for a model that knew the concept",
    audits.goals(found),
)

# %% [markdown]
# ## Names that it is not shown

# %% tags=["remove-input"]
charts.returns(
    curves[curves["condition"].isin([OTHERS, f"{OTHERS}_masked"])].replace(
        names
    ),
    "Names that it is not shown come back sooner, too",
)

# %% [markdown]
# None of these names stood in what the model was shown after the cut. The base model had
# seen them before it, and the model that never knew the concept had not been told what
# they are. So what comes back sooner was kept: the concept, or these names by heart. This
# test does not tell the two apart. That the other model finds them too, later, is what
# learning the concept from half of its names can do.

# %% tags=["remove-input", "hide-output"]
charts.number_table(
    ends.assign(base=before).reset_index(),
    [
        "concept",
        "base",
        FEW,
        f"{FEW}_masked",
        OTHERS,
        f"{OTHERS}_masked",
    ],
)

# %% [markdown]
# F1 at the end. The model that never knew stands at nothing for the first steps, as it
# was taught that these words are no names, and still rises at the end. F1 of *other names*
# is measured on fewer sentences, so it is not to be compared with *base*.
#
# ## How sure
#
# One model, MiniLM, at the small scale *quick*; three concepts, and one seed. The bands
# are over the sentences that are scored, and there is no interval over seeds. The 32
# sentences have names of other concepts too. A concept of which a model that never knew
# it learns as much from as few sentences would change our mind.
