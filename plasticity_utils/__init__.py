"""Does a language model relearn a concept after the neurons that carry it are cut out?

`run_experiment(RunConfig(concept="locations"))` answers for one model, concept and seed. The
modules stand in the order of the method; see the book's method page.
"""

from plasticity_utils.activation_files import load_activations, save_activations
from plasticity_utils.activations import word_activations
from plasticity_utils.config import RunConfig
from plasticity_utils.corpus import concept_words, load_corpus
from plasticity_utils.errors import InputError
from plasticity_utils.explorer import Explorer, explore
from plasticity_utils.models import load_model
from plasticity_utils.pruning import remove_neurons
from plasticity_utils.published import find_run, publish, published_runs
from plasticity_utils.run import Run, load_run, run_experiment
from plasticity_utils.saliency import rank_neurons, rank_saliency, removal_only_profile
from plasticity_utils.seeds import Seeds, seeds_of
from plasticity_utils.words import highest_activating_words

__all__ = [
    "Explorer",
    "InputError",
    "Run",
    "RunConfig",
    "Seeds",
    "concept_words",
    "explore",
    "find_run",
    "highest_activating_words",
    "load_activations",
    "load_corpus",
    "load_model",
    "load_run",
    "publish",
    "published_runs",
    "rank_neurons",
    "rank_saliency",
    "removal_only_profile",
    "remove_neurons",
    "run_experiment",
    "save_activations",
    "seeds_of",
    "word_activations",
]
