// The list of pipelines: what there is, how each is doing, and the way to a new one.
// Add here what a pipeline is told by in a row. Keep out what one pipeline's own page shows.

import { asked, listOf, sorting, turning } from "./asked.js";
import { byId, el, heading, patch } from "./dom.js";
import { count, moment, percent } from "./format.js";
import { at, get } from "./http.js";
import { livePage, nothing } from "./page.js";
import { pagePath, schedule, stateChips, tagList } from "./pipeline_words.js";
import { ago, bytes, sign, tone, word } from "./run_words.js";

const REFRESH_MS = 10000;
const LIMIT = 50;
const RUNS = 200;
const MARKS = 10;
const SORT = "name";
const STATES = [["", "Any"], ["active", "Active"], ["paused", "Paused"], ["undeployed", "Not deployed"]];
const ASKED_STATES = { active: { active: "true", deployed: "true" }, paused: { active: "false" }, undeployed: { deployed: "false" } };

const shown = { list: null, refused: "", runs: new Map(), statistics: null };

const ask = asked("asked", [
  { name: "q", label: "Search", hint: "part of a name or title" },
  { name: "state", label: "State", choices: STATES },
  { name: "tag", label: "Tag", hint: "team or team=risk" },
], () => page.refresh());

const page = livePage({
  parts: ["list"], shown, load, render,
  forget: () => Object.assign(shown, { list: null, runs: new Map(), statistics: null }),
  every: () => REFRESH_MS,
});

async function load() {
  const query = ask.query(["q", "tag", "sort", "offset"], { limit: LIMIT, ...ASKED_STATES[ask.get("state")] });
  const [list, runs, statistics] = await Promise.all([
    listOf(`api/v1/pipelines?${query}`), get(`api/v1/runs?limit=${RUNS}`), get("api/v1/statistics"),
  ]);
  const byPipeline = new Map();
  for (const run of runs.body.items) byPipeline.set(run.pipeline_id, [...(byPipeline.get(run.pipeline_id) ?? []), run]);
  return { ...list, runs: byPipeline, statistics: statistics.body };
}

function render(state) {
  patch(byId("statistics"), el("div", { id: "statistics", class: "wide" }, shown.statistics && strip(shown.statistics)));
  const { list } = shown;
  const empty = ask.any() ? `No pipeline is like that${shown.refused && `: ${shown.refused}`}.` : "There is no pipeline yet. Make the first one from a template.";
  patch(byId("rows"), el("div", { id: "rows", class: "wide" }, el("section", { class: "card", "aria-labelledby": "rows-title" },
    el("div", { class: "line list-head" },
      el("h2", { id: "rows-title" }, "Pipelines"), list && el("span", { class: "quiet" }, count(list.total)),
      el("a", { class: "button primary push", href: at("pipelines/new") }, "New pipeline")),
    list?.items.length ? table(list) : el("p", { class: "empty" }, nothing(state, empty)),
    list && turning(list))));
}

function strip({ pipelines, runs, runs_last_24_hours: day, artifacts }) {
  const now = (status) => runs.by_status[status] ?? 0;
  const facts = [
    ["Pipelines", count(pipelines.total), `${count(pipelines.active)} active, ${count(pipelines.paused)} paused, ${count(pipelines.scheduled)} scheduled`],
    ["Runs in 24 hours", count(day.total), `${count(day.by_status.COMPLETED ?? 0)} completed, ${count(day.by_status.FAILED ?? 0)} failed`],
    ["Success", day.success_rate === null ? "–" : percent(day.success_rate), runs.success_rate === null ? "no run has ended yet" : `${percent(runs.success_rate)} of all ${count(runs.total)} runs`],
    ["Now", count(now("RUNNING")), `running, ${count(now("PENDING"))} waiting`],
    ["Artifacts", count(artifacts.total), bytes(artifacts.bytes)],
  ];
  return el("dl", { class: "strip-facts", "aria-label": "At a glance" }, facts.map(([name, value, more]) =>
    el("div", { class: "card", "data-key": name }, el("dt", {}, name), el("dd", {}, el("b", {}, value), " ", el("span", { class: "quiet small" }, more)))));
}

function table({ items }) {
  const sort = ask.get("sort") || SORT;
  return el("div", { class: "scroll" }, el("table", { class: "list stacked" },
    el("thead", {}, el("tr", {},
      sorting("Pipeline", "name", sort), heading("State"), heading("Schedule"),
      heading("Last runs"), sorting("Changed", "updated_at", sort, "-"), sorting("Made", "created_at", sort, "-"))),
    el("tbody", {}, items.map(row))));
}

const row = (view) => el("tr", { "data-key": view.id },
  el("th", { scope: "row" },
    el("a", { class: "main-link", href: pagePath(view) }, view.title || view.name),
    view.title && el("span", { class: "quiet small under" }, view.name),
    tagList(view.tags, true)),
  el("td", { "data-label": "State" }, stateChips(view)),
  el("td", { "data-label": "Schedule" }, schedule(view)),
  el("td", { "data-label": "Last runs" }, lastRuns(shown.runs.get(view.id) ?? [])),
  el("td", { class: "late-column" }, ago(view.updated_at)),
  el("td", { class: "late-column" }, moment(view.created_at), el("span", { class: "quiet small under" }, view.created_by)));

/** The newest in words, all of them as marks, oldest first as on a time line. */
function lastRuns(runs) {
  if (!runs.length) return el("span", { class: "quiet" }, "none lately");
  const [newest] = runs;
  const marks = runs.slice(0, MARKS).reverse();
  return [
    el("a", { class: "nowrap", href: at(`runs/${encodeURIComponent(newest.id)}`) }, word(newest.status), " ", ago(newest.created_at)),
    el("span", { class: "marks", role: "img", "aria-label": `Newest last: ${marks.map(({ status }) => word(status)).join(", ")}` },
      marks.map(({ id, status }) => el("i", { "data-key": id, class: `mark ${tone(status)}`, title: word(status) }, sign(status)))),
  ];
}

byId("rows").addEventListener("click", ({ target }) => {
  const pressed = target.closest("[data-sort], [data-offset], [data-tag]");
  if (!pressed) return;
  const { sort, offset, tag } = pressed.dataset;
  if (sort) ask.set({ sort });
  else if (tag) ask.set({ tag });
  else ask.set({ offset });
});
