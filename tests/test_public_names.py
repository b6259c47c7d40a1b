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


def test_the_command_imports_models_charts_and_widgets_only_where_it_needs_them():
    loaded = modules_after("import plasticity_utils.cli")
    assert "numpy" in loaded
    assert not loaded & {"torch", "transformers", "altair", "ipywidgets", "papermill"}


def test_a_worker_of_a_batch_starts_without_what_only_its_kernels_need():
    assert not modules_after("import plasticity_utils.batch.workers") & {"torch", "transformers"}


def test_every_public_name_is_found_and_listed():
    assert len(pu.__all__) > 20
    for name in pu.__all__:
        value = getattr(pu, name)
        assert value.__module__.startswith("plasticity_utils."), name
        # A registry is an object of that name.
        assert getattr(value, "__name__", name) == name
    assert set(pu.__all__) <= set(dir(pu))


def test_the_stub_says_the_names_to_python_and_to_type_checkers_alike():
    tree = ast.parse(Path(pu.__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    told = {
        alias.name: f"plasticity_utils.{node.module}" for node in tree.body for alias in node.names
    }
    assert all(alias.asname == alias.name for node in tree.body for alias in node.names)
    assert sorted(told) == sorted(pu.__all__)
    for name, module in told.items():
        assert getattr(pu, name).__module__ == module, name
    assert Path(pu.__file__).with_name("py.typed").is_file()


def test_modules_are_imported_from_the_package_and_unknown_names_are_an_error():
    from plasticity_utils import errors

    assert errors.InputError is pu.InputError
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = pu.no_such_name
