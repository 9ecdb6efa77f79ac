// Draws the world with pixi.js: the map in two pictures, before and behind everybody, and the llamas between them.
// Names and bubbles are elements of the page over the canvas: sharp, selectable by screen readers, and always text.
import * as PIXI from "/web/vendor/pixi.js";
import "/web/vendor/pixi-no-eval.js";

const SMALL_PX = 560; // a screen less wide or high than this is a phone's
const BLINK_EVERY_MS = 3700;
const BLINK_MS = 150;
const BUBBLE_MS_MIN = 4000;
const BUBBLE_MS_PER_LETTER = 70;
const BUBBLE_LETTERS_MAX = 220;
const LOOK_FACES = ["king", "joker", "oracle", "banker", "citizenship", "giver"];

async function imageOf(url) {
  const image = new Image();
  image.src = url;
  await image.decode();
  return image;
}

/** How to draw: where WebGL is only imitated by the processor, a plain canvas is several times faster. */
function paints() {
  const gl = document.createElement("canvas").getContext("webgl2");
  const names = gl?.getExtension("WEBGL_debug_renderer_info");
  const renderer = names ? String(gl.getParameter(names.UNMASKED_RENDERER_WEBGL)) : "";
  gl?.getExtension("WEBGL_lose_context")?.loseContext();
  return !gl || /swiftshader|llvmpipe|software|basic render/i.test(renderer) ? ["canvas", "webgl"] : ["webgl", "canvas"];
}

/** What an animal looks like: the row of the sheet for somebody's metadata. */
export function lookOf(person, cast) {
  const role = cast?.get(person.id) ?? person.metadata.Sprite;
  if (LOOK_FACES.includes(role)) return role;
  const skin = Number(person.metadata.SkinNumber);
  return `skin${Number.isInteger(skin) && skin >= 0 && skin <= 9 ? skin : 0}`;
}

export class Stage {
  /** `place` is the element to draw in; `isCalm` says that little should move by itself. */
  constructor(place, isCalm) {
    Object.assign(this, { place, isCalm, actors: new Map(), frame: 0, clock: 0 });
    this.camera = { x: 0, y: 0 };
  }

  async open() {
    this.app = new PIXI.Application();
    await this.app.init({
      background: "#23403d", resizeTo: this.place, antialias: false, autoDensity: true,
      resolution: window.devicePixelRatio || 1, preference: paints(), roundPixels: true,
    });
    this.place.prepend(this.app.canvas);
    this.app.canvas.setAttribute("aria-hidden", "true");
    this.labels = document.createElement("div");
    this.labels.className = "labels";
    this.place.append(this.labels);
    this.root = new PIXI.Container();
    this.app.stage.addChild(this.root);
  }

  /** Load the pictures of the llamas: the atlas as JSON and the sheet. */
  async dress(atlasUrl, sheetUrl) {
    const [reply, image] = await Promise.all([fetch(atlasUrl), imageOf(sheetUrl)]);
    this.atlas = await reply.json();
    this.sheetUrl = sheetUrl;
    const source = PIXI.Texture.from(image).source;
    source.scaleMode = "nearest";
    const { w, h } = this.atlas.frame;
    this.looks = new Map(Object.entries(this.atlas.rows).map(([name, row]) => [
      name,
      Array.from({ length: 18 }, (_, column) => new PIXI.Texture({ source, frame: new PIXI.Rectangle(column * w, row * h, w, h) })),
    ]));
  }

  /** Show a map: everything of the one before is gone. */
  async show(map, tilesUrl) {
    this.clear();
    this.map = map;
    const tiles = await imageOf(tilesUrl);
    const phases = map.moving.size && !this.isCalm ? Math.max(...[...map.moving.values()].map((frames) => frames.length)) : 1;
    this.phases = Array.from({ length: phases }, (_, phase) => this.painted(tiles, false, phase));
    this.phase_ms = [...map.moving.values()][0]?.[0].ms ?? 1000;
    this.ground = new PIXI.Sprite(this.phases[0]);
    this.front = new PIXI.Sprite(this.painted(tiles, true, 0));
    this.middle = new PIXI.Container();
    this.middle.sortableChildren = true;
    this.mark = new PIXI.Graphics().circle(0, 0, 4).stroke({ color: 0xfffaf0, width: 1 }).circle(0, 0, 1.5).fill(0xfffaf0);
    this.mark.visible = false;
    this.root.addChild(this.ground, this.mark, this.middle, this.front);
  }

