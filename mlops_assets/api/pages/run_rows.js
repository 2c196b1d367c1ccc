// Runs as rows of a table: in the list of all runs and on the page of their pipeline.

import { el, heading } from "./dom.js";
import { at } from "./http.js";
import { ago, chip, lasting, took, trigger, underWay } from "./run_words.js";

export const runPath = (id) => at(`runs/${encodeURIComponent(id)}`);

/** The table; `ofOne` leaves out which pipeline each is of. */
export function runTable(runs, ofOne = false) {
  const names = ["Run", ofOne ? "Version" : "Pipeline", "Started", "Took", "By"];
  return el("div", { class: "scroll" }, el("table", { class: "list stacked" },
    el("thead", {}, el("tr", {}, names.map((name) => heading(name)))),
    el("tbody", {}, runs.map((run) => row(run, ofOne)))));
}

function row(run, ofOne) {
  const time = took(run, run.duration_seconds);
  return el("tr", { "data-key": run.id },
    el("th", { scope: "row" },
      chip(run.status), " ", el("a", { class: "mono", href: runPath(run.id), title: run.id, "aria-label": `Run ${run.id}` }, run.id.slice(0, 8)),
      run.error && el("span", { class: "small under failed-words" }, run.error),
      run.notes && el("span", { class: "quiet small under cut" }, run.notes)),
    el("td", { "data-label": ofOne ? "Version" : "Pipeline" }, ofOne ? `v${run.version}` : [el("a", { href: at(`pipelines/${encodeURIComponent(run.pipeline_id || run.pipeline)}`) }, run.pipeline), el("span", { class: "quiet small" }, ` v${run.version}`)],
      run.environment && el("span", { class: "quiet small under" }, run.environment)),
    el("td", { class: "nowrap", "data-label": "Started" }, run.started_at ? ago(run.started_at) : ["asked for ", ago(run.created_at)]),
    el("td", { class: "nowrap", "data-label": "Took" }, time === null ? "–" : lasting(time), underWay(run.status) && time !== null ? " so far" : null),
    el("td", { "data-label": "By" }, trigger(run.trigger), el("span", { class: "quiet small under" }, run.triggered_by)));
}
