// The models of this network.
import { h, put } from "../dom.js";
import { answers, item, network } from "../node.js";
import { bytesText, copyable, facts, failure, idLink } from "../show.js";

const BROWSER_BYTES_MAX = 2 ** 32;

export async function page(place) {
  const [told, done] = await Promise.all([network(), answers()]);
  put(place, h("h1", "Models"));
  for (const [at, model] of told.models.entries()) {
    const found = await item(model.id).catch(() => null);
    const workers = told.herd.filter((worker) => worker.model === model.id);
    const ids = new Set(workers.map((worker) => worker.id));
    const timed = done.filter((each) => ids.has(each.worker) && each.tokens && each.duration);
    const speed = timed.reduce((sum, each) => sum + each.tokens, 0) / (timed.reduce((sum, each) => sum + each.duration, 0) / 1000);
    put(place, h("section.card", h("h2", h("span.named", model.name), at === 0 && h("span.badge", "runs when none is named")),
      facts(["Id", copyable(model.id)],
        ["File", found ? h("a", { href: `/raw/${model.id}`, download: `${model.name}.gguf` }, `GGUF, ${bytesText(found.data.size)}`) : "not here"],
        found && ["Published by", idLink("wallet", found.owner.address)],
        ["Workers", workers.length ? workers.map((worker, nth) => [nth > 0 && ", ", idLink("process", worker.id)]) : "none"],
        timed.length && ["Speed", `${speed.toFixed(1)} tokens a second, over ${timed.length} answers`],
        ["Verified in browsers", found && Number(found.data.size) < BROWSER_BYTES_MAX ? "yes" : "too large"])));
  }
  if (!told.models.length) put(place, failure(new Error("This network serves no model.")));
}
