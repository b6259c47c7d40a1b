# The public names, said once: what `import plasticity_utils as pu` offers, for Python (each name is
# imported when it is first asked for), for editors and for type checkers.

from .data.corpus import concept_words as concept_words
from .data.corpus import load_corpus as load_corpus
from .errors import InputError as InputError
from .experiment.config import RunConfig as RunConfig
from .experiment.run import Run as Run
from .experiment.run import load_run as load_run
from .experiment.run import run_experiment as run_experiment
from .explorer.app import Explorer as Explorer
from .explorer.app import explore as explore
from .models.activations import word_activations as word_activations
from .models.load import load_model as load_model
from .models.neurox_files import load_activations as load_activations
from .models.neurox_files import save_activations as save_activations
from .neurons.scores import rank_neurons as rank_neurons
from .neurons.scores import rank_saliency as rank_saliency
from .neurons.scores import removal_only_profile as removal_only_profile
from .neurons.words import highest_activating_words as highest_activating_words
from .removal.gate import remove_neurons as remove_neurons
from .removal.patch import patch_layers as patch_layers
from .removal.patch import undo as undo
from .results.groups import Seeds as Seeds
from .results.groups import seeds_of as seeds_of
from .results.published import find_run as find_run
from .results.published import publish as publish
from .results.published import published_runs as published_runs
from .training.steps import predict as predict
from .training.steps import score as score
from .training.steps import train as train
