// One world as this player knows it: who is where, what was said, and the words that models are just saying.
//
// `World` follows the process over net.js and tells what changed to its `told` (see main.js). It draws nothing.
import { Away, Live, Said, tagOf } from "./net.js";
import { findWay, isFree } from "./map.js";

const POLL_MS = 2500; // as other clients of the protocol
const NEWS_MS = 120; // after the stream said that the world did something; several such words make one reading
const SAVED = "Message saved"; // what a world prints when it took a line of chat
const MOVE_MS = 250;
const PATH_MAX = 32;
const SESSION_MS = 6 * 24 * 3600000; // the world allows seven days
const SESSION_SPARE_MS = 3600000;
const RECENT_MS = 5 * 60000;
const CHAT_MAX = 200;
const STREAMS_MAX = 3; // a browser keeps six connections to one node
const GONE_MS = 5 * 60000;
export const SPEED = 4.6; // tiles a second
const HURRY_MS = 700; // behind by more than this, others walk faster
const LEGS_MAX = 60;
const LEAP_TILES = 18; // further than this nobody walks: they are just there

/** Somebody in the world: where they are shown, and the way they still have to go. */
export class Walker {
  constructor(id, x, y) {
    Object.assign(this, { id, x, y, direction: "down", isWalking: false, legs: [], seen: 0 });
    this.goal = [x, y];
  }

  /** A new place became known. Others see the way there, not the leap. */
  goTo(map, x, y, now) {
    const [toX, toY] = this.goal;
    if (Math.hypot(x - toX, y - toY) < 0.01) return;
    this.goal = [x, y];
    const [fromX, fromY] = this.legs.length ? this.legs[this.legs.length - 1] : [this.x, this.y];
    // A page in the background draws nothing, so nobody walks there: the way is not kept for later.
    if (Math.hypot(x - fromX, y - fromY) > LEAP_TILES || this.legs.length > LEGS_MAX) {
      Object.assign(this, { x, y, legs: [] });
      return;
    }
    if (map && !clear(map, fromX, fromY, x, y)) this.legs.push(...findWay(map, [fromX, fromY], [x, y]));
    this.legs.push([x, y]);
    this.late = now;
  }

  /** Let `ms` pass. */
  advance(ms) {
    let rest = 0;
    for (let [x, y] = [this.x, this.y], at = 0; at < this.legs.length; at++) {
      rest += Math.hypot(this.legs[at][0] - x, this.legs[at][1] - y);
      [x, y] = this.legs[at];
    }
    const hurry = (rest / SPEED) * 1000 > HURRY_MS ? 1.35 : 1;
    let reach = (SPEED * hurry * ms) / 1000;
    this.isWalking = this.legs.length > 0;
    while (this.legs.length && reach > 0) {
      const [x, y] = this.legs[0];
      const dx = x - this.x, dy = y - this.y, far = Math.hypot(dx, dy);
      if (far > 0.001) this.direction = directionOf(dx, dy, this.direction);
      if (far <= reach) {
        [this.x, this.y] = this.legs.shift();
        reach -= far;
      } else {
        this.x += (dx / far) * reach;
        this.y += (dy / far) * reach;
        reach = 0;
      }
    }
  }
}

function clear(map, x, y, toX, toY) {
  const steps = Math.ceil(Math.hypot(toX - x, toY - y) / 0.4);
  for (let step = 1; step < steps; step++)
    if (!isFree(map, x + ((toX - x) * step) / steps, y + ((toY - y) * step) / steps, 0.1)) return false;
  return true;
}

export function directionOf(dx, dy, before) {
  if (Math.abs(dx) > Math.abs(dy) * 1.05) return dx > 0 ? "right" : "left";
  if (Math.abs(dy) > Math.abs(dx) * 1.05) return dy > 0 ? "down" : "up";
  return before;
}

export class World {
  /** `player` = {wallet, session, name, skin}; `told` has the methods arrived, left, changed, line, stream, trouble. */
  constructor(node, id, player, told) {
    Object.assign(this, { node, id, player, told });
    this.me = player.wallet.address;
    this.people = new Map(); // id -> {id, name, metadata, isFixed, walker}
    this.lines = new Map(); // number -> line
    this.lastLine = 0;
    this.lastRead = 0;
    this.moves = [];
    this.streams = new Map(); // root -> {stop, text, message, author}
    this.unsent = []; // typed lines that the node has not taken yet
    this.isOver = false;
    this.stops = [];
  }

  // Entering and leaving -------------------------------------------------------------------------------------------

