// Llama Land in the browser: opens the node, the wallet and a world, and joins what the player does, what the world
// says and what is drawn. world.js knows the protocol, stage.js draws, net.js speaks with the node.
import { Away, Node, Said, tagOf } from "./net.js";
import { directionOf, SPEED, Walker, World } from "./world.js";
import { findWay, nearestFree, readMap, stepped } from "./map.js";
import { lookOf, Stage } from "./stage.js";
import { constantsOf, drawField, fieldsOf, tagValue } from "./form.js";
import { play, soundIsOn, turnSound } from "./sound.js";
import {
  browserWallet, exported, extension, extensionWallet, importWallet, makeBrowserWallet, recall, Refused, remember,
  sessionWallet,
} from "/web/wallet.js";

const ART = "/web/land/assets";
const BALANCE_MS = 10000;
const LAND_MS = 2000;
const NEAR_TILES = 2.6;
const WARP_REST_MS = 1500;
const DECIMALS = 12;
const CAST = ["king", "banker", "joker", "oracle", "giver", "citizenship"];
const at = (id) => document.getElementById(id);
const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

let node, stage, world, player, warping = false, balances = {};
const cast = new Map(); // id -> role
const keys = new Set();
let way = [], wish = null, stick = null, stepSound = 0;

// Words to the player ------------------------------------------------------------------------------------------------

function tell(words) {
  at("told").textContent = words;
}

let hintTimer;
function hint(words, ms = 6000) {
  clearTimeout(hintTimer);
  at("hint").textContent = words;
  at("hint").hidden = !words;
  hintTimer = setTimeout(() => (at("hint").hidden = true), ms);
}

function trouble(id, words) {
  at(id).textContent = words ?? "";
  at(id).hidden = !words;
}

/** What an error means to a player. */
function kindly(error) {
  if (error instanceof Refused) return "Your wallet did not sign, so nothing was sent. You can try again whenever you like.";
  if (error instanceof Away) return "The node does not answer just now. Nothing is lost; please try again in a moment.";
  return error.message || String(error);
}

function connection(isUp) {
  const bar = at("connection");
  if (!isUp) {
    bar.textContent = "The connection is lost. Reconnecting …";
    bar.hidden = false;
    delete bar.dataset.kind;
  } else if (!bar.hidden) {
    bar.textContent = "Connected again.";
    bar.dataset.kind = "word";
    setTimeout(() => node.isUp && (bar.hidden = true), 2500);
    world?.soon();
  }
}

// Beginning --------------------------------------------------------------------------------------------------------

async function open() {
  for (let tries = 0; ; tries++) {
    try {
      node = await Node.open();
      break;
    } catch {
      trouble("welcome-trouble", "The node does not answer. Trying again …");
      at("play").disabled = true;
      await pause(Math.min(4000, 500 * 2 ** tries));
    }
  }
  node.onConnection(connection);
  while (!node.network.land?.worlds?.town) {
    trouble("welcome-trouble", "Llama Land is not there yet. A new network raises it in its first minute.");
    at("play").disabled = true;
    await pause(LAND_MS);
    await node.learn().catch(() => {});
  }
  trouble("welcome-trouble");
  at("play").disabled = at("play-extension").disabled = false;
  const { land } = node.network;
  for (const role of CAST) if (land[role]) cast.set(land[role], role);
}

async function welcome() {
  const skins = at("skins");
  for (let skin = 0; skin < 10; skin++) {
    const label = document.createElement("label");
    const input = Object.assign(document.createElement("input"), { type: "radio", name: "skin", value: String(skin) });
    input.setAttribute("aria-label", `Llama ${skin + 1} of 10`);
    label.append(input, portrait(`skin${skin}`));
    skins.append(label);
  }
  at("name").value = localStorage.getItem("land-name") ?? "";
  const skin = localStorage.getItem("land-skin") ?? String(Math.floor(Math.random() * 10));
  skins.querySelector(`[value="${Number(skin) || 0}"]`).checked = true;
  at("welcome").addEventListener("cancel", (event) => event.preventDefault());
  at("welcome").showModal();
  at("name").focus();
  extension().then((found) => (at("play-extension").hidden = !found));
  at("begin").addEventListener("submit", (event) => {
    event.preventDefault();
    begin(event.submitter?.value ?? "browser");
  });
}

