// The parts of a pipeline's page: head with buttons, graph and table of stages, runs, versions, the text.
// Add a part here. Keep out what a press does (`pipeline_page.js`).

import { choosing, chosen } from "./address.js";
import { el, heading } from "./dom.js";
import { count, moment } from "./format.js";
import { at } from "./http.js";
import { graph, isWide } from "./pipeline_graph.js";
import { schedule, stateChips, tagList } from "./pipeline_words.js";
import { runPath, runTable } from "./run_rows.js";
import { ago, chip, kind, lasting, took, underWay } from "./run_words.js";

const button = (act, text, tone = "secondary", more = {}) => el("button", { type: "button", class: tone, "data-act": act, "data-key": act, ...more }, text);

/** Title, state, what is said of it, and the buttons. */
export function head(detail, problem) {
  const older = detail.spec_version !== detail.version;
  const edit = at(`pipelines/new?edit=${encodeURIComponent(detail.id)}`);
  return el("section", { class: "card head", "data-key": "head", "aria-labelledby": "pipeline-title" },
    el("div", { class: "line" },
      el("h2", { id: "pipeline-title" }, detail.title || detail.name), stateChips(detail),
      detail.title && el("code", { class: "quiet" }, detail.name)),
    detail.description && el("p", { class: "meaning said" }, detail.description),
    detail.load_error && el("div", { class: "verdict bad" },
      el("p", { class: "words" }, "Dagster could not load what is deployed"), el("pre", { tabindex: "0" }, detail.load_error)),
    el("dl", { class: "facts-list" },
      fact("Schedule", schedule(detail)), fact("Owner", detail.owner ?? "–"),
      fact("Deployed", detail.deployed_version === null ? "not yet" : [`version ${detail.deployed_version}, `, ago(detail.deployed_at)]),
      fact("Newest version", String(detail.version)), fact("Changed", ago(detail.updated_at)), fact("Made", `${moment(detail.created_at)} by ${detail.created_by}`)),
    tagList(detail.tags),
    el("div", { class: "buttons by-hand" },
      button("run", "Run …", "primary", { disabled: detail.deployed_version === null, title: detail.deployed_version === null ? "Deploy a version first" : null, "aria-haspopup": "dialog" }),
      el("a", { class: "button secondary", href: edit, "data-key": "edit" }, "Edit"),
      detail.active ? button("pause", "Pause") : button("resume", "Resume"),
      button("delete", "Delete …", "danger", { "aria-haspopup": "dialog" })),
    el("p", { class: "error", role: "alert", "data-key": "problem" }, problem),
    older && el("p", { class: "banner notice", "data-key": "older" }, `This is version ${detail.spec_version}; the newest is ${detail.version}. `,
      el("a", { href: choosing({ version: null }) }, "Show the newest")));
}

const fact = (name, value) => el("div", {}, el("dt", {}, name), el("dd", {}, value));

/** The graph, and the same as a table. */
export function stages({ stages: all, spec_version: version }, newest, name) {
  const states = statesOf(newest);
  const href = (stage) => choosing({ stage });
  const words = newest && [chip(newest.status), " ", el("a", { href: runPath(newest.id) }, "newest run"), " ", ago(newest.created_at),
    newest.version !== version && el("span", { class: "quiet" }, `, of version ${newest.version}`)];
  return [
    el("section", { class: `card ${isWide(all) ? "wide" : ""}`, "data-key": "graph", "aria-labelledby": "graph-title" },
      el("div", { class: "line list-head" }, el("h3", { id: "graph-title" }, "Graph"), el("span", { class: "small" }, words || "It has not run yet.")),
      graph(all, { states, chosen: name, href })),
    el("section", { class: `card ${isWide(all) ? "wide" : ""}`, "data-key": "stages", "aria-labelledby": "stages-title" },
      el("h3", { id: "stages-title" }, all.length === 1 ? "One stage" : `${count(all.length)} stages`),
      el("div", { class: "scroll" }, el("table", { class: "list" },
        el("thead", {}, el("tr", {}, ["Stage", "Newest run", "Needs"].map((title) => el("th", { scope: "col" }, title)))),
        el("tbody", {}, all.map((stage) => el("tr", { "data-key": stage.name, class: stage.name === name ? "chosen" : null },
          el("th", { scope: "row" }, el("a", { class: "main-link", href: href(stage.name) }, stage.name), el("span", { class: "quiet small under" }, kind(stage))),
          el("td", {}, state(states.get(stage.name))),
          el("td", { class: "wraps" }, stage.dependencies.join(", ") || el("span", { class: "quiet" }, "nothing")))))))),
  ];
}

