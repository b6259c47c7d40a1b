"""The one kind of error that a user's input can cause."""

import re
from collections.abc import Mapping, Set
from numbers import Integral, Real
from typing import TypeGuard

_LINE_ENDS = re.compile(r"\s*[\r\n]\s*")


class InputError(ValueError):
    """A value that cannot be used; names it, its place, and what is allowed, in one line."""

    def __init__(self, message: str):
        super().__init__(_LINE_ENDS.sub(" ", message))


_SHOWN = 80
_SEEDS = 2**32


def shown(value: object) -> str:
    """Write a value for a message: in one line, and no longer than one can read."""
    text = " ".join(repr(value).split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def items_of(values: object) -> list | None:
    """The items of a sequence in their order; None of a text, and of what has none or no order."""
    if isinstance(values, str | bytes | Mapping | Set):
        return None
    try:
        return list(values)  # type: ignore[call-overload]
    except TypeError:
        return None


def check_whole(value: object, what: str, least: int = 0) -> None:
    """Raise InputError unless a value is a whole number of at least so many."""
    if not is_whole(value) or value < least:
        raise InputError(f"{what} must be a whole number of at least {least}, not {shown(value)}")


def check_seed(seed: object) -> None:
    """Raise InputError unless a value is a seed that every library that draws can take."""
    check_whole(seed, "seed")
    if seed >= _SEEDS:  # type: ignore[operator]
        raise InputError(f"seed must be below {_SEEDS}, not {shown(seed)}")


def is_whole(value: object) -> TypeGuard[int]:
    """Whether a value is a whole number; True and False are none here."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """Whether a value is a real number; True and False are none here."""
    return isinstance(value, Real) and not isinstance(value, bool)


def check_fraction(value: object, what: str) -> None:
    """Raise InputError unless a value is a number between 0 and 1; `what` says of which."""
    if not is_number(value) or not 0 < value < 1:  # type: ignore[operator]
        raise InputError(f"{what} between 0 and 1, not {shown(value)}")


def check_kind(value: object, kind: type, what: str) -> None:
    """Raise InputError unless a value is of a kind; `what` says of which, and who gives one."""
    if not isinstance(value, kind):
        raise InputError(f"{what}, not {shown(value)}")