/** A small picture of a llama. */
function portrait(look) {
  const canvas = document.createElement("canvas");
  const { w, h } = stage.atlas.frame;
  canvas.width = w;
  canvas.height = h;
  const image = new Image();
  image.onload = () => canvas.getContext("2d").drawImage(image, 0, stage.atlas.rows[look] * h, w, h, 0, 0, w, h);
  image.src = stage.sheetUrl;
  canvas.setAttribute("aria-hidden", "true");
  return canvas;
}

async function begin(kind) {
  if (!node?.network.land) return; // the node has not answered yet; the page says so
  const buttons = [at("play"), at("play-extension")];
  const name = at("name").value.trim();
  if (new TextEncoder().encode(name).length > 20) return trouble("welcome-trouble", "This name is too long: 20 bytes fit.");
  if (!name) return trouble("welcome-trouble", "How shall they call you?");
  const skin = Number(new FormData(at("begin")).get("skin") ?? 0);
  localStorage.setItem("land-name", name);
  localStorage.setItem("land-skin", String(skin));
  buttons.forEach((button) => (button.disabled = true));
  trouble("welcome-trouble");
  try {
    at("play").textContent = kind === "browser" ? "Making your key …" : "Play";
    const wallet = kind === "extension" ? await extensionWallet() : (await browserWallet()) ?? (await makeBrowserWallet());
    at("play").textContent = "Walking in …";
    player = { wallet, name, skin, session: await sessionWallet(wallet.address), sessions: new Map() };
    const known = await recall(`sessions ${wallet.address} ${player.session.address}`);
    for (const [id, expires] of Object.entries(known ?? {})) player.sessions.set(id, expires);
    const [, wanted] = location.hash.match(/^#\/world\/([\w-]{43})$/) ?? [];
    await enter(wanted ?? node.network.land.worlds.town);
    at("game").classList.remove("outside");
    at("welcome").close();
    at("stage").focus();
    hint(matchMedia("(pointer: coarse)").matches ? "Tap where you want to walk; tap a llama to talk." : "Walk with the arrow keys or the mouse. Press E near a llama to talk, Enter to chat.");
    minute();
  } catch (error) {
    console.error(error);
    trouble("welcome-trouble", kindly(error));
  }
  at("play").textContent = "Play";
  buttons.forEach((button) => (button.disabled = false));
}

// Worlds -------------------------------------------------------------------------------------------------------------

const told = {
  arrived(person) {
    if (person.id === world?.me || person.kind === "Hidden" || !stage.map) return;
    stage.add(person, person.walker, { look: lookOf(person, cast), isCast: isCast(person) });
    peopleChanged();
  },
  left(person) {
    stage.remove(person.id);
    peopleChanged();
  },
  changed(person) {
    stage.rename(person, lookOf(person, cast));
    peopleChanged();
  },
  line(line, isOld) {
    showLine(line);
    if (isOld) return;
    const isPrivate = Boolean(line.Recipient);
    stage.say(line.AuthorId, line.Content, { isOpen: line.Kind === "thinking", isPrivate });
    if (line.AuthorId !== world.me) play("chat");
    if (line.Kind === "gift" || line.Kind === "payout" || cast.has(line.AuthorId)) readBalances();
  },
  stream(author, text) {
    stage.say(author, text, { isOpen: true });
  },
  unsent(lines) {
    at("unsent").hidden = !lines.length;
    at("unsent").textContent = lines.length ? `Not said yet: ${lines.map((line) => line.text).join(" · ")}` : "";
  },
  refused(text, why) {
    wrote({ words: `“${text}” was not said: ${why}.`, kind: "refused" });
  },
  /** The key of this page walks for nobody any more: the next one does. */
  async sessionLost() {
    player.session = await sessionWallet(player.wallet.address, true);
    player.sessions.clear();
  },
  trouble(error) {
    console.warn(error);
  },
};

const isCast = (person) => cast.has(person.id) || Boolean(person.metadata.Interaction && person.metadata.Interaction.Type !== "Warp");

/** Leave this world and appear in another. When that fails the player stays. */
async function enter(id, position) {
  const next = new World(node, id, player, told);
  await next.learn();
  const look = next.parameters["2D-Tile-0"] ?? {};
  const at_ = (part, fallback) => (part?.TxId ? `/${part.TxId}` : `${ART}/${fallback}`);
  const name = String(next.info.Name ?? "");
  const own = Object.entries(node.network.land.worlds).find(([, other]) => other === id)?.[0] ?? "town";
  const reply = await fetch(at_(look.Tilemap, `${own}.tmj`));
  if (!reply.ok) throw new Said(`The map of ${name || "this world"} is missing.`);
  const map = readMap(await reply.json());
  const before = world;
  if (before) await before.leave();
  world = next;
  await stage.show(map, at_(look.Tileset, "tiles.png"));
  at("lines").replaceChildren();
  await next.enter(map, position);
  Object.assign(next.walker, placed(nearestFree(map, next.walker.x, next.walker.y)));
  const me = { id: next.me, name: player.name, metadata: { SkinNumber: player.skin } };
  stage.add(me, next.walker, { look: lookOf(me), isMine: true });
  for (const person of next.people.values())
    if (person.walker && person.kind !== "Hidden" && !stage.actors.has(person.id) && !isWarp(person))
      stage.add(person, person.walker, { look: lookOf(person, cast), isCast: isCast(person) });
  for (const person of next.people.values()) if (isWarp(person)) stage.remove(person.id);
  remember(`sessions ${player.wallet.address} ${player.session.address}`, Object.fromEntries(player.sessions));
  stage.jump();
  stop();
  next.warpRest = Date.now() + WARP_REST_MS;
  next.isArmed = false;
  at("world-name").textContent = name || "Llama Land";
  history.replaceState(null, "", `#/world/${id}`);
  peopleChanged();
  tell(`You are in ${name}.`);
  readBalances();
}

const placed = ([x, y]) => ({ x, y });
const isWarp = (person) => person.metadata.Interaction?.Type === "Warp";

async function warp(person) {
  if (warping) return;
  const { Target, Position } = person.metadata.Interaction;
  warping = true;
  stop();
  play("warp");
  try {
    const target = Target ?? person.id;
    if (target === world.id) {
      Object.assign(world.walker, placed(Position));
      world.moved(...Position, world.walker.direction);
      stage.jump();
      world.warpRest = Date.now() + WARP_REST_MS;
    } else await enter(target, Position);
  } catch (error) {
    console.error(error);
    hint(`The way is closed just now. ${kindly(error)}`);
    if (world.isOver) location.reload();
  } finally {
    warping = false;
  }
}

function lookForWarps() {
  if (warping) return;
  const { x, y } = world.walker;
  const inside = [...world.people.values()].find((person) => {
    if (!isWarp(person)) return false;
    const [width, height] = person.metadata.Interaction.Size ?? [1, 1];
    const [left, top] = person.position;
    return x >= left && x <= left + width && y >= top && y <= top + height;
  });
  // Whoever arrives on a warp is not sent back at once: it works after it was left.
  if (!inside) world.isArmed = true;
  else if (world.isArmed && Date.now() >= world.warpRest) warp(inside);
}

// Every frame ----------------------------------------------------------------------------------------------------------

function minute() {
  if (stage.isRunning) return;
  stage.isRunning = true;
  stage.app.ticker.add((ticker) => {
    const ms = Math.min(ticker.deltaMS, 100);
    if (world && !world.isOver && world.walker) {
      walk(ms);
      for (const person of world.people.values()) person.walker?.advance(ms);
      stage.draw(ms, world.walker);
      if (!warping) lookForWarps();
    }
  });
}

const DIRECTIONS = {
  ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1], KeyA: [-1, 0], KeyD: [1, 0], KeyW: [0, -1],
  KeyS: [0, 1],
};

