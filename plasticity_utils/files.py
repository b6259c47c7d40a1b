"""Stages of a run on disk: made once, written atomically, checked whenever they are read.

A stage is a folder named after what it is and a digest of the settings that it depends on, so a
changed setting makes a new stage and an unchanged one is found again, by this run or another.
While a stage is made its folder ends in `.part`; what was finished inside survives a killed process
and is used by the next. The finished folder is sealed with a digest of every file: a damaged file
is named in a warning and its stage is made again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import socket
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from plasticity_utils import hardware
from plasticity_utils.errors import InputError, shown
from plasticity_utils.hardware import waiting

if TYPE_CHECKING:
    from nbformat import NotebookNode

# The project's own files: its checkout, or what of it travels with an installed package.
_CHECKOUT = Path(__file__).resolve().parent.parent
IN_CHECKOUT = (_CHECKOUT / "_config.yml").is_file()
ROOT = _CHECKOUT if IN_CHECKOUT else Path(__file__).resolve().parent / "project"
SEAL = "seal.json"
# Raise it when a change of the code changes results: stages made before are then made anew.
STAGE_VERSION = 2
# What libraries that are not Python say of the file system, and what all say of a full disk.
_REFUSED = re.compile(r"os error \d+|[Nn]o space left|Disk quota exceeded")
NO_ROOM = re.compile(r"os error 28\b|[Nn]o space left|Disk quota exceeded")


def results_root() -> Path:
    """Folder for runs where none is named: `runs` in the checkout, else in the current folder."""
    return (ROOT if IN_CHECKOUT else Path.cwd()) / "runs"


def path_of(given: str | os.PathLike[str], what: str = "path") -> Path:
    """A path as it is meant, `~` being the home folder; one that no file can have is refused."""
    try:
        path = Path(given).expanduser()
        path.exists()
    except (TypeError, ValueError, OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{what} {shown(given)} is no path: {reason}") from None
    if "\0" in str(path):
        raise InputError(f"{what} {shown(given)} is no path: a NUL byte")
    return path


def from_project(
    given: str, what: str, is_wanted: Callable[[Path], bool] = Path.is_file
) -> Path | None:
    """A path as given, or else from the project's folder, for notebooks run in their own."""
    path = path_of(given, what)
    return next((place for place in (path, path_of(ROOT / path, what)) if is_wanted(place)), None)


@contextmanager
def refusals(place: Path) -> Iterator[None]:
    """Say in one sentence what the file system refuses while one works in a place."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        if not isinstance(error, OSError) and not _REFUSED.search(str(error)):
            raise
        raise InputError(refusal(error, place)) from error


def refusal(error: Exception, place: Path | None = None) -> str:
    """The sentence for what the file system refused, with the file that it is about."""
    about = getattr(error, "filename", None)
    if NO_ROOM.search(str(error)):
        where = str(place or about)
        return f"no room left in {where!r}: make room there, then the same command goes on"
    reason = getattr(error, "strerror", None) or " ".join(str(error).split())
    if place is None or (about and not Path(about).is_relative_to(place)):
        return f"{about!r}: {reason}" if about else reason
    which = "" if about in (None, str(place)) else f" ({Path(about).relative_to(place)})"
    return f"results cannot be written to {str(place)!r}: {reason}{which}"


def digest(settings: Mapping[str, Any]) -> str:
    """Return twelve hexadecimal digits that stand for the settings and `STAGE_VERSION`."""
    text = json.dumps({"version": STAGE_VERSION, **settings}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def cached(
    root: Path,
    stage: str,
    settings: Mapping[str, Any],
    make: Callable[[Path], None],
    made_with: Mapping[str, Any] | None = None,
) -> Path:
    """Return the folder of a stage, making it if it is missing or damaged.

    Parameters
    ----------
    root : Path
        Folder of all stages.
    stage : str
        Name of the stage, the readable half of the folder's name.
    settings : mapping
        Everything that the stage's result depends on; must be JSON.
    make : callable
        Fills the folder that it is given. It may find there what an earlier, interrupted call left
        and must reach the same result from it.
    made_with : mapping, optional
        Versions and machine, kept in the seal for the reader; no part of the key.

    Returns
    -------
    Path
        A sealed folder, whose files were verified.
    """
    folder = folder_of(root, stage, settings)
    mirror = mirror_of(folder)
    facts = {"settings": dict(settings), "made_with": made_with or {}}
    with refusals(root), _locked(folder):
        if hardware.is_main():
            mirror.fetch(folder, SEAL)
        anew = hardware.decided(lambda: _is_to_be_made(folder))
        if anew:
            if hardware.is_main():
                _make(folder, make, facts)
            else:
                with hardware.scratch() as part:
                    make(part)
            hardware.wait()
        if hardware.is_main():
            mirror.keep(folder, SEAL, anew)
    return folder


def _locked(folder: Path) -> AbstractContextManager[object]:
    """Hold a stage's lock; of processes that train together the main one holds it for all."""
    if not hardware.is_main():
        return nullcontext()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with waiting(lambda: f"{folder.name}, which {_maker(folder)} is making"):
            return FileLock(f"{folder}.lock").acquire()
    except OSError:
        # What is finished can be read where nothing can be written.
        if not is_sound(folder):
            raise
        return nullcontext()


