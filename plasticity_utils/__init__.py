"""Does a language model relearn a concept after the neurons that carry it are cut out?

`run_experiment(RunConfig(concept="locations"))` answers for one model, concept and seed. The
packages stand in the order of the method; see the book's method page. A name is imported when it is
first asked for: the whole package takes seconds, most of them for charts and widgets.
"""

from importlib import import_module
from typing import Any

_MODULE_OF = {
    "Explorer": "explorer.app",
    "InputError": "errors",
    "Run": "experiment.run",
    "RunConfig": "experiment.config",
    "Seeds": "results.groups",
    "concept_words": "data.corpus",
    "explore": "explorer.app",
    "find_run": "results.published",
    "highest_activating_words": "neurons.words",
    "load_activations": "models.neurox_files",
    "load_corpus": "data.corpus",
    "load_model": "models.load",
    "load_run": "experiment.run",
    "publish": "analysis.published",
    "published_runs": "results.published",
    "rank_neurons": "neurons.scores",
    "rank_saliency": "neurons.scores",
    "removal_only_profile": "neurons.scores",
    "remove_neurons": "removal.gate",
    "run_experiment": "experiment.run",
    "save_activations": "models.neurox_files",
    "seeds_of": "results.groups",
    "word_activations": "models.activations",
}
__all__ = list(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