function walk(ms) {
  const me = world.walker;
  let [dx, dy] = stick ?? [0, 0];
  for (const key of keys) {
    dx += DIRECTIONS[key][0];
    dy += DIRECTIONS[key][1];
  }
  const far = Math.hypot(dx, dy);
  const reach = (SPEED * ms) / 1000;
  if (far > 0.15) {
    stop();
    const scale = (reach * Math.min(1, far)) / far;
    advance(me, dx * scale, dy * scale, ms);
  } else if (way.length) {
    const [x, y] = way[0];
    const left = Math.hypot(x - me.x, y - me.y);
    if (left <= reach) {
      me.direction = directionOf(x - me.x, y - me.y, me.direction);
      Object.assign(me, placed([x, y]), { isWalking: true });
      way.shift();
      world.moved(me.x, me.y, me.direction);
      if (!way.length) arrivedAt();
    } else {
      const before = [me.x, me.y];
      advance(me, ((x - me.x) / left) * reach, ((y - me.y) / left) * reach, ms);
      if (Math.hypot(me.x - before[0], me.y - before[1]) < reach / 4) stop();
    }
  } else me.isWalking = false;
}

function advance(me, dx, dy, ms) {
  const [x, y] = stepped(world.map, me.x, me.y, dx, dy);
  me.direction = directionOf(dx, dy, me.direction);
  me.isWalking = Math.hypot(x - me.x, y - me.y) > 0.002;
  if (!me.isWalking) return;
  Object.assign(me, placed([x, y]));
  world.moved(x, y, me.direction);
  stepSound += ms;
  if (stepSound > 260) {
    stepSound = 0;
    play("step");
  }
}