  /** Read what this world is like. */
  async learn() {
    const ask = (action) => this.node.readJson(this.id, this.me, { Action: action });
    const [info, parameters, statics] = await Promise.all(
      ["Reality.Info", "Reality.Parameters", "Reality.EntitiesStatic"].map(ask));
    Object.assign(this, { info, parameters, statics: Array.isArray(statics) ? {} : statics });
  }

  /** Appear in it. `map` is the world's; `position` where to arrive, or nothing for the world's own place. */
  async enter(map, position) {
    this.map = map;
    for (const [id, entity] of Object.entries(this.statics)) this.meet(id, entity, true);
    await this.openSession();
    await this.introduce(position);
    await this.readPeople(true);
    if (!this.people.has(this.me)) {
      // Another browser with this wallet has opened a session since: ours ended, and its key stands there by itself.
      await this.told.sessionLost();
      await this.openSession();
      await this.introduce(position);
      await this.readPeople(true);
    }
    if (position) await this.place(position);
    const [x, y] = this.people.get(this.me).position;
    this.walker = new Walker(this.me, x, y);
    await this.readChat(true);
    // `GET /network` says whether worlds have a live door here.
    if (this.node.network.land?.live) {
      this.live = new Live(this.id, () => this.lastLine, (news) => this.hearNews(news));
      this.stops.push(() => this.live.close());
    }
    this.stops.push(this.node.events({ process: this.id }, (event) => this.hearEvent(event)));
    this.every(POLL_MS, () => this.catchUp());
    this.every(MOVE_MS, () => this.flushMoves());
  }

  /** Do something again and again, never twice at a time. */
  every(ms, work) {
    let timer;
    const round = async () => {
      try {
        await work();
      } catch (error) {
        if (!(error instanceof Away)) this.told.trouble(error);
      }
      if (!this.isOver) timer = setTimeout(round, ms);
    };
    timer = setTimeout(round, ms);
    this.stops.push(() => clearTimeout(timer));
  }

  /** Go away; others are told, as far as the node can be reached. */
  leave(isQuick = false) {
    this.isOver = true;
    this.stops.forEach((stop) => stop());
    this.streams.forEach((stream) => stream.stop());
    const tags = { Action: "Reality.EntityHide" };
    if (isQuick) return this.node.sendLast(this.player.session, this.id, tags);
    return this.send(tags).catch(() => {});
  }

  /** What this world is sent by the player's hands: by the session key where there is one. */
  send(tags, data) {
    return this.node.send(this.player.session ?? this.player.wallet, this.id, tags, data);
  }

  /** Let a key of this page walk and chat for the wallet, so that the wallet is asked once and not at each step. */
  async openSession() {
    const { wallet, session, sessions } = this.player;
    if (!session) return;
    const known = sessions.get(this.id);
    if (known && known > Date.now() + SESSION_SPARE_MS) return;
    const expires = Date.now() + SESSION_MS;
    const id = await this.node.send(wallet, this.id,
      { Action: "Reality.Session", "Session-Key": session.address, Expires: expires });
    await this.accepted(id);
    sessions.set(this.id, expires);
  }

  /** The session ended while we play: another browser with this wallet opened one. Take it back with a new key. */
  async renewSession() {
    if (this.isRenewing) return;
    this.isRenewing = true;
    try {
      await this.told.sessionLost();
      await this.openSession();
    } finally {
      this.isRenewing = false;
    }
  }

  async introduce(position) {
    const { name, skin } = this.player;
    const entity = { Type: "Avatar", Metadata: { DisplayName: name, SkinNumber: skin } };
    if (position) entity.Position = position;
    const id = await this.send({ Action: "Reality.EntityCreate" }, JSON.stringify(entity));
    await this.accepted(id);
  }

  /** Wait for the world's word on a message. Raises Said with it when that is no. */
  async accepted(id) {
    const result = await this.node.result(this.id, id);
    if (result.Error) throw new Said(String(result.Error));
    for (const message of result.Messages ?? [])
      if (tagOf(message, "Result") === "Error") throw new Said(tagOf(message, "Error") ?? "the world refused");
    return result;
  }

  async place(position) {
    const there = this.people.get(this.me)?.position;
    if (there && Math.hypot(there[0] - position[0], there[1] - position[1]) < 0.01) return;
    const id = await this.send({ Action: "Reality.EntityUpdatePosition" }, JSON.stringify({ Position: position }));
    try {
      await this.accepted(id);
      this.people.get(this.me).position = position;
    } catch (error) {
      if (!(error instanceof Said)) throw error; // where the world wants us, then
    }
  }

  // Who is here ------------------------------------------------------------------------------------------------------

