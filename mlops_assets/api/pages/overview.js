// The overview: the platform in a strip, then every product with its parts, those that need somebody first.
// Add here what is seen at a glance. Keep out what a page of its own tells.

import { byId, el, patch } from "./dom.js";
import { count } from "./format.js";
import { at, get } from "./http.js";
import { livePage, nothing } from "./page.js";
import { partRows, productPath, stateChip } from "./product_parts.js";
import { ago } from "./run_words.js";

const REFRESH_MS = 15000;
const URGENCY = ["bad", "warn", "busy", "good", "none"];
const SAID = {
  good: "Everything is as it should be.", none: "There is nothing to tell yet.", busy: "All is well; something is going on.",
  warn: "Something should be looked at.", bad: "Something is broken.",
};

const shown = { overview: null };

livePage({ parts: ["overview"], shown, load, render, forget: () => { shown.overview = null; }, every: () => REFRESH_MS });

async function load() {
  return { overview: (await get("api/v1/overview")).body };
}

function render(state) {
  const { overview } = shown;
  document.title = overview ? `Overview: ${SAID[overview.state]}` : "Overview";
  const fresh = el("div", { id: "overview", class: "cards" });
  if (!overview) fresh.append(el("p", { class: "card empty wide" }, nothing(state, "")));
  else fresh.append(head(overview), ...products(overview.products));
  patch(byId("overview"), fresh);
}

function head({ state, runs, pipelines, health }) {
  const ended = runs.succeeded + runs.failed + runs.canceled;
  const all = pipelines.draft + pipelines.deployed + pipelines.paused + pipelines.broken;
  const facts = [
    [`Runs in ${runs.hours} hours`, "runs", count(ended), `${count(runs.succeeded)} succeeded, ${count(runs.failed)} failed`],
    ["Runs now", "runs", count(runs.running), `running, ${count(runs.queued)} waiting`],
    ["Pipelines", "pipelines", count(all), `${count(pipelines.deployed)} deployed, ${count(pipelines.paused)} paused, ${count(pipelines.broken)} broken`],
    ["Health", "health", health ? health.status : "–", health ? [issues(health.issues), ", ", ago(health.made_at)] : "no hourly report yet"],
  ];
  return el("section", { class: "wide", "data-key": "head", "aria-labelledby": "head-title" },
    el("div", { class: "line list-head" }, el("h2", { id: "head-title" }, "At a glance"), stateChip(state, SAID[state])),
    el("dl", { class: "strip-facts cards" }, facts.map(([name, page, value, more]) => el("div", { class: "card", "data-key": name },
      el("dt", {}, el("a", { href: at(page) }, name)), el("dd", {}, el("b", {}, value), " ", el("span", { class: "quiet small" }, more))))));
}

const issues = (names) => (names.length === 0 ? "no issue" : names.length === 1 ? names[0].replaceAll("_", " ") : `${count(names.length)} issues`);

function products(views) {
  if (!views.length) return [el("p", { class: "card empty wide" }, "No product is declared.")];
  return [...views].sort((a, b) => URGENCY.indexOf(a.state) - URGENCY.indexOf(b.state)).map(card);
}

function card({ product, title, owner, state, parts }) {
  const id = `title-${product}`;
  return el("section", { class: "card", "data-key": product, "aria-labelledby": id },
    el("div", { class: "line" }, el("h2", { id }, el("a", { href: productPath(product) }, title)), stateChip(state)),
    el("p", { class: "quiet small" }, owner.replace(/^team:/, "Team ")),
    el("div", { class: "scroll" }, partRows(parts)));
}
