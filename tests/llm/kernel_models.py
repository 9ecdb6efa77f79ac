"""Small random models for the kernel's tests, written once per session."""

from __future__ import annotations

import functools
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bench.make_random_gguf import Shape, write_random_gguf
from puna.llm import kernel
from puna.llm.families import read_config
from puna.llm.gguf import open_gguf

# Odd block counts (9, 11, 5), vocabularies that fill no panel, one, two, three and eight heads to a key head.
GROUPED = Shape(dim=96, layers=2, heads=6, kv_heads=2, ffn=160, vocab=301, context=256, head_dim=16)
EQUAL = Shape(dim=288, layers=1, heads=3, kv_heads=3, ffn=352, vocab=263, context=256, head_dim=32)
PAIRED = Shape(dim=64, layers=2, heads=4, kv_heads=2, ffn=96, vocab=270, context=256, head_dim=24, rope_base=500000.0)
EIGHT = Shape(dim=256, layers=1, heads=8, kv_heads=1, ffn=512, vocab=290, context=256, head_dim=20)


@dataclass(frozen=True)
class SmallModel:
    """`matrices` and `embedding` are tensor types; `tied` has no output matrix of its own."""

    shape: Shape
    matrices: str
    embedding: str = ""
    tied: bool = False

    def __str__(self) -> str:
        shape = self.shape
        kind = f"{self.matrices}-{self.embedding or 'same'}{'-tied' if self.tied else ''}"
        return f"{kind}-{shape.dim}x{shape.layers}h{shape.heads}k{shape.kv_heads}"


SMALL_MODELS = (
    SmallModel(GROUPED, "q8_0"),
    SmallModel(GROUPED, "q4_0"),
    SmallModel(GROUPED, "f16"),
    SmallModel(GROUPED, "f32"),
    SmallModel(EQUAL, "q8_0"),
    SmallModel(EQUAL, "q4_0", embedding="q8_0", tied=True),
    SmallModel(PAIRED, "q4_0", embedding="f16"),
    SmallModel(PAIRED, "q8_0", embedding="f32", tied=True),
    SmallModel(EIGHT, "q8_0", embedding="f16"),
    SmallModel(EIGHT, "q4_0"),
)


@functools.cache
def _folder() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="puna-kernel-")


@functools.cache
def path_of(model: SmallModel) -> Path:
    path = Path(_folder().name) / f"{len(list(Path(_folder().name).iterdir()))}.gguf"
    write_random_gguf(path, model.shape, model.matrices, embedding_type=model.embedding, tied=model.tied)
    return path


@functools.cache
def open_small(
    model: SmallModel, backend: str, threads: int = 1, panels_bytes_max: int = kernel.PANELS_BYTES_MAX
) -> kernel.KernelModel:
    """The model on a backend; with `panels_bytes_max` 0 it computes as a large one, without kept panels."""
    path = path_of(model)
    return kernel.open_model(
        path, read_config(open_gguf(path)), backend=backend, threads=threads, panels_bytes_max=panels_bytes_max
    )
