"""No look for garbage while a library is imported, and all as before afterwards."""

import gc
import subprocess
import sys

import pytest

from plasticity_utils.garbage import uncollected

LOOKS = """if True:
    import gc
    import plasticity_utils as pu

    looks = []
    gc.callbacks.append(lambda phase, facts: looks.append(phase) if phase == "start" else None)
    pu.load_corpus
    assert "numpy" in __import__("sys").modules
    print(len(looks), gc.isenabled())
"""


@uncollected()
def _fail():
    assert not gc.isenabled()
    raise ZeroDivisionError


@pytest.mark.parametrize("was_on", [True, False])
def test_it_is_as_before_afterwards_whatever_goes_wrong(was_on):
    before = gc.isenabled()
    (gc.enable if was_on else gc.disable)()
    try:
        with pytest.raises(ZeroDivisionError):
            _fail()
        assert gc.isenabled() is was_on
    finally:
        (gc.enable if before else gc.disable)()


def test_a_public_name_is_imported_without_looks():
    done = subprocess.run([sys.executable, "-c", LOOKS], capture_output=True, text=True, check=True)
    # The one that is due when all is there.
    assert done.stdout in ("0 True\n", "1 True\n")


def test_what_trains_looks_at_no_modules():
    line = "import gc, plasticity_utils.training.trainer; print(len(gc.get_objects()))"
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 50_000
