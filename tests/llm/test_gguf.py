"""Reading GGUF files: what is in them, and every way in which a file can be wrong."""

import struct
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from llm.small_models import write_llama

from puna.errors import Invalid, Missing
from puna.llm.families import llama, read_config
from puna.llm.gguf import open_gguf
from puna.llm.models import read_info


@pytest.fixture(scope="module")
def model_path(tmp_path_factory) -> Path:
    return write_llama(tmp_path_factory.mktemp("gguf") / "random.gguf")


def header(*parts: bytes, version: int = 3, tensors: int = 0, entries: int = 0) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, tensors, entries) + b"".join(parts)


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def tensor_info(name: bytes, shape: tuple[int, ...], kind: int, offset: int) -> bytes:
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


def refuse(tmp_path: Path, content: bytes, words: str) -> Invalid:
    path = tmp_path / "bad.gguf"
    path.write_bytes(content)
    with pytest.raises(Invalid, match=words) as raised:
        open_gguf(path)
    assert raised.value.todo, "an error says what to do"
    return raised.value


@pytest.mark.parametrize("kind", ["F32", "F16", "Q8_0", "Q4_0"])
def test_tensors_and_metadata_are_those_the_gguf_package_wrote(tmp_path, kind):
    path = write_llama(tmp_path / "model.gguf", kind=kind)
    ours, theirs = open_gguf(path), gguf.GGUFReader(path)
    assert ours.architecture == "llama"
    assert ours.text("general.name") == "random llama"
    assert ours.file_bytes == path.stat().st_size
    assert ours.texts("tokenizer.ggml.tokens")[:3] == ["<unk>", "<s>", "</s>"]
    assert ours.numbers("tokenizer.ggml.scores").dtype == np.float32
    assert list(ours.tensors) == [each.name for each in theirs.tensors]
    for each in theirs.tensors:
        tensor = ours.tensors[each.name]
        assert tensor.shape == tuple(int(length) for length in each.shape)[::-1]
        assert tensor.type == each.tensor_type.name
        assert tensor.offset == each.data_offset
        assert np.array_equal(tensor.data, each.data.reshape(-1).view(np.uint8))


def test_tensor_data_cannot_be_written(model_path):
    with pytest.raises(ValueError):
        open_gguf(model_path).tensors["output_norm.weight"].data[0] = 1


def test_config_of_a_llama(model_path):
    config = read_config(open_gguf(model_path))
    assert (config.dim, config.layers, config.heads, config.kv_heads, config.head_dim) == (64, 2, 2, 1, 32)
    assert (config.ffn, config.context, config.rope_base) == (96, 128, 10000.0)
    assert config.vocab == len(open_gguf(model_path).texts("tokenizer.ggml.tokens"))


def test_the_embedding_serves_as_output_when_there_is_none(tmp_path):
    model = open_gguf(write_llama(tmp_path / "tied.gguf", tied=True))
    read_config(model)
    assert llama.output_tensor(model).name == llama.EMBEDDING


def test_nothing_at_the_path(tmp_path):
    with pytest.raises(Missing, match="no model file"):
        open_gguf(tmp_path / "none.gguf")


def test_a_folder_is_not_a_model(tmp_path):
    with pytest.raises(Invalid, match="cannot be read"):
        open_gguf(tmp_path)


def test_other_files_are_refused(tmp_path):
    refuse(tmp_path, b"", "is empty")
    refuse(tmp_path, b"PK\x03\x04 and more", "not a GGUF file")
    refuse(tmp_path, header(version=1), "GGUF version 1")
    refuse(tmp_path, header(version=3 << 24), "big-endian")


def test_counts_beyond_the_file_are_refused_before_anything_is_allocated(tmp_path):
    huge = 1 << 62
    refuse(tmp_path, header(tensors=huge), "claims .* tensors")
    refuse(tmp_path, header(entries=huge), "claims .* metadata")
    refuse(tmp_path, header(text(b"k"), struct.pack("<IIQ", 9, 6, huge), entries=1), "claims .* array elements")
    refuse(tmp_path, header(text(b"k"), struct.pack("<IIQ", 9, 8, huge), entries=1), "claims .* array elements")
    refuse(tmp_path, header(text(b"k"), struct.pack("<IQ", 8, huge), entries=1), "ends early")
    refuse(tmp_path, header(struct.pack("<Q", huge), bytes(5), entries=1), "name .* too long")
    nested = struct.pack("<IQ", 9, 1) * 5000
    refuse(tmp_path, header(text(b"k"), struct.pack("<I", 9), nested, entries=1), "unknown metadata type 9")