  painted(tiles, isFront, phase) {
    const { map } = this;
    const canvas = document.createElement("canvas");
    canvas.width = map.width * map.tile;
    canvas.height = map.height * map.tile;
    const draw = canvas.getContext("2d");
    for (const layer of map.layers.filter((each) => each.front === isFront))
      layer.data.forEach((number, at) => {
        if (!number) return;
        const frames = map.moving.get(number);
        const index = (frames ? frames[phase % frames.length].tile : number) - map.first;
        draw.drawImage(
          tiles, (index % map.columns) * map.tile, Math.floor(index / map.columns) * map.tile, map.tile, map.tile,
          (at % map.width) * map.tile, Math.floor(at / map.width) * map.tile, map.tile, map.tile,
        );
      });
    const texture = PIXI.Texture.from(canvas);
    texture.source.scaleMode = "nearest";
    return texture;
  }

  clear() {
    for (const actor of [...this.actors.values()]) this.remove(actor.id);
    this.root.removeChildren().forEach((child) => child.destroy({ children: true }));
    for (const texture of this.phases ?? []) texture.destroy(true);
    this.phases = [];
  }

  // Actors -----------------------------------------------------------------------------------------------------------

  add(person, walker, { look, isMine = false, isCast = false }) {
    this.remove(person.id);
    const body = new PIXI.Container();
    const shadow = new PIXI.Graphics().ellipse(0, 0, 7, 2.6).fill({ color: 0x1b253d, alpha: 0.35 });
    const { x, y } = this.atlas.foot;
    const sprite = new PIXI.Sprite();
    sprite.anchor.set((x + 0.5) / this.atlas.frame.w, (y + 1) / this.atlas.frame.h);
    body.addChild(shadow, sprite);
    this.middle.addChild(body);
    const label = document.createElement("div");
    label.className = `label${isMine ? " mine" : ""}${isCast ? " cast" : ""}`;
    const bubble = document.createElement("div");
    bubble.className = "bubble";
    bubble.hidden = true;
    const name = document.createElement("div");
    name.className = "name";
    name.textContent = person.name;
    label.append(bubble, name);
    this.labels.append(label);
    const actor = { id: person.id, person, walker, body, sprite, label, bubble, name, look, step: 0, seed: hash(person.id) };
    this.actors.set(person.id, actor);
    return actor;
  }

  remove(id) {
    const actor = this.actors.get(id);
    if (!actor) return;
    actor.body.destroy({ children: true });
    actor.label.remove();
    clearTimeout(actor.bubbleTimer);
    this.actors.delete(id);
  }

  rename(person, look) {
    const actor = this.actors.get(person.id);
    if (!actor) return;
    actor.name.textContent = person.name;
    actor.look = look;
  }

  /** Show words over somebody's head. While `isOpen` they stay: more is coming. */
  say(id, text, { isOpen = false, isPrivate = false } = {}) {
    const actor = this.actors.get(id);
    if (!actor) return;
    const shown = text.length > BUBBLE_LETTERS_MAX ? `${text.slice(0, BUBBLE_LETTERS_MAX)}…` : text;
    actor.bubble.textContent = shown;
    actor.bubble.hidden = !shown;
    actor.bubble.classList.toggle("open", isOpen);
    actor.bubble.classList.toggle("private", isPrivate);
    clearTimeout(actor.bubbleTimer);
    const last = isOpen ? 60000 : BUBBLE_MS_MIN + BUBBLE_MS_PER_LETTER * shown.length;
    actor.bubbleTimer = setTimeout(() => (actor.bubble.hidden = true), last);
  }

  /** Show where one is going; nothing hides the mark. */
  point(place) {
    this.mark.visible = Boolean(place);
    if (place) this.mark.position.set(place[0] * this.map.tile, place[1] * this.map.tile);
  }

  // Every frame --------------------------------------------------------------------------------------------------------

  /** How many pixels of the page one pixel of the art takes: a whole number of the screen's own pixels. */
  zoom() {
    const { clientWidth, clientHeight } = this.place;
    const ratio = window.devicePixelRatio || 1;
    const least = Math.min(clientWidth, clientHeight);
    const wanted = least < SMALL_PX ? 2 : least > 1300 ? 4 : 3;
    return Math.max(1, Math.round(wanted * ratio)) / ratio;
  }