def _is_to_be_made(folder: Path) -> bool:
    # Here too: the main process tells the others of an InputError alone.
    with refusals(folder.parent):
        if folder.exists() and not folder.is_dir():
            raise FileExistsError(errno.EEXIST, "a file stands where a folder belongs", str(folder))
        if folder.is_dir() and not is_sound(folder):
            shutil.rmtree(folder)
        return not folder.is_dir()


def _make(folder: Path, make: Callable[[Path], None], facts: dict[str, Any]) -> None:
    part = _part_of(folder)
    part.mkdir(exist_ok=True)
    sitting = _begin_sitting(part)
    try:
        make(part)
    except InputError:
        if not any(part.iterdir()):
            # It was refused before anything was begun.
            part.rmdir()
            _sittings(part).unlink()
        raise
    seal(part, seconds=_end_sittings(part, sitting), **facts)
    os.replace(part, folder)


def folder_of(root: Path, stage: str, settings: Mapping[str, Any]) -> Path:
    """Return the folder that a stage has or will have."""
    return root / f"{stage}-{digest(settings)}"


def seal(folder: Path, **facts: Any) -> None:
    """Write the digests of a folder's files, and facts about it, beside them."""
    (folder / SEAL).unlink(missing_ok=True)
    contents = {**facts, "files": _digests(folder)}
    write_json(folder / SEAL, {**contents, "own": _own_digest(contents)})


def seal_of(folder: Path) -> dict[str, Any]:
    """Return the facts with which a folder was sealed."""
    return json.loads((folder / SEAL).read_text(encoding="utf-8"))


def is_current(folder: Path) -> bool:
    """Tell whether a sealed folder is of this `STAGE_VERSION`, by its name; no file is checked."""
    try:
        return folder.name.endswith(digest(seal_of(folder)["settings"]))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def is_sound(folder: Path) -> bool:
    """Tell whether a sealed folder is as it was sealed; warn of what is not.

    A folder without a seal was cut off while it was written: that is no damage, only unfinished.
    """
    if not (folder / SEAL).is_file():
        return False
    expected = _expected_files(folder)
    if expected is None:
        warnings.warn(f"damaged, made again: {folder / SEAL}", stacklevel=2)
        return False
    found = _digests(folder)
    damaged = [name for name in expected if found.get(name) != expected[name]]
    for name in damaged:
        warnings.warn(f"damaged, made again: {folder / name}", stacklevel=2)
    return not damaged


def folder_digest(folder: Path) -> str:
    """Return twelve hexadecimal digits that stand for the files of a folder."""
    return hashlib.sha256(json.dumps(_digests(folder)).encode()).hexdigest()[:12]


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give a place to write a file or folder to; it takes `path` only when the block ends well.

    A reader sees the old one or the new one, never a half; two writers do not meet.
    """
    # Beside it, since a file is moved in one step only on the same disk; with its own name, since
    # some writers read the format off that.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as own:
        unfinished = Path(own) / path.name
        yield unfinished
        if path.exists() and path.is_dir() != unfinished.is_dir():
            needed = "file" if path.is_dir() else "folder"
            raise InputError(f"{str(path)!r} is there and is no {needed}; needed: the name of one")
        if path.is_dir():
            path.replace(Path(own) / f"{path.name}.old")
        unfinished.replace(path)


def check_place(path: Path, what: str = "") -> None:
    """Raise InputError unless a file can be written there: no folder, and in one that exists."""
    told = f"{what} {str(path)!r}".lstrip()
    if path.is_dir():
        raise InputError(f"{told} is a folder; needed: the name of a file")
    if not path.parent.is_dir():
        raise InputError(f"{told} is in no folder that exists")


def write_json(path: Path, value: Any) -> None:
    """Write JSON whole or not at all."""
    with whole(path) as file:
        text = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
        file.write_text(text, encoding="utf-8")


def read_note(path: Path) -> dict[str, Any]:
    """What a file of JSON says; empty where there is none yet, or it was cut off."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}


