"""A cell is one notebook with one set of parameters; a folder of the results holds what it left.

`<results>/batch/<name>/` holds the executed notebook `page.ipynb`, what it printed (`log.txt`), the
`record.json` of how it ended, and `tries`, one line for every start, which also tells of those that
were cut off. The run's own tables and stages lie where `plasticity run` puts them.
"""

from __future__ import annotations

import getpass
import glob
import hashlib
import json
import re
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat

from plasticity_utils import files
from plasticity_utils.errors import InputError
from plasticity_utils.experiment.config import RunConfig, results_of
from plasticity_utils.experiment.run_names import run_name
from plasticity_utils.files import Mirror, read_note
from plasticity_utils.models.locate import model_fingerprint

# Settings on which a base model depends, beside its model, scale, seed and task.
OF_BASE = (
    "learning_rate",
    "train_sentences",
    "validation_sentences",
    "base_epochs",
    "batch_tokens",
)
BASE_CODE = """from plasticity_utils.experiment.config import RunConfig
from plasticity_utils.experiment.stages import Stages

Stages(RunConfig.from_parameters(settings)).base()"""


@dataclass(frozen=True)
class Cell:
    """A notebook to execute.

    Attributes
    ----------
    name : str
        Readable, and unique by a digest of what the cell depends on; its folder's name.
    settings : dict
        Of the cell's `RunConfig`, without its results' folder.
    parameters : dict
        What papermill gives to the notebook, without the results' folder.
    notebook : str
        Absolute path; empty for the training of a base model, which needs no notebook.
    base : str
        Name of the cell that trains its base model; empty for such a cell itself.
    trains : dict
        Of a cell that trains a base model: what that depends on, beside the machine.
    """

    name: str
    settings: dict[str, Any]
    parameters: dict[str, Any]
    notebook: str = ""
    base: str = ""
    trains: dict[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The readable half of the name."""
        return self.name.rpartition("-")[0]

    def folder(self, results: Path) -> Path:
        """Where the cell's files are."""
        return results / "batch" / self.name

    def has_trained(self, results: Path) -> bool:
        """Whether the base model that this cell trains is there, whoever trained it.

        What the machine adds (its precision) is not asked: a cell that needs another trains it.
        """
        return any(
            self.trains.items() <= read_note(stage / files.SEAL).get("settings", {}).items()
            and files.is_current(stage)
            and files.is_sound(stage)
            for stage in results.glob("stages/base-*")
        )

    def source(self, results: Path) -> tuple[Any, dict[str, Any]]:
        """Return what papermill executes, a path or a notebook, and its parameters."""
        if self.notebook:
            return self.notebook, {**self.parameters, "results_dir": str(results)}
        cells = [
            nbformat.v4.new_code_cell("settings = {}", metadata={"tags": ["parameters"]}),
            nbformat.v4.new_code_cell(BASE_CODE),
        ]
        kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
        metadata = {**kernel, "language_info": {"name": "python"}}
        notebook = nbformat.v4.new_notebook(cells=cells, metadata=metadata)
        return notebook, {"settings": {**self.settings, "results_dir": str(results)}}


def cell_of(config: RunConfig, parameters: dict[str, Any], notebook: Path) -> Cell:
    """Make the cell of checked settings, and name the base model that it needs."""
    settings = _settings(config)
    key = {**parameters, **settings, "model": model_fingerprint(config.model)}
    title = re.sub(r"[^\w.-]+", "_", f"{notebook.stem}-{run_name(config)}")[-120:]
    name = f"{title}-{files.digest({**key, 'notebook': files.file_digest(notebook)})[:8]}"
    return Cell(name, settings, parameters, str(notebook), base_cell(config).name)


def base_cell(config: RunConfig) -> Cell:
    """Make the cell that trains the base model of a configuration, once for all that share it."""
    own: dict[str, Any] = {"model": config.model, "scale": config.scale, "seed": config.seed}
    own |= {name: getattr(config, name) for name in OF_BASE if getattr(config, name) is not None}
    model = model_fingerprint(config.model)
    key = {**own, "model": model}
    parts = ["base", Path(config.model).name, config.scale, f"seed{config.seed}"]
    if not config.task.is_usual:
        key |= config.task.key()
        # A type that the task has; which one does not matter to the base.
        own |= {"corpus": config.corpus, "tags": config.tags, "concept": config.concept}
        parts.insert(1, config.task.name)
    title = "-".join(parts)
    name, base = f"{title}-{files.digest(key)[:8]}", RunConfig(**own)
    return Cell(name, _settings(base), {}, trains={"model": model, **base.teaching})


def base_cells(cells: list[Cell]) -> list[Cell]:
    """Return the distinct base models of cells, in their order."""
    bases = [base_cell(RunConfig(**cell.settings)) for cell in cells]
    return list({base.name: base for base in bases}.values())


def note_settings(cells: Sequence[Cell], results: Path) -> None:
    """Write down what cells are about, so that tables of results name those that never ended."""
    for cell in cells:
        folder = cell.folder(results)
        folder.mkdir(parents=True, exist_ok=True)
        files.write_json(folder / "cell.json", {"cell": cell.title, "settings": cell.settings})


def note_try(folder: Path, worker: str) -> int:
    """Note that a cell begins; returns how many times it has, cut-off ones included."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "tries").open("a", encoding="utf-8") as file:
        file.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {worker}\n")
    return tries_of(folder)


def tries_of(folder: Path) -> int:
    """How many times a cell began."""
    notes = folder / "tries"
    return len(notes.read_text(encoding="utf-8").splitlines()) if notes.is_file() else 0


def record_of(folder: Path) -> dict[str, Any]:
    """How a cell ended last: see `workers.execute`. Empty where it never did, or is damaged."""
    return read_note(folder / "record.json")


def is_done(cell: Cell, results: Path) -> bool:
    """Tell whether a cell is finished, and its page and its run are as they were made."""
    folder = cell.folder(results)
    record = record_of(folder)
    page = folder / "page.ipynb"
    if (
        record.get("status") != "done"
        or not page.is_file()
        or record.get("page") != files.file_digest(page)
    ):
        return False
    return not record.get("run") or files.is_sound(results / record["run"])


def finished_folder(cell: Cell, results: Path) -> str:
    """Name of the folder of a cell's finished run; empty where its notebook makes none."""
    config = RunConfig(**cell.settings)
    wanted = f"{glob.escape(run_name(config))}-*/config.json"
    named = results.glob(wanted) if cell.notebook else ()
    # The newest, since a changed machine or library makes a new one beside the old.
    for path in sorted(named, key=lambda path: path.stat().st_mtime, reverse=True):
        facts = json.loads(path.read_text(encoding="utf-8"))
        if {**facts["settings"], "results_dir": ""} == _settings(config):
            return path.parent.name
    return ""


def page_digest(folder: Path) -> str:
    """Digest of a cell's executed notebook."""
    return files.file_digest(folder / "page.ipynb")


def _settings(config: RunConfig) -> dict[str, Any]:
    return {**config.settings(), "results_dir": ""}


def check_results(results: str, is_tried: bool = True) -> str:
    """Return the results' place so that every worker understands it.

    Unless it is only asked about, it is made, and written to.
    """
    if "://" in results:
        _check_address(results, is_tried)
        return results.rstrip("/")
    folder = results_of(results).resolve()
    if not is_tried:
        return str(folder)
    with files.refusals(folder):
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    return str(folder)


def place_of(results: str) -> Mirror:
    """Return the folder on this machine for results, and the address that it mirrors."""
    if "://" not in results:
        return Mirror(Path(results))
    digest = hashlib.sha256(results.encode()).hexdigest()[:12]
    root = Path(tempfile.gettempdir()) / f"plasticity-{getpass.getuser()}-{digest}"
    return Mirror(root, results)


def _check_address(address: str, is_tried: bool) -> None:
    from fsspec.core import url_to_fs

    kind = re.split("://", address)[0]
    try:
        system, place = url_to_fs(address)
        if is_tried:
            system.makedirs(place, exist_ok=True)
    except ValueError:
        raise InputError(f"results in {address!r}: fsspec knows no {kind!r} addresses") from None
    except ImportError as error:
        raise InputError(f"results in {address!r}: {error}") from None
    except OSError as error:
        raise InputError(f"results cannot be written to {address!r}: {error}") from None
