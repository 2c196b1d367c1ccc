// The page of one product: its parts, its assets with their checks, and the newest runs of its jobs.
// Add here what concerns all of a product. Keep out what rollouts, drift and scores tell on their own pages.

import { byId, el, heading, patch } from "./dom.js";
import { at, get } from "./http.js";
import { livePage, nothing } from "./page.js";
import { partRows, stateChip } from "./product_parts.js";
import { ago, lasting } from "./run_words.js";

const REFRESH_MS = 15000;
const NAME = decodeURIComponent(location.pathname.split("/").filter(Boolean).at(-1));
const RUNS = {
  SUCCESS: ["✓", "succeeded", "good"], FAILURE: ["✕", "failed", "bad"], CANCELED: ["■", "canceled", "warn"], CANCELING: ["■", "canceling", "warn"],
  QUEUED: ["…", "waits", ""], NOT_STARTED: ["…", "waits", ""],
};

const shown = { product: null, none: "" };

livePage({
  parts: ["product"], shown, load, render, forget: () => Object.assign(shown, { product: null, none: "" }), every: () => REFRESH_MS,
});

async function load() {
  try {
    return { product: (await get(`api/v1/products/${encodeURIComponent(NAME)}`)).body, none: "" };
  } catch (failure) {
    if (failure.status !== 404) throw failure;
    return { product: null, none: failure.message };
  }
}

function render(state) {
  const { product, none } = shown;
  document.title = product ? product.title : "Product";
  const fresh = el("div", { id: "product", class: "cards" });
  if (!product) fresh.append(el("p", { class: "card empty wide" }, nothing(state, none && `${none.charAt(0).toUpperCase()}${none.slice(1)}.`)));
  else fresh.append(head(product), assets(product.assets), runs(product));
  patch(byId("product"), fresh);
}

const head = ({ title, owner, task, state, parts, dagster_url: dagster, mlflow_url: mlflow, product }) =>
  el("section", { class: "card wide", "data-key": "head", "aria-labelledby": "head-title" },
    el("div", { class: "line" }, el("h2", { id: "head-title" }, title), stateChip(state),
      el("span", { class: "push line" },
        el("a", { href: at("resources?by=stage") }, "Resources"), el("a", { href: dagster }, "Dagster"), el("a", { href: mlflow }, "MLflow"))),
    el("p", { class: "quiet small" }, el("code", {}, product), `, ${task}, ${owner.replace(/^team:/, "team ")}`),
    el("div", { class: "scroll" }, partRows(parts)));

const card = (key, title, names, rows, none) => el("section", { class: "card wide", "data-key": key, "aria-labelledby": `${key}-title` },
  el("div", { class: "line list-head" }, el("h2", { id: `${key}-title` }, title)),
  rows.length ? el("div", { class: "scroll" }, el("table", { class: "list stacked" },
    el("thead", {}, el("tr", {}, names.map((name) => heading(name)))), el("tbody", {}, rows))) : el("p", { class: "empty" }, none));

const assets = (views) => card("assets", "Assets", ["Asset", "Materialized", "Run", "Checks"], views.map(asset), "Nothing has been materialized yet.");

function asset({ key, made_at: made, run_id: run, run_url: page, fresh, url, checks }) {
  const failed = checks.filter((check) => check.passed === false);
  return el("tr", { "data-key": key },
    el("th", { scope: "row" }, el("a", { class: "main-link", href: url }, key), fresh === false && [" ", stateChip("warn", "late")]),
    el("td", { class: "nowrap", "data-label": "Materialized" }, made ? ago(made) : "never"),
    el("td", { "data-label": "Run" }, run ? el("a", { class: "mono", href: page, title: run }, run.slice(0, 8)) : "–"),
    el("td", { class: "wraps", "data-label": "Checks" }, checks.length === 0 ? "–" : failed.length === 0
      ? stateChip("good", `${checks.length} passed`)
      : failed.map(({ name, blocking }) => el("span", { class: "under", "data-key": name }, stateChip(blocking ? "bad" : "warn", name)))));
}

const runs = ({ runs: views }) => card("runs", "Newest runs", ["Run", "Job", "Asked for", "Took"], views.map(run), "No job of this product has run yet.");

function run({ run_id: id, job, status, created_at: asked, seconds, url }) {
  const [sign, word, tone] = RUNS[status] ?? ["▶", "runs", "busy"];
  return el("tr", { "data-key": id },
    el("th", { scope: "row" }, el("span", { class: `chip ${tone}` }, `${sign} ${word}`), " ", el("a", { class: "mono", href: url, title: id }, id.slice(0, 8))),
    el("td", { "data-label": "Job" }, job.replaceAll("_", " ")),
    el("td", { class: "nowrap", "data-label": "Asked for" }, ago(asked)),
    el("td", { class: "nowrap", "data-label": "Took" }, seconds === null ? "–" : lasting(seconds)));
}
