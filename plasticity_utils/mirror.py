"""Finished folders at another address: results on object storage, or any place that fsspec knows.

Stages are made on a local disk. Where the results have an address besides, a finished folder is
copied there, its seal last, and one that is missing here is looked for there first. Who fetches a
folder verifies it as any other.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
        """Copy a folder from the address if it is whole there and not here.

        Parameters
        ----------
        folder : Path
            Below `root`.
        last : str
            Name of the file that is written last: a folder with it is whole.
        """
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

        Parameters
        ----------
        folder, last
            As for `fetch`.
        anew : bool
            Whether it was just made: then what is there, damaged perhaps, is replaced.
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
