// All that goes over the network: signed messages out, dry-runs, events and live moves in. Nothing is drawn here.
//
// Writes are ordinary AO messages, signed by the wallet or by its session key and posted to the messenger by
// aoconnect. Reads are dry-runs. A world's news come over three ways, each enough to play:
//   polling      every 2.5 s, as every client of the Reality protocol does
//   /events      the node's stream says when the world has done something, and the model's tokens as they come
//   .../live     the world's live door, where the node has one: signed moves in, everybody's moves out, at once
import "/web/subtle.js";
import { idOf, signItem } from "/web/dataitem.js";

const RECONNECT_MS = [500, 1000, 2000, 4000, 8000];
const READ_TIMEOUT_MS = 15000;

/** The node cannot be reached; the same may work in a moment. */
export class Away extends Error {}

/** What the node or a process said no to; asking again the same way is of no use. */
export class Said extends Error {}

const AO_TAGS = [["Data-Protocol", "ao"], ["Variant", "ao.TN.1"], ["Type", "Message"]];

/**
 * aoconnect for the units at `urls`, or, in builds that may not carry it (see decision 20), the three of its calls that
 * the game needs: the same signed items to the same routes.
 */
async function clientOf({ gateway, mu, cu }) {
  try {
    const { connect, createDataItemSigner } = await import("/web/vendor/aoconnect.js");
    const ao = connect({ MODE: "legacy", GATEWAY_URL: gateway, MU_URL: mu, CU_URL: cu });
    const message = ({ wallet, ...rest }) => ao.message({ ...rest, signer: createDataItemSigner(wallet) });
    return { message, result: ao.result, dryrun: ao.dryrun };
  } catch (error) {
    console.info("without aoconnect:", error.message);
  }
  const json = async (url, options) => {
    const reply = await fetch(url, options);
    if (!reply.ok) throw new Said((await reply.text()) || `the node answered ${reply.status}`);
    return reply.json();
  };
  return {
    async message({ wallet, process, tags, data }) {
      await wallet.connect(["SIGN_TRANSACTION"]);
      const all = [...AO_TAGS.map(([name, value]) => ({ name, value })), ...tags];
      const item = new Uint8Array(await wallet.signDataItem({ target: process, tags: all, data }));
      const headers = { "Content-Type": "application/octet-stream" };
      await json(mu, { method: "POST", body: item, headers });
      return idOf(item);
    },
    result: ({ process, message }) => json(`${cu}/result/${message}?process-id=${process}`),
    dryrun: ({ process, Owner, From, tags, data }) => json(`${cu}/dry-run?process-id=${process}`, {
      method: "POST", headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ Id: "1234", Target: process, Owner, From, Anchor: "0", Tags: tags, Data: data }),
    }),
  };
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const lookup = (tags, name) => tags?.find((tag) => tag.name === name)?.value;
export const tagOf = (message, name) => lookup(message?.Tags, name);

/** The tags of a message as aoconnect makes them. */
const messageTags = (tags) => [...AO_TAGS, ...Object.entries(tags)].map(([name, value]) => ({ name, value: String(value) }));

function translated(error) {
  if (error instanceof Away || error instanceof Said) return error;
  const words = String(error?.message ?? error);
  const isAway = error?.name === "TypeError" || error?.name === "AbortError" || /fetch|network|load failed|timed? ?out/i.test(words);
  return isAway ? new Away(words) : new Said(words);
}

/** The node this page came from. */
export class Node {
  constructor(network, ao) {
    Object.assign(this, { network, ao, listeners: new Set(), isUp: true });
  }

  static async open() {
    const reply = await fetch("/network");
    if (!reply.ok) throw new Away(`the node answered ${reply.status}`);
    const network = await reply.json();
    return new Node(network, await clientOf(network.units));
  }

  /** Ask the node again what stands on it. */
  async learn() {
    this.network = await (await fetch("/network")).json();
  }

  /** Call `told(isUp)` whenever the connection is lost or found again. */
  onConnection(told) {
    this.listeners.add(told);
  }

  noteUp(isUp) {
    if (isUp === this.isUp) return;
    this.isUp = isUp;
    for (const told of this.listeners) told(isUp);
  }

  async guarded(work) {
    try {
      const found = await Promise.race([
        work(), pause(READ_TIMEOUT_MS).then(() => Promise.reject(new Away("no answer came"))),
      ]);
      this.noteUp(true);
      return found;
    } catch (error) {
      const known = translated(error);
      // What aoconnect reports of a request that failed does not always say so: the node itself is asked.
      if (known instanceof Away || !(await this.answers())) {
        this.noteUp(false);
        throw new Away(known.message);
      }
      throw known;
    }
  }

  async answers() {
    try {
      return (await fetch("/network", { signal: AbortSignal.timeout(4000) })).ok;
    } catch {
      return false;
    }
  }

