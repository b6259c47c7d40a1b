"""The four registries: removals, protocols, readers and rankings, by the names that settings use.

A name is one of this package's, one that another package offers under an entry-point group
(`plasticity.removals`, `plasticity.protocols`, `plasticity.readers`, `plasticity.rankings`), one
that was registered since, or `FILE.py:NAME`, which loads a user's own file. The names here are
listed without importing what they stand for: a wrong word in a setting is told at once.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from plasticity_utils.entries import (
    PROTOCOL_ENTRIES,
    RANKING_ENTRIES,
    READER_ENTRIES,
    REMOVAL_ENTRIES,
    Entry,
)
from plasticity_utils.errors import InputError, check_kind, shown

if TYPE_CHECKING:
    import pandas

FILE_SIGN, _DIGITS = ".py:", 8
_ABSENT: Any = object()
_FILES = "plasticity_file_"


class Registry:
    """Objects by name.

    Parameters
    ----------
    kind : str
        What one of them is called in messages; with an s, the end of its entry-point group.
    entries : mapping
        The names of this package.
    needs : tuple of str
        Attributes that every object must have.
    are_called : bool
        Whether an object is a function or a class, and not what one makes.
    """

    def __init__(
        self,
        kind: str,
        entries: Mapping[str, Entry],
        needs: tuple[str, ...] = (),
        are_called: bool = True,
    ):
        self.kind, self.needs, self.are_called = kind, needs, are_called
        self._entries = dict(entries)
        self._objects: dict[str, Any] = {}
        self._said: dict[str, tuple[str, str]] = {}

    def register(self, name: str, found: Any = _ABSENT, *, what: str = "", source: str = "") -> Any:
        """Register an object under a name; without one, a decorator that does.

        Parameters
        ----------
        name : str
            What settings, tables and charts call it from now on.
        found : object
            See `Removal`, `Relearning`, `Reader` and `rank_neurons` for what each must be.
        what, source : str
            What it does and where it comes from, for lists; by default the docstring's first line.

        Raises
        ------
        InputError
            For a name that is taken, and an object that lacks something.
        """
        if found is _ABSENT:
            return lambda found: self.register(name, found, what=what, source=source)
        check_kind(name, str, f"{self.kind} must be a name")
        if name in self.names():
            raise InputError(f"{self.kind} {name!r} is there already; allowed: another name")
        if not name or FILE_SIGN in name or "," in name:
            raise InputError(f"{self.kind} {name!r}; needed: a name without commas or {FILE_SIGN}")
        self._objects[name] = self._checked(name, found)
        self._said[name] = (what or _first_line(found), source)
        return found

    def unregister(self, name: str) -> None:
        """Forget what was registered under a name; InputError if nothing was."""
        if name not in self._said:
            registered = ", ".join(self._said) or "none"
            raise InputError(f"{self.kind} {name!r} was not registered; registered: {registered}")
        del self._objects[name], self._said[name]

    @property
    def own(self) -> list[str]:
        """Names of this package."""
        return list(self._entries)

    def names(self) -> list[str]:
        """All names, this package's first; files are not among them."""
        return list(dict.fromkeys([*self._entries, *self._offered, *self._said]))

    def get(self, name: str) -> Any:
        """Return the object of a name.

        Raises
        ------
        InputError
            For an unknown name, and a file that cannot be loaded or lacks it.
        """
        check_kind(name, str, f"{self.kind} must be a name")
        if FILE_SIGN in name:
            return self._checked(name, _from_file(name, self.kind))
        if name not in self._objects:
            self.check(name)
            if name in self._entries:
                module, _, attribute = self._entries[name].target.partition(":")
                self._objects[name] = getattr(import_module(module), attribute)
            else:
                self._objects[name] = self._checked(name, self._loaded(name))
        return self._objects[name]

    @property
    def loaded(self) -> list[Any]:
        """Objects that were asked for or registered; those of files are not among them."""
        return list(self._objects.values())

    def check(self, name: str) -> None:
        """Raise an InputError unless there is this name; only a file is loaded for it."""
        if FILE_SIGN in name:
            self.get(name)
        elif name not in self.names():
            allowed = ", ".join([*self.names(), "FILE.py:NAME"])
            raise InputError(f"unknown {self.kind} {name!r}; allowed: {allowed}")

    def settings(self, name: str) -> tuple[str, ...]:
        """Names of the parameters that an object is made with."""
        if name in self._entries:
            return self._entries[name].settings
        return tuple(inspect.signature(self.get(name)).parameters)

    def check_label(self, name: str) -> None:
        """Raise InputError for a name in a file that tables could not tell from one of these."""
        if name != label(name) and label(name) in self.names():
            raise InputError(
                f"{self.kind} {name!r}: {label(name)!r} is the name of another {self.kind}; "
                "needed: another name in the file"
            )

    def key(self, name: str) -> str:
        """What stands for an object in a stage's key: of a file, its name and contents."""
        if FILE_SIGN not in name:
            return name
        digest = hashlib.sha256(_path_of(name, self.kind).read_bytes()).hexdigest()
        return f"{label(name)}-{digest[:_DIGITS]}"

    def table(self) -> pandas.DataFrame:
        """List the names for people: name, what, source."""
        import pandas as pd

        said = {name: (entry.what, entry.source) for name, entry in self._entries.items()}
        for name, offer in self._offered.items():
            said[name] = (_first_line(self.get(name)), offer.dist.name if offer.dist else "")
        rows = [(name, *texts) for name, texts in (said | self._said).items()]
        return pd.DataFrame(rows, columns=["name", "what", "source"])

    @cached_property
    def _offered(self) -> dict[str, EntryPoint]:
        found = entry_points(group=f"plasticity.{self.kind}s")
        return {point.name: point for point in found if point.name not in self._entries}

    def _loaded(self, name: str) -> Any:
        """What another package offers; it may be broken."""
        try:
            return self._offered[name].load()
        except Exception as error:
            raise InputError(f"{self.kind} {name!r} cannot be loaded: {_said(error)}") from error

    def _checked(self, name: str, found: Any) -> Any:
        lacks = [need for need in self.needs if not hasattr(found, need)]
        if lacks:
            raise InputError(
                f"{self.kind} {name!r} lacks {', '.join(lacks)}; needed: {', '.join(self.needs)}"
            )
        if self.are_called and not callable(found):
            raise InputError(
                f"{self.kind} {name!r} is {shown(found)}; needed: a function, or a class and not "
                "what it makes"
            )
        if not self.are_called and isinstance(found, type):
            raise InputError(f"{self.kind} {name!r} is a class; needed: what it makes, {name}()")
        return found


