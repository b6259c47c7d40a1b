"""What a stage depends on and leaves on disk: models, and tables of a moment."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from plasticity_utils import store
from plasticity_utils.dose import save_table
from plasticity_utils.progress import quiet_transformers

TABLES = ("metrics", "neurons", "layers")


def model_fingerprint(name: str) -> str:
    """Name of a model, with a digest of its files where it is a local folder."""
    folder = Path(name).expanduser()
    return f"{name}-{store.folder_digest(folder)}" if folder.is_dir() else name


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, part: Path) -> None:
    """Keep the trained weights (safetensors) and drop the checkpoints that led to them."""
    with quiet_transformers():
        model.save_pretrained(part / "model")
    tokenizer.save_pretrained(part / "model")
    shutil.rmtree(part / "checkpoints")


def save_tables(tables: dict[str, pd.DataFrame], folder: Path) -> None:
    """Write each table to a Parquet file of its name."""
    for name, table in tables.items():
        save_table(table, folder / f"{name}.parquet")


def read_tables(folder: Path) -> dict[str, pd.DataFrame]:
    """Read the tables of `measure`."""
    return {name: pd.read_parquet(folder / f"{name}.parquet") for name in TABLES}
