"""One progress bar for the terminal and the notebook, silent elsewhere.

A bar appears only once its stage has lasted two seconds and leaves nothing behind, so neither a log
nor a rendered page keeps a trace of it. ``TQDM_DISABLE=1`` switches all bars off.
"""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

from tqdm import tqdm

from plasticity_utils import hardware

SECONDS_BEFORE_SHOWN = 2


def bar(
    iterable: Iterable[Any] | None = None, desc: str = "", total: int | None = None
) -> "tqdm[Any]":
    """Wrap an iterable in a progress bar, or make one that is moved by hand with ``update``.

    It draws on a terminal or in a notebook and nowhere else.
    """
    # Only a reason to be silent is stated: an explicit False would override TQDM_DISABLE.
    silent = {} if _has_viewer() and not _is_nested() else {"disable": True}
    return tqdm(iterable, desc=desc, total=total, leave=False, delay=SECONDS_BEFORE_SHOWN, **silent)


def _has_viewer() -> bool:
    return hardware.is_main() and (sys.stderr.isatty() or "ipykernel" in sys.modules)


def _is_nested() -> bool:
    # A notebook cannot move the cursor: a bar within a bar would fill its cell with lines.
    return bool(getattr(tqdm, "_instances", ()))


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Hide the bars, remarks and printed tables of `transformers`; ours say what is going on."""
    # Here, not above: a bar needs no model library.
    from transformers.utils import logging as transformers_logging

    verbosity = transformers_logging.get_verbosity()
    had_bar = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        with redirect_stdout(None):
            yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if had_bar:
            transformers_logging.enable_progress_bar()
