"""A grid file becomes cells, or one clear error before anything starts.

The grid's lists are crossed with each other and with its variants. Every cell's settings are
checked here, as `RunConfig` checks them in a notebook, so that a wrong word in the last line of a
grid does not show after a night of training. What a run takes is counted before anything is loaded:
a model of its shape is made on the meta device, which holds no numbers, and its operations and what
it keeps for the backward pass are counted on one batch. How many tokens a run reads follows from
its settings; how fast this machine multiplies is measured in a second. Hours are good to a factor
of two.
"""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import itertools
import re
import statistics
import time
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import papermill
import torch
import yaml
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForTokenClassification, PreTrainedConfig

from plasticity_utils.batch.cells import Cell, cell_of, record_of
from plasticity_utils.errors import InputError
from plasticity_utils.experiment.config import CAME_LATER, RunConfig
from plasticity_utils.experiment.presets import LARGE_DOSES, SIZES, SURGICAL_DOSES
from plasticity_utils.experiment.splits import load_sentences
from plasticity_utils.files import ROOT, path_of
from plasticity_utils.hardware import autocast, find_device
from plasticity_utils.models.locate import locate
from plasticity_utils.progress import quiet_transformers
from plasticity_utils.registry import protocols
from plasticity_utils.results.cells import read_notebook

NOTEBOOK = "notebooks/concept.ipynb"
# A grid's list, the parameter that its items become, and the list without one in the file; without
# either, the parameter is the notebook's own.
LISTS: dict[str, tuple[str, list[Any]]] = {
    "concepts": ("concept", []),
    "models": ("model", ["minilm"]),
    "scales": ("scale", ["quick"]),
    "regimes": ("regime", ["surgical"]),
    "seeds": ("seed", [0]),
    "corpora": ("corpus", []),
    "tags": ("tags", []),
    "removals": ("removal", []),
    "protocols": ("protocols", []),
    "learning_rates": ("learning_rate", []),
}
_KEYS = (*LISTS, "scale", "parameters", "variants", "notebook")
_SETTINGS = tuple(field.name for field in dataclasses.fields(RunConfig))
LENGTH = 32  # tokens of a usual sentence
TOKENS_PER_WORD = 1.4
# Of the matrix rate, that training reaches here (measured with MiniLM on a processor).
FRACTION = 0.4
# Weights, their gradients and Adam's two moments in float32.
TRAINING_BYTES = 16
# A backward pass takes twice the forward one.
BACKWARD = 2
SIZE, SECONDS = 1024, 0.5


def read_grid(path: str | Path) -> list[Cell]:
    """Read a grid file."""
    file = Path(path)
    grid = _read_yaml(file)
    for key in grid:
        _check(key in _KEYS, file, f"unknown key {key!r}; allowed: {', '.join(_KEYS)}")
    _check("concepts" in grid, file, "concepts are missing; a grid needs a list of them")
    notebook = _notebook(grid, file)
    try:
        read_notebook(notebook)
    except InputError as error:
        raise InputError(f"{str(file)!r}: {error}") from None
    own = papermill.inspect_notebook(str(notebook))
    allowed = tuple(dict.fromkeys([*own, *_SETTINGS]))
    cells: dict[str, Cell] = {}
    for parameters in _crossed(grid, file):
        for name in parameters:
            known = name in allowed and name != "results_dir"
            shown = ", ".join(each for each in allowed if each != "results_dir")
            _check(known, file, f"unknown parameter {name!r}; allowed: {shown}")
        cell = _checked_cell(parameters, notebook, file)
        _check(cell.name not in cells, file, f"the cell {cell.title!r} is there twice")
        cells[cell.name] = cell
    return list(cells.values())


