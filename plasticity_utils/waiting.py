"""No silent wait: after five seconds one is told for whom, and how to stop."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SECONDS_IN_SILENCE = 5.0


@contextmanager
def waiting(whom: Callable[[], str], stop: str = "Ctrl-C stops waiting") -> Iterator[None]:
    """Say on standard error whom one waits for, if the block lasts so long."""

    def tell() -> None:
        print(f"plasticity: waiting for {whom()}; {stop}", file=sys.stderr, flush=True)

    timer = threading.Timer(SECONDS_IN_SILENCE, tell)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