function stop() {
  way = [];
  wish = null;
  stage.point(null);
}

function goTo(place, then) {
  stop();
  way = findWay(world.map, [world.walker.x, world.walker.y], place);
  wish = then ?? null;
  if (way.length) stage.point(way[way.length - 1]);
  else arrivedAt();
}

function arrivedAt() {
  const then = wish;
  stop();
  then?.();
}

// Characters ---------------------------------------------------------------------------------------------------------

const distance = (person) => Math.hypot(person.walker.x - world.walker.x, person.walker.y - world.walker.y);
const canTalk = (person) => person.id !== world.me && Boolean(person.metadata.Interaction) && !isWarp(person);

/** Walk up to somebody and speak to them. */
function approach(person) {
  if (distance(person) <= NEAR_TILES) return talk(person);
  goTo(nearestFree(world.map, person.walker.x, person.walker.y + 1.7), () => talk(person));
}

function face(person) {
  const me = world.walker;
  me.direction = directionOf(person.walker.x - me.x, person.walker.y - me.y, me.direction);
}

async function talk(person) {
  face(person);
  play("open");
  const { Type, Target } = person.metadata.Interaction;
  const process = Target ?? person.id;
  if (Type === "Default") {
    await attempt(async () => world.node.send(player.session, process, { Action: "DefaultInteraction" }));
    return;
  }
  openForm(person, null, "One moment …");
  try {
    const offer = await offerOf(person, process, Type === "SchemaForm" ? "Schema" : "SchemaExternal");
    openForm(person, offer, null, Type === "SchemaForm" ? process : undefined);
  } catch (error) {
    console.error(error);
    openForm(person, null, error instanceof Said ? `${person.name} does not answer.` : kindly(error));
  }
}

/** What a character offers to this player. It is asked by a real message; with an extension, which would ask its user
 * for a signature first, by a dry-run. */
async function offerOf(person, process, action) {
  let answers;
  if (player.wallet.kind === "extension") answers = [await node.read(process, world.me, { Action: action })];
  else {
    const id = await node.send(player.wallet, process, { Action: action });
    const result = await node.result(process, id);
    answers = (result.Messages ?? []).filter((message) => message.Target === world.me);
  }
  const answer = answers.find((message) => message.Tags.some((tag) => tag.name === "Type" && tag.value === action));
  if (!answer) throw new Said("no schema came");
  const offers = JSON.parse(answer.Data);
  const wanted = person.metadata.Interaction.Id;
  const [id, offer] = Object.entries(offers).find(([name]) => name === wanted) ?? Object.entries(offers)[0] ?? [];
  if (!offer) throw new Said("nothing is offered");
  return { id, ...offer };
}

let form = null;

