// From logits to an answer: what tokens mean and when an answer ends, as puna/llm/generate.py and tokenizer.py say.
import { concat, text, utf8 } from "./bytes.js";
import { sample } from "./sampler.js";

const NORMAL = 1, CONTROL = 3, USER_DEFINED = 4, BYTE = 6;
const END_TEXTS = new Set(
  ("<|end|> <|eot_id|> <|eom_id|> <|im_end|> <|endoftext|> <|end_of_text|> <end_of_turn> <|end_of_turn|> " +
    "<EOT> <|EOT|> <end_of_utterance> </s>").split(" "),
);
const NONE = 0xffffffff;

// GPT-2's alphabet: which byte each letter of a byte-level vocabulary stands for.
function letterBytes() {
  const printable = (value) => (value > 0x20 && value < 0x7f) || (value > 0xa0 && value !== 0xad);
  const letters = new Map();
  let next = 0x100;
  for (let value = 0; value < 256; value++) letters.set(String.fromCharCode(printable(value) ? value : next++), value);
  return letters;
}

// What generating needs of a model's vocabulary.
export class Speech {
  constructor({ metadata }) {
    const of = (key) => metadata.get("tokenizer.ggml." + key);
    this.texts = of("tokens");
    this.model = of("model");
    if (!Array.isArray(this.texts) || !["llama", "gpt2"].includes(this.model)) {
      throw new Error("the model's tokenizer is of a kind that is not read here");
    }
    this.kinds = [...(of("token_type") ?? this.texts.map(() => NORMAL))];
    const spm = this.model === "llama";
    const named = (key, otherwise) => {
      const token = of(key + "_token_id") ?? otherwise;
      return token === undefined || token === NONE || token >= this.texts.length ? null : token;
    };
    const ends = [named("eos", spm ? 2 : undefined), named("eot"), named("eom")];
    for (const token of [of("bos_token_id"), of("eos_token_id"), named("eot"), named("eom")]) {
      if (token !== null && token !== undefined && token !== NONE) this.kinds[token] = CONTROL;
    }
    const byText = this.texts.flatMap((each, token) => (this.kinds[token] === CONTROL && END_TEXTS.has(each) ? [token] : []));
    this.ends = new Set([...ends.filter((token) => token !== null), ...byText]);
    this.letters = spm ? null : letterBytes();
  }

  // The bytes a token adds to a text; none for a control token.
  piece(token) {
    const written = this.texts[token];
    const kind = this.kinds[token];
    if (kind === USER_DEFINED) return utf8(written);
    if (kind !== NORMAL && kind !== BYTE) return new Uint8Array();
    if (this.letters) {
      return concat(...Array.from(written, (letter) => {
        const value = this.letters.get(letter);
        return value === undefined ? utf8(letter) : Uint8Array.of(value);
      }));
    }
    if (kind === BYTE) return Uint8Array.of(parseInt(written.slice(3, 5), 16));
    return utf8(written.replaceAll("\u2581", " "));
  }

  // Tokens as a person reads them, control tokens by their names.
  read(tokens) {
    const control = (token) => ![NORMAL, BYTE, USER_DEFINED].includes(this.kinds[token]);
    return text(concat(...tokens.map((token) => (control(token) ? utf8(this.texts[token] ?? "") : this.piece(token)))));
  }
}

function indexOf(bytes, wanted) {
  for (let at = 0; at + wanted.length <= bytes.length; at++) {
    if (wanted.every((byte, offset) => bytes[at + offset] === byte)) return at;
  }
  return -1;
}

// Answer a prompt again: {tokens, text, finish}. `onToken(count, textSoFar)` is told of each token; when it says false the
// replay ends there, with finish null.
export function replay(kernel, speech, { prompt, limit, sampling, stop }, onToken = () => true) {
  const stops = stop.map(utf8);
  kernel.begin(prompt.length + limit);
  const tokens = [];
  let bytes = new Uint8Array();
  let logits = kernel.forward(prompt);
  for (;;) {
    const token = sample(logits, sampling, tokens.length);
    if (speech.ends.has(token)) return { tokens, text: text(bytes), finish: "stop" };
    tokens.push(token);
    bytes = concat(bytes, speech.piece(token));
    const ends = stops.map((each) => indexOf(bytes, each)).filter((at) => at >= 0);
    if (ends.length) return { tokens, text: text(bytes.subarray(0, Math.min(...ends))), finish: "stop" };
    if (tokens.length === limit) return { tokens, text: text(bytes), finish: "length" };
    if (onToken(tokens.length, text(bytes)) === false) return { tokens, text: text(bytes), finish: null };
    logits = kernel.forward([token]);
  }
}
