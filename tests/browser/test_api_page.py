"""The page of the API is made from the source: every module, function and class is on it."""

import ast
import re
import sys
from pathlib import Path

import plasticity_utils as pu

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "book" / "_ext"))
import packages  # noqa: E402

from plasticity_utils.registry import Registry  # noqa: E402


def test_every_public_name_of_every_file_has_its_line():
    said = "\n".join(packages.packages_lines("https://example.org"))
    files = [path for path in (ROOT / "plasticity_utils").rglob("*.py") if path.stem != "__main__"]
    assert len(files) > 40
    for path in files:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = [n.name for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)]
        for name in names:
            if not name.startswith("_"):
                assert re.search(rf"(^- `|\.){name}(\(\)`|`|$)", said, re.MULTILINE), (path, name)


def test_what_is_public_is_explained_in_full_and_linked(book_html):
    page = (book_html / "book" / "api.html").read_text(encoding="utf-8")
    for name, module in packages.public_names().items():
        assert f'id="{module}.{name}"' in page, name
        assert f'href="#{module}.{name}"' in page, name
    registries = {name for name in pu.__all__ if isinstance(getattr(pu, name), Registry)}
    assert len(registries) == 4
    assert set(packages.public_names()) == set(pu.__all__) - registries
    assert 'id="plasticity_utils.registry.Registry"' in page
    assert all(f"pu.{name}" in page for name in registries)
    assert "<!-- names" not in page


def test_the_map_says_what_each_package_is_for_and_imports():
    table = "\n".join(packages.map_table())
    for package in packages.ORDER:
        assert packages.charter(package) in table
    assert "data" in packages.imports("training")
    assert packages.imports("charts") == []
