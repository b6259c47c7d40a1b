"""A grid file becomes cells, or one clear error before anything starts.

The grid's lists are crossed with each other and with its variants. Every cell's settings are
checked here, as `RunConfig` checks them in a notebook, so that a wrong word in the last line of a
grid does not show after a night of training.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import re
from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any

import papermill
import yaml

from plasticity_utils.batch.cells import Cell, cell_of
from plasticity_utils.errors import InputError
from plasticity_utils.experiment.config import RunConfig
from plasticity_utils.files import ROOT, path_of, read_notebook

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
