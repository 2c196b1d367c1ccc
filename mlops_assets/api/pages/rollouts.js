// The operators' page: signs in, asks the API every few seconds, and shows one product at a time.
// Add here what joins the parts. Keep out how a part looks: each has a file of its own.

import { chart } from "./chart.js";
import { hideConnection, showConnection } from "./connection.js";
import { byId, el, patch } from "./dom.js";
import { arms, safety } from "./evidence.js";
import { phase } from "./format.js";
import { Failure, get } from "./http.js";
import { ledger } from "./ledger.js";
import { openOrder } from "./orders.js";
import { head, next, serving } from "./serving.js";
import { OVER, signIn } from "./sign_in.js";

const REFRESH_MS = 5000;
const PAGE = 50;
const LIST = "api/v1/rollouts";

const shown = { products: [], detail: null, tag: null, older: [], before: null, good: 0, failure: null, quiet: false, signedIn: false };
let timer = null;
let turn = 0;

const chosen = () => {
  const asked = decodeURIComponent(location.hash.slice(1));
  return shown.products.find(({ product }) => product === asked)?.product ?? shown.products[0]?.product ?? null;
};

/** Ask, show, and come back; a newer call makes an older one's answers count for nothing. */
async function refresh() {
  clearTimeout(timer);
  const mine = (turn += 1);
  try {
    const list = await get(LIST);
    if (mine !== turn) return;
    shown.products = list.body.rollouts;
    const product = chosen();
    if (product === null) shown.detail = null;
    else {
      const same = shown.detail?.product === product;
      const answer = await get(`${LIST}/${encodeURIComponent(product)}`, same && shown.tag ? { "If-None-Match": shown.tag } : {});
      if (mine !== turn) return;
      if (!same) Object.assign(shown, { older: [], before: null });
      if (answer.body) take(answer);
    }
    Object.assign(shown, { good: Date.now(), failure: null, signedIn: true });
  } catch (failure) {
    if (mine !== turn) return;
    if (failure.status === 401) return askToSignIn(shown.signedIn ? OVER : "");
    if (!(failure instanceof Failure)) throw failure;
    shown.failure = failure.message;
  }
  render();
  timer = setTimeout(refresh, REFRESH_MS);
}

function take({ body, tag }) {
  // New decisions push known ones off the first page: what was on it is kept with the older ones.
  const seen = new Set(body.ledger.entries.map(({ seq }) => seq));
  const oldest = Math.min(...seen);
  const known = [...(shown.detail?.product === body.product ? shown.detail.ledger.entries : []), ...shown.older];
  const kept = new Map(known.filter(({ seq }) => seq < oldest).map((entry) => [entry.seq, entry]));
  const older = [...kept.values()].sort((a, b) => b.seq - a.seq);
  const joined = older.length > 0 && older[0].seq === oldest - 1;
  Object.assign(shown, { detail: body, tag, older: joined ? older : [], before: joined ? shown.before : body.ledger.next_before });
}

function render() {
  byId("sign-in").hidden = true;
  byId("links").hidden = false;
  const rollout = byId("rollout");
  rollout.hidden = false;
  renderProducts();
  showConnection(shown.failure, shown.good);
  const { detail } = shown;
  const fresh = el("div", { id: "rollout", class: "rollout" });
  if (!detail) fresh.append(el("p", { class: "card empty" }, shown.failure ? "Nothing can be shown yet." : "No product is served by this installation yet."));
  else {
    fresh.append(head(detail), serving(detail), next(detail), chart(detail.series), safety(detail), arms(detail),
      ledger([...detail.ledger.entries, ...shown.older], shown.before !== null, shown.quiet));
  }
  patch(rollout, fresh);
}

function renderProducts() {
  const nav = byId("products");
  nav.hidden = shown.products.length < 2;
  const now = chosen();
  const fresh = el("nav", { id: "products", "aria-label": "Products", hidden: nav.hidden }, shown.products.map((view) =>
    el("a", { href: `#${encodeURIComponent(view.product)}`, "data-key": view.product, "aria-current": view.product === now ? "page" : null },
      view.title, view.state.production !== null && el("span", { class: "quiet" }, ` ${phase(view.state.phase)}`))));
  patch(nav, fresh);
}

function askToSignIn(text) {
  clearTimeout(timer);
  turn += 1;
  Object.assign(shown, { detail: null, tag: null, signedIn: false, products: [] });
  if (byId("order").open) byId("order").close();
  for (const id of ["rollout", "links", "products"]) byId(id).hidden = true;
  hideConnection();
  showForm(text);
}

const showForm = signIn({
  entered: refresh,
  left: askToSignIn,
  failed: (message) => {
    clearTimeout(timer);
    shown.failure = message;
    render();
    timer = setTimeout(refresh, REFRESH_MS);
  },
});

byId("rollout").addEventListener("click", async (event) => {
  const order = event.target.closest("[data-order]");
  if (order && !order.disabled) return openOrder(order.dataset.order, shown.detail, refresh, () => askToSignIn(OVER));
  if (event.target.closest("[data-toggle]")) {
    shown.quiet = !shown.quiet;
    return render();
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
    render();
  } catch (failure) {
    if (failure.status === 401) return askToSignIn(OVER);
    shown.failure = failure.message;
    showConnection(shown.failure, shown.good);
  } finally {
    more.disabled = false;
  }
});

addEventListener("hashchange", refresh);
document.addEventListener("visibilitychange", () => { if (!document.hidden && shown.signedIn) refresh(); });
refresh();
