// A GGUF file's header: metadata and where the tensors lie. As little as replaying an answer needs; puna/llm/gguf.py
// is the reader that judges files. Throws an Error saying what is wrong.

const TYPES = { 0: ["F32", 1, 4], 1: ["F16", 1, 2], 2: ["Q4_0", 32, 18], 8: ["Q8_0", 32, 34] };
const TEXT = 8, ARRAY = 9;
const NUMBERS = {
  0: [1, "getUint8"], 1: [1, "getInt8"], 2: [2, "getUint16"], 3: [2, "getInt16"], 4: [4, "getUint32"],
  5: [4, "getInt32"], 6: [4, "getFloat32"], 7: [1, "getUint8"], 10: [8, "getBigUint64"], 11: [8, "getBigInt64"],
  12: [8, "getFloat64"],
};
const decoder = new TextDecoder();

class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = 0;
  }
  advance(size) {
    if (!(size >= 0) || size > this.bytes.length - this.at) throw new Error("the model file ends early");
    this.at += size;
    return this.at - size;
  }
  number(kind) {
    const [size, read] = NUMBERS[kind] ?? [0, ""];
    if (!size) throw new Error(`the model file has a value of unknown type ${kind}`);
    const value = this.view[read](this.advance(size), true);
    return typeof value === "bigint" ? Number(value) : value;
  }
  count() {
    const count = this.number(10);
    if (count > this.bytes.length) throw new Error("the model file claims more than it can hold");
    return count;
  }
  text() {
    const size = this.count();
    const start = this.advance(size);
    return decoder.decode(this.bytes.subarray(start, start + size));
  }
  value(kind, depth = 0) {
    if (kind === TEXT) return this.text();
    if (kind !== ARRAY) return this.number(kind);
    if (depth > 3) throw new Error("the model file nests arrays too deep");
    const each = this.number(4);
    return Array.from({ length: this.count() }, () => this.value(each, depth + 1));
  }
}

// {metadata: Map, tensors: Map of name -> {shape, type, number, offset, size}} of a file's bytes.
export function readGguf(bytes) {
  const reader = new Reader(bytes);
  if (decoder.decode(bytes.subarray(0, 4)) !== "GGUF") throw new Error("this is not a GGUF file");
  reader.advance(4);
  const version = reader.number(4);
  if (version !== 2 && version !== 3) throw new Error(`GGUF version ${version} is not read here`);
  const tensorCount = reader.count();
  const metadata = new Map();
  for (let left = reader.count(); left > 0; left--) {
    const key = reader.text();
    metadata.set(key, reader.value(reader.number(4)));
  }
  const infos = Array.from({ length: tensorCount }, () => {
    const name = reader.text();
    const dimensions = reader.number(4);
    if (!(dimensions >= 1 && dimensions <= 4)) throw new Error(`the tensor ${name} has ${dimensions} dimensions`);
    const shape = Array.from({ length: dimensions }, () => reader.number(10)).reverse();
    return { name, shape, number: reader.number(4), relative: reader.number(10) };
  });
  const alignment = metadata.get("general.alignment") ?? 32;
  const start = Math.ceil(reader.at / alignment) * alignment;
  const tensors = new Map(infos.map(({ name, shape, number, relative }) => {
    const [type, elements, size] = TYPES[number] ?? [];
    if (!type) throw new Error(`the tensor ${name} is of a type that the kernel does not compute with`);
    const bytesOf = (shape.reduce((product, length) => product * length, 1) / elements) * size;
    const offset = start + relative;
    if (!Number.isSafeInteger(bytesOf) || offset + bytesOf > bytes.length) {
      throw new Error(`the tensor ${name} lies outside the file`);
    }
    return [name, { shape, type, number, offset, size: bytesOf }];
  }));
  return { metadata, tensors };
}

// The dimensions of a model of the llama family, as puna/llm/families/llama.py reads them.
export function readConfig({ metadata, tensors }) {
  const architecture = metadata.get("general.architecture");
  if (architecture !== "llama") throw new Error(`models of the family ${architecture} are not replayed in a browser`);
  const whole = (key, otherwise) => {
    const value = metadata.get("llama." + key) ?? otherwise;
    if (!Number.isInteger(value) || value < 1) throw new Error(`the model's llama.${key} is ${value}`);
    return value;
  };
  const embedding = tensors.get("token_embd.weight");
  if (!embedding || embedding.shape.length !== 2) throw new Error("the model has no token embedding");
  const dim = whole("embedding_length"), heads = whole("attention.head_count");
  const head = whole("attention.key_length", Math.max(Math.floor(dim / heads), 1));
  return {
    dim, heads, layers: whole("block_count"), kvHeads: whole("attention.head_count_kv", heads), headDim: head,
    ffn: whole("feed_forward_length"), context: whole("context_length"), vocab: embedding.shape[0],
    normEps: metadata.get("llama.attention.layer_norm_rms_epsilon"), ropeBase: metadata.get("llama.rope.freq_base") ?? 10000,
  };
}

const LAYER = "attn_norm attn_q attn_k attn_v attn_output ffn_norm ffn_gate ffn_up ffn_down".split(" ");

// The tensors in the order in which the kernel takes them, each checked to have its shape.
export function orderedTensors({ tensors }, config) {
  const { dim, ffn, vocab } = config;
  const q = config.heads * config.headDim, kv = config.kvHeads * config.headDim;
  const shapes = {
    attn_norm: [dim], attn_q: [q, dim], attn_k: [kv, dim], attn_v: [kv, dim], attn_output: [dim, q], ffn_norm: [dim],
    ffn_gate: [ffn, dim], ffn_up: [ffn, dim], ffn_down: [dim, ffn],
  };
  const take = (name, shape) => {
    const tensor = tensors.get(name);
    if (!tensor || String(tensor.shape) !== String(shape)) throw new Error(`the model lacks ${name} in its shape`);
    if (shape.length === 1 && tensor.type !== "F32") throw new Error(`the norm ${name} is not F32`);
    return tensor;
  };
  const ordered = [take("token_embd.weight", [vocab, dim])];
  for (let layer = 0; layer < config.layers; layer++) {
    for (const name of LAYER) ordered.push(take(`blk.${layer}.${name}.weight`, shapes[name]));
  }
  ordered.push(take("output_norm.weight", [dim]));
  ordered.push(tensors.has("output.weight") ? take("output.weight", [vocab, dim]) : ordered[0]);
  return ordered;
}
