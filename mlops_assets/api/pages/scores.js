// The scores page: each product's scored months with the way to charts and records.
// Add here what a month is told by. Keep out the charts: they are a page of their own, made when months are scored.

import { byId, el, heading, patch } from "./dom.js";
import { count, distance } from "./format.js";
import { get } from "./http.js";
import { livePage, nothing } from "./page.js";

const REFRESH_MS = 30000;
const LIST = "api/v1/scores";
const NEWEST = 24;
const YELLOW = 0.05, RED = 0.1;

const path = (product) => `${LIST}/${encodeURIComponent(product)}`;

const shown = { products: [] };

livePage({ parts: ["scores"], shown, load, render, forget: () => { shown.products = []; }, every: () => REFRESH_MS });

async function load() {
  const { products } = (await get(LIST)).body;
  const months = await Promise.all(products.map(async ({ product, mode }) => (await get(`${path(product)}?mode=${mode}`)).body.months));
  return { products: products.map((view, index) => ({ ...view, all: months[index].reverse() })) };
}

function render(state) {
  const cards = shown.products.map(card);
  patch(byId("scores"), el("div", { id: "scores", class: "cards" },
    cards.length ? cards : el("p", { class: "card empty wide" }, nothing(state, "No month has been scored yet."))));
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
    el("thead", {}, el("tr", {}, ["Month", "Records", "Anomalies", "Rate", "Lowest", "Release", "Scored", ""].map((name) => heading(name)))),
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