  meet(id, entity, isFixed) {
    const metadata = entity.Metadata && !Array.isArray(entity.Metadata) ? entity.Metadata : {};
    const position = (entity.Position ?? []).map(Number);
    if (position.length < 2 || !position.every(Number.isFinite)) return;
    const name = String(metadata.DisplayName ?? "a llama").slice(0, 40);
    const isGone = entity.StateCode === 0;
    const before = this.people.get(id);
    if (isGone) {
      if (before && id !== this.me) this.forget(before);
      else if (before) before.position = position;
      else if (id === this.me) this.people.set(id, { id, name, metadata, isFixed, position, kind: entity.Type });
      return;
    }
    const now = Date.now();
    if (before) {
      const isChanged = before.name !== name || before.metadata.SkinNumber !== metadata.SkinNumber;
      Object.assign(before, { name, metadata, position, seen: now });
      if (id !== this.me) before.walker.goTo(this.map, ...position, now);
      if (isChanged) this.told.changed(before);
      return;
    }
    const person = { id, name, metadata, isFixed, position, kind: entity.Type, seen: now };
    if (id !== this.me) person.walker = new Walker(id, ...position);
    this.people.set(id, person);
    this.told.arrived(person);
  }

  forget(person) {
    this.people.delete(person.id);
    this.told.left(person);
  }

  async readPeople(isFirst = false) {
    const began = Date.now();
    const since = isFirst ? began - RECENT_MS : Math.max(this.lastRead - 2000, 0);
    const found = await this.node.readJson(this.id, this.me, { Action: "Reality.EntitiesDynamic" },
      JSON.stringify({ Timestamp: since, Initial: isFirst }));
    this.lastRead = began;
    for (const [id, entity] of Object.entries(found))
      if (!this.statics[id]) this.meet(id, entity, entity.StateCode === 1);
    this.reconcile(found[this.me]);
    for (const person of [...this.people.values()])
      if (!person.isFixed && person.id !== this.me && person.seen + GONE_MS < began) this.forget(person);
  }

  /** Where the world has put us is where we are, once our own moves have been taken. */
  reconcile(mine) {
    if (!mine || !this.walker || this.moves.length || Date.now() - (this.movedAt ?? 0) < 3000) return;
    const [x, y] = mine.Position;
    if (Math.hypot(x - this.walker.x, y - this.walker.y) > 1.5) Object.assign(this.walker, { x, y, legs: [] });
  }

  /** A frame of the live door. */
  hearNews(news) {
    for (const [id, entity] of Object.entries(news.people ?? {}))
      if (id !== this.me && !this.statics[id]) this.meet(id, entity, entity.StateCode === 1);
    if (news.lines) this.hearLines(news.lines);
    if (news.notice) this.soon();
    const now = Date.now();
    for (const [id, x, y, direction] of news.moves ?? []) {
      const person = this.people.get(id);
      if (id === this.me) continue;
      if (!person) {
        this.soon(); // somebody new: who it is, the world says
        continue;
      }
      person.seen = now;
      person.position = [x, y];
      person.walker.goTo(this.map, x, y, now);
      if (direction && !person.walker.legs.length) person.walker.direction = direction;
    }
  }

  // Walking --------------------------------------------------------------------------------------------------------

  /** The player stands at (x, y) now; the world is told with the next round. */
  moved(x, y, direction) {
    this.movedAt = Date.now();
    this.facing = direction;
    const at = [Math.round(x * 100) / 100, Math.round(y * 100) / 100];
    const [lastX, lastY] = this.moves[this.moves.length - 1] ?? this.lastMove ?? [];
    if (lastX !== at[0] || lastY !== at[1]) this.moves.push(at);
  }

  async flushMoves() {
    if (!this.moves.length) return;
    const every = Math.ceil(this.moves.length / PATH_MAX);
    const way = this.moves.filter((_, at) => at % every === 0 || at === this.moves.length - 1);
    const taken = this.moves.length;
    const last = this.moves[taken - 1];
    const tags = { Action: "Reality.EntityUpdatePosition", Cast: "true" };
    const data = JSON.stringify({ Position: last, Path: way });
    const key = this.player.session;
    if (!(key && (await this.live?.move(key, tags, data)))) await this.send(tags, data);
    this.moves.splice(0, taken); // only now: what could not be sent is sent with the next
    this.lastMove = last;
  }

  // Talk --------------------------------------------------------------------------------------------------------------

  /** Say a line. It is kept until the node has it, whatever happens to the connection. */
  say(text) {
    const line = { text, pending: true };
    this.unsent.push(line);
    this.told.unsent(this.unsent);
    return this.flushLines();
  }

