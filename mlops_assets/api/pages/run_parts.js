// The parts of a run's page: head with buttons, graph, table of stages, why a stage failed, what the run left.
// Add a part here. Keep out what a press does (`run_page.js`).

import { choosing } from "./address.js";
import { artifactTable } from "./artifact_rows.js";
import { el } from "./dom.js";
import { count, moment } from "./format.js";
import { at } from "./http.js";
import { graph, isWide } from "./pipeline_graph.js";
import { statesOf } from "./pipeline_parts.js";
import { declaredStage } from "./pipeline_stage.js";
import { tagList } from "./pipeline_words.js";
import { bytes, chip, kind, lasting, took, trigger, underWay } from "./run_words.js";

const WAYS = { live: "Shown as it happens", asking: "Asking every 2 seconds, since the live line is down", ended: "" };
const AROUND = 3;

const fact = (name, value) => el("div", {}, el("dt", {}, name), el("dd", {}, value));

/** State, what it was started with, and the buttons; `way` is how it is followed. */
export function head(run, { way, deletable: gone }) {
  const time = took(run, run.duration_seconds);
  const active = underWay(run.status);
  const given = Object.entries(run.parameters);
  return el("section", { class: "card head", "data-key": "head", "aria-labelledby": "run-title" },
    el("div", { class: "line" },
      el("h2", { id: "run-title" }, "Run of ", gone ? run.pipeline : el("a", { href: at(`pipelines/${encodeURIComponent(run.pipeline_id || run.pipeline)}`) }, run.pipeline)),
      chip(run.status), el("span", { class: "quiet small" }, active ? WAYS[way] ?? "" : "")),
    el("dl", { class: "facts-list" },
      fact("Took", time === null ? "not begun" : `${lasting(time)}${active ? " so far" : ""}`),
      fact("Started", run.started_at ? moment(run.started_at, true) : "waiting"),
      fact("Version", gone ? String(run.version) : el("a", { href: at(`pipelines/${encodeURIComponent(run.pipeline_id)}#version=${run.version}`) }, String(run.version))),
      fact("Started by", `${trigger(run.trigger)}, ${run.triggered_by}`),
      fact("Stages", `${count(run.succeeded)} of ${count(run.stages.length)} completed${run.failed ? `, ${count(run.failed)} failed` : ""}`),
      run.environment && fact("Environment", run.environment),
      run.retry_of && fact("Takes up", el("a", { href: at(`runs/${encodeURIComponent(run.retry_of)}`) }, run.retry_of.slice(0, 8))),
      fact("Id", el("span", { class: "mono" }, run.id))),
    run.notes && el("p", { class: "said meaning" }, run.notes),
    tagList(run.tags),
    given.length > 0 && el("details", { class: "given" }, el("summary", {}, given.length === 1 ? "One parameter" : `${count(given.length)} parameters`),
      el("dl", { class: "facts-list" }, given.map(([name, value]) => fact(name, el("code", {}, cut(typeof value === "string" ? value : JSON.stringify(value))))))),
    el("div", { class: "buttons by-hand" },
      active && el("button", { type: "button", class: "danger", "data-act": "cancel", "data-key": "cancel", "aria-haspopup": "dialog" }, "Cancel …"),
      !gone && el("button", { type: "button", class: active ? "secondary" : "primary", "data-act": "again", "data-key": "again", "aria-haspopup": "dialog" }, "Run again …"),
      el("a", { class: "button secondary", href: at(`resources?run=${encodeURIComponent(run.id)}`), "data-key": "resources" }, "Resources"),
      run.dagster_url && el("a", { class: "button secondary", href: run.dagster_url, target: "_blank", rel: "noopener", "data-key": "dagster" }, "In Dagster ↗")));
}

const cut = (text) => (text.length > 300 ? `${text.slice(0, 300)}… (${count(text.length)} characters)` : text);

