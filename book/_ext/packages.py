"""Sphinx extension: the pages of the API and of the columns, made whenever the book is built.

A line `<!-- names -->`, `<!-- map -->` or `<!-- packages -->` of a page gives way to what the
source says: the public names, the packages and what they import, each module and what is in it.
So does `<!-- columns -->`, what columns mean in most tables, and `<!-- tables -->`, each table.
"""

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import plasticity_utils as pu
from plasticity_utils.results.columns import COLUMNS
from plasticity_utils.results.dictionary import GROUPS

ROOT = Path(pu.__file__).parent
# A package imports only from those before it, and from the root; tests/test_house.py sees to it.
ORDER = (
    "data", "models", "neurons", "removal", "training", "experiment",
    "results", "analysis", "charts", "explorer", "book", "batch",
)  # fmt: skip
DEFINITIONS = ast.FunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Module:
    """One file."""

    name: str
    tree: ast.Module

    @property
    def says(self):
        return ast.get_docstring(self.tree) or ""

    @property
    def definitions(self):
        """Public functions and classes, in their order."""
        found = [node for node in self.tree.body if isinstance(node, DEFINITIONS)]
        return [node for node in found if not node.name.startswith("_")]

    @property
    def imports(self):
        """Packages of this project that the file imports from, wherever in the file."""
        nodes = [n for n in ast.walk(self.tree) if isinstance(n, ast.ImportFrom)]
        names = [f"{n.module}.{alias.name}".split(".") for n in nodes for alias in n.names]
        return {name[1] for name in names if name[0] == ROOT.name} & set(ORDER)


@cache
def modules(package=""):
    """The files of a package, or of the root."""
    paths = sorted(path for path in (ROOT / package).glob("*.py") if path.name != "__main__.py")
    prefix = f"{package}." if package else ""
    trees = {p.stem: ast.parse(p.read_text(encoding="utf-8")) for p in paths}
    return [
        Module(f"{prefix}{name}".removesuffix(".__init__"), tree) for name, tree in trees.items()
    ]


def first_sentence(text):
    """A docstring's first sentence, on one line and as Markdown."""
    paragraph = " ".join(text.split("\n\n")[0].split())
    sentence = re.split(r"(?<=[.?!]) (?=[A-Z`])", paragraph)[0]
    return sentence.replace("``", "`").replace("|", r"\|")


def charter(package):
    """What a package says it is for."""
    return first_sentence(next(m for m in modules(package) if m.name == package).says)


def imports(package):
    """Other packages that it imports from, in the order of all."""
    found = set().union(*(module.imports for module in modules(package))) - {package}
    return [name for name in ORDER if name in found]


@cache
def public_names():
    """Public function or class to the module that defines it."""
    found = {name: getattr(pu, name) for name in sorted(pu.__all__)}
    return {n: value.__module__ for n, value in found.items() if hasattr(value, "__name__")}


def names_table():
    """Every public name with its first sentence, linked to where it is explained."""
    defined = {
        (f"{ROOT.name}.{module.name}", node.name): node
        for package in ("", *ORDER)
        for module in modules(package)
        for node in module.definitions
    }
    rows = ["| name | what it does |", "|---|---|"]
    for name, module in public_names().items():
        node = defined[module, name]
        kind = "class" if isinstance(node, ast.ClassDef) else "func"
        link = f"{{py:{kind}}}`pu.{name} <{module}.{name}>`"
        rows.append(f"| {link} | {first_sentence(ast.get_docstring(node) or '')} |")
    registries = {n: getattr(pu, n) for n in sorted(set(pu.__all__) - set(public_names()))}
    for name, registry in registries.items():
        link = f"{{py:class}}`pu.{name} <{type(registry).__module__}.Registry>`"
        rows.append(f"| {link} | The registry of every {registry.kind}; `register` adds one. |")
    return rows


def map_table():
    """A row for each package: what it is for, and what it imports from."""
    rows = ["| package | what it is for | imports from |", "|---|---|---|"]
    for package in ORDER:
        others = ", ".join(imports(package)) or "–"
        rows.append(f"| [`{package}`](#package-{package}) | {charter(package)} | {others} |")
    return rows


def module_lines(module, address):
    """What a module is for and what is in it: what is public in full, the rest in a line each."""
    full_name = f"{ROOT.name}.{module.name}"
    path = f"{ROOT.name}/{module.name.replace('.', '/')}"
    path += "/__init__.py" if module.name in ORDER else ".py"
    yield from (f"### `{module.name}`", "")
    yield from (f"{first_sentence(module.says)} [Source]({address}/{path}).", "")
    public = {name for name, where in public_names().items() if where == full_name}
    public |= {"Registry"} if module.name == "registry" else set()
    short = [node for node in module.definitions if node.name not in public]
    for node in short:
        arguments = "" if isinstance(node, ast.ClassDef) else "()"
        said = first_sentence(ast.get_docstring(node) or "")
        yield f"- `{node.name}{arguments}`: {said}"
    for node in module.definitions:
        if node.name in public:
            directive = "class" if isinstance(node, ast.ClassDef) else "function"
            yield from ("", "```{eval-rst}", f".. auto{directive}:: {full_name}.{node.name}")
            yield from (["   :members:"] if directive == "class" else [])
            yield "```"
    yield ""


def packages_lines(address):
    """Every package and module; those of the root last."""
    for package in (*ORDER, ""):
        yield from (f"(package-{package or 'root'})=", f"## `{package or ROOT.name}`", "")
        yield from (charter(package) if package else "What every package may import.", "")
        for module in modules(package):
            if module.definitions:
                yield from module_lines(module, address)


def columns_table(described):
    """A row for each column: its unit or range, and what it means."""
    rows = ["| column | unit or range | what it is |", "|---|---|---|"]
    for name, column in described.items():
        cells = (f"`{name}`", column.unit, column.meaning)
        rows.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return rows


def tables_lines():
    """Each table: what a row is, its columns, and what those mean that mean another thing here."""
    for heading, tables in GROUPS.items():
        yield from (f"## {heading}", "")
        for name, table in tables.items():
            listed = ", ".join(f"`{column}`" for column in table.columns)
            yield from (f"### `{name}`", "", f"A row: {table.row}. Columns: {listed}.", "")
            yield from columns_table(table.own) if table.own else ()
            yield ""


def fill(app, docname, source):
    """Put what is there in place of the marks."""
    options = app.config.html_theme_options
    address = f"{options['repository_url']}/blob/{options['repository_branch']}"
    for mark, lines in (
        ("names", names_table),
        ("map", map_table),
        ("packages", lambda: packages_lines(address)),
        ("columns", lambda: columns_table(COLUMNS)),
        ("tables", tables_lines),
    ):
        if f"<!-- {mark} -->" in source[0]:
            source[0] = source[0].replace(f"<!-- {mark} -->", "\n".join(lines()))


def setup(app):
    app.connect("source-read", fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
