// The canonical kernel in WebAssembly: the same C sources as the native builds, hence the same bits. One model and one
// sequence. The layouts are those of puna_kernel.h.
import { orderedTensors, readConfig, readGguf } from "./gguf.js";

const ROWS_MAX = 64; // rows of one call; how a prompt is cut into calls changes no bit
const PANELS_BYTES_MAX = 32 << 20; // of a small model's weights once more, in the order the products want
const HEAD_BYTES = 56, TENSOR_BYTES = 16;

export class Kernel {
  // `module` is the bytes of puna-kernel.wasm, `file` those of the model's GGUF file. Throws an Error when it is no model that the kernel runs, or memory is refused.
  static async load(module, file) {
    const { instance } = await WebAssembly.instantiate(module, {});
    instance.exports._initialize();
    return new Kernel(instance.exports, file);
  }

  constructor(exports, file) {
    this.exports = exports;
    this.gguf = readGguf(file);
    this.config = readConfig(this.gguf);
    const tensors = orderedTensors(this.gguf, this.config);
    const copies = new Map(); // a tied output matrix is the embedding once more
    for (const tensor of tensors) {
      if (copies.has(tensor.offset)) continue;
      const address = this.allocate(tensor.size);
      new Uint8Array(this.memory, address, tensor.size).set(file.subarray(tensor.offset, tensor.offset + tensor.size));
      copies.set(tensor.offset, address);
    }
    this.model = this.newModel(tensors, copies);
    this.length = 0;
  }

  get memory() {
    return this.exports.memory.buffer; // asked anew each time: it moves when it grows
  }

  allocate(size) {
    const address = this.exports.puna_alloc(size) >>> 0;
    if (!address) throw new Error("the browser has no memory left for this model");
    return address;
  }

  newModel(tensors, copies) {
    const { dim, layers, heads, kvHeads, headDim, ffn, vocab, ropeBase, normEps } = this.config;
    const spec = this.allocate(HEAD_BYTES + TENSOR_BYTES * tensors.length);
    const view = new DataView(this.memory, spec);
    [dim, layers, heads, kvHeads, headDim, ffn, vocab, 1].forEach((value, at) => view.setInt32(4 * at, value, true));
    view.setFloat64(32, ropeBase, true);
    view.setFloat32(40, normEps, true);
    view.setInt32(44, ROWS_MAX, true);
    view.setBigInt64(48, BigInt(PANELS_BYTES_MAX), true);
    tensors.forEach((tensor, at) => {
      view.setBigUint64(HEAD_BYTES + TENSOR_BYTES * at, BigInt(copies.get(tensor.offset)), true);
      view.setInt32(HEAD_BYTES + TENSOR_BYTES * at + 8, tensor.number, true);
    });
    const model = this.exports.puna_model_new(spec) >>> 0;
    if (!model) throw new Error("the browser has no memory left for this model");
    this.exports.puna_free(spec);
    return model;
  }

  // Begin a sequence of at most `positions` tokens.
  begin(positions) {
    if (this.cache) this.exports.puna_cache_free(this.cache);
    this.cache = this.exports.puna_cache_new(this.model, positions) >>> 0;
    if (!this.cache) throw new Error("the browser has no memory left for so long an answer");
    this.length = 0;
    this.batch ??= this.allocate(16 * ROWS_MAX + 16);
    this.logits ??= this.allocate(4 * this.config.vocab);
  }

  // Put `tokens` after the sequence; the logits after the last of them, a view that the next call overwrites.
  forward(tokens) {
    for (let start = 0; start < tokens.length; start += ROWS_MAX) {
      const part = tokens.slice(start, start + ROWS_MAX);
      const last = start + part.length === tokens.length;
      this.call(part, last ? 1 : 0);
    }
    return new Float32Array(this.memory, this.logits, this.config.vocab);
  }

  call(part, wanted) {
    const rows = part.length;
    const view = new DataView(this.memory, this.batch);
    view.setBigUint64(0, BigInt(this.cache), true);
    part.forEach((token, row) => {
      view.setInt32(16 + 4 * row, token, true);
      view.setInt32(16 + 4 * (ROWS_MAX + row), this.length + row, true);
      view.setInt32(16 + 4 * (2 * ROWS_MAX + row), 0, true);
    });
    view.setInt32(8, rows - 1, true);
    const at = (index) => this.batch + 16 + 4 * ROWS_MAX * index;
    const status = this.exports.puna_forward(
      this.model, rows, at(0), at(1), at(2), this.batch, wanted, this.batch + 8, this.logits,
    );
    if (status) throw new Error("the browser has no memory left for so long an answer");
    this.length += rows;
  }
}