def test_unknown_types_are_named_with_what_is_known(tmp_path):
    refuse(tmp_path, header(text(b"k"), struct.pack("<IQ", 77, 0), entries=1), "unknown metadata type 77")
    known = "this build computes with F16, F32, Q4_0, Q8_0"
    refuse(tmp_path, header(tensor_info(b"t", (256,), 12, 0), tensors=1), f"type Q4_K; {known}")
    refuse(tmp_path, header(tensor_info(b"t", (256,), 999, 0), tensors=1), f"type number 999; {known}")


def test_tensors_outside_the_file_or_upon_each_other_are_refused(tmp_path):
    refuse(tmp_path, header(tensor_info(b"t", (1 << 40, 1 << 40), 0, 0), tensors=1), "cut short")
    refuse(tmp_path, header(tensor_info(b"t", (8,), 0, 1 << 60), tensors=1), "cut short")
    refuse(tmp_path, header(tensor_info(b"t", (8,), 0, 4), bytes(99), tensors=1), "not aligned")
    refuse(tmp_path, header(tensor_info(b"t", (0, 8), 0, 0), tensors=1), "empty dimension")
    refuse(tmp_path, header(tensor_info(b"t", (33,), 8, 0), bytes(99), tensors=1), "whole blocks of 32")
    refuse(tmp_path, header(tensor_info(b"t", (1,) * 5, 0, 0), tensors=1), "5 dimensions")
    first, second = tensor_info(b"a", (64,), 0, 0), tensor_info(b"b", (64,), 0, 32)
    refuse(tmp_path, header(first, second, bytes(999), tensors=2), "on top of another")
    refuse(tmp_path, header(first, first, bytes(999), tensors=2), "there twice")


def test_a_file_cut_short_anywhere_is_refused(model_path, tmp_path):
    end = max(each.offset + each.nbytes for each in open_gguf(model_path).tensors.values())
    content = model_path.read_bytes()[:end]  # padding may follow
    for size in {*range(0, 200, 7), *range(0, end, end // 40), end - 1}:
        refuse(tmp_path, content[:size], "empty|not a GGUF|ends early|more than the file|cut short")


def test_an_unknown_family_is_named(tmp_path):
    path = write_llama(tmp_path / "other.gguf", architecture="mamba")
    with pytest.raises(Invalid, match="is of the family 'mamba'; this build runs: llama"):
        read_config(open_gguf(path))


@pytest.mark.parametrize(
    "spoiled, words",
    [
        (dict(without=("blk.1.ffn_up.weight",)), "blk.1.ffn_up.weight is missing"),
        (dict(without=("token_embd.weight",)), "token_embd.weight is missing"),
        (dict(reshaped={"blk.0.attn_k.weight": (64, 64)}), r"attn_k.weight has the shape \(64, 64\), not \(32, 64\)"),
        (dict(extra={"blk.0.attn_q.bias": (64,)}), "attn_q.bias has no place"),
        (dict(extra={"rope_freqs.weight": (16,)}), "scaled rotary"),
        (dict(heads=3, dim=96, kv_heads=2), "do not share"),
        (dict(ffn=80, kind="F32"), "not a multiple of 32"),
        (dict(metadata=lambda writer: writer.add_expert_count(8)), "mixture of experts"),
        (dict(metadata=lambda writer: writer.add_key_length(1 << 31)), "key_length is"),
        (dict(metadata=lambda writer: writer.add_string("llama.expert_count", "8")), "is not a whole number"),
    ],
)
def test_a_llama_that_is_none_is_refused(tmp_path, spoiled, words):
    path = write_llama(tmp_path / "bad.gguf", **spoiled)
    with pytest.raises(Invalid, match=words):
        read_config(open_gguf(path))


def test_a_claim_of_endless_layers_ends_at_the_first_missing_one(model_path, tmp_path):
    key = b"llama.block_count"
    content = bytearray(model_path.read_bytes())
    at = content.index(key) + len(key) + 4
    content[at : at + 4] = struct.pack("<I", (1 << 31) - 1)
    path = tmp_path / "layers.gguf"
    path.write_bytes(content)
    with pytest.raises(Invalid, match="blk.2.attn_norm.weight is missing"):
        read_config(open_gguf(path))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_is_invalid_or_harmless(model_path, tmp_path, data):
    content = bytearray(model_path.read_bytes())
    # Most of the file is weights, where any bits are good; the header is where damage tells.
    places = st.integers(0, 40) | st.integers(0, 16_000) | st.integers(0, len(content) - 1)
    for place, bit in data.draw(st.lists(st.tuples(places, st.integers(0, 7)), max_size=8)):
        content[place] ^= 1 << bit
    length = data.draw(st.none() | st.integers(0, len(content)))
    path = tmp_path / "damaged.gguf"
    path.unlink(missing_ok=True)
    path.write_bytes(content[:length])
    try:
        read_info(path)
    except Invalid as error:
        assert error.what and error.todo
