"""The package itself costs nothing to import; its names are found when they are asked for."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import plasticity_utils as pu

HEAVY = ("torch", "transformers", "altair", "neurox", "ipywidgets", "papermill")


def modules_after(code):
    code += "; import sys; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_imports_no_heavy_library():
    loaded = modules_after("import plasticity_utils")
    assert "plasticity_utils" in loaded
    assert not loaded & set(HEAVY)


def test_the_command_imports_charts_and_widgets_only_where_it_needs_them():
    loaded = modules_after("import plasticity_utils.cli")
    assert "torch" in loaded
    assert not loaded & {"altair", "ipywidgets", "papermill"}


def test_every_public_name_is_found_and_listed():
    assert len(pu.__all__) > 20
    for name in pu.__all__:
        value = getattr(pu, name)
        assert value.__module__.startswith("plasticity_utils."), name
        assert value.__name__ == name
    assert set(pu.__all__) <= set(dir(pu))


def test_type_checkers_are_told_the_same_names_from_the_same_modules():
    tree = ast.parse(Path(pu.__file__).read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    told = {
        alias.name: node.module.removeprefix("plasticity_utils.")
        for node in block.body
        for alias in node.names
    }
    assert told == pu._MODULE_OF
    assert sorted(told) == sorted(pu.__all__)


def test_modules_are_imported_from_the_package_and_unknown_names_are_an_error():
    from plasticity_utils import errors

    assert errors.InputError is pu.InputError
    with pytest.raises(AttributeError, match="has no attribute 'no_such_name'"):
        _ = pu.no_such_name
