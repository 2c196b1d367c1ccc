// The ledger as a table, newest first: each row opens to everything that the decision was made from.

import { el } from "./dom.js";
import { event, moment, percent, phase, timeZone } from "./format.js";

/** The table of decisions; `more`: there are older ones to ask for, `quiet`: looks that changed nothing are left out. */
export function ledger(all, more, quiet) {
  const entries = quiet ? all.filter((entry) => entry.event !== "look") : all;
  const rows = entries.map((entry) => el("li", { "data-key": `entry-${entry.seq}` }, el("details", {},
    el("summary", {},
      el("span", { class: "seq quiet" }, `#${entry.seq}`),
      el("time", { datetime: entry.at }, moment(entry.at, true)),
      el("span", { class: `chip event-${entry.event}` }, event(entry.event)),
      el("span", { class: "reason" }, entry.reason),
      el("span", { class: "actor quiet" }, entry.actor)),
    facts(entry))));
  return el("section", { class: "card wide", "data-key": "ledger", "aria-labelledby": "ledger-title" },
    el("div", { class: "line ledger-head" },
      el("h3", { id: "ledger-title" }, "Ledger"),
      el("span", { class: "quiet small" }, `Newest first, times in ${timeZone()}`),
      el("button", { type: "button", class: "small-button", "data-toggle": "looks", "aria-pressed": String(quiet) }, "Only what changed something")),
    entries.length ? el("ol", { class: "ledger" }, rows) : el("p", { class: "empty" }, all.length ? "None of the decisions shown here changed anything." : "No decision was made yet."),
    more && el("button", { type: "button", class: "secondary", "data-more": "ledger" }, "Show older decisions"));
}

function facts(entry) {
  const pairs = [
    ["Production", entry.production ?? "none"], ["Candidate", entry.candidate ?? "none"],
    ["Share of the candidate", percent(entry.candidate_share)], ["Rollout", entry.rollout ?? "none"],
    ["Phase", phase(entry.phase)], ["Paused", entry.paused ? "yes" : "no"], ["Label given", entry.label ?? "none"],
    ["By", entry.actor],
  ];
  const hasDetails = Object.keys(entry.details).length > 0;
  return el("div", { class: "facts" },
    el("p", { class: "whole-reason" }, entry.reason),
    el("dl", {}, pairs.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, String(value))))),
    hasDetails && el("pre", { tabindex: "0", "aria-label": "What it was made from" }, JSON.stringify(entry.details, null, 2)));
}
