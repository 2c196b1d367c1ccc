// The scores page: signs in, asks the API, and shows each product's scored months with the way to charts and records.
// Add here what a month is told by. Keep out the charts: they are a page of their own, made when months are scored.

import { hideConnection, showConnection } from "./connection.js";
import { byId, el, patch } from "./dom.js";
import { count, distance } from "./format.js";
import { Failure, get } from "./http.js";
import { OVER, signIn } from "./sign_in.js";

const REFRESH_MS = 30000;
const RETRY_MS = 5000;
const LIST = "api/v1/scores";
const NEWEST = 24;
const YELLOW = 0.05, RED = 0.1;

const shown = { products: [], good: 0, failure: null, signedIn: false };
let timer = null;
let turn = 0;

const path = (product) => `${LIST}/${encodeURIComponent(product)}`;

/** Ask, show, and come back; a newer call makes an older one's answers count for nothing. */
async function refresh() {
  clearTimeout(timer);
  const mine = (turn += 1);
  try {
    const { products } = (await get(LIST)).body;
    const months = await Promise.all(products.map(async ({ product, mode }) => (await get(`${path(product)}?mode=${mode}`)).body.months));
    if (mine !== turn) return;
    shown.products = products.map((view, index) => ({ ...view, all: months[index].reverse() }));
    Object.assign(shown, { good: Date.now(), failure: null, signedIn: true });
  } catch (failure) {
    if (mine !== turn) return;
    if (failure.status === 401) return askToSignIn(shown.signedIn ? OVER : "");
    if (!(failure instanceof Failure)) throw failure;
    shown.failure = failure.message;
  }
  render();
  timer = setTimeout(refresh, shown.failure ? RETRY_MS : REFRESH_MS);
}

function render() {
  byId("sign-in").hidden = true;
  byId("links").hidden = false;
  showConnection(shown.failure, shown.good);
  const page = byId("scores");
  page.hidden = false;
  const cards = shown.products.map(card);
  patch(page, el("div", { id: "scores", class: "rollout" }, cards.length ? cards : el("p", { class: "card empty wide" }, nothing())));
}

function nothing() {
  if (shown.failure) return "Nothing can be shown yet.";
  return shown.good ? "No month has been scored yet." : "Loading …";
}

function card({ product, mode, newest, report, all: every }) {
  // Months without records lie between others and say nothing.
  const all = every.filter((month) => month.records);
  const title = `title-${product}`;
  return el("section", { class: "card wide", "data-key": product, "aria-labelledby": title },
    el("div", { class: "line" }, el("h2", { id: title }, product), mode === "production" ? null : el("span", { class: "chip warn" }, mode),
      el("a", { href: report, target: "_blank", rel: "noopener" }, "Charts of all months ↗")),
    el("p", { class: "quiet small" }, `${all.length === 1 ? "One month" : `${count(all.length)} months`}; ${newest.month} was scored ${distance(newest.scored_at)}. `
      + "The rate of a month in training says how well the model knows it, not how usual it was."),
    table(product, mode, all.slice(0, NEWEST)),
    all.length > NEWEST && el("details", {}, el("summary", {}, "Earlier months"), table(product, mode, all.slice(NEWEST))));
}

const table = (product, mode, months) => el("div", { class: "scroll" },
  el("table", { class: "months" },
    el("thead", {}, el("tr", {}, ["Month", "Records", "Anomalies", "Rate", "Lowest", "Release", "Scored", ""].map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, months.map((month) => row(product, mode, month)))));

const row = (product, mode, { month, records, anomalies, rate, min_score: low, release, in_training: seen }) =>
  el("tr", { "data-key": month },
    el("th", { scope: "row" }, month),
    el("td", {}, count(records)),
    el("td", {}, count(anomalies)),
    el("td", {}, rate === null ? "–" : el("span", { class: `chip ${tone(rate)}` }, `${(100 * rate).toFixed(2)} %`)),
    el("td", {}, low === null ? "–" : low.toFixed(4)),
    el("td", {}, release === null ? "–" : String(release)),
    el("td", {}, seen ? "in training" : "after training"),
    el("td", {}, el("a", { href: `${path(product)}/${month}/records.csv?mode=${mode}`, "aria-label": `Records of ${month} as CSV` }, "CSV")));

const tone = (rate) => (rate >= RED ? "bad" : rate >= YELLOW ? "warn" : "good");

function askToSignIn(text) {
  clearTimeout(timer);
  turn += 1;
  Object.assign(shown, { products: [], signedIn: false });
  for (const id of ["scores", "links"]) byId(id).hidden = true;
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
    timer = setTimeout(refresh, RETRY_MS);
  },
});

document.addEventListener("visibilitychange", () => { if (!document.hidden && shown.signedIn) refresh(); });
refresh();