  /** Sign and post one message; its id. `tags` is an object. Raises Refused of the wallet, Away, or Said. */
  async send(wallet, process, tags, data = " ") {
    const list = Object.entries(tags).filter(([, value]) => value !== undefined)
      .map(([name, value]) => ({ name, value: String(value) }));
    let refusal;
    const asked = {
      connect: (permissions) => wallet.connect(permissions).catch((error) => Promise.reject((refusal = error))),
      signDataItem: (item) => wallet.signDataItem(item).catch((error) => Promise.reject((refusal = error))),
    };
    try {
      const id = await this.ao.message({ process, tags: list, data, wallet: asked });
      this.noteUp(true);
      return id;
    } catch (error) {
      if (refusal) throw refusal; // the wallet's words, not what was made of them on the way
      const known = translated(error);
      if (known instanceof Away || !(await this.answers())) {
        this.noteUp(false);
        throw new Away(known.message);
      }
      throw known;
    }
  }

  /** Post a message while the page goes away: nobody will see what came of it. */
  async sendLast(wallet, process, tags) {
    const item = await signItem(wallet.key, { target: process, tags: messageTags(tags), data: " " });
    const headers = { "Content-Type": "application/octet-stream" };
    fetch(this.network.units.mu, { method: "POST", body: item, headers, keepalive: true }).catch(() => {});
  }

  /** What a process answers to a question that changes nothing: its first message, with Data and Tags. */
  async read(process, owner, tags, data = "") {
    const list = Object.entries(tags).map(([name, value]) => ({ name, value: String(value) }));
    const found = await this.guarded(() => this.ao.dryrun({ process, Owner: owner, From: owner, tags: list, data }));
    if (found.Error) throw new Said(String(found.Error));
    const [answer] = found.Messages ?? [];
    if (!answer) throw new Said("the process does not answer");
    const fault = lookup(answer.Tags, "Error");
    if (fault) throw new Said(fault);
    return answer;
  }

  async readJson(process, owner, tags, data = "") {
    return JSON.parse((await this.read(process, owner, tags, data)).Data || "{}");
  }

  /** What came of a message at a process: {Messages, Output, Error}. */
  result(process, message) {
    return this.guarded(() => this.ao.result({ process, message }));
  }

  /**
   * Listen to the node's events of one journey (`root`) or of one process; `heard(event)` gets each. A journey's stream
   * ends by itself. Returns a function that stops it.
   */
  events(query, heard) {
    let source, timer, tries = 0, over = false;
    const open = () => {
      source = new EventSource(`/events?${new URLSearchParams(query)}`);
      source.onopen = () => ((tries = 0), this.noteUp(true));
      source.onmessage = (message) => {
        const event = JSON.parse(message.data);
        if (query.root && event.kind === "finished") stop();
        heard(event);
      };
      source.onerror = () => {
        source.close();
        if (over || query.root) return;
        this.answers().then((does) => this.noteUp(does));
        timer = setTimeout(open, RECONNECT_MS[Math.min(tries++, RECONNECT_MS.length - 1)]);
      };
    };
    const stop = () => {
      over = true;
      clearTimeout(timer);
      source.close();
    };
    open();
    return stop;
  }
}

/**
 * The live door of a world, where the node has one. What is sent is the signed data item of an ordinary
 * Reality.EntityUpdatePosition; what comes is JSON {t: server ms, moves: [[entity, x, y, direction], ...], people, lines}.
 * `after()` is the number of the last line of chat that is known: a door that opens again begins there.
 */
export class Live {
  constructor(world, after, heard) {
    Object.assign(this, { world, after, heard, isOpen: false, isOver: false, tries: 0 });
    this.open();
  }

  open() {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    this.socket = new WebSocket(`${scheme}//${location.host}/land/${this.world}/live?after=${this.after()}`);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => {
      this.isOpen = true;
      this.tries = 0;
    };
    this.socket.onmessage = (message) => {
      if (typeof message.data === "string") this.heard(JSON.parse(message.data));
    };
    this.socket.onclose = () => {
      this.isOpen = false;
      if (this.isOver) return; // otherwise polling goes on meanwhile
      this.timer = setTimeout(() => this.open(), RECONNECT_MS[Math.min(this.tries++, RECONNECT_MS.length - 1)]);
    };
  }

  /** Send a move; false when the door is closed. */
  async move(wallet, tags, data) {
    if (!this.isOpen) return false;
    // Such a key signs the same step to the same id, and each id is taken once.
    const anchor = crypto.getRandomValues(new Uint8Array(32));
    const item = await signItem(wallet.key, { target: this.world, tags: messageTags(tags), data, anchor });
    if (!this.isOpen) return false;
    this.socket.send(item);
    return true;
  }

  close() {
    this.isOver = true;
    clearTimeout(this.timer);
    this.socket.close();
  }
}
