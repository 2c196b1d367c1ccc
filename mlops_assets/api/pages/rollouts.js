// The rollouts page: one product at a time.
// Add here what joins the parts. Keep out how a part looks: each has a file of its own.

import { decoded } from "./address.js";
import { chart } from "./chart.js";
import { byId, el, patch } from "./dom.js";
import { arms, safety } from "./evidence.js";
import { phase } from "./format.js";
import { get } from "./http.js";
import { ledger } from "./ledger.js";
import { openOrder } from "./orders.js";
import { livePage, nothing } from "./page.js";
import { head, next, serving } from "./serving.js";

const REFRESH_MS = 5000;
const PAGE = 50;
const LIST = "api/v1/rollouts";

const shown = { products: [], detail: null, tag: null, older: [], before: null, quiet: false };

const page = livePage({
  parts: ["rollout", "products"], shown, load, render,
  forget: () => Object.assign(shown, { detail: null, tag: null, products: [] }),
  every: () => REFRESH_MS,
});

const chosen = (products) => {
  const asked = decoded(location.hash.slice(1));
  return products.find(({ product }) => product === asked)?.product ?? products[0]?.product ?? null;
};

async function load(keep) {
  const products = (await get(LIST)).body.rollouts;
  keep({ products });
  const product = chosen(products);
  if (product === null) return { detail: null };
  const same = shown.detail?.product === product;
  const { body, tag } = await get(`${LIST}/${encodeURIComponent(product)}`, same && shown.tag ? { "If-None-Match": shown.tag } : {});
  return body === null ? {} : taken(body, tag);
}

/** What a fresh answer makes of what is shown. */
function taken(body, tag) {
  // New decisions push known ones off the first page: what was on it is kept with the older ones.
  const seen = new Set(body.ledger.entries.map(({ seq }) => seq));
  const oldest = Math.min(...seen);
  const known = shown.detail?.product === body.product ? [...shown.detail.ledger.entries, ...shown.older] : [];
  const kept = new Map(known.filter(({ seq }) => seq < oldest).map((entry) => [entry.seq, entry]));
  const older = [...kept.values()].sort((a, b) => b.seq - a.seq);
  const joined = older.length > 0 && older[0].seq === oldest - 1;
  return { detail: body, tag, older: joined ? older : [], before: joined ? shown.before : body.ledger.next_before };
}

function render(state) {
  renderProducts();
  const { detail } = shown;
  const fresh = el("div", { id: "rollout", class: "cards" });
  if (!detail) fresh.append(el("p", { class: "card empty" }, nothing(state, "No product is served by this installation yet.")));
  else {
    fresh.append(head(detail), serving(detail), next(detail), chart(detail.series), safety(detail), arms(detail),
      ledger([...detail.ledger.entries, ...shown.older], shown.before !== null, shown.quiet));
  }
  patch(byId("rollout"), fresh);
}

function renderProducts() {
  const now = chosen(shown.products);
  patch(byId("products"), el("nav", { id: "products", "aria-label": "Products", hidden: shown.products.length < 2 }, shown.products.map((view) =>
    el("a", { href: `#${encodeURIComponent(view.product)}`, "data-key": view.product, "aria-current": view.product === now ? "page" : null },
      view.title, view.state.production !== null && el("span", { class: "quiet" }, ` ${phase(view.state.phase)}`)))));
}

byId("rollout").addEventListener("click", async (event) => {
  const order = event.target.closest("[data-order]");
  if (order && !order.disabled) return openOrder(order.dataset.order, shown.detail, page.refresh, page.over);
  if (event.target.closest("[data-toggle]")) {
    shown.quiet = !shown.quiet;
    return page.show();
  }
  const more = event.target.closest("[data-more]");
  if (!more || more.disabled) return;
  more.disabled = true;
  try {
    const product = shown.detail.product;
    const { body } = await get(`${LIST}/${encodeURIComponent(product)}/ledger?limit=${PAGE}&before=${shown.before}`);
    if (shown.detail?.product !== product) return;
    shown.older.push(...body.entries);
    shown.before = body.next_before;
    page.show();
  } catch (failure) {
    if (failure.status === 401) return page.over();
    page.fail(failure.message);
  } finally {
    more.disabled = false;
  }
});

addEventListener("hashchange", page.refresh);