function openForm(person, offer, words, ownTarget) {
  const dialog = at("form");
  at("form-title").textContent = String(offer?.Title ?? person.name);
  at("form-words").textContent = String(offer?.Description ?? words ?? "");
  at("form-fields").replaceChildren();
  trouble("form-trouble");
  form = null;
  const canSend = Boolean(offer?.Schema) && !offer.NoSubmit;
  at("form-send").hidden = !canSend;
  at("form-close").textContent = canSend ? "Not now" : "Good day";
  at("form-price").textContent = "";
  if (canSend) {
    const constants = constantsOf(offer.Schema);
    const fields = fieldsOf(offer.Schema).map((field) => {
      const drawn = drawField(field, field.name === "X-Sender-Name" ? player.name : "");
      at("form-fields").append(drawn.element);
      return { ...field, input: drawn.input };
    });
    const target = ownTarget ?? offer.Target ?? person.id;
    form = { person, constants, fields, target };
    const price = constants.Action === "Transfer" && constants.Quantity;
    const coin = { [node.network.land.coin]: "LLAMA", [node.network.token]: "wAR" }[target];
    if (price) at("form-price").textContent = `This costs ${amount(price)} ${coin ?? `units of ${target}`}.`;
    at("form-send").textContent = price ? `Pay ${amount(price)} ${coin ?? ""} and send` : "Yes, please";
  }
  if (!dialog.open) dialog.showModal();
  (at("form-fields").querySelector("input,textarea,select") ?? (canSend ? at("form-send") : at("form-close"))).focus();
}

async function submitForm(event) {
  event.preventDefault();
  if (!form) return;
  const { person, constants, fields, target } = form;
  const send = at("form-send");
  trouble("form-trouble");
  try {
    const tags = { ...constants };
    for (const field of fields) {
      const text = field.input.value.trim();
      if (text || field.isRequired) tags[field.name] = tagValue(field, text);
    }
    send.disabled = true;
    const id = await node.send(player.wallet, target, tags);
    const result = await node.result(target, id);
    const fault = result.Error ?? (result.Messages ?? []).filter((message) => message.Target === world.me)
      .map((message) => tagOf(message, "Error")).find(Boolean);
    if (fault) throw new Said(refusalWords(String(fault)));
    at("form").close();
    play("coin");
    tell(`Sent to ${person.name}.`);
    readBalances();
  } catch (error) {
    console.warn(error);
    play("no");
    trouble("form-trouble", kindly(error));
  } finally {
    send.disabled = false;
  }
}

const refusalWords = (fault) => (/insufficient/i.test(fault)
  ? "You have too few coins for this. The Giver near the market has a first gift for you."
  : fault);

async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    console.warn(error);
    hint(kindly(error));
  }
}

// Coins --------------------------------------------------------------------------------------------------------------

/** Units of a coin as people write them, with at most four decimals. */
function amount(units) {
  const text = String(units).padStart(DECIMALS + 1, "0");
  const part = text.slice(-DECIMALS).slice(0, 4).replace(/0+$/, "");
  const main = text.slice(0, -DECIMALS).replace(/\B(?=(\d{3})+$)/g, " ");
  return part ? `${main}.${part}` : main;
}

let readingBalances = false;
async function readBalances() {
  if (readingBalances || !world) return;
  readingBalances = true;
  try {
    for (const [id, process] of [["llama", node.network.land.coin], ["war", node.network.token]]) {
      if (!process) continue;
      const answer = await node.read(process, world.me, { Action: "Balance", Recipient: world.me });
      const units = tagOf(answer, "Balance") ?? answer.Data;
      if (!/^\d+$/.test(units)) continue;
      if (id === "llama" && balances.llama !== undefined && BigInt(units) > BigInt(balances.llama)) {
        play("coin");
        wrote({ words: `You received ${amount(BigInt(units) - BigInt(balances.llama))} LLAMA.`, kind: "system" });
      }
      balances[id] = units;
      at(id).textContent = amount(units);
    }
  } catch (error) {
    if (!(error instanceof Away)) console.warn(error);
  } finally {
    readingBalances = false;
  }
}

// People and chat ---------------------------------------------------------------------------------------------------

