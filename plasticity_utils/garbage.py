"""Looking for garbage, put off where there is none.

While new objects are made Python looks now and then through those that are in memory for some that
nobody can reach. A library that is imported, and a corpus that is read, are very many new objects
that all stay.
"""

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager

# Python's own is 700: looks while a model library is imported take a fifth of its time.
NEW_OBJECTS = 50_000


@contextmanager
def uncollected() -> Iterator[None]:
    """Make very many objects that stay, without a look."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def set_aside() -> None:
    """Look once more, and from then on only at what is new: modules are half a million objects.

    What is there now is given back when nothing refers to it, but no longer found in a circle.
    """
    gc.collect()
    gc.freeze()


def rarely() -> None:
    """Look rarely in this process, and not when it ends: it gives all back at once."""
    gc.set_threshold(NEW_OBJECTS)
    atexit.register(gc.freeze)
