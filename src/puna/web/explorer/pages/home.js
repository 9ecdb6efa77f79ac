// The live page: how the network is, the ask box, and what happens now.
import { h, put } from "../dom.js";
import { answerOf, dryRun, info, learnName, messageSummary, network, recent } from "../node.js";
import { listen } from "../live.js";
import { actionBadge, clock, failure, gasText, number, partyLink } from "../show.js";
import { askBox } from "../ask.js";

const ROWS_MAX = 80;

export async function page(place) {
  const stats = h("dl.stats", { ariaLabel: "The network now" });
  const feed = feedView();
  const ask = askBox();
  put(place, h("h1.hidden", "Puna, live"), stats, h("div.columns", h("div", ask.element), h("div", feed.element)));
  const cells = {};
  for (const name of ["Block", "Messages seen", "Workers free", "Queue", "Price of a token"]) {
    cells[name] = h("dd", "–");
    stats.append(h("div", h("dt", name), cells[name]));
  }
  let seen = 0;
  async function look() {
    const [about, told] = await Promise.all([info(), network()]);
    cells.Block.textContent = number(about.height);
    const herd = answerOf(await dryRun(told.herder, { Action: "Info" }), "Info-Response")?.tags ?? {};
    cells["Workers free"].textContent = `${herd["Workers-Idle"] ?? "–"} of ${herd["Workers-In-Service"] ?? "–"}`;
    cells.Queue.textContent = herd["Queue-Length"] ?? "–";
    cells["Price of a token"].textContent = `${herd["Token-Fee"] ?? "–"} winston`;
  }
  const timer = setInterval(() => document.hidden || look().catch(() => {}), 5000);
  const stop = listen((event) => {
    if (event.kind === "assigned" || event.kind === "stored") cells["Messages seen"].textContent = number(++seen);
  });
  cells["Messages seen"].textContent = "0";
  look().catch(() => {});
  await feed.begin();
  return () => {
    clearInterval(timer);
    stop();
    feed.end();
    ask.end();
  };
}

// The feed: a row for each message, filled in as it is placed, evaluated and answered.
function feedView() {
  const list = h("ol.feed", { id: "feed", ariaLabel: "Messages, newest first" });
  const pause = h("button", { type: "button", ariaPressed: "false" }, "Pause");
  const element = h("section.card", h("h2", "Live", pause), list);
  const rows = new Map();
  const missed = [];
  let paused = false;
  let stop = () => {};
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.textContent = paused ? "Go on" : "Pause";
    pause.setAttribute("aria-pressed", String(paused));
    while (!paused && missed.length) hear(missed.shift());
  });

  function row(process, id) {
    const key = process + id;
    if (rows.has(key)) return rows.get(key);
    const made = { when: h("span.when"), what: h("span"), state: h("span.state"), said: new Map() };
    made.element = h("li", made.when, made.what, made.state);
    made.what.append(h("a", { href: `#/message/${id}` }, h("span.badge", "…")));
    rows.set(key, made);
    list.prepend(made.element);
    for (const [old, { element: last }] of rows) {
      if (rows.size <= ROWS_MAX) break;
      last.remove();
      rows.delete(old);
    }
    return made;
  }

  function describe(made, message) {
    if (message.type === "Process") learnName(message.id, message.name);
    made.when.textContent = clock(message.timestamp) || made.when.textContent;
    made.what.replaceChildren(h("a", { href: `#/message/${message.id}` }, actionBadge(message)), " ",
      partyLink(message.from, message.pushed || null), h("span.soft", " → "), partyLink(message.to, null));
  }

  function hear(event) {
    if (paused) return void (missed.length < 2000 && missed.push(event));
    if (event.kind === "assigned") {
      const made = row(event.process, event.message);
      made.element.classList.add("new");
      made.when.textContent = clock(Date.now());
      made.state.textContent = `#${event.nonce}`;
      messageSummary(event.message).then((message) => message && describe(made, message));
    } else if (event.kind === "token") {
      const made = row(event.process, event.message);
      // A worker may answer several at once: each has a line of its own.
      const place = event.place ?? 0;
      if (!made.said.has(place)) made.said.set(place, made.element.appendChild(h("span.said")));
      const said = made.said.get(place);
      if (said.textContent.length < 400) said.append(event.text);
    } else if (event.kind === "evaluated" && rows.has(event.process + event.message)) {
      const made = row(event.process, event.message);
      made.state.textContent = event.error ? "error" : gasText(event.gas);
      made.state.classList.toggle("bad", Boolean(event.error));
    } else if (event.kind === "failed" && event.message && rows.has(event.process + event.message)) {
      const made = row(event.process, event.message);
      made.state.textContent = "failed";
      made.state.classList.add("bad");
      made.state.title = String(event.error);
    } else if (event.kind === "stored") {
      const made = row(event.target, event.message);
      made.element.classList.add("new");
      made.when.textContent = clock(Date.now());
      made.state.textContent = "to a wallet";
      messageSummary(event.message).then((message) => message && describe(made, message));
    }
  }

  return {
    element,
    async begin() {
      stop = listen(hear);
      try {
        for (const message of (await recent(50)).reverse()) {
          if (rows.has(message.to + message.id)) continue;
          const made = row(message.to, message.id);
          describe(made, message);
          made.state.textContent = message.nonce === null ? "to a wallet" : `#${message.nonce}`;
        }
        if (!rows.size) list.append(h("li.alone", h("span.soft", "Nothing has happened yet. Ask something.")));
      } catch (error) {
        list.append(h("li", failure(error)));
      }
    },
    end: () => stop(),
  };
}
