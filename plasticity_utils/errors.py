"""The one kind of error that a user's input can cause."""


class InputError(ValueError):
    """A value that cannot be used; the message names it, its place, and what is allowed."""


_SHOWN = 80


def shown(value: object) -> str:
    """Write a value for a message: in one line, and no longer than one can read."""
    text = " ".join(repr(value).split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