/** The graph; without the pipeline nobody knows what depended on what. */
export const graphCard = (run, detail, name) => el("section", { class: `card ${detail && isWide(detail.stages) ? "wide" : ""}`, "data-key": "graph", "aria-labelledby": "graph-title" },
  el("h3", { id: "graph-title" }, "Graph"),
  detail ? graph(detail.stages, { states: statesOf(run), chosen: name, href: (stage) => choosing({ stage }) })
    : el("p", { class: "empty" }, "The pipeline was deleted since, so its graph isn't known any more."));

/** Each stage with its newest attempt and what it used. */
export const stageTable = (run, detail, name) => el("section", { class: `card ${detail && isWide(detail.stages) ? "wide" : ""}`, "data-key": "stages", "aria-labelledby": "stages-title" },
  el("h3", { id: "stages-title" }, "Stages"),
  el("div", { class: "scroll" }, el("table", { class: "list numbers-right" },
    el("thead", {}, el("tr", {}, ["Stage", "Took", "CPU", "Memory", "Attempt"].map((title) => el("th", { scope: "col" }, title)))),
    el("tbody", {}, run.stages.map((stage) => stageRow(stage, detail?.stages.find((one) => one.name === stage.name) ?? stage, name))))));

function stageRow(stage, declared, name) {
  const running = stage.status === "RUNNING";
  const time = took(stage, running ? null : stage.wall_seconds);
  return el("tr", { "data-key": stage.name, class: stage.name === name ? "chosen" : null },
    el("th", { scope: "row" }, el("a", { class: "main-link", href: choosing({ stage: stage.name }) }, stage.name),
      el("span", { class: "under" }, chip(stage.status), el("span", { class: "quiet small" }, ` ${kind(declared)}`))),
    el("td", {}, time === null ? "–" : lasting(time)),
    el("td", {}, lasting(stage.cpu_seconds)),
    el("td", {}, bytes(stage.peak_memory_bytes)),
    el("td", {}, stage.attempt ? String(stage.attempt) : "–"));
}

/** Why the newest attempt of a stage failed, with the lines of its source round the fault. */
export function failure({ name, error, exit_code: code, attempt }, detail) {
  return el("section", { class: "card wide", "data-key": "failure", "aria-labelledby": "failure-title" },
    el("h3", { id: "failure-title" }, `Why ${name} failed`, attempt > 1 && el("span", { class: "quiet" }, `, attempt ${attempt}`)),
    el("div", { class: "verdict bad" }, el("p", { class: "words" }, error.type, error.line !== null && ` in line ${error.line}`), el("p", { class: "said" }, error.message)),
    excerpt(detail && declaredStage(detail.spec, name).source, error.line),
    code !== null && code !== 0 && el("p", { class: "quiet small" }, `The process ended with code ${code}.`),
    error.traceback && el("details", { "data-key": "traceback", open: true }, el("summary", {}, "Traceback"), el("pre", { tabindex: "0" }, error.traceback)));
}

function excerpt(source, line) {
  if (!source || line === null) return null;
  const first = Math.max(1, line - AROUND);
  const lines = source.trimEnd().split("\n").slice(first - 1, line + AROUND);
  if (line - first >= lines.length) return null;
  return el("ol", { class: "excerpt", start: first, tabindex: "0", "aria-label": `Source round line ${line}` }, lines.map((text, i) =>
    el("li", { class: first + i === line ? "fault" : null, value: first + i }, el("code", {}, text || " "))));
}

/** What the run left behind so far. */
export const artifacts = (list) => el("section", { class: "card", "aria-labelledby": "artifacts-title" },
  el("div", { class: "line list-head" }, el("h3", { id: "artifacts-title" }, "Artifacts"), list && el("span", { class: "quiet" }, count(list.total))),
  list?.items.length ? artifactTable(list.items, { ofRun: true }) : el("p", { class: "empty" }, "Nothing so far."));
