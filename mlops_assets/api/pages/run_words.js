// How runs and stages are told: words, signs and colours of their states, and the sizes that people read.
// Add a state here. The sign and the word say all that the colour does.

import { el } from "./dom.js";
import { distance } from "./format.js";

const STATES = {
  PENDING: ["○", "waiting", "idle"], RUNNING: ["▶", "running", "busy"], COMPLETED: ["✓", "completed", "good"],
  FAILED: ["✕", "failed", "bad"], CANCELLED: ["■", "cancelled", "warn"], SKIPPED: ["–", "skipped", "idle"],
};
const UNITS = ["B", "KB", "MB", "GB", "TB"];

export const sign = (status) => STATES[status]?.[0] ?? "?";
export const word = (status) => STATES[status]?.[1] ?? String(status).toLowerCase();
export const tone = (status) => STATES[status]?.[2] ?? "idle";
export const underWay = (status) => status === "PENDING" || status === "RUNNING";
export const chip = (status) => el("span", { class: `chip ${tone(status)}` }, `${sign(status)} ${word(status)}`);
/** The states that a run can have, for a choice. */
export const RUN_STATES = ["PENDING", "RUNNING", "COMPLETED", "FAILED", "CANCELLED"];
export const TRIGGERS = [["MANUAL", "By hand"], ["SCHEDULED", "Schedule"], ["API", "API"], ["WEBHOOK", "Webhook"]];
export const trigger = (name) => TRIGGERS.find(([known]) => known === name)?.[1] ?? name;

/** "MODEL_TRAINING" as "Model training"; a custom stage by the name that its author gave. */
export function kind({ stage_type: type, custom_name: custom }) {
  if (custom) return custom;
  const words = String(type).toLowerCase().replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** "0.42 s", "12.3 s", "3 min 5 s", "2 h 4 min". */
export function lasting(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 10) return `${seconds.toFixed(2)} s`;
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** How long something took, or has taken till now. */
export function took({ started_at: from, ended_at: to }, told = null) {
  if (told !== null && told !== undefined) return told;
  if (!from) return null;
  return Math.max(0, ((to ? Date.parse(to) : Date.now()) - Date.parse(from)) / 1000);
}

/** "1.2 MB". */
export function bytes(size) {
  if (size === null || size === undefined) return "–";
  let unit = 0, rest = size;
  while (rest >= 1000 && unit < UNITS.length - 1) [rest, unit] = [rest / 1000, unit + 1];
  return `${unit === 0 || rest >= 100 ? Math.round(rest) : rest.toFixed(1)} ${UNITS[unit]}`;
}

/** "5 min ago" as an element that a press can tell the whole of. */
export const ago = (iso) => (iso ? el("time", { datetime: iso, title: new Date(iso).toLocaleString("en-GB") }, distance(iso)) : "–");
