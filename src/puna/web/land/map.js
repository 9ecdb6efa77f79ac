// A map of Tiled: where one can walk, and how to get from here to there. No drawing here.

/** A map as JSON of Tiled, made ready: layers of numbers, which tiles move, and a grid of what stands in the way. */
export function readMap(told) {
  const set = told.tilesets[0];
  const solid = new Set();
  const moving = new Map();
  for (const tile of set.tiles ?? []) {
    const number = tile.id + set.firstgid;
    if (tile.properties?.some((property) => property.name === "collides" && property.value)) solid.add(number);
    if (tile.animation) moving.set(number, tile.animation.map((frame) => ({ tile: frame.tileid + set.firstgid, ms: frame.duration })));
  }
  const layers = told.layers.filter((layer) => layer.type === "tilelayer")
    .map((layer) => ({ name: layer.name, front: layer.name.startsWith("FG_"), data: layer.data }));
  const { width, height } = told;
  const blocked = new Uint8Array(width * height);
  for (const layer of layers) layer.data.forEach((number, at) => solid.has(number) && (blocked[at] = 1));
  const places = told.layers.flatMap((layer) => layer.objects ?? []);
  return { width, height, tile: told.tilewidth, columns: set.columns, first: set.firstgid, layers, moving, blocked, places };
}

/** Whether one may stand at (x, y), in tiles; a little room is kept to the sides. */
export function isFree(map, x, y, room = 0.28) {
  if (x < 0.1 || y < 0.2 || x > map.width - 0.1 || y > map.height - 0.05) return false;
  for (const [dx, dy] of [[-room, 0], [room, 0], [-room, -0.25], [room, -0.25]]) {
    const column = Math.floor(x + dx), row = Math.floor(y + dy);
    if (column < 0 || row < 0 || column >= map.width || row >= map.height) continue;
    if (map.blocked[row * map.width + column]) return false;
  }
  return true;
}

/** One step from (x, y) by (dx, dy); along a wall what is left of it. Returns [x, y]. */
export function stepped(map, x, y, dx, dy) {
  if (isFree(map, x + dx, y + dy)) return [x + dx, y + dy];
  if (dx && isFree(map, x + dx, y)) return [x + dx, y];
  if (dy && isFree(map, x, y + dy)) return [x, y + dy];
  // Who stands where no one can stand, for a map may have changed, may walk out.
  return isFree(map, x, y) ? [x, y] : [x + dx, y + dy];
}

/** The nearest free place to (x, y). */
export function nearestFree(map, x, y) {
  if (isFree(map, x, y)) return [x, y];
  for (let far = 0.5; far < 12; far += 0.5)
    for (let turn = 0; turn < 16; turn++) {
      const at = [x + far * Math.cos((turn * Math.PI) / 8), y + far * Math.sin((turn * Math.PI) / 8)];
      if (isFree(map, ...at)) return at;
    }
  return [x, y];
}

/**
 * The way from one place to another over free tiles, as points to walk to one after the other; the nearest that can
 * be reached when there is none. A* over tiles with eight neighbours.
 */
export function findWay(map, from, to) {
  const { width, height } = map;
  const column = (value) => Math.max(0, Math.min(width - 1, Math.floor(value)));
  const row = (value) => Math.max(0, Math.min(height - 1, Math.floor(value)));
  const open = (x, y) => x >= 0 && y >= 0 && x < width && y < height && isFree(map, x + 0.5, y + 0.7);
  const start = row(from[1]) * width + column(from[0]);
  const goal = [column(to[0]), row(to[1])];
  const rest = (node) => {
    const dx = Math.abs((node % width) - goal[0]), dy = Math.abs(Math.floor(node / width) - goal[1]);
    return Math.max(dx, dy) + 0.41 * Math.min(dx, dy);
  };
  const cost = new Map([[start, 0]]), before = new Map(), done = new Set();
  const heap = [[rest(start), start]];
  let best = start;
  while (heap.length) {
    const node = pop(heap);
    if (done.has(node)) continue;
    done.add(node);
    if (rest(node) < rest(best)) best = node;
    if (rest(node) === 0) break;
    const x = node % width, y = Math.floor(node / width);
    for (let dy = -1; dy <= 1; dy++)
      for (let dx = -1; dx <= 1; dx++) {
        if ((!dx && !dy) || !open(x + dx, y + dy)) continue;
        if (dx && dy && !(open(x + dx, y) && open(x, y + dy))) continue;
        const next = (y + dy) * width + x + dx;
        const through = cost.get(node) + (dx && dy ? 1.41 : 1);
        if (through < (cost.get(next) ?? Infinity)) {
          cost.set(next, through);
          before.set(next, node);
          push(heap, [through + rest(next), next]);
        }
      }
  }
  const way = [];
  for (let node = best; node !== start; node = before.get(node)) way.unshift([(node % width) + 0.5, Math.floor(node / width) + 0.7]);
  if (best % width === goal[0] && Math.floor(best / width) === goal[1] && isFree(map, ...to)) way[way.length ? way.length - 1 : 0] = to;
  return way;
}

function push(heap, entry) {
  heap.push(entry);
  for (let at = heap.length - 1; at > 0;) {
    const up = (at - 1) >> 1;
    if (heap[up][0] <= heap[at][0]) break;
    [heap[up], heap[at]] = [heap[at], heap[up]];
    at = up;
  }
}

function pop(heap) {
  const [, node] = heap[0];
  const last = heap.pop();
  if (heap.length) {
    heap[0] = last;
    for (let at = 0; ;) {
      let low = at;
      for (const child of [2 * at + 1, 2 * at + 2]) if (child < heap.length && heap[child][0] < heap[low][0]) low = child;
      if (low === at) break;
      [heap[low], heap[at]] = [heap[at], heap[low]];
      at = low;
    }
  }
  return node;
}