  /** Draw the next moment. `mine` is who the camera follows. */
  draw(ms, mine) {
    if (!this.map) return;
    this.clock += ms;
    const zoom = this.zoom();
    const { clientWidth: width, clientHeight: height } = this.place;
    this.root.scale.set(zoom);
    this.ground.texture = this.phases[Math.floor(this.clock / this.phase_ms) % this.phases.length];
    if (mine) {
      // What the chat covers of a small screen does not count: nobody is to stand below it.
      const covered = width < SMALL_PX ? this.covered?.offsetHeight ?? 0 : 0;
      const aim = this.aim(mine, width / zoom, (height - covered) / zoom);
      const near = this.isCalm || !this.hasAimed ? 1 : 1 - Math.exp(-ms / 130);
      this.camera.x += (aim.x - this.camera.x) * near;
      this.camera.y += (aim.y - this.camera.y) * near;
      this.hasAimed = true;
    }
    const ratio = window.devicePixelRatio || 1;
    const left = Math.round(-this.camera.x * zoom * ratio) / ratio, top = Math.round(-this.camera.y * zoom * ratio) / ratio;
    this.root.position.set(left, top);
    for (const actor of this.actors.values()) this.drawActor(actor, ms, zoom, left, top, width, height);
  }

  jump() {
    this.hasAimed = false;
  }

  aim(mine, width, height) {
    const { map } = this;
    const within = (value, size, whole) => (size >= whole ? (whole - size) / 2 : Math.max(0, Math.min(whole - size, value)));
    return {
      x: within(mine.x * map.tile - width / 2, width, map.width * map.tile),
      y: within((mine.y - 0.8) * map.tile - height / 2, height, map.height * map.tile),
    };
  }

  drawActor(actor, ms, zoom, left, top, width, height) {
    const { walker, sprite, body, label } = actor;
    const x = Math.round(walker.x * this.map.tile * zoom) / zoom, y = Math.round(walker.y * this.map.tile * zoom) / zoom;
    body.position.set(x, y);
    body.zIndex = y;
    sprite.texture = this.frameOf(actor, ms);
    sprite.scale.x = walker.direction === "left" ? -1 : 1;
    const pageX = left + x * zoom, pageY = top + (y - this.atlas.frame.h) * zoom;
    const isSeen = pageX > -80 && pageX < width + 80 && pageY > -40 && pageY < height + 120;
    label.hidden = !isSeen;
    if (!isSeen) return;
    label.style.transform = `translate(${Math.round(pageX)}px, ${Math.round(pageY)}px) translate(-50%, -100%)`;
    label.style.zIndex = String(Math.round(y));
    // A bubble near the screen's side is moved in; its tail stays over the head.
    if (!actor.bubble.hidden) {
      const half = actor.bubble.offsetWidth / 2 + 6;
      const shift = pageX < half ? half - pageX : pageX > width - half ? width - half - pageX : 0;
      actor.bubble.style.translate = `${Math.round(shift)}px 0`;
    }
  }

  frameOf(actor, ms) {
    const frames = this.looks.get(actor.look) ?? this.looks.get("skin0");
    const { direction, isWalking } = actor.walker;
    const facing = direction === "left" ? "right" : direction;
    if (isWalking) {
      actor.step += ms;
      return frames[this.atlas.walk[facing][Math.floor(actor.step / this.atlas.step_ms) % 4]];
    }
    actor.step = this.atlas.step_ms; // the first step after standing shows a lifted leg
    const closed = !this.isCalm && (this.clock + actor.seed) % BLINK_EVERY_MS < BLINK_MS;
    if (closed && this.atlas.blink[facing] !== undefined) return frames[this.atlas.blink[facing]];
    return frames[this.atlas.walk[facing][0]];
  }

  /** The place on the map under a point of the page, in tiles. */
  placeAt(pageX, pageY) {
    const zoom = this.zoom() * this.map.tile;
    const box = this.place.getBoundingClientRect();
    return [(pageX - box.left - this.root.x) / zoom, (pageY - box.top - this.root.y) / zoom];
  }

  /** Who stands under a point of the page; of several the foremost. */
  actorAt(pageX, pageY, among) {
    const [x, y] = this.placeAt(pageX, pageY);
    const near = [...this.actors.values()].filter(({ walker, person }) =>
      among(person) && Math.abs(walker.x - x) < 0.75 && y < walker.y + 0.25 && y > walker.y - 1.75);
    return near.sort((a, b) => b.walker.y - a.walker.y)[0]?.person;
  }
}

function hash(text) {
  let value = 7;
  for (const letter of text) value = (value * 31 + letter.charCodeAt(0)) % 100003;
  return value;
}
