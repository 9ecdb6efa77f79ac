"""Write a GGUF file with random weights in the shape of a real llama: for benchmarks and kernel tests.

A forward pass costs the same whatever the weights say, so a file made here in seconds measures a kernel as well
as a downloaded one. Used by bench/inference.py and by the tests of the kernel.

    python bench/make_random_gguf.py --shape tl11 --type q8_0 /tmp/tl11-q8_0.gguf
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Quant


@dataclass(frozen=True)
class Shape:
    dim: int
    layers: int
    heads: int
    kv_heads: int
    ffn: int
    vocab: int
    context: int
    head_dim: int = 0  # 0: dim // heads
    rope_base: float = 10000.0

    @property
    def head_size(self) -> int:
        return self.head_dim or self.dim // self.heads


SHAPES = {
    "tl11": Shape(dim=2048, layers=22, heads=32, kv_heads=4, ffn=5632, vocab=32000, context=2048),  # TinyLlama 1.1 B
    "phi3": Shape(dim=3072, layers=32, heads=32, kv_heads=32, ffn=8192, vocab=32064, context=4096),
    "s15m": Shape(dim=288, layers=6, heads=6, kv_heads=6, ffn=768, vocab=32000, context=2048),
    "s3m": Shape(dim=256, layers=4, heads=8, kv_heads=4, ffn=704, vocab=1000, context=512),
}
TYPES = {"f32": Quant.F32, "f16": Quant.F16, "q8_0": Quant.Q8_0, "q4_0": Quant.Q4_0}
FILE_TYPES = {"f32": 0, "f16": 1, "q8_0": 7, "q4_0": 2}


def write_random_gguf(
    path: Path, shape: Shape, matrix_type: str, *, embedding_type: str = "", tied: bool = False, seed: int = 7
) -> None:
    """Write a llama of `shape` to `path`, its matrices in `matrix_type` ("f32", "f16", "q8_0", "q4_0").

    `embedding_type` gives the token embedding another type; `tied` leaves the output matrix out, so that the
    embedding serves as both. The same arguments give the same bytes.
    """
    writer = gguf.GGUFWriter(path, "llama")
    _write_metadata(writer, shape, matrix_type)
    random = np.random.Generator(np.random.SFC64(seed))

    def matrix(name: str, rows: int, columns: int, spread: float, type_name: str = matrix_type) -> None:
        values = random.standard_normal((rows, columns), dtype=np.float32) * np.float32(spread)
        kind = TYPES[type_name]
        if kind is Quant.F32 or kind is Quant.F16:
            writer.add_tensor(name, values.astype(np.float32 if kind is Quant.F32 else np.float16))
        else:
            writer.add_tensor(name, gguf.quants.quantize(values, kind), raw_dtype=kind)

    def vector(name: str, size: int) -> None:
        writer.add_tensor(name, (1 + 0.1 * random.standard_normal(size)).astype(np.float32))

    dim, ffn, head_size = shape.dim, shape.ffn, shape.head_size
    attention = shape.heads * head_size
    matrix("token_embd.weight", shape.vocab, dim, 2 / dim**0.5 if tied else 1.0, embedding_type or matrix_type)
    for layer in range(shape.layers):
        block = f"blk.{layer}."
        vector(block + "attn_norm.weight", dim)
        matrix(block + "attn_q.weight", attention, dim, 1.2 / dim**0.5)
        matrix(block + "attn_k.weight", shape.kv_heads * head_size, dim, 1.2 / dim**0.5)
        matrix(block + "attn_v.weight", shape.kv_heads * head_size, dim, 1 / dim**0.5)
        matrix(block + "attn_output.weight", dim, attention, 1 / attention**0.5)
        vector(block + "ffn_norm.weight", dim)
        matrix(block + "ffn_gate.weight", ffn, dim, 1 / dim**0.5)
        matrix(block + "ffn_up.weight", ffn, dim, 1 / dim**0.5)
        matrix(block + "ffn_down.weight", dim, ffn, 1 / ffn**0.5)
    vector("output_norm.weight", dim)
    if not tied:
        matrix("output.weight", shape.vocab, dim, 2 / dim**0.5)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _write_metadata(writer: gguf.GGUFWriter, shape: Shape, matrix_type: str) -> None:
    writer.add_name("random weights")
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.dim)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.ffn)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_size)
    writer.add_value_length(shape.head_size)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(shape.head_size)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_vocab_size(shape.vocab)
    writer.add_file_type(FILE_TYPES[matrix_type])
    tokens, kinds = _vocabulary(shape.vocab)
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores([-float(index) for index in range(len(tokens))])
    writer.add_token_types(kinds)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)


def _vocabulary(size: int) -> tuple[list[bytes], list[int]]:
    """Three control pieces, 256 bytes, then a, b, ... z, aa, ab, ...: enough for any loader to be content."""
    tokens = [b"<unk>", b"<s>", b"</s>"] + [b"<0x%02X>" % byte for byte in range(256)]
    kinds = [2, 3, 3] + [6] * 256
    for index in range(max(0, size - len(tokens))):
        letters, rest = "", index
        while rest >= 0:
            letters = chr(ord("a") + rest % 26) + letters
            rest = rest // 26 - 1
        tokens.append((("\u2581" if index % 2 else "") + letters).encode())
        kinds.append(1)
    return tokens[:size], kinds[:size]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--shape", choices=SHAPES, default="tl11")
    parser.add_argument("--type", choices=TYPES, default="q8_0")
    arguments = parser.parse_args()
    write_random_gguf(arguments.path, SHAPES[arguments.shape], arguments.type)
    print(f"{arguments.path}: {arguments.path.stat().st_size / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
