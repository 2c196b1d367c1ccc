// What a cell of the map holds: the day as a whole, or one column of it with both sides beside each other.

import { el } from "./dom.js";
import { SIGNS, TONES, WORDS, longDay, times } from "./drift_days.js";
import { categories, quantiles } from "./drift_sides.js";
import { count, moment, number, percent } from "./format.js";

const DISTANCES = {
  wasserstein: ["Distance", "Wasserstein distance, in standard deviations of the training data"],
  total_variation: ["Distance", "Total variation distance beyond chance: the share of values that lie elsewhere"],
};
const SHARES = { missing: "Missing", unseen: "Not in the training data", out_of_range: "Beyond the training data's range" };
const LEAST_P = 1e-9;

/** `verdict` is the one of the day, null while it isn't there yet. */
export function facts(detail, cell, verdict, address) {
  const card = (...children) => el("section", { class: "card wide facts-card", "data-key": "facts", "aria-labelledby": "facts-title" }, children);
  const title = el("h3", { id: "facts-title" }, cell.column ? `${cell.column}, ${longDay(cell.day)}` : longDay(cell.day));
  const known = detail.days.find(({ day }) => day === cell.day);
  if (!known) return card(title, el("p", { class: "empty" }, "This day was not compared: there were no requests, or the daily job didn't run."));
  if (verdict?.verdict.day !== cell.day || verdict.product !== detail.product) return card(title, el("p", { class: "empty", "aria-busy": "true" }, "Loading …"));
  const column = cell.column && verdict.verdict.columns.find(({ name }) => name === cell.column);
  return card(
    el("div", { class: "line" }, title, " ", chip(column || { status: verdict.verdict.status, strength: verdict.strength })),
    column ? oneColumn(column) : [cell.column && el("p", { class: "quiet" }, `${cell.column} was not compared on this day.`), wholeDay(verdict, address)],
    links(verdict, column, address));
}

const chip = ({ status, strength }) => el("span", { class: `chip ${TONES[status]}` },
  `${SIGNS[status]} ${WORDS[status]}${strength >= 1 ? `, ${times(strength)} × its limit` : ""}`);

const sentences = (reasons) => el("ul", { class: "sentences" }, reasons.map((reason) => el("li", {}, reason)));

const pairs = (all) => el("dl", { class: "figures" }, all.filter(Boolean).map(([name, value, about]) =>
  el("div", { title: about }, el("dt", {}, name), el("dd", {}, value))));

function wholeDay(view, address) {
  const { verdict } = view;
  const sampled = verdict.logged_rows > verdict.current_rows ? ` of ${count(verdict.logged_rows)}` : "";
  return [
    sentences(verdict.reasons),
    pairs([
      ["Rows of the day", count(verdict.current_rows) + sampled],
      ["Rows of training", count(verdict.reference_rows)],
      ["Production", `release ${verdict.release}`],
      view.candidate_release !== null && ["Candidate", `release ${view.candidate_release}: ${WORDS[view.candidate_status] ?? view.candidate_status}`,
        "The day beside what the candidate was trained on"],
      ["Compared", moment(view.computed_at)],
    ]),
    verdict.columns.length > 0 && el("div", { class: "scroll" }, el("table", { class: "columns" },
      el("thead", {}, el("tr", {}, ["Column", "Verdict", "Distance", "Limit", "p"].map((title) => el("th", { scope: "col" }, title)))),
      el("tbody", {}, strongestFirst(verdict.columns).map((column) => el("tr", { "data-key": column.name },
        el("th", { scope: "row" }, el("a", { href: address(view.product, verdict.day, column.name) }, column.name)),
        el("td", {}, `${SIGNS[column.status]} ${WORDS[column.status]}`),
        el("td", {}, number(column.effect)), el("td", {}, number(column.floor)), el("td", {}, pValue(column.p_value))))))),
  ];
}

const strongestFirst = (columns) => [...columns].sort((a, b) => b.strength - a.strength);

function oneColumn(column) {
  const [name, about] = DISTANCES[column.distance] ?? ["Distance", column.distance];
  return [
    sentences(column.reasons),
    el("div", { class: "two" },
      el("div", {},
        keys(column, name, about),
        shares(column)),
      el("div", {}, column.kind === "number" ? quantiles(column) : categories(column))),
  ];
}

/** The two keys: how large the change is and how sure. */
function keys(column, name, about) {
  const { effect, floor, p_value: p, alpha } = column;
  const large = effect !== null && effect >= floor;
  const sure = p !== null && p < alpha;
  const key = (turned, title, value, limit, words) => el("div", { class: `key ${turned ? "turned" : ""}`, title: words },
    el("dt", {}, title), el("dd", {}, el("b", {}, value), el("span", { class: "quiet" }, ` limit ${limit}`), el("span", { class: "word" }, turned ? "▲ yes" : "· no")));
  return el("dl", { class: "keys", "aria-label": "A column drifts if the change is both large and significant" },
    key(large, `Large? ${name}`, number(effect), number(floor), about),
    key(sure, "Significant? p", pValue(p), number(alpha), "The chance of a change like this if nothing had changed; the limit is divided by the number of columns"));
}

function shares(column) {
  if (!column.shares.length) return null;
  const rows = column.shares.map(({ name, expected, seen, limit, risen, examples }) => [
    el("tr", { class: risen ? "risen" : null, "data-key": name },
      el("th", { scope: "row" }, SHARES[name] ?? name), el("td", {}, percent(expected)), el("td", {}, percent(seen)),
      el("td", {}, risen ? `▲ rose` : "· no"), el("td", {}, `+${percent(limit)}`)),
    examples.length > 0 && el("tr", { class: "examples", "data-key": `${name}-examples` }, el("td", { colspan: 5 }, "For example: ", examples.join(", "))),
  ]);
  return el("div", { class: "scroll" }, el("table", { class: "shares-table" },
    el("thead", {}, el("tr", {}, ["Share of rows", "Training", "Day", "Rose", "Limit"].map((title) => el("th", { scope: "col" }, title)))),
    el("tbody", {}, rows)));
}

function links(view, column, address) {
  return el("p", { class: "line more" },
    column && el("a", { href: address(view.product, view.verdict.day) }, "The whole day"),
    view.report ? el("a", { href: view.report, target: "_blank", rel: "noopener" }, "Full report ↗") : el("span", { class: "quiet small" }, view.report_note),
    view.run_url && el("a", { href: view.run_url, target: "_blank", rel: "noopener noreferrer" }, "Dagster run ↗"));
}

const pValue = (p) => (p === null ? "–" : p < LEAST_P ? "< 10⁻⁹" : number(Number(p.toPrecision(2))));