  async flushLines() {
    if (this.isSaying) return;
    this.isSaying = true;
    try {
      while (this.unsent.length) {
        const line = this.unsent[0];
        // One id per line: when an answer was lost on the way, the line is not said twice.
        const id = await this.send({ Action: "ChatMessage", "Author-Name": this.player.name }, line.text);
        this.unsent.shift();
        this.told.unsent(this.unsent);
        this.node.result(this.id, id).then((result) => {
          const refusal = (result.Messages ?? []).map((message) => tagOf(message, "Error")).find(Boolean);
          if (refusal) this.told.refused(line.text, refusal);
          this.soon();
        }, () => this.soon());
      }
    } catch (error) {
      if (error instanceof Away) return; // catchUp tries again
      const line = this.unsent.shift();
      this.told.unsent(this.unsent);
      this.told.refused(line?.text ?? "", error.message);
    } finally {
      this.isSaying = false;
    }
  }

  async readChat(isFirst = false) {
    const tags = { Action: "ChatHistory", Limit: isFirst ? 40 : 100 };
    if (!isFirst) tags["Id-After"] = this.lastLine;
    const found = await this.node.readJson(this.id, this.me, tags);
    this.hearLines(Array.isArray(found) ? found : [], isFirst);
  }

  hearLines(lines, isFirst = false) {
    for (const line of lines.sort((a, b) => a.Id - b.Id)) {
      if (this.lines.has(line.Id)) continue;
      this.lines.set(line.Id, line);
      this.lastLine = Math.max(this.lastLine, line.Id);
      const isMine = line.AuthorId === this.me;
      if (!isFirst && line.AuthorId === this.player.session?.address) this.renewSession();
      if (line.Recipient && line.Recipient !== this.me && !isMine) continue; // private by courtesy
      this.hearLine(line, isFirst);
    }
    while (this.lines.size > CHAT_MAX) this.lines.delete(this.lines.keys().next().value);
  }

  hearLine(line, isOld) {
    this.told.line(line, isOld);
    if (!line.Root) return;
    const key = `${line.AuthorId} ${line.Root}`;
    if (line.Kind === "thinking" && !isOld) this.follow(key, line);
    else if (line.Kind !== "thinking") {
      this.streams.get(key)?.stop();
      this.streams.delete(key);
    }
  }

  /** Tell the tokens of an inference as they come. Tokens of a second run of the same are not told again. */
  follow(key, line) {
    if (this.streams.has(key) || this.streams.size >= STREAMS_MAX) return;
    const stream = { text: "", heard: "", message: null, stop: () => {} };
    this.streams.set(key, stream);
    stream.stop = this.node.events({ root: line.Root }, (event) => {
      // Of answers that are made several at once, this stream does not tell which is ours.
      if (event.kind !== "token" || event.place !== undefined) return;
      stream.message ??= event.message; // a second look at the same question is not for the audience
      if (event.message !== stream.message) return;
      stream.heard = event.index === 0 ? event.text : stream.heard + event.text;
      if (stream.heard.length <= stream.text.length) return;
      stream.text = stream.heard;
      this.told.stream(line.AuthorId, stream.text);
    });
  }

  // News ---------------------------------------------------------------------------------------------------------------

  hearEvent(event) {
    if (event.kind !== "evaluated" || event.process !== this.id) return;
    const now = Date.now();
    this.news = [...(this.news ?? []).filter((at) => at > now - 1000), now];
    // The more goes on, the less often every reader asks: in a crowd the polling is enough, but for chat.
    const isChat = String(event.data ?? "").includes(SAVED);
    this.soon(isChat ? NEWS_MS : NEWS_MS + 25 * this.news.length ** 2);
  }

  /** Read again in a moment; words that come meanwhile ask for nothing more. */
  soon(ms = NEWS_MS) {
    const at = Date.now() + ms;
    if (this.isOver || ms > POLL_MS || (this.waiting && this.waitingUntil <= at)) return;
    clearTimeout(this.waiting);
    this.waitingUntil = at;
    this.waiting = setTimeout(() => {
      this.waiting = null;
      this.catchUp(true).catch((error) => error instanceof Away || this.told.trouble(error));
    }, ms);
  }

  async catchUp(isNews = false) {
    if (this.isOver) return;
    if (this.isReading) {
      this.isStale ||= isNews; // what happened since that reading began, it may have missed
      return;
    }
    this.isReading = true;
    try {
      await Promise.all([this.readPeople(), this.readChat()]);
      if (this.unsent.length) this.flushLines();
    } finally {
      this.isReading = false;
      if (this.isStale) this.soon();
      this.isStale = false;
    }
  }
}
