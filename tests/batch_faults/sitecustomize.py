"""On the path of every process of these tests: all know the tiny scale, one of them breaks.

Python imports a module of this name when it starts. It only watches for modules of the package and
changes them once they are loaded. The fault happens once, at an exact step of a retraining, by
whoever is first to write the marker.
"""

import atexit
import contextlib
import importlib.machinery
import os
import signal
import sys
import time
from pathlib import Path

FOLDER, WORK = os.environ.get("TINY_MODEL", ""), Path(os.environ.get("FAULT_FOLDER", "."))
FAULT = os.environ.get("FAULT", "")
CHECKPOINT_STEPS, FAULT_STEP = 7, 10


def patch_config(config):
    config.SCALES["tiny"] = config.Scale(
        200, 40, 40, 40, 40, 20, 40, 12, 1, 150, (0.0, 0.5, 1.0), draws=2
    )
    config.LEARNING_RATES[FOLDER] = 1e-2


def patch_precision(precision):
    # It is measured, so that two processes might not agree.
    precision.training_precision = lambda: "fp32"


def patch_training(training):
    training.CHECKPOINT_STEPS = CHECKPOINT_STEPS
    on_step_end = training.Snapshots.on_step_end

    def note_and_break(self, args, state, control, **kwargs):
        on_step_end(self, args, state, control, **kwargs)
        stage = Path(args.output_dir).parent.name.removesuffix(".part")
        with (WORK / "steps").open("a") as file:
            file.write(f"{stage} {state.global_step}\n")
        if FAULT and stage.startswith("retrained-targeted") and state.global_step == FAULT_STEP:
            break_once(stage, Path(args.output_dir))

    training.Snapshots.on_step_end = note_and_break


def break_once(stage, checkpoints):
    with contextlib.suppress(FileExistsError):
        with (WORK / "marker").open("x") as marker:
            marker.write(stage)
        FAULTS[FAULT](checkpoints)


def kill_worker(checkpoints):
    os.kill(os.getppid(), signal.SIGKILL)
    wait_to_be_ended()


def kill_driver(checkpoints):
    os.kill(driver(), signal.SIGKILL)
    wait_to_be_ended()


def interrupt_driver(checkpoints):
    os.kill(driver(), signal.SIGINT)
    wait_to_be_ended()


def interrupt_parent(checkpoints):
    os.kill(os.getppid(), signal.SIGINT)
    wait_to_be_ended()


def damage_checkpoint(checkpoints):
    (newest,) = checkpoints.glob(f"checkpoint-{CHECKPOINT_STEPS}")
    path = newest / "model.safetensors"
    path.write_bytes(b"\0" * path.stat().st_size)
    os.kill(os.getpid(), signal.SIGKILL)


def fill_disk(checkpoints):
    filler = checkpoints / "filler"
    atexit.register(filler.unlink)
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))


def driver():
    """Who started the worker that started this kernel."""
    import psutil

    return psutil.Process().parent().ppid()


def wait_to_be_ended():
    time.sleep(120)
    (WORK / "orphan").touch()


FAULTS = {
    "worker": kill_worker, "driver": kill_driver, "interrupt": interrupt_driver,
    "interrupt here": interrupt_parent,
    "checkpoint": damage_checkpoint, "disk": fill_disk,
}  # fmt: skip
PATCHES = {
    "plasticity_utils.experiment.config": patch_config,
    "plasticity_utils.hardware": patch_precision,
    "plasticity_utils.training.train": patch_training,
}


class Finder:
    """Finds a module as usual and changes it when it has been loaded."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name not in PATCHES:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        load = spec.loader.exec_module

        def load_and_patch(module):
            load(module)
            PATCHES[name](module)

        spec.loader.exec_module = load_and_patch
        return spec


if FOLDER:
    sys.meta_path.insert(0, Finder)
