"""The llama family: its dimensions read from a GGUF file, and the tensors it is made of.

The kernel and the reference forward pass read `LlamaConfig` and fetch tensors by the names given here; a config
exists only for a file in which every tensor is there in its right shape, so neither checks again.

Source: llama.cpp's `llama` architecture (Llama 1-3, Mistral and others); grouped-query attention, rotary embedding
over adjacent pairs, RMS norm, SwiGLU.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from puna.errors import Invalid
from puna.llm.gguf import CONVERT, Gguf, Tensor

ARCHITECTURE = "llama"
BLOCK = 32  # activations are quantised in blocks of 32, so every inner dimension is whole blocks
DIMENSION_MAX = 1 << 31
USE_ANOTHER = "Use a plain llama model: Llama 1 or 2, TinyLlama, SmolLM, Mistral and the like."

EMBEDDING = "token_embd.weight"
OUTPUT_NORM = "output_norm.weight"
OUTPUT = "output.weight"  # absent when the embedding serves as output too

# A block's tensors, in the order the forward pass meets them; each is called blk.<layer>.<name>.weight.
LAYER_TENSORS = (
    "attn_norm",
    "attn_q",
    "attn_k",
    "attn_v",
    "attn_output",
    "ffn_norm",
    "ffn_gate",
    "ffn_up",
    "ffn_down",
)

# In some files beside the weights; what they say follows from the config.
IGNORED_SUFFIXES = ("rope.freqs", "attn_rot_embd")


@dataclass(frozen=True, slots=True)
class LlamaConfig:
    """Dimensions of one model. `heads` query heads share `kv_heads` key and value heads, each of `head_dim`."""

    dim: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    ffn: int
    vocab: int
    context: int
    norm_eps: float
    rope_base: float

    @property
    def q_dim(self) -> int:
        return self.heads * self.head_dim

    @property
    def kv_dim(self) -> int:
        return self.kv_heads * self.head_dim


def read_config(gguf: Gguf) -> LlamaConfig:
    """The dimensions of the model in `gguf`, after checking that all its tensors are there in those shapes.

    Raises Invalid for a missing or impossible dimension, a missing or foreign tensor, a wrong shape, and for the
    variants of the family that compute something else (experts, scaled rotary embedding, biases).
    """
    config = read_dimensions(gguf)
    refuse_variants(gguf, config)
    check_tensors(gguf, config)
    return config


def layer_tensor(layer: int, name: str) -> str:
    """The name in the file of one of LAYER_TENSORS."""
    return f"blk.{layer}.{name}.weight"


def tensor_shapes(config: LlamaConfig) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and shape (rows first) of every tensor the model needs, in the order of the forward pass."""
    dim, ffn = config.dim, config.ffn
    layer_shapes = {
        "attn_norm": (dim,),
        "attn_q": (config.q_dim, dim),
        "attn_k": (config.kv_dim, dim),
        "attn_v": (config.kv_dim, dim),
        "attn_output": (dim, config.q_dim),
        "ffn_norm": (dim,),
        "ffn_gate": (ffn, dim),
        "ffn_up": (ffn, dim),
        "ffn_down": (dim, ffn),
    }
    yield EMBEDDING, (config.vocab, dim)
    for layer in range(config.layers):
        for name in LAYER_TENSORS:
            yield layer_tensor(layer, name), layer_shapes[name]
    yield OUTPUT_NORM, (dim,)


def output_tensor(gguf: Gguf) -> Tensor:
    """The matrix that turns the last state into logits: its own, or the embedding used a second time."""
    return gguf.tensors.get(OUTPUT) or gguf.tensors[EMBEDDING]


