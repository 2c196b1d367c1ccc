// The parts of a trace: the chain at a glance, the answer, its release, data and code, rollout, drift and feedback.
// Add a part here when a trace has one more. Keep out asking for it (`trace.js`).

import { SIGNS, TONES, WORDS, times } from "./drift_days.js";
import { el } from "./dom.js";
import { count, event, metric, number, percent, phase } from "./format.js";

const ROLES = { production: "production", candidate: "candidate", previous: "kept to go back to", none: "no role" };
const utc = (iso, seconds = false) => (iso ? `${iso.slice(0, 10)} ${iso.slice(11, seconds ? 19 : 16)} UTC` : "–");

const fact = (name, value) => value !== null && value !== undefined && value !== false && el("div", {}, el("dt", {}, name), el("dd", {}, value));
const facts = (...all) => el("dl", { class: "facts-list" }, all);
const mono = (text) => text && el("span", { class: "mono" }, text);
const out = (text, href) => text && (href ? el("a", { class: "mono", href, target: "_blank", rel: "noopener" }, `${text} ↗`) : mono(text));

const card = (key, title, ...children) => el("section", { class: "card", id: key, "data-key": key, tabindex: "-1", "aria-labelledby": `${key}-title` },
  el("div", { class: "line" }, el("h3", { id: `${key}-title` }, title)), children);

const unknown = (what) => el("p", { class: "empty" }, `${what}: see what isn't known.`);

const named = ({ version, labels }) => `release ${version}${labels.length ? ` (${labels.join(", ")})` : ""}`;

/** The way from the request to the data and the code, each step a link to its part. */
export function chain({ answer: one, release: model, data: rows }) {
  const steps = [
    ["answer-card", "Answered", utc(one.at, true)],
    ["answer-card", "by", one.variant],
    model && ["release-card", "with", named(model)],
    model?.model_version && ["release-card", "model version", model.model_version],
    model?.dagster_run_id && ["release-card", "trained in run", model.dagster_run_id.slice(0, 8)],
    rows && ["data-card", "on data", `V${rows.version}`],
    model?.code_version && ["data-card", "by code", model.code_version],
  ].filter(Boolean);
  return el("section", { class: "card wide", "data-key": "chain", "aria-label": "From the answer to the data" },
    el("h2", {}, "Answer of ", one.product),
    el("ol", { class: "chain" }, steps.map(([part, word, value]) => el("li", {}, el("a", { href: `#${part}` }, el("span", { class: "quiet" }, `${word} `), value)))));
}

/** What was answered, which way the request took, and its values for who asks for them. */
export function answer({ answer: one, values }, refused) {
  const variant = one.assigned && one.assigned !== "forced" && one.assigned !== one.variant
    ? `${one.variant}, standing in for ${one.assigned}`
    : `${one.variant}${one.assigned === "forced" ? ", forced by an operator" : one.assigned === null ? ", not through the gateway" : ""}`;
  return card("answer-card", "Answer",
    facts(fact("Product", one.product), fact("Variant", variant), fact("Answered", utc(one.at, true)), fact("In the service", `${number(one.latency_ms)} ms`),
      fact("Rollout", one.rollout === null ? "none" : `${one.rollout}${one.step === null ? "" : `, step ${one.step}`}`),
      fact("Kept in", one.kept_in === "database" ? "the log" : "the file of its hour")),
    facts(fact("Prediction id", mono(one.id)), fact("Trace id", mono(one.trace_id) ?? "–"), fact("Request id", mono(one.request_id) ?? "–")),
    one.sample && el("p", { class: "notice told-box small" }, "The release was trained on generated sample rows."),
    el("h4", {}, values ? "What was answered" : "What was answered, its numbers"), pairs(one.output),
    values ? [el("h4", {}, "What was asked"), pairs(one.features ?? {}), one.user_hash && facts(fact("User (a hash)", mono(one.user_hash)))]
      : el("div", { class: "buttons by-hand" },
        el("button", { type: "button", class: "secondary", "data-act": "values", "data-key": "values" }, "Show the request"),
        el("span", { class: "quiet small" }, refused ?? "For operators; the audit notes who looked.")));
}

function pairs(values) {
  const all = Object.entries(values);
  if (!all.length) return el("p", { class: "quiet small" }, "Nothing but texts.");
  return el("dl", { class: "facts-list" }, all.map(([name, value]) => fact(metric(name), shownValue(value))));
}

function shownValue(value) {
  if (value === null) return "–";
  if (Array.isArray(value)) return el("ul", { class: "told" }, value.map((one) => el("li", {}, typeof one === "object" ? JSON.stringify(one) : String(one))));
  // As they were logged, every digit.
  return typeof value === "object" ? Object.entries(value).map(([name, inner]) => `${name} ${JSON.stringify(inner)}`).join(", ") : String(value);
}

