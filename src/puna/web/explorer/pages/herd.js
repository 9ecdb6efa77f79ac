// The herd: prices, queue, workers, speed and earnings.
import { fill, h, put } from "../dom.js";
import { answerOf, answers, coins, dryRun, network } from "../node.js";
import { listen } from "../live.js";
import { chart } from "../charts.js";
import { clock, failure, idLink, number } from "../show.js";

const WAR_DECIMALS = 12;

export async function page(place) {
  const told = await network();
  const stats = h("dl.stats"), workers = h("div"), queue = h("div"), ledger = h("div"), charts = h("div.columns"), list = h("div");
  put(place, h("h1", "The herd ", idLink("process", told.herder)), stats, charts,
    h("div.columns", h("div", h("section.card", h("h2", "Workers"), workers), h("section.card", h("h2", "Queue"), queue), h("section.card", h("h2", "Its accounts"), ledger)),
      h("div", h("section.card", h("h2", "Newest answers"), list))));
  const queued = []; // since this page was opened
  let drawn = "";

  async function look() {
    const [about, waiting, done] = await Promise.all([
      dryRun(told.herder, { Action: "Info" }), dryRun(told.herder, { Action: "Queue" }), answers(),
    ]);
    const price = answerOf(about, "Info-Response")?.tags ?? {};
    const state = answerOf(waiting, "Queue-Response") ?? { tags: {}, data: "{}" };
    fill(stats, Object.entries({
      "Workers free": `${price["Workers-Idle"] ?? "–"} of ${price["Workers-In-Service"] ?? "–"}`,
      Queue: `${price["Queue-Length"] ?? "–"}`, "Running now": state.tags.Running ?? "–",
      "For each question": `${price["Base-Fee"] ?? "–"} winston`, "For each token": `${price["Token-Fee"] ?? "–"} winston`,
      Multiplier: price["Last-Multiplier"] ?? "–", ...(price.Paused ? { "The herd": "is paused" } : {}),
    }).map(([name, value]) => h("div", h("dt", name), h("dd", value))));
    queued.push([Date.now(), Number(price["Queue-Length"] ?? 0)]);
    const said = JSON.parse(state.data || "{}");
    fill(workers, workersView(listed(said.workers), done));
    fill(queue, queueView(listed(said.queue)));
    fill(ledger, ledgerView(state.tags));
    fill(list, answersView(done));
    const now = `${done.length} ${done.at(-1)?.job} ${queued.length > 2 ? queued.length >> 2 : queued.length}`;
    if (now !== drawn) fill(charts, chartsOf(done, queued));
    drawn = now;
  }

  try {
    await look();
  } catch (error) {
    put(place, failure(error));
  }
  let waiting = 0;
  const stop = listen((event) => {
    if (event.process !== told.herder || event.kind !== "evaluated" || waiting) return;
    waiting = setTimeout(() => {
      waiting = 0;
      look().catch(() => {});
    }, 200);
  });
  const timer = setInterval(() => document.hidden || look().catch(() => {}), 5000);
  return () => {
    stop();
    clearTimeout(waiting);
    clearInterval(timer);
  };
}

// Lua writes an empty list as an empty object.
const listed = (value) => (Array.isArray(value) ? value : []);

function chartsOf(done, queued) {
  let earned = 0;
  const timed = done.filter((each) => each.time);
  const earnings = timed.map((each) => [each.time, (earned += Number(each.fee))]);
  const speeds = timed.filter((each) => each.tokens && each.duration).map((each) => [each.time, each.tokens / (each.duration / 1000)]);
  return [
    h("div", chart({ title: "Tokens per second", points: ascending(speeds), unit: "tokens/s", time: true })),
    h("div", chart({ title: "Earned, winston", points: ascending(earnings), unit: "winston", time: true })),
    h("div", chart({ title: "Queue since you opened this page", points: ascending(queued), unit: "waiting", time: true })),
    h("div", chart({ title: "Tokens of each answer", points: ascending(timed.filter((each) => each.tokens).map((each) => [each.time, each.tokens])), unit: "tokens", time: true, bars: timed.length < 60 })),
  ];
}

// A chart's x must rise: two answers of one millisecond are moved apart by one.
function ascending(points) {
  let last = -Infinity;
  return points.map(([x, y]) => [(last = Math.max(x, last + 1)), y]);
}

function workersView(list, done) {
  if (!list.length) return h("p.empty", "The herd has no workers.");
  return h("div.scroll", h("table", { id: "workers" },
    h("thead", h("tr", ["Worker", "State", "Model", "Answers", "Tokens/s", "Earned"].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", list.map((worker) => {
      const mine = done.filter((each) => each.worker === worker.id && each.tokens && each.duration);
      // Answers in one message were made at the same time.
      const durations = new Map(mine.map((each) => [each.message, each.duration]));
      const speed = mine.reduce((sum, each) => sum + each.tokens, 0) / ([...durations.values()].reduce((sum, each) => sum + each, 0) / 1000);
      const state = String(worker.state ?? "");
      const lease = worker.job && [" ", h("span.soft.small", `${worker.job}${worker.jobs > 1 ? ` and ${worker.jobs - 1} more` : ""}${worker.tokens ? `, ${worker.tokens} tokens` : ""}${worker.due ? `, until ${clock(Number(worker.due))}` : ""}`)];
      return h("tr", h("td", idLink("process", String(worker.id))),
        h("td", h(state === "idle" ? "span.badge.good" : state === "busy" ? "span.badge" : "span.badge.bad", state), lease, worker.failures > 0 && ` ${worker.failures} failed`),
        h("td", String(worker.name ?? "")), h("td.number", String(worker.answered ?? mine.length)), h("td.number", mine.length ? speed.toFixed(1) : "–"),
        h("td.number", h("span.coin", worker.earned === undefined ? "–" : number(worker.earned))));
    }))));
}

// What waits, in the order in which it will run. The herder shows the first of a long queue.
function queueView(list) {
  if (!list.length) return h("p.empty", "Nobody waits.");
  return h("div.scroll", h("table", { id: "queue" },
    h("thead", h("tr", ["Job", "Tokens", "Paid", "Since"].map((name) => h("th", { scope: "col" }, name)))),
    h("tbody", list.map((job) => h("tr", h("td", String(job.job), job.tries > 0 && h("span.soft", ` tried ${job.tries} times`)), h("td.number", String(job.tokens)),
      h("td.number", h("span.coin", `${number(job.paid)} winston`)), h("td.tight", clock(Number(job.at))))))));
}

function ledgerView(tags) {
  const named = { Credits: "Paid in", Earned: "Earned", Held: "Held for questions under way", Refunded: "Given back", Withdrawn: "Withdrawn" };
  return h("table", h("tbody", Object.entries(named).filter(([name]) => /^\d+$/.test(tags[name] ?? "")).map(([name, words]) =>
    h("tr", h("td", words), h("td.number", h("span.coin", `${number(tags[name])} winston`)), h("td.number.soft", `${coins(tags[name], WAR_DECIMALS)} wAR`)))));
}

function answersView(done) {
  if (!done.length) return h("p.empty", "Nobody has asked anything yet.");
  return h("ul.feed", done.slice(-25).reverse().map((each) => h("li", h("span.when", clock(each.time)),
    h("span", h("a", { href: `#/message/${each.response}` }, h("span.badge", `${each.tokens ?? "?"} tokens`)), " for ", idLink("at", each.payer)),
    h("span.state.coin", `${each.fee} winston`))));
}
