// The answer: the value, the range it lies in, what it does not rest on, and which release gave it.

import { el } from "./dom.js";
import { amount, rupees } from "./numbers.js";

const SHARE_OUTSIDE = 0.2;

/** Elements that show an answer of the service. `asked` is what was asked, in words. */
export function showAnswer(answer, form, asked) {
  const value = answer[form.answer];
  const unit = answer.unit ?? form.unit;
  const whole = rupees(value, unit);
  return [
    el("p", { class: "asked" }, asked),
    el("p", { class: "value" }, amount(value, unit)),
    whole && el("p", { class: "quiet whole" }, whole),
    answer.interval && range(answer.interval, value, unit, form.interval_share ?? 1 - SHARE_OUTSIDE),
    answer.probabilities && probabilities(answer.probabilities),
    ...grounds(answer),
  ].filter(Boolean);
}

/** What an answer rests on and what not, and which release gave it. */
export function grounds(answer) {
  return [
    ...(answer.notes ?? []).map((note) => el("p", { class: "note" }, note)),
    answer.sample_data && el("p", { class: "note" }, "Learnt from sample data, not from real records: try it out, don't rely on it."),
    el("p", { class: "quiet by" }, origin(answer)),
  ].filter(Boolean);
}

/** One sentence of the answer, for screen readers. */
export function spoken(answer, form) {
  const unit = answer.unit ?? form.unit;
  const { interval } = answer;
  const between = interval ? `, likely between ${amount(interval.low, unit)} and ${amount(interval.high, unit)}` : "";
  return `Estimate: ${amount(answer[form.answer], unit)}${between}.`;
}

function range({ low, high }, value, unit, share) {
  // The bar shows some room on both sides, so that the band reads as a part of something larger.
  const room = (high - low || Math.abs(value) || 1) * 0.3;
  const place = (at) => `${(100 * (at - low + room)) / (high - low + 2 * room)}%`;
  const band = el("span", { class: "band" });
  const tick = el("span", { class: "tick" });
  band.style.left = place(low);
  band.style.right = `calc(100% - ${place(high)})`;
  tick.style.left = place(value);
  const words = `In ${Math.round(share * 10)} of 10 cases the true value lies between ${amount(low, unit)} and ${amount(high, unit)}.`;
  const ends = el("div", { class: "ends", "aria-hidden": "true" }, el("span", {}, amount(low, unit)), el("span", {}, amount(high, unit)));
  return el("div", { class: "range" }, el("div", { class: "bar", "aria-hidden": "true" }, band, tick), ends, el("p", {}, words));
}

function probabilities(shares) {
  const rows = Object.entries(shares).sort((a, b) => b[1] - a[1]);
  return el("ul", { class: "shares" }, ...rows.map(([name, share]) => {
    const bar = el("meter", { min: "0", max: "1", value: share, "aria-hidden": "true" });
    return el("li", {}, el("span", {}, name), bar, el("span", {}, `${Math.round(share * 100)} %`));
  }));
}

// The variant stays out on purpose: who knows that an answer is the candidate's rates it differently.
function origin({ model_version: version, response_time_ms: ms, prediction_id: id }) {
  const parts = [];
  if (version !== undefined) parts.push(`Answered by release ${version}`);
  if (ms !== undefined) parts.push(`in ${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`);
  return `${parts.join(" ")}${id ? ` · reference ${id}` : ""}`;
}
