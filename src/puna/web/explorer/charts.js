// Charts by uPlot, which is fetched when the first chart is shown. Without it a page says what is missing.
import { fill, h } from "./dom.js";

let loading = null;
function load() {
  loading ??= (async () => {
    document.head.append(h("link", { rel: "stylesheet", href: "/web/vendor/uplot.css" }));
    return (await import("/web/vendor/uplot.js")).default;
  })();
  return loading;
}

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// A line or bars over x. `points` [[x, y], ...] ascending in x; `time`: x is milliseconds.
export function chart({ title, points, unit, time = false, bars = false }) {
  const place = h("div.chart", { role: "img", ariaLabel: `${title}: ${points.length} points` });
  const figure = h("figure.card", h("h2", title), place);
  if (points.length < 2) {
    fill(place, h("p.empty", "Too little has happened for a chart yet."));
    return figure;
  }
  load().then((uPlot) => {
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui" };
    const options = {
      width: Math.max(place.clientWidth, 240), height: 200, cursor: { y: false },
      scales: { x: { time }, y: { range: (_, low, high) => [Math.min(0, low), high > 0 ? high * 1.08 : 1] } },
      axes: [axis, { ...axis, size: 62, values: (_, marks) => marks.map(compact) }],
      series: [{}, { label: unit, stroke: colour("--accent"), width: 2, fill: colour("--accent") + "22",
        paths: bars ? uPlot.paths.bars({ size: [0.7, 40] }) : undefined, points: { show: points.length < 40 } }],
    };
    fill(place);
    const plot = new uPlot(options, [points.map(([x]) => (time ? x / 1000 : x)), points.map(([, y]) => y)], place);
    new ResizeObserver(() => place.clientWidth && plot.setSize({ width: place.clientWidth, height: 200 })).observe(place);
  }, () => fill(place, h("p.empty", "Charts are missing in this build: it was made without a network. Connect to one and build Puna again.")));
  return figure;
}

function compact(value) {
  if (value === null) return "";
  for (const [unit, scale] of [["G", 1e9], ["M", 1e6], ["k", 1e3]]) if (Math.abs(value) >= scale) return `${+(value / scale).toFixed(1)}${unit}`;
  return String(+value.toFixed(2));
}
