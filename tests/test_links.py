"""The repository's address stands in _config.yml, and every other place agrees with it."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import nbformat
import pytest
import yaml

ROOT = Path(__file__).parent.parent
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
ADDRESS = CONFIG["repository"]["url"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
TEXTS = {".md", ".yml", ".cff", ".toml", ".py", ".ipynb", ".txt", ".bib", ".html", ".js", ".css"}


def tracked():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git repository: which files belong to the project is not known")
    return [ROOT / name for name in listed.stdout.splitlines()]


def test_every_mention_of_the_repository_is_the_configured_one():
    name = ADDRESS.rsplit("/", 1)[1]
    own = re.compile(rf"https://github\.com/[\w.-]+/{name}\b")
    found = {
        (path.name, address)
        for path in tracked()
        if path.suffix in TEXTS or not path.suffix
        for address in own.findall(path.read_text(encoding="utf-8", errors="ignore"))
    }
    assert {"_config.yml", "CITATION.cff", "cite.md"} <= {path for path, _ in found}
    assert {address for _, address in found} == {ADDRESS}


def test_the_citation_names_the_repository_and_the_version():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert CITATION["repository-code"] == ADDRESS
    assert f'version = "{CITATION["version"]}"' in project
    assert f'license = "{CITATION["license"]}"' in project
    assert CITATION["authors"] == [{"name": CONFIG["author"]}]
    assert CITATION["title"] == CONFIG["title"]


def entries(page):
    """BibTeX entries of a page: key to its fields."""
    text = re.search(r"```bibtex\n(.*?)```", page, re.DOTALL)[1]
    found = {}
    for key, body in re.findall(r"@\w+\{(\w+),\n(.*?)\n\}", text, re.DOTALL):
        fields = re.findall(r"^ +(\w+) += \{(.*)\},?$", body, re.MULTILINE)
        found[key] = {name: value.strip("{}") for name, value in fields}
    return found


def test_the_page_on_citing_says_what_the_citation_file_says():
    cited = entries((ROOT / "book" / "cite.md").read_text(encoding="utf-8"))
    # An edition that is deposited has a DOI, in both.
    doi = {"doi": CITATION["doi"]} if "doi" in CITATION else {}
    assert cited["plasticity"] == {
        **doi,
        "title": CITATION["title"],
        "author": CITATION["authors"][0]["name"],
        "version": CITATION["version"],
        "year": CONFIG["copyright"],
        "license": CITATION["license"],
        "url": CITATION["repository-code"],
    }
    (paper,) = CITATION["references"]
    authors = [f"{a['family-names']}, {a['given-names']}" for a in paper["authors"]]
    assert cited["lo2024"] == {
        "title": paper["title"],
        "author": " and ".join(authors),
        "year": str(paper["year"]),
        "booktitle": paper["collection-title"],
        "pages": f"{paper['start']}--{paper['end']}",
        "doi": paper["doi"],
        "url": paper["url"],
    }


def test_binder_installs_what_the_readme_says():
    steps = (ROOT / ".binder" / "postBuild").read_text(encoding="utf-8").splitlines()
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    installs = [line for line in steps if line.startswith("pip")]
    assert len(installs) == 2
    for line in installs:
        assert f".venv/bin/{line}" in readme
    named = (ROOT / ".binder" / "requirements.txt").read_text(encoding="utf-8").split()
    assert named[0] == "-r"
    assert (ROOT / ".binder" / named[1]).resolve() == ROOT / "requirements.txt"


def test_colab_s_first_cell_installs_what_the_readme_says_once(tmp_path):
    """Run it with a pip that only notes what it is asked; the clone is of this checkout."""
    tracked()  # without a repository there is nothing to clone
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    sources = [first_code(path) for path in notebooks]
    assert set(sources) == {sources[0]}
    line = sources[0].removeprefix("!").replace(ADDRESS, str(ROOT))
    assert str(ROOT) in line
    # The clone has what is committed; what is edited lies over it.
    there = line.replace("; \\\n", f" plasticity; cp {ROOT}/.binder/* plasticity/.binder; \\\n")
    pip = tmp_path / "pip"
    pip.write_text(f'#!/bin/sh\necho "pip $*" >> {tmp_path / "asked"}\n')
    pip.chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}

    def run(command):
        subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True, env=env, timeout=60)

    if not Path("/content").exists():
        run(there)
        assert not (tmp_path / "plasticity").exists()
    for _ in range(2):
        run(there.replace("/content", str(tmp_path)))
    asked = (tmp_path / "asked").read_text().replace(" -q", "").splitlines()
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert asked == re.findall(r"^\.venv/bin/(pip install .*)$", readme, re.MULTILINE)


def first_code(path):
    cells = nbformat.read(path, as_version=4).cells
    return next(cell.source for cell in cells if cell.cell_type == "code")


def test_the_page_of_a_run_has_no_link_to_a_file_that_is_not_there(tmp_path):
    from plasticity_utils.book.pages import _small_book

    (tmp_path / "run.ipynb").write_text("{}")
    folder = _small_book(tmp_path / "run.ipynb", tmp_path, None)
    config = yaml.safe_load((folder / "_config.yml").read_text(encoding="utf-8"))
    assert "launch_buttons" not in config
    assert not config["html"]["use_edit_page_button"]
    assert not config["html"]["use_repository_button"]
    assert not config["html"]["use_issues_button"]


def test_make_and_the_pages_give_the_same_test_command():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipe = re.search(r"^test:.*\n\t(.*)$", makefile, re.MULTILINE).group(1)
    command = recipe.replace("$(BIN)", ".venv/bin").split()
    for page in ("README.md", "book/reproduce.md"):
        text = (ROOT / page).read_text(encoding="utf-8").replace("\\\n", " ")
        assert " ".join(command) in " ".join(text.split()), page


@pytest.mark.skipif(shutil.which("make") is None, reason="make is missing: nothing to ask")
def test_lab_starts_for_root_too():
    # JupyterLab refuses root unless it is told otherwise.
    # Inside another make it would also say which folder it enters and leaves.
    told = subprocess.run(
        ["make", "--no-print-directory", "-n", "lab"], cwd=ROOT, capture_output=True, text=True
    )
    line = told.stdout.splitlines()[-1]
    assert "jupyter lab" in line
    assert ("--allow-root" in line) == (os.getuid() == 0)


def test_whatever_skips_is_listed_with_its_reason():
    tiers = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    skips = re.compile(r"pytest\.(skip|importorskip|mark\.skipif|mark\.skip)\(")
    for path in (ROOT / "tests").rglob("*.py"):
        if path != Path(__file__) and skips.search(path.read_text(encoding="utf-8")):
            assert f"{path.name}`" in tiers, path
    assert "`test_links.py`" in tiers


def test_editions_and_versions_agree():
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    edition = re.search(r"^## (Edition \d+)", changes, re.MULTILINE)[1]
    assert edition in CONFIG["html"]["extra_footer"]
    assert f"({CITATION['version']}" in changes
