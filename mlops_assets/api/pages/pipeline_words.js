// How a pipeline is told in lists and in the head of its page: state, schedule, tags, and where its page is.

import { el } from "./dom.js";
import { distance, moment } from "./format.js";
import { at } from "./http.js";

// The word in the address that makes a new pipeline: a pipeline of this name is found by its id.
const TAKEN = "new";

/** The address of a pipeline's page. */
export const pagePath = ({ id, name }) => at(`pipelines/${encodeURIComponent(name === TAKEN ? id : name)}`);

/** What runs it and what doesn't, as chips. */
export const stateChips = ({ active, deployed_version: deployed, load_error: error, loaded }) => [
  deployed === null ? el("span", { class: "chip" }, "Not deployed")
    : active ? el("span", { class: "chip good" }, "Active") : el("span", { class: "chip warn" }, "Paused"),
  error ? el("span", { class: "chip bad" }, "Load error")
    : deployed !== null && !loaded ? el("span", { class: "chip busy" }, "Loading") : null,
].filter(Boolean).flatMap((chip, index) => (index ? [" ", chip] : [chip]));

/** When it runs by itself. */
export function schedule({ schedule: cron, timezone, next_run_at: next }) {
  if (!cron) return el("span", { class: "quiet" }, "by hand");
  return [
    el("code", { class: "nowrap", title: timezone }, cron), timezone === "UTC" ? null : el("span", { class: "quiet small" }, ` ${timezone}`),
    el("span", { class: "quiet small under" }, next ? ["next ", el("time", { datetime: next, title: moment(next) }, distance(next))] : "no next run"),
  ];
}

/** Tags; as buttons that narrow the list if asked. */
export function tagList(tags, pressable = false) {
  const all = Object.entries(tags).map(([name, value]) => (value ? `${name}=${value}` : name));
  if (!all.length) return null;
  return el("ul", { class: "tags", "aria-label": "Tags" }, all.map((tag) => el("li", { "data-key": tag },
    pressable ? el("button", { type: "button", class: "tag", "data-tag": tag, title: "Show what has this tag" }, tag) : el("span", { class: "tag" }, tag))));
}
