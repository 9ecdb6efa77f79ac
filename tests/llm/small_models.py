"""Small GGUF files for the tests, written with the `gguf` package and not with our own code."""

from pathlib import Path

import gguf
import numpy as np

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
QUANTISED = {
    "F32": gguf.GGMLQuantizationType.F32,
    "F16": gguf.GGMLQuantizationType.F16,
    "Q8_0": gguf.GGMLQuantizationType.Q8_0,
    "Q4_0": gguf.GGMLQuantizationType.Q4_0,
}
FILE_TYPES = {"F32": 0, "F16": 1, "Q4_0": 2, "Q8_0": 7}
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|{{ message['role'] }}|>\n{{ message['content'] }}<|end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def spm_vocabulary(words: list[str], control: tuple[str, ...] = ("<|end|>", "<|user|>", "<|assistant|>")):
    """(tokens, scores, types) of an SPM vocabulary: specials, the 256 bytes, control tokens, words best first."""
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{value:02X}>" for value in range(256)] + list(control) + words
    types = [UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256 + [CONTROL] * len(control) + [NORMAL] * len(words)
    scores = [0.0] * (259 + len(control)) + [-float(rank) for rank in range(len(words))]
    return tokens, scores, types


def add_spm_tokenizer(writer: gguf.GGUFWriter, tokens, scores, types, **flags) -> None:
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores(scores)
    writer.add_token_types(types)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    for name, value in flags.items():
        getattr(writer, f"add_{name}")(value)


WORDS = [*"\u2581etaonisrhldumgwypfcbvk,.?!"] + (
    "th he in er an \u2581t \u2581a \u2581the re on \u2581s nd ou ing \u2581w is ed at \u2581an \u2581and \u2581l "
    "la ma \u2581lla \u2581llama \u2581gra grass \u2581grass est ll"
).split()


WORDS_VOCAB = len(spm_vocabulary(WORDS)[0])


def write_llama(
    path: Path,
    *,
    dim: int = 64,
    layers: int = 2,
    heads: int = 2,
    kv_heads: int = 1,
    ffn: int = 96,
    context: int = 128,
    kind: str = "Q8_0",
    seed: int = 1,
    tied: bool = False,
    without: tuple[str, ...] = (),
    reshaped: dict[str, tuple[int, ...]] | None = None,
    extra: dict[str, tuple[int, ...]] | None = None,
    architecture: str = "llama",
    metadata=lambda writer: None,
    vocab: int = WORDS_VOCAB,
    tokenizer=lambda writer: add_spm_tokenizer(writer, *spm_vocabulary(WORDS), chat_template=CHAT_TEMPLATE),
) -> Path:
    """A llama with random weights. `without`, `reshaped` and `extra` spoil its tensors for the tests of errors."""
    head_dim = dim // heads
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name("random llama")
    writer.add_context_length(context)
    writer.add_embedding_length(dim)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(ffn)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(head_dim)
    writer.add_rope_freq_base(10000.0)
    writer.add_file_type(FILE_TYPES[kind])
    tokenizer(writer)
    metadata(writer)
    shapes = {"token_embd.weight": (vocab, dim)}
    for layer in range(layers):
        shapes |= {
            f"blk.{layer}.attn_norm.weight": (dim,),
            f"blk.{layer}.attn_q.weight": (dim, dim),
            f"blk.{layer}.attn_k.weight": (kv_heads * head_dim, dim),
            f"blk.{layer}.attn_v.weight": (kv_heads * head_dim, dim),
            f"blk.{layer}.attn_output.weight": (dim, dim),
            f"blk.{layer}.ffn_norm.weight": (dim,),
            f"blk.{layer}.ffn_gate.weight": (ffn, dim),
            f"blk.{layer}.ffn_up.weight": (ffn, dim),
            f"blk.{layer}.ffn_down.weight": (dim, ffn),
        }
    shapes["output_norm.weight"] = (dim,)
    if not tied:
        shapes["output.weight"] = (vocab, dim)
    shapes |= reshaped or {}
    shapes |= extra or {}
    rng = np.random.default_rng(seed)
    for name, shape in shapes.items():
        if name not in without:
            add_tensor(writer, rng, name, shape, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def add_tensor(writer: gguf.GGUFWriter, rng: np.random.Generator, name: str, shape: tuple[int, ...], kind: str) -> None:
    if len(shape) == 1:
        writer.add_tensor(name, (1 + 0.1 * rng.standard_normal(shape)).astype(np.float32))
        return
    # Sharp logits: a random model that always says the same word tests nothing.
    spread = 1.0 if name == "token_embd.weight" else (4.0 if name == "output.weight" else 1.5) / shape[-1] ** 0.5
    values = (rng.standard_normal(shape) * spread).astype(np.float32)
    if kind == "F32":
        writer.add_tensor(name, values)
    elif kind == "F16":
        writer.add_tensor(name, values.astype(np.float16))
    else:
        writer.add_tensor(name, gguf.quants.quantize(values, QUANTISED[kind]), raw_dtype=QUANTISED[kind])