/** The release that answered, its model and the runs that made it. */
export function release({ release: one, links, standing: then }) {
  if (!one) return card("release-card", "Release", unknown("The release"));
  const figures = Object.entries(one.metrics);
  return card("release-card", `Release ${one.version}`,
    facts(fact("Labels", one.labels.join(", ") || "none"), fact("Published", utc(one.published_at)), fact("Archived", one.archived_at && utc(one.archived_at)),
      fact("Now", then && ROLES[then.role_now]), fact("Trained until", one.trained_until),
      fact("Model version", out(one.model_version, links.mlflow_model) ?? "–")),
    facts(fact("MLflow run", out(one.mlflow_run_id, links.mlflow_run) ?? "–"), fact("Dagster run", out(one.dagster_run_id, links.dagster_run) ?? "–"),
      fact("Bento", mono(one.bento)), fact("Model, SHA-256", mono(one.model_sha256) ?? "–")),
    figures.length > 0 && el("details", { "data-key": "metrics" }, el("summary", {}, figures.length === 1 ? "One metric of its gates" : `${count(figures.length)} metrics of its gates`),
      facts(figures.map(([name, value]) => fact(metric(name), number(value))))));
}

/** The rows it was trained on and the code that did it. */
export function data({ data: one, release: model }) {
  const code = model && facts(fact("Code version", mono(model.code_version) ?? "–"));
  if (!one) return card("data-card", "Data and code", unknown("The data version"), code);
  return card("data-card", "Data and code",
    facts(fact("Data version", `V${one.version}`), fact("Rows", count(one.rows)), fact("Stored", one.stored_at && utc(one.stored_at)), fact("Source", one.source)),
    facts(fact("Data, SHA-256", mono(one.sha256))), code,
    one.sample && el("p", { class: "notice told-box small" }, "These rows were generated, not collected."));
}

/** Who served when the answer was given. */
export function standing({ standing: one, answer: { version }, links }) {
  if (!one) return card("rollout-card", "Rollout", unknown("The rollout"));
  const { came_by: by } = one;
  return card("rollout-card", "Rollout at that moment",
    facts(fact("Phase", el("span", { title: one.meaning }, phase(one.phase))), fact("Production", one.production === null ? "–" : `release ${one.production}`),
      fact("Candidate", one.candidate === null ? "none" : `release ${one.candidate}, ${percent(one.candidate_share)} of the users`),
      fact(`Release ${version} was`, ROLES[one.role]), fact("and is now", ROLES[one.role_now]), one.paused && fact("Paused", "yes")),
    el("p", { class: "quiet small meaning" }, one.meaning[0].toUpperCase() + one.meaning.slice(1), "."),
    one.drift_block && el("p", { class: "notice told-box small" }, `Promotion was blocked: ${one.drift_block}`),
    by && el("p", { class: "said" }, `${event(by.event)} on ${utc(by.at)} by ${by.actor}: ${by.reason}`),
    el("p", {}, el("a", { href: links.rollout }, "Rollouts")));
}

/** The verdict on the day beside what production was trained on. */
export function drift({ drift: one, links }) {
  if (!one) return card("drift-card", "Drift of the day", unknown("The drift of the day"));
  return card("drift-card", `Drift of ${one.day}`,
    el("p", {}, el("span", { class: `chip ${TONES[one.status] ?? ""}` }, `${SIGNS[one.status] ?? ""} ${WORDS[one.status] ?? one.status}${one.strength >= 1 ? `, ${times(one.strength)} × its limit` : ""}`),
      el("span", { class: "quiet small" }, ` beside what release ${one.release} was trained on`)),
    one.drifted.length > 0 && facts(fact("Drifted, strongest first", one.drifted.join(", "))),
    one.reasons.length > 0 && el("ul", { class: "told" }, one.reasons.map((reason) => el("li", {}, reason))),
    one.candidate_status && el("p", { class: "quiet small" }, `Beside release ${one.candidate_release}: ${WORDS[one.candidate_status] ?? one.candidate_status}.`),
    el("p", { class: "line" }, links.drift && el("a", { href: links.drift }, "The whole day"), links.drift_report && el("a", { href: links.drift_report, target: "_blank", rel: "noopener" }, "Full report ↗")));
}

/** What users said of the answer. */
export function feedback({ feedback: given, values }) {
  return card("feedback-card", "Feedback",
    given.length ? el("ul", { class: "told" }, given.map((one) => el("li", {}, el("b", {}, one.type.replaceAll("_", " ")), one.value === null ? "" : ` ${number(one.value)}`,
      one.text !== null && el("span", { class: "said" }, `: ${one.text}`), !values && one.type === "comment" && el("span", { class: "quiet" }, " (text with the request)"), el("span", { class: "quiet small" }, `, ${utc(one.at)}`))))
      : el("p", { class: "empty" }, "Nobody said anything of it."));
}

/** What isn't known, and why. */
export const missing = ({ missing: all }) => card("missing-card", "Not known", el("ul", { class: "told" }, all.map((one) => el("li", {}, one))));

