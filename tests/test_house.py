"""The house: which package may import which, and one place for each name."""

import ast
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import plasticity_utils as pu

ROOT = Path(pu.__file__).parent
sys.path.insert(0, str(ROOT.parent / "book" / "_ext"))
from packages import ORDER, charter  # noqa: E402

FILES = sorted(ROOT.rglob("*.py"))


def package_of(path):
    parts = path.relative_to(ROOT).parts
    return parts[0] if len(parts) > 1 else None


def imported(path, for_types=True):
    """Every module of this package that a file imports, wherever in the file."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    typed = [n for n in nodes if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]
    left_out = set() if for_types else {n for each in typed for n in ast.walk(each)}
    for node in nodes:
        if node in left_out:
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("plasticity_utils"):
            for alias in node.names:
                yield f"{node.module}.{alias.name}".removeprefix("plasticity_utils").strip(".")
        elif isinstance(node, ast.Import):
            yield from (
                alias.name.removeprefix("plasticity_utils.")
                for alias in node.names
                if alias.name.startswith("plasticity_utils.")
            )


def test_every_package_is_in_the_order_and_has_a_charter():
    packages = {package_of(path) for path in FILES} - {None}
    assert packages == set(ORDER)
    for name in packages:
        text = (ROOT / name / "__init__.py").read_text(encoding="utf-8")
        assert ast.get_docstring(ast.parse(text)), name


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_one_way(path):
    package = package_of(path)
    for name in imported(path):
        other = name.split(".")[0]
        if other not in ORDER:
            continue
        # What every package may import imports none itself; commands do.
        if package is None:
            assert path.stem == "cli", name
            continue
        assert ORDER.index(other) <= ORDER.index(package), name
        if package == "charts":
            assert other == "charts", name


# A run brings back its models, and what brings them back opens runs: it is imported in a method.
BOTH_WAYS = {("experiment.record", "experiment.replay")}


def test_no_module_imports_what_imports_it():
    names = {path: ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in FILES}
    modules = {name.removesuffix(".__init__"): path for path, name in names.items()}
    edges = {
        (module, name if name in modules else name.rpartition(".")[0])
        for module, path in modules.items()
        for name in imported(path, for_types=False)
    }
    assert edges >= BOTH_WAYS
    graph = TopologicalSorter()
    for module, other in edges - BOTH_WAYS:
        graph.add(module, other)
    # A CycleError names the modules.
    graph.prepare()


def test_charts_load_without_a_model():
    code = """if True:
        import sys
        import plasticity_utils.charts
        print(*(name for name in sys.modules if name.split(".")[0] == "plasticity_utils"))
        assert not {"torch", "transformers", "sklearn", "scipy"} & set(sys.modules)
    """
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = run.stdout.split()
    allowed = ("plasticity_utils.charts", "plasticity_utils.errors", "plasticity_utils.names")
    allowed += ("plasticity_utils.formats", "plasticity_utils.garbage")
    modules.remove("plasticity_utils")
    assert [m for m in modules if not m.startswith(allowed)] == []


def test_what_is_published_opens_without_a_model_library():
    code = """if True:
        import sys
        import plasticity_utils as pu
        from plasticity_utils.analysis import answers, audits, features, movement, relearning
        from plasticity_utils.results import across, groups, published
        run = pu.find_run(pu.RunConfig(scale="full"))
        assert len(groups.run_group(run).kept_gain)
        assert len(audits.table_of_removals(published.published_audits()))
        loaded = {"torch", "transformers", "sklearn"} & set(sys.modules)
        assert not loaded, loaded
    """
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_deals_out_the_cells_of_a_batch_loads_no_model(tmp_path):
    grid = tmp_path / "grid.yaml"
    grid.write_text("concepts: [locations]\nscale: smoke\n")
    code = f"""if True:
        import sys
        from plasticity_utils.batch import cells, driver, workers
        todo = driver.read_grid({str(grid)!r})
        assert len(cells.base_cells(todo)) == len(todo) == 1
        assert not {{"torch", "transformers", "sklearn", "scipy"}} & set(sys.modules)
    """
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_readme_says_what_each_package_says_it_is_for():
    readme = (ROOT.parent / "README.md").read_text(encoding="utf-8")
    for package in ORDER:
        assert f"| `{package}` | {charter(package)} |" in readme, package


def public_names(path):
    """Functions, classes and constants that a file defines at its top, without an underscore."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found = [node.name]
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found = [n.id for t in targets for n in ast.walk(t) if isinstance(n, ast.Name)]
        else:
            continue
        yield from (name for name in found if not name.startswith("_"))


def test_no_public_name_is_defined_twice():
    places = {}
    for path in FILES:
        for name in public_names(path):
            places.setdefault(name, set()).add(str(path.relative_to(ROOT)))
    assert {"RunGroup", "COLUMNS", "run_experiment"} <= set(places)
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


# Files are named in docstrings as modules are.
FORMATS = {"conll", "ipynb", "json", "md", "npy", "npz", "parquet", "safetensors", "toml", "txt"}


def defined(tree):
    """Every name that is defined or imported in a file, at its top or inside."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.alias):
            yield node.name


def named(tree):
    """What docstrings of a file name as `module.name`; an argument is no module."""
    nodes = list(ast.walk(tree))
    arguments = {node.arg for node in nodes if isinstance(node, ast.arg)}
    for node in nodes:
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef):
            text = ast.get_docstring(node) or ""
            for module, name in re.findall(r"`(?:\w+\.)*([a-z]\w*)\.(\w+)`", text):
                if module not in arguments and name not in FORMATS:
                    yield module, name


def test_what_a_docstring_names_is_there():
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
    holds = {"pu": set(pu.__all__)}
    for path, tree in trees.items():
        module = path.parent.name if path.stem == "__init__" else path.stem
        holds.setdefault(module, set()).update(defined(tree))
        holds.setdefault(path.parent.name, set()).add(path.stem)
    # An entry-point group is called as its registry.
    holds["plasticity"] = holds["registry"]
    found = {(path.name, *each) for path, tree in trees.items() for each in named(tree)}
    assert len(found) > 20
    assert {each for each in found if each[2] not in holds.get(each[1], ())} == set()
