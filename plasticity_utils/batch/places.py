"""Where results are: a folder that all workers see, or an address with a local folder for work."""

from __future__ import annotations

import getpass
import hashlib
import re
import tempfile
from pathlib import Path

from plasticity_utils.errors import InputError
from plasticity_utils.experiment.config import RunConfig
from plasticity_utils.files import Mirror


def check_results(results: str) -> str:
    """Return the results' place so that every worker understands it.

    Parameters
    ----------
    results : str
        A folder, an address of fsspec, or empty for `runs` in the project.

    Raises
    ------
    InputError
        If it is a file, cannot be written to, or fsspec does not know its kind.
    """
    if "://" in results:
        _check_address(results)
        return results.rstrip("/")
    folder = (Path(results) if results else RunConfig().results).expanduser().resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        reason = error.strerror
        raise InputError(f"results cannot be written to {str(folder)!r}: {reason}") from None
    return str(folder)


def place_of(results: str) -> Mirror:
    """Return the folder on this machine for results, and the address that it mirrors."""
    if "://" not in results:
        return Mirror(Path(results))
    digest = hashlib.sha256(results.encode()).hexdigest()[:12]
    root = Path(tempfile.gettempdir()) / f"plasticity-{getpass.getuser()}-{digest}"
    return Mirror(root, results)


def _check_address(address: str) -> None:
    from fsspec.core import url_to_fs

    kind = re.split("://", address)[0]
    try:
        files, place = url_to_fs(address)
        files.makedirs(place, exist_ok=True)
    except ValueError:
        raise InputError(f"results in {address!r}: fsspec knows no {kind!r} addresses") from None
    except ImportError as error:
        raise InputError(f"results in {address!r}: {error}") from None
    except OSError as error:
        raise InputError(f"results cannot be written to {address!r}: {error}") from None
