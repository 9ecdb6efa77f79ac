"""Write a checkpoint of `train.py` as a GGUF file: matrices in Q8_0, norms in F32.

    python training/export.py --home DIR --output src/puna/models/puna-demo.gguf

The rotation of queries and keys works on neighbouring pairs, which is what the "llama"
architecture of GGUF means: no rows are reordered. The output matrix is written on its own.
"""

import argparse
from pathlib import Path

import gguf
import numpy as np
import torch
from model import CONTEXT_MAX, NORM_EPSILON, ROPE_BASE, Shape
from vocabulary import Vocabulary
from wire import CHAT_TEMPLATE

NAME = "puna-demo"
DESCRIPTION = "Puna's demo model: small talk, jokes, an oracle's sayings and a king's verdicts"
Q8_0 = gguf.GGMLQuantizationType.Q8_0
BYTES_MAX = 16 * 1024 * 1024


def add_header(writer: gguf.GGUFWriter, shape: Shape) -> None:
    writer.add_name(NAME)
    writer.add_description(DESCRIPTION)
    writer.add_license("apache-2.0")
    writer.add_languages(["en"])
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_context_length(CONTEXT_MAX)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.hidden)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.heads)
    writer.add_rope_dimension_count(shape.head_width)
    writer.add_rope_freq_base(ROPE_BASE)
    writer.add_layer_norm_rms_eps(NORM_EPSILON)


def piece_type(vocabulary: Vocabulary, piece: int) -> gguf.TokenType:
    pieces = vocabulary.pieces
    if pieces.is_unknown(piece):
        return gguf.TokenType.UNKNOWN
    if pieces.is_control(piece):
        return gguf.TokenType.CONTROL
    return gguf.TokenType.BYTE if pieces.is_byte(piece) else gguf.TokenType.NORMAL


def add_vocabulary(writer: gguf.GGUFWriter, vocabulary: Vocabulary) -> None:
    every = range(vocabulary.size)
    writer.add_tokenizer_model("llama")
    writer.add_token_list([vocabulary.pieces.id_to_piece(piece) for piece in every])
    writer.add_token_scores([vocabulary.pieces.get_score(piece) for piece in every])
    writer.add_token_types([piece_type(vocabulary, piece) for piece in every])
    writer.add_unk_token_id(vocabulary.pieces.unk_id())
    writer.add_bos_token_id(vocabulary.begin)
    writer.add_eos_token_id(vocabulary.end)
    writer.add_eot_token_id(vocabulary.end)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def add_weights(writer: gguf.GGUFWriter, weights: dict[str, torch.Tensor]) -> None:
    """Matrices (rows, columns) become Q8_0 blocks along their columns."""
    for name, tensor in weights.items():
        values = np.ascontiguousarray(tensor.float().numpy())
        name = name.replace("blocks.", "blk.")
        if values.ndim == 1:
            writer.add_tensor(name, values)
        else:
            writer.add_tensor(name, gguf.quants.quantize(values, Q8_0), raw_dtype=Q8_0)


def export(home: Path, output: Path) -> None:
    """Write `output` from the checkpoint and vocabulary in `home`."""
    saved = torch.load(home / "checkpoint.pt", weights_only=False)
    output.parent.mkdir(parents=True, exist_ok=True)
    fresh = output.with_suffix(".new")
    writer = gguf.GGUFWriter(fresh, "llama")
    add_header(writer, Shape(**saved["shape"]))
    add_vocabulary(writer, Vocabulary(home / "vocabulary.model"))
    add_weights(writer, saved["weights"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    size = fresh.stat().st_size
    assert size <= BYTES_MAX, f"{output} would have {size} bytes, at most {BYTES_MAX}"
    fresh.replace(output)
    print(f"{output}: {size:,} bytes, {saved['done']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--home", type=Path, required=True, help="folder of the training run")
    parser.add_argument("--output", type=Path, required=True, help="the GGUF file to write")
    arguments = parser.parse_args()
    export(arguments.home, arguments.output)


if __name__ == "__main__":
    main()
