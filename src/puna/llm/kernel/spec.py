"""The byte layouts of puna_kernel.h, shared by the native and the WebAssembly binding."""

import struct
from collections.abc import Sequence

from puna.llm.families.llama import LlamaConfig

TYPE_NUMBERS = {"F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 8}


def pack_spec(
    config: LlamaConfig,
    threads: int,
    rows_max: int,
    panels_bytes_max: int,
    types: Sequence[str],
    addresses: Sequence[int],
) -> bytes:
    """A PunaSpec: dimensions, then the type and address of each tensor in the order the header demands."""
    head = struct.pack(
        "<8idfiq",
        config.dim,
        config.layers,
        config.heads,
        config.kv_heads,
        config.head_dim,
        config.ffn,
        config.vocab,
        threads,
        config.rope_base,
        config.norm_eps,
        rows_max,
        panels_bytes_max,
    )
    tensors = zip(types, addresses, strict=True)
    return head + b"".join(struct.pack("<Qii", address, TYPE_NUMBERS[name], 0) for name, address in tensors)