function peopleChanged() {
  if (!world) return;
  const people = [...world.people.values()].filter((person) => person.kind !== "Hidden" && !isWarp(person) && person.id !== world.me);
  const players = people.filter((person) => !isCast(person));
  at("online").textContent = players.length ? `you and ${players.length} more` : "nobody else here yet";
  if (!at("people").open) return;
  const row = (person) => {
    const item = document.createElement("li");
    const name = document.createElement("span");
    name.textContent = person.name;
    item.append(name);
    if (canTalk(person)) {
      const button = Object.assign(document.createElement("button"), { type: "button", textContent: "Walk there and talk" });
      button.setAttribute("aria-label", `Walk to ${person.name} and talk`);
      button.onclick = () => {
        at("people").close();
        at("stage").focus();
        approach(person);
      };
      item.append(button);
    }
    return item;
  };
  at("cast").replaceChildren(...people.filter(isCast).map(row));
  const me = document.createElement("li");
  me.textContent = `${player.name} (you)`;
  at("players").replaceChildren(me, ...players.map(row));
}

function wrote({ author, words, kind = "", isPrivate = false, isMine = false }) {
  const lines = at("lines");
  const wasAtEnd = lines.scrollTop + lines.clientHeight > lines.scrollHeight - 30;
  const line = document.createElement("p");
  line.className = [kind, isPrivate && "private", isMine && "mine from-me"].filter(Boolean).join(" ");
  if (author) {
    const name = document.createElement("b");
    name.textContent = author;
    line.append(name, ": ");
  }
  line.append(words);
  lines.append(line);
  while (lines.childElementCount > 150) lines.firstElementChild.remove();
  if (wasAtEnd) lines.scrollTop = lines.scrollHeight;
}

function showLine(line) {
  const isMine = line.AuthorId === world.me;
  const kind = cast.has(line.AuthorId) ? "cast" : "";
  wrote({ author: line.AuthorName, words: line.Content, kind, isPrivate: Boolean(line.Recipient), isMine });
}

function say(event) {
  event.preventDefault();
  const text = at("line").value.trim();
  if (!text || !world) return;
  if (new TextEncoder().encode(text).length > 1000) return hint("That is too long to be said at once.");
  at("line").value = "";
  world.say(text);
}

// Hands ----------------------------------------------------------------------------------------------------------------

const isTyping = () => /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement?.tagName ?? "");
const dialogIsOpen = () => Boolean(document.querySelector("dialog[open]"));

function keyDown(event) {
  if (!world && event.key === "Escape") event.preventDefault(); // there is nothing behind the welcome yet
  if (!world || dialogIsOpen() || event.ctrlKey || event.metaKey || event.altKey) return;
  if (isTyping()) {
    if (event.key === "Escape") at("stage").focus();
    return;
  }
  const focused = document.activeElement;
  const isOnStage = focused === document.body || focused === at("stage");
  if (DIRECTIONS[event.code] && (isOnStage || event.code.startsWith("Key"))) {
    keys.add(event.code);
    event.preventDefault();
  } else if (event.code === "KeyE" || (event.code === "Space" && isOnStage)) {
    event.preventDefault();
    const [nearest] = [...world.people.values()].filter(canTalk).sort((a, b) => distance(a) - distance(b));
    if (nearest && distance(nearest) <= NEAR_TILES) talk(nearest);
    else hint(nearest ? `Nobody to talk to is near. ${nearest.name} is the nearest; press P to walk there.` : "Nobody to talk to is here.");
  } else if (event.key === "Enter" && isOnStage) {
    event.preventDefault();
    at("line").focus();
  } else if (event.code === "KeyP") openPeople();
  else if (event.code === "KeyM") toggleSound();
}

function openPeople() {
  at("people").showModal();
  peopleChanged();
}

function toggleSound() {
  turnSound(!soundIsOn());
  at("sound-button").setAttribute("aria-pressed", String(soundIsOn()));
  at("sound-button").textContent = soundIsOn() ? "Sound on" : "Sound off";
}

function tapped(event) {
  if (!world || event.button > 0) return;
  at("stage").focus({ preventScroll: true });
  const person = stage.actorAt(event.clientX, event.clientY, canTalk);
  if (person) return approach(person);
  goTo(stage.placeAt(event.clientX, event.clientY));
}