/** What each stage of a run is doing, for the graph. */
export function statesOf(run) {
  return new Map((run?.stages ?? []).map((stage) => {
    const time = stage.status === "RUNNING" || stage.wall_seconds !== null ? took(stage, stage.status === "RUNNING" ? null : stage.wall_seconds) : null;
    return [stage.name, { status: stage.status, text: time === null ? "" : lasting(time), attempt: stage.attempt }];
  }));
}

const state = (one) => (one ? [chip(one.status), one.text && el("span", { class: "quiet small nowrap" }, ` ${one.text}`)] : el("span", { class: "quiet" }, "–"));

/** Its newest runs. */
export function runs({ name, id }, list) {
  const active = list.items.filter(({ status }) => underWay(status)).length;
  return el("section", { class: "card wide", "data-key": "runs", "aria-labelledby": "runs-title" },
    el("div", { class: "line list-head" }, el("h3", { id: "runs-title" }, "Runs"),
      active > 0 && el("span", { class: "quiet small" }, `${active} under way`),
      list.total > list.items.length && el("a", { class: "push", href: at(`runs?pipeline=${encodeURIComponent(name)}`), "data-id": id }, `All ${count(list.total)}`)),
    list.items.length ? runTable(list.items, true) : el("p", { class: "empty" }, "It has not run yet."));
}

/** Every version, with the way back to it. */
export function versions(detail, all) {
  const row = ({ version, digest, created_by: by, created_at: at_, deployed }) => el("tr", { "data-key": version, class: version === detail.spec_version ? "chosen" : null },
    el("th", { scope: "row" }, el("a", { class: "main-link", href: choosing({ version: String(version) }), "aria-label": `Show version ${version}` }, `Version ${version}`),
      deployed && [" ", el("span", { class: "chip good" }, "deployed")]),
    el("td", {}, ago(at_), el("span", { class: "quiet small under" }, by)),
    el("td", { class: "late-column" }, el("code", { class: "quiet", title: digest }, digest.slice(0, 12))),
    el("td", { class: "acts" }, deployed ? null : button("deploy", detail.deployed_version !== null && version < detail.deployed_version ? "Roll back" : "Deploy", "small-button",
      { "data-version": version, "data-key": `deploy-${version}`, "aria-label": `${detail.deployed_version !== null && version < detail.deployed_version ? "Roll back to" : "Deploy"} version ${version}` })));
  return el("section", { class: "card", "data-key": "versions", "aria-labelledby": "versions-title" },
    el("h3", { id: "versions-title" }, "Versions"),
    el("div", { class: "scroll tall" }, el("table", { class: "list" },
      el("thead", {}, el("tr", {}, ["Version", "Made", "Digest", ""].map((title) => heading(title, { class: title === "Digest" ? "late-column" : null })))),
      el("tbody", {}, all.map(row)))));
}

/** The pipeline as text, once asked for, and as a file. */
export function yaml({ id, name, spec_version: version }, text) {
  const open = chosen("yaml") !== null;
  return el("section", { class: "card", "data-key": "yaml", "aria-labelledby": "yaml-title" },
    el("h3", { id: "yaml-title" }, `YAML of version ${version}`),
    el("div", { class: "line" },
      el("a", { href: choosing({ yaml: open ? null : "shown" }) }, open ? "Hide the text" : "Show the text"),
      el("a", { href: at(`api/v1/pipelines/${encodeURIComponent(id)}/yaml?version=${version}`), download: `${name}.yaml` }, "Download")),
    open && text && el("pre", { tabindex: "0", class: "source", "aria-label": `${name} as YAML` }, text.words));
}

