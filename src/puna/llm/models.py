"""A model file as a whole: what it is, and loading it to compute with.

The engine loads through here; others ask `read_info` what a file is before anything is loaded.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from puna.errors import Invalid
from puna.llm.families import read_config
from puna.llm.families.llama import LlamaConfig
from puna.llm.generate import Model
from puna.llm.gguf import CONVERT, FILE_TYPE_NAMES, Gguf, open_gguf
from puna.llm.tokenizer import Tokenizer

ARITHMETIC = "canonical-1"
KV_NUMBER_BYTES = 4  # keys and values are kept as float32
# Below it threads wait for each other longer than they compute: two give the demo model (4.3 million) not a token a
# second more than one, for a third more processor time, which the node's other parts could use.
PARAMETERS_FOR_THREADS = 8_000_000


class ModelInfo(msgspec.Struct, frozen=True):
    """What a model file says of itself.

    `arithmetic` names the rules that fix an answer's bits; `end_tokens` are those that end the model's turn; `eos`
    is the first of them that the file names, -1 when it names none; `bos` is -1 when prompts do not begin with one.
    `kv_bytes` is the memory one position of context takes.
    """

    name: str
    architecture: str
    parameters: int
    file_type: str
    file_bytes: int
    context: int
    vocab: int
    arithmetic: str
    bos: int
    eos: int
    end_tokens: tuple[int, ...]
    chat_template: bool
    kv_bytes: int


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class LoadedModel:
    """A model ready to compute: shared by everybody who asks for the same file."""

    path: Path
    info: ModelInfo
    tokenizer: Tokenizer
    model: Model


def read_info(path: Path | str) -> ModelInfo:
    """What a model file is. Raises Missing or Invalid when it is none this build can run."""
    gguf = open_gguf(path)
    return describe(gguf, read_config(gguf), Tokenizer.from_gguf(gguf))


def load_model(path: Path | str, threads: int | None = None) -> LoadedModel:
    """Open a model file for computing on `threads` threads (None: one per core, or one for a very small model).

    The kernel maps the file into memory itself, so a large model's weights are there once. Raises Missing or Invalid.
    """
    from puna.llm import kernel

    path = Path(path)
    gguf = open_gguf(path)
    config = read_config(gguf)
    tokenizer = Tokenizer.from_gguf(gguf)
    info = describe(gguf, config, tokenizer)
    alone = info.parameters < PARAMETERS_FOR_THREADS
    model = kernel.open_model(path, config, threads=threads or (1 if alone else os.cpu_count() or 1))
    return LoadedModel(path, info, tokenizer, model)


def describe(gguf: Gguf, config: LlamaConfig, tokenizer: Tokenizer) -> ModelInfo:
    words = len(tokenizer.vocabulary.texts)
    if words != config.vocab:
        raise Invalid(f"{gguf.path.name}: {words} tokens in the vocabulary, {config.vocab} in the weights.", CONVERT)
    return ModelInfo(
        name=gguf.text("general.name", gguf.path.stem),
        architecture=gguf.architecture,
        parameters=sum(tensor.elements for tensor in gguf.tensors.values()),
        file_type=file_type(gguf),
        file_bytes=gguf.file_bytes,
        context=config.context,
        vocab=config.vocab,
        arithmetic=ARITHMETIC,
        bos=tokenizer.bos_id if tokenizer.adds_bos and tokenizer.bos_id is not None else -1,
        eos=-1 if tokenizer.eos_id is None else tokenizer.eos_id,
        end_tokens=tuple(sorted(tokenizer.end_ids)),
        chat_template=bool(tokenizer.chat_template),
        kv_bytes=2 * config.layers * config.kv_dim * KV_NUMBER_BYTES,
    )


def file_type(gguf: Gguf) -> str:
    """How most of the weights are written: what the file says, else the type with the most bytes."""
    said = FILE_TYPE_NAMES.get(gguf.whole("general.file_type", -1))
    if said:
        return said
    sizes: dict[str, int] = {}
    for tensor in gguf.tensors.values():
        sizes[tensor.type] = sizes.get(tensor.type, 0) + tensor.nbytes
    return max(sizes, key=lambda each: sizes[each])