@contextmanager
def users_errors(what: str = "") -> Iterator[None]:
    """Say in one line what fails in a removal, protocol, reader or ranking of others, and where.

    The error itself stands behind it, as its cause.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        theirs = [
            (frame.f_code, line)
            for frame, line in traceback.walk_tb(error.__traceback__)
            if _is_theirs(frame.f_globals.get("__name__", ""))
        ]
        if not theirs:
            raise
        code, line = theirs[-1]
        place = f"{code.co_filename}, line {line}, in {code.co_name}"
        raise InputError(f"{what}{place}: {_said(error)}") from error


def _is_theirs(module: str) -> bool:
    """Whether code of a module is of a user's file, or was registered or offered by others."""
    found = [each for registry in _REGISTRIES for each in registry.loaded]
    registered = {getattr(each, "__module__", type(each).__module__) for each in found}
    ours = module.startswith(f"{__name__.partition('.')[0]}.")
    return module.startswith(_FILES) or (module in registered and not ours)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


def label(name: str) -> str:
    """What tables, charts and folders call an object: of a file, what follows the colon."""
    return name.rpartition(":")[2]


def _first_line(found: Any) -> str:
    return (inspect.getdoc(found) or "").partition("\n")[0]


def _path_of(name: str, kind: str) -> Path:
    """The file as given, or else from the project's folder: notebooks run in their own."""
    from plasticity_utils.files import from_project, path_of

    given = name.rpartition(":")[0]
    path = from_project(given, kind)
    if path is None:
        raise InputError(
            f"{kind} {name!r}: there is no file {str(path_of(given, kind))!r}, neither from the "
            "current folder nor from the project's"
        )
    return path.resolve()


def _from_file(name: str, kind: str) -> Any:
    path, wanted = _path_of(name, kind), label(name)
    module = _load(path, name, kind)
    if not hasattr(module, wanted):
        own = [each for each, value in vars(module).items() if _is_of(value, module)]
        raise InputError(f"{kind} {name!r}: the file has no {wanted!r}; it has: {', '.join(own)}")
    return getattr(module, wanted)


def _load(path: Path, name: str, kind: str) -> ModuleType:
    """Run a user's file once, and anew where its contents have changed."""
    digest = hashlib.sha256(str(path).encode() + path.read_bytes()).hexdigest()[:_DIGITS]
    own = f"{_FILES}{path.stem}_{digest}"
    if own in sys.modules:
        return sys.modules[own]
    spec = importlib.util.spec_from_file_location(own, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up while it is still running.
    sys.modules[own] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[own]
        raise InputError(f"{kind} {name!r}: the file cannot be run: {_said(error)}") from error
    return module


def _is_of(value: Any, module: ModuleType) -> bool:
    return getattr(value, "__module__", None) == module.__name__


removals = Registry("removal", REMOVAL_ENTRIES, needs=("fit", "control", "again", "makes"))
protocols = Registry(
    "protocol",
    PROTOCOL_ENTRIES,
    needs=("in_force", "start", "trains", "sees", "scored_on"),
    are_called=False,
)
readers = Registry("reader", READER_ENTRIES)
rankings = Registry("ranking", RANKING_ENTRIES)


_REGISTRIES = (removals, protocols, readers, rankings)


def list_removals() -> pandas.DataFrame:
    """List the ways of taking a concept out: name, what, source."""
    return removals.table()


def list_protocols() -> pandas.DataFrame:
    """List the ways in which a concept may come back: name, what, source."""
    return protocols.table()


def list_readers() -> pandas.DataFrame:
    """List the readers of a frozen network: name, what, source."""
    return readers.table()


def list_rankings() -> pandas.DataFrame:
    """List the scores by which neurons are ranked: name, what, source."""
    return rankings.table()
