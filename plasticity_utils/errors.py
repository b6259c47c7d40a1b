"""The one kind of error that a user's input can cause."""


class InputError(ValueError):
    """A value that cannot be used; the message names it, its place, and what is allowed."""
