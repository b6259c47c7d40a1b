"""The API page names every module of the package, and no other."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMAND_LINE = {"__init__", "__main__", "cli"}


def test_every_module_has_its_place_on_the_api_page():
    page = (ROOT / "book" / "api.md").read_text(encoding="utf-8")
    listed = re.findall(r"automodule:: plasticity_utils\.([\w.]+)", page)
    package = ROOT / "plasticity_utils"
    modules = {
        ".".join(path.relative_to(package).with_suffix("").parts)
        for path in package.rglob("*.py")
        if path.stem not in COMMAND_LINE
    }
    assert set(listed) == modules
    assert len(listed) == len(set(listed))
