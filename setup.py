"""Put the project's files that commands need into the wheel: the rest stands in pyproject.toml."""

import json
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

HERE = Path(__file__).parent
# What `batch` and `page` read: they find it in the checkout, or else in plasticity_utils/project.
FILES = (
    "_config.yml",
    "book/method.md",
    "book/method_training.md",
    "book/method_removals.md",
    "book/method_measures.md",
    "book/glossary.md",
    "book/references.md",
    "book/references.bib",
    "notebooks/templates/banner.md",
    "notebooks/templates/grid.py",
)
FOLDERS = ("book/_ext", "book/_static")
TEMPLATE = "notebooks/concept.ipynb"


class BuildWithProject(build_py):
    """The usual build, and the project's files beside the modules."""

    def run(self):
        super().run()
        if self.editable_mode:
            return
        project = Path(self.build_lib) / "plasticity_utils" / "project"
        for name in FILES:
            self.mkpath(str((project / name).parent))
            shutil.copyfile(HERE / name, project / name)
        for name in FOLDERS:
            ignored = shutil.ignore_patterns("__pycache__", "vega-bundle.js")
            shutil.copytree(HERE / name, project / name, ignore=ignored, dirs_exist_ok=True)
        notebook = json.loads((HERE / TEMPLATE).read_text(encoding="utf-8"))
        for cell in notebook["cells"]:
            if cell["cell_type"] == "code":
                cell.update(outputs=[], execution_count=None)
        self.mkpath(str((project / TEMPLATE).parent))
        (project / TEMPLATE).write_text(json.dumps(notebook), encoding="utf-8")


setup(cmdclass={"build_py": BuildWithProject})