def read_notebook(path: Path) -> NotebookNode:
    """Read a notebook; a file that is none is an InputError."""
    # Here, not above: most of what reads files reads no notebook.
    import nbformat

    try:
        return nbformat.read(path, as_version=4)
    except (OSError, ValueError, AttributeError, TypeError, nbformat.ValidationError) as error:
        # Of what is JSON and no notebook, nbformat raises many kinds.
        raise InputError(f"{str(path)!r} is no notebook: {error}") from error


def _begin_sitting(part: Path) -> float:
    """Note that work on a stage begins; what a killed process had spent is read off its files."""
    earlier, spent = _noted(part), 0.0
    if earlier:
        newest = max(p.stat().st_mtime for p in (part, *part.rglob("*")))
        spent = earlier["spent"] + max(0.0, newest - earlier["began"])
    maker = f"process {os.getpid()} on {socket.gethostname()}"
    write_json(_sittings(part), {"spent": spent, "began": time.time(), "maker": maker})
    return time.monotonic()


def _end_sittings(part: Path, began: float) -> float:
    """Seconds of all sittings together."""
    spent = _noted(part).get("spent", 0.0)
    _sittings(part).unlink(missing_ok=True)
    return round(spent + time.monotonic() - began, 1)


def _maker(folder: Path) -> str:
    """Who makes a stage at this moment, or did so last."""
    return str(_noted(_part_of(folder)).get("maker", "another process"))


def _noted(part: Path) -> dict[str, Any]:
    """Notes of the sittings so far; none where there are none, or they are damaged."""
    notes = read_note(_sittings(part))
    try:
        return {**notes, "spent": float(notes["spent"]), "began": float(notes["began"])}
    except (ValueError, KeyError, TypeError):
        return {}


def _part_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.part")


def _sittings(part: Path) -> Path:
    return part.with_name(f"{part.name}.json")


def _expected_files(folder: Path) -> dict[str, str] | None:
    """Digests that a seal holds, or None where the seal is not what was written."""
    try:
        contents = seal_of(folder)
        own = contents.pop("own")
        return contents["files"] if own == _own_digest(contents) else None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _own_digest(contents: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()


def _digests(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p != folder / SEAL)
    return {str(p.relative_to(folder)): file_digest(p) for p in files}


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's contents, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


VARIABLES = "PLASTICITY_MIRRORED", "PLASTICITY_MIRROR"


@dataclass(frozen=True)
class Mirror:
    """A folder and the address at which its finished folders are kept.

    Attributes
    ----------
    root : Path
        Folder on this machine.
    url : str
        Any address of fsspec, for instance `s3://bucket/results`; empty for none.
    """

    root: Path
    url: str = ""

    @property
    def environment(self) -> dict[str, str]:
        """Variables that tell a process of this mirror."""
        return dict(zip(VARIABLES, (str(self.root), self.url), strict=True))

    def fetch(self, folder: Path, last: str) -> None:
        """Copy a folder that is whole at the address (has its `last` file) and not here."""
        if not self.url or (folder / last).is_file():
            return
        files, place = self._place(folder)
        if files.exists(f"{place}/{last}"):
            fetched = folder.with_name(f"{folder.name}.fetched")
            shutil.rmtree(fetched, ignore_errors=True)
            for path in files.find(place):
                target = fetched / path[len(place) :].lstrip("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                files.get_file(path, str(target))
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(fetched, folder)

    def keep(self, folder: Path, last: str, anew: bool) -> None:
        """Copy a finished folder to the address, the file `last` after all others.

        `anew`: it was just made, so what is there, damaged perhaps, is replaced.
        """
        if not self.url:
            return
        files, place = self._place(folder)
        own = (folder / last).read_bytes()
        whole = not anew and files.exists(f"{place}/{last}")
        if whole and files.cat_file(f"{place}/{last}") == own:
            return
        if files.exists(place):
            files.rm(place, recursive=True)
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
        for path in sorted(paths, key=lambda path: path == folder / last):
            target = f"{place}/{path.relative_to(folder).as_posix()}"
            files.makedirs(target.rpartition("/")[0], exist_ok=True)
            files.put_file(str(path), target)

    def _place(self, folder: Path) -> tuple[Any, str]:
        # Most runs have no such address, and need not load what reaches them.
        from fsspec.core import url_to_fs

        files, place = url_to_fs(f"{self.url}/{folder.relative_to(self.root).as_posix()}")
        return files, str(place).rstrip("/")


def mirror_of(folder: Path) -> Mirror:
    """Return the mirror that this process was told of, if the folder lies in it."""
    root, url = (os.environ.get(name, "") for name in VARIABLES)
    inside = bool(url) and folder.is_relative_to(root)
    return Mirror(Path(root), url if inside else "")