def read_dimensions(gguf: Gguf) -> LlamaConfig:
    dim = dimension(gguf, "llama.embedding_length")
    heads = dimension(gguf, "llama.attention.head_count")
    embedding = gguf.tensors.get(EMBEDDING)
    if embedding is None or len(embedding.shape) != 2:
        raise Invalid(f"{gguf.path.name}: the matrix {EMBEDDING} is missing.", CONVERT)
    return LlamaConfig(
        dim=dim,
        layers=dimension(gguf, "llama.block_count"),
        heads=heads,
        kv_heads=dimension(gguf, "llama.attention.head_count_kv", heads),
        head_dim=dimension(gguf, "llama.attention.key_length", max(dim // heads, 1)),
        ffn=dimension(gguf, "llama.feed_forward_length"),
        vocab=embedding.shape[0],
        context=dimension(gguf, "llama.context_length"),
        norm_eps=gguf.real("llama.attention.layer_norm_rms_epsilon"),
        rope_base=gguf.real("llama.rope.freq_base", 10000.0),
    )


def dimension(gguf: Gguf, key: str, default: int | None = None) -> int:
    value = gguf.whole(key, default)
    if not 1 <= value < DIMENSION_MAX:
        raise Invalid(f"{gguf.path.name}: {key} is {value}.", CONVERT)
    return value


def refuse_variants(gguf: Gguf, config: LlamaConfig) -> None:
    """Raise Invalid where the family's plain forward pass would compute something else than the model means."""

    def refuse(condition: bool, what: str, todo: str = USE_ANOTHER) -> None:
        if condition:
            raise Invalid(f"{gguf.path.name}: {what}.", todo)

    refuse(config.heads % config.kv_heads != 0, f"{config.heads} heads do not share {config.kv_heads} evenly", CONVERT)
    refuse(config.head_dim % 2 != 0, f"the head size {config.head_dim} is odd", CONVERT)
    refuse(not 0 < config.norm_eps < 1, f"the norm's epsilon is {config.norm_eps}", CONVERT)
    refuse(not config.rope_base >= 1, f"the rotary base is {config.rope_base}", CONVERT)
    for name, size in (("embedding", config.dim), ("attention", config.q_dim), ("feed-forward", config.ffn)):
        refuse(size % BLOCK != 0, f"the {name} size {size} is not a multiple of {BLOCK}")
    refuse(gguf.whole("llama.attention.value_length", config.head_dim) != config.head_dim, "keys and values differ")
    refuse(gguf.whole("llama.rope.dimension_count", config.head_dim) != config.head_dim, "a partly rotated head")
    refuse(gguf.whole("llama.expert_count", 0) != 0, "a mixture of experts")
    refuse(gguf.text("llama.rope.scaling.type", "none") != "none", "a scaled rotary embedding")
    refuse(gguf.real("llama.rope.scale_linear", 1.0) != 1.0, "a scaled rotary embedding")
    refuse("rope_freqs.weight" in gguf.tensors, "a scaled rotary embedding (rope_freqs.weight)")


def check_tensors(gguf: Gguf, config: LlamaConfig) -> None:
    known = {OUTPUT}
    # The config may claim any number of layers: the first one missing ends the loop.
    for name, shape in tensor_shapes(config):
        check_tensor(gguf, name, shape)
        known.add(name)
    if OUTPUT in gguf.tensors:
        check_tensor(gguf, OUTPUT, (config.vocab, config.dim))
    for name in gguf.tensors:
        # An unknown tensor (a bias, an expert) means that the model computes something more.
        if name not in known and not name.removesuffix(".weight").endswith(IGNORED_SUFFIXES):
            raise Invalid(f"{gguf.path.name}: the tensor {name} has no place in a plain llama.", USE_ANOTHER)


def check_tensor(gguf: Gguf, name: str, shape: tuple[int, ...]) -> None:
    tensor = gguf.tensors.get(name)
    if tensor is None:
        raise Invalid(f"{gguf.path.name}: the tensor {name} is missing.", CONVERT)
    if tensor.shape != shape:
        raise Invalid(f"{gguf.path.name}: the tensor {name} has the shape {tensor.shape}, not {shape}.", CONVERT)
    if len(shape) == 1 and tensor.type != "F32":
        raise Invalid(f"{gguf.path.name}: the norm {name} is of type {tensor.type}, not F32.", CONVERT)
