// What the newest look saw besides ratings: guardrails, the split of the users, and both sides in numbers.

import { el } from "./dom.js";
import { count, number, percent } from "./format.js";

const NAMES = {
  errors: ["Failed requests", "requests that the side's own service didn't answer"],
  slow: ["Slow requests", "requests slower than production's usual"],
  error_share: ["Share of failed requests", "failed requests against a fixed limit"],
};
// The gauge begins at an e-value of 1/10: evidence for the candidate's innocence looks alike from there on.
const LEAST_E = 0.1;

/** Guardrails as gauges, and whether users were split as told. */
export function safety({ look, policy }) {
  const evidence = look?.evidence;
  return el("section", { class: "card", "data-key": "safety", "aria-labelledby": "safety-title" },
    el("h3", { id: "safety-title" }, "Guardrails"),
    evidence?.guardrails.length
      ? [el("p", { class: "quiet small" }, "Each gauge shows how strong the evidence against the candidate is. At its end the rollout stops at once."),
        evidence.guardrails.map((guardrail) => gauge(guardrail, evidence))]
      : el("p", { class: "empty" }, "Nothing to guard: no requests of both sides were seen yet."),
    evidence && ratio(evidence.sample_ratio, policy.min_sample_ratio_p));
}

function gauge({ name, e_value: value, limit, production_bad: production, candidate_bad: candidate }, { slow_ms: slow }) {
  const [title, about] = NAMES[name] ?? [name, ""];
  const filled = Math.min(1, Math.max(0, Math.log(Math.max(value, LEAST_E) / LEAST_E) / Math.log(limit / LEAST_E)));
  const tone = value >= limit ? "bad" : value >= Math.sqrt(limit) ? "warn" : "good";
  const bar = el("span", { class: "fill" });
  bar.style.width = `${(filled * 100).toFixed(1)}%`;
  const words = { bad: "stops the rollout", warn: "suspicious", good: "calm" }[tone];
  const limitWords = name === "slow" && slow ? ` Slow means over ${number(slow)} ms.` : "";
  return el("div", { class: `gauge ${tone}`, "data-key": name },
    el("p", {}, el("b", {}, title), el("span", { class: "word" }, words)),
    el("div", { class: "track", role: "meter", "aria-label": `${title}, e-value`, "aria-valuemin": 0, "aria-valuemax": limit,
      "aria-valuenow": Math.min(value, limit), "aria-valuetext": `${number(value)} of ${number(limit)}: ${words}` }, bar),
    el("p", { class: "quiet small", title: about }, `e-value ${number(value)}, limit ${count(limit)}. `,
      `${count(candidate)} of the candidate beside ${count(production)} of production.${limitWords}`));
}

function ratio({ p_value: p, expected_share: expected, production, candidate }, least) {
  const all = production + candidate;
  const title = el("h3", { class: "by-hand" }, "Split of the users");
  if (!all) return [title, el("p", { class: "empty" }, "No users were counted in this step yet.")];
  const seen = percent(candidate / all);
  const right = p >= least;
  return [title,
    el("p", { class: `ratio ${right ? "good" : "bad"}` },
      el("b", {}, right ? "As told" : "Not as told"),
      ` ${seen} of ${count(all)} users are the candidate's${expected === null ? "" : `, ${percent(expected)} expected`} (p = ${number(p)}).`),
    right ? null : el("p", { class: "quiet small" }, "While users aren't split as told, the comparison is doubtful and nothing is promoted.")];
}

const ROWS = [
  ["Requests", (arm) => count(arm.requests)],
  ["Not answered by it", (arm) => shared(arm.errors, arm.requests)],
  ["Slow", (arm) => shared(arm.slow, arm.requests)],
  ["Mean time", (arm) => (arm.mean_ms === null ? "–" : `${number(arm.mean_ms)} ms`)],
  ["Users", (arm) => count(arm.units)],
  ["Users who rated", (arm) => count(arm.raters)],
  ["Ratings", (arm) => count(arm.ratings)],
  ["Mean rating", (arm) => (arm.mean_rating === null ? "–" : `${arm.mean_rating.toFixed(2)} ★`)],
  ["“About right”", (arm) => count(arm.accurate)],
  ["“Too low” / “too high”", (arm) => `${count(arm.too_low)} / ${count(arm.too_high)}`],
  ["Actual prices told", (arm) => count(arm.prices)],
  ["Mean price error", (arm) => number(arm.mean_price_error)],
];

const shared = (part, all) => (all ? `${count(part)} (${percent(part / all)})` : count(part));

/** Both sides in numbers. */
export function arms({ look }) {
  const evidence = look?.evidence;
  const body = evidence && el("div", { class: "scroll" }, el("table", { class: "arms" },
    el("thead", {}, el("tr", {}, el("td"), ["Production", "Candidate"].map((title) =>
      el("th", { scope: "col" }, el("span", { class: "side" }, el("span", { class: `dot ${title.toLowerCase()}`, "aria-hidden": "true" }), title))))),
    el("tbody", {}, ROWS.map(([title, value]) => el("tr", {}, el("th", { scope: "row" }, title),
      el("td", {}, value(evidence.production)), el("td", {}, value(evidence.candidate)))))));
  return el("section", { class: "card", "data-key": "arms", "aria-labelledby": "arms-title" },
    el("h3", { id: "arms-title" }, "Both sides in numbers"),
    body || el("p", { class: "empty" }, "No numbers yet: they come with the first look."));
}