function handleStick() {
  const pad = at("stick"), knob = pad.firstElementChild;
  const moved = (event) => {
    const box = pad.getBoundingClientRect();
    const radius = box.width / 2;
    let dx = (event.clientX - box.left - radius) / radius, dy = (event.clientY - box.top - radius) / radius;
    const far = Math.hypot(dx, dy);
    if (far > 1) (dx /= far), (dy /= far);
    stick = [dx, dy];
    knob.style.transform = `translate(${dx * 30}px, ${dy * 30}px)`;
  };
  const released = () => {
    stick = null;
    knob.style.transform = "";
  };
  pad.addEventListener("pointerdown", (event) => (pad.setPointerCapture(event.pointerId), moved(event)));
  pad.addEventListener("pointermove", (event) => stick && moved(event));
  for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) pad.addEventListener(end, released);
}

// The wallet's window -------------------------------------------------------------------------------------------------

function openWallet() {
  const { wallet } = player ?? {};
  if (!wallet) return;
  const isOwn = wallet.kind !== "extension";
  at("wallet-words").textContent = isOwn
    ? "This browser keeps your key. Save it as a file before you clear the browser's data, or your coins are lost with it."
    : "You play with your wallet extension. It is asked for payments; walking and chatting are signed by a key of this page.";
  at("wallet-address").textContent = wallet.address;
  at("wallet-explorer").href = `/#/wallet/${wallet.address}`;
  at("wallet-export").hidden = !isOwn;
  trouble("wallet-trouble");
  at("wallet").showModal();
}

function saveKey() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([exported(player.wallet)], { type: "application/json" }));
  link.download = `llama-land-${player.wallet.address.slice(0, 8)}.json`;
  link.click();
  URL.revokeObjectURL(link.href);
}

async function useKey(event) {
  try {
    const [file] = event.target.files;
    if (!file) return;
    await importWallet(await file.text());
    location.reload();
  } catch (error) {
    trouble("wallet-trouble", kindly(error));
  } finally {
    event.target.value = "";
  }
}

function wire() {
  addEventListener("keydown", keyDown);
  addEventListener("keyup", (event) => keys.delete(event.code));
  addEventListener("blur", () => keys.clear());
  addEventListener("focusin", () => isTyping() && keys.clear());
  addEventListener("pagehide", () => world?.leave(true));
  at("stage").addEventListener("pointerdown", tapped);
  at("say").addEventListener("submit", say);
  at("people-button").onclick = openPeople;
  at("wallet-button").onclick = openWallet;
  at("sound-button").onclick = toggleSound;
  at("chat-fold").onclick = () => {
    const isFolded = at("chat").classList.toggle("folded");
    at("chat-fold").setAttribute("aria-expanded", String(!isFolded));
  };
  at("form").querySelector("form").addEventListener("submit", submitForm);
  at("form-close").onclick = () => at("form").close();
  for (const dialog of document.querySelectorAll("dialog")) {
    dialog.addEventListener("close", () => at("stage").focus());
    dialog.querySelector("[data-close]")?.addEventListener("click", () => dialog.close());
  }
  at("wallet-copy").onclick = () => navigator.clipboard?.writeText(player.wallet.address);
  at("wallet-export").onclick = saveKey;
  at("wallet-import").addEventListener("change", useKey);
  handleStick();
  setInterval(() => document.visibilityState === "visible" && readBalances(), BALANCE_MS);
}

/** Behind the welcome the town lies in the sun: the map alone, nobody in it yet. */
async function backdrop() {
  const reply = await fetch(`${ART}/town.tmj`);
  const map = readMap(await reply.json());
  await stage.show(map, `${ART}/tiles.png`);
  const eye = new Walker("", 20, 13);
  stage.draw(0, eye);
}

async function main() {
  wire();
  stage = new Stage(at("stage"), isCalm);
  await stage.open();
  stage.covered = at("chat");
  await stage.dress(`${ART}/llamas.json`, `${ART}/llamas.png`);
  await backdrop();
  await welcome();
  await open();
}

// For tests and the curious: what the game knows.
globalThis.land = {
  get world() { return world; },
  get stage() { return stage; },
  get player() { return player; },
};

await main();