def _check(holds: bool, file: Path, message: str) -> None:
    if not holds:
        raise InputError(f"{str(file)!r}: {message}")


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"the grid {str(file)!r} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{str(file)!r}: byte {error.start} is not UTF-8") from None
    try:
        found = yaml.load(text, Loader=_StrictLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise InputError(f"{str(file)!r}{place}: no YAML: {error.problem}") from None
    except (yaml.YAMLError, ValueError, KeyError, AttributeError, RecursionError) as error:
        # Of a value that is not what its own tag (!!float x) says, PyYAML raises many kinds.
        raise InputError(f"{str(file)!r}: no YAML: {' '.join(str(error).split())}") from None
    _check(isinstance(found, dict), file, f"a grid is a mapping with the keys {', '.join(_KEYS)}")
    return found


# As one reads them, and as the command line does: YAML 1.1 takes 010 for 8, 1:30 for 90, and
# 1e-4 for a text.
_NUMBERS = {
    "tag:yaml.org,2002:int": r"[-+]?[0-9]+$",
    "tag:yaml.org,2002:float": r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$|[-+]?\.inf$",
}


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that is there twice, of which YAML would keep the last; numbers are decimal."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                problem = "a key is no text"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            if key.value in seen:
                problem = f"the key {key.value!r} is there twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_StrictLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if tag not in _NUMBERS]
    for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _tag, _pattern in _NUMBERS.items():
    _StrictLoader.add_implicit_resolver(_tag, re.compile(_pattern), [*"-+.0123456789"])
_StrictLoader.add_constructor("tag:yaml.org,2002:int", lambda _, node: int(node.value))


def _notebook(grid: Mapping[str, Any], file: Path) -> Path:
    name = grid.get("notebook", NOTEBOOK)
    _check(isinstance(name, str), file, f"notebook must be a path, not {name!r}")
    for folder in (file.resolve().parent, ROOT):
        if (folder / name).is_file():
            return (folder / name).resolve()
    raise InputError(f"{str(file)!r}: there is no notebook {name!r} beside it or in the project")


def _crossed(grid: Mapping[str, Any], file: Path) -> Iterator[dict[str, Any]]:
    """Yield the parameters of every cell."""
    lists = {
        parameter: _list(grid, key, file)
        for key, (parameter, usual) in LISTS.items()
        if key in grid or usual
    }
    given = {parameter for key, (parameter, _) in LISTS.items() if {key, parameter} & set(grid)}
    fixed = grid.get("parameters", {})
    _check(isinstance(fixed, dict), file, f"parameters must be a mapping, not {fixed!r}")
    given_variants = grid.get("variants", [{"name": "only"}])
    _check(
        isinstance(given_variants, list),
        file,
        f"variants must be a list, not {given_variants!r}",
    )
    variants = [_variant(each, file) for each in given_variants]
    _check(bool(variants), file, "variants is an empty list")
    for values in itertools.product(*lists.values()):
        for variant in variants:
            parameters = dict(zip(lists, values, strict=True))
            for more in (fixed, variant):
                for name in more:
                    twice = f"{name!r} is in parameters or in a variant, and also in a list"
                    _check(name not in given, file, twice)
                parameters |= more
            yield parameters


def _list(grid: Mapping[str, Any], key: str, file: Path) -> list[Any]:
    if key == "scales" and "scale" in grid:
        _check("scales" not in grid, file, "scale and scales are both there; one is allowed")
        return [grid["scale"]]
    values = grid.get(key, LISTS[key][1])
    _check(isinstance(values, list), file, f"{key} must be a list, not {values!r}")
    _check(bool(values), file, f"{key} is an empty list")
    return values


def _variant(variant: Any, file: Path) -> dict[str, Any]:
    named = isinstance(variant, dict) and isinstance(variant.get("name"), str)
    _check(named, file, f"a variant is a mapping with a name, not {variant!r}")
    return {key: value for key, value in variant.items() if key != "name"}


def _checked_cell(parameters: dict[str, Any], notebook: Path, file: Path) -> Cell:
    settings = {name: value for name, value in parameters.items() if name in _SETTINGS}
    try:
        with contextlib.chdir(notebook.parent):
            folder = path_of(str(settings["model"]), "model")
            if folder.is_dir():
                settings["model"] = str(folder.resolve())
            config = RunConfig.from_parameters(settings)
            return cell_of(config, {**parameters, **settings}, notebook)
    except InputError as error:
        raise InputError(f"{str(file)!r}: {error}") from None


# Seconds measured on one core of a server's processor, surgical, seed 0: cell, base model.
MEASURED = {
    ("minilm", "quick"): (300.0, 200.0),
    ("minilm", "full"): (1500.0, 540.0),
    # The base model is part of it.
    ("smollm2", "medium"): (4800.0, 0.0),
}


def estimated_seconds(cell: Cell, known: Sequence[Cell], results: Path) -> tuple[float | None, str]:
    """Estimate what a cell takes."""
    alike = [other for other in known if _kind(other) == _kind(cell)]
    records = [record_of(other.folder(results)) for other in alike]
    seconds = [float(record["seconds"]) for record in records if record.get("status") == "done"]
    if seconds:
        return statistics.median(seconds), "median of the cells that are done here"
    config = RunConfig.from_parameters(cell.settings)
    measured = MEASURED.get((config.model, config.scale))
    own = {*CAME_LATER, "removal", "protocols", "epochs"} - {"corpus", "tags"}
    usual = not any(cell.settings.get(name) for name in own) and config.task.is_usual
    if measured and usual:
        return measured[0 if cell.notebook else 1], "measured on one core"
    try:
        return estimate(config).seconds(of_base=not cell.notebook), "counted, on this machine"
    except Exception as error:
        # Of a name on the Hub, say, nothing can be counted where there is no network.
        return None, f"nothing known: {type(error).__name__}"


def memory_of(cells: Sequence[Cell]) -> dict[str, float]:
    """Bytes that training each model takes at most; NaN of one that cannot be counted."""
    found: dict[str, float] = {}
    for settings in {str(_kind(cell)): cell.settings for cell in cells}.values():
        model, memory = str(settings["model"]), float("nan")
        with contextlib.suppress(Exception):
            memory = estimate(RunConfig.from_parameters(settings)).memory
        found[model] = max(memory, found.get(model, memory))
    return found


def _kind(cell: Cell) -> tuple[bool, dict[str, Any]]:
    """What cells have in common that take as long as each other."""
    ours = ("model", "scale", "corpus", "tags", "removal", "protocols", "epochs", *SIZES)
    return bool(cell.notebook), {name: cell.settings.get(name) for name in ours}


@dataclass(frozen=True)
class GridEstimate:
    """What a run takes.

    Attributes
    ----------
    base_flops, run_flops : float
        Of the base model's training; of all that follows.
    memory : float
        Bytes at the peak of a training step.
    """

    base_flops: float
    run_flops: float
    memory: float

    def seconds(self, of_base: bool) -> float:
        """Seconds on this machine: of the base model alone, or of what follows it."""
        flops = self.base_flops if of_base else self.run_flops
        return flops / (FRACTION * matrix_rate())


def estimate(config: RunConfig) -> GridEstimate:
    """Count what a run takes."""
    parts, sizes = load_sentences(config), config.sizes
    forward, memory, parameters = _one_batch(config.model, len(parts.labels), sizes.batch_tokens)
    tokens = {
        name: TOKENS_PER_WORD * getattr(parts, name).n_words
        for name in (
            "train", "ranking", "measuring", "dose", "scoring", "curve", "validation", "test",
        )
    }  # fmt: skip
    step = forward * (1 + BACKWARD)
    base = step * tokens["train"] * sizes.base_epochs
    base += forward * (tokens["validation"] + tokens["test"])
    named = [protocols.get(name) for name in config.conditions.values()]
    trained = sum(step * tokens["train"] * config.retrain_epochs for _ in named)
    n_measured = 2 + len(named) * len(config.snapshots)
    measured = n_measured * (tokens["ranking"] + tokens["measuring"] + tokens["scoring"])
    n_doses = len(SURGICAL_DOSES) + len(LARGE_DOSES) + 1
    curve = n_doses * (tokens["dose"] + (1 + sizes.draws) * tokens["curve"])
    run = trained + forward * (measured + curve)
    return GridEstimate(base, run, memory + TRAINING_BYTES * parameters)


@cache
def matrix_rate() -> float:
    """Operations a second that this machine's device reaches on a large product."""
    device = find_device()
    left, right = (torch.rand(SIZE, SIZE, device=device) for _ in range(2))
    with torch.no_grad(), autocast(device):
        float((left @ right).sum())
        began, n = time.perf_counter(), 0
        while time.perf_counter() - began < SECONDS:
            float((left @ right).sum())
            n += 1
    return 2 * n * SIZE**3 / (time.perf_counter() - began)


@cache
def _one_batch(model: str, n_labels: int, batch_tokens: int) -> tuple[float, float, int]:
    """Operations of a token, bytes that a batch keeps for its backward pass, and parameters."""
    source, gguf = locate(model)
    options: dict[str, Any] = {"gguf_file": gguf} if gguf else {}
    with quiet_transformers():
        config = AutoConfig.from_pretrained(source, num_labels=n_labels, **options)
    n_sentences = max(1, batch_tokens // LENGTH)
    # Tensors here hold no numbers. Some families look into a mask all the same, unless it is made
    # for every head; those that choose among experts do it in half precision alone.
    for dtype in (torch.float32, torch.bfloat16):
        for of_heads in (False, True):
            try:
                return _pass(config, n_sentences, dtype, of_heads)
            except Exception as error:
                failed = error
    raise failed


def _pass(
    config: PreTrainedConfig, n_sentences: int, dtype: torch.dtype, of_heads: bool
) -> tuple[float, float, int]:
    """What `_one_batch` gives, counted on one forward pass without numbers."""
    with torch.device("meta"):
        made = AutoModelForTokenClassification.from_config(
            copy.deepcopy(config), attn_implementation="eager", dtype=dtype
        )
        inputs = {"input_ids": torch.zeros(n_sentences, LENGTH, dtype=torch.long)}
    if of_heads:
        mask = torch.zeros(n_sentences, 1, LENGTH, LENGTH, dtype=dtype, device="meta")
        inputs["attention_mask"] = mask
    else:
        # Else many look at the tokens for padding.
        made.config.pad_token_id = None
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        # As many bytes as in training, whatever they were counted in.
        size = 4 if tensor.is_floating_point() else tensor.element_size()
        kept[id(tensor)] = tensor.numel() * size
        return tensor

    own = {id(parameter) for parameter in made.parameters()}
    with (
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        FlopCounterMode(display=False, custom_mapping=_OF_EXPERTS) as counted,
    ):
        held = made(**inputs).logits
    bytes_kept = sum(size for name, size in kept.items() if name not in own)
    del held
    n_parameters = sum(parameter.numel() for parameter in made.parameters())
    n_tokens = n_sentences * LENGTH
    return counted.get_total_flops() / n_tokens, float(bytes_kept), n_parameters


def _of_grouped(left: Any, right: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
    """Operations of the product of experts: each row of the left with its own expert."""
    return 2 * left[0] * left[1] * right[-1]


# What torch's own counter does not know.
_OF_EXPERTS = {torch.ops.aten._grouped_mm: _of_grouped}
