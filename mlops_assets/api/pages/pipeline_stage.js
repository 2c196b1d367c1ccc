// One stage of a pipeline as it was declared: what it runs, what it needs, and its limits.

import { el } from "./dom.js";
import { count } from "./format.js";
import { kind, lasting } from "./run_words.js";

const DEFAULTS = { retry_count: 0, retry_delay: 10, timeout_seconds: 3600, network: false };
const LIMITS = { memory_mb: 2048, cpu_seconds: 3600, output_mb: 1024 };

/** The declared stage of this name in a spec, with the defaults. */
export function declaredStage(spec, name) {
  const found = (spec.stages ?? []).find((stage) => stage.name === name) ?? {};
  return { ...DEFAULTS, ...found, limits: { ...LIMITS, ...found.limits } };
}

/** A card about it; `close` is the link that puts it away. */
export function stageDetail(summary, spec, { close }) {
  const stage = declaredStage(spec, summary.name);
  const facts = [
    ["Type", kind(summary)], ["Needs", summary.dependencies.join(", ") || "nothing"],
    ["Retries", stage.retry_count ? `${stage.retry_count}, the first after ${lasting(stage.retry_delay)}` : "none"],
    ["Time limit", lasting(stage.timeout_seconds)],
    ["Limits", `${count(stage.limits.memory_mb)} MB of memory, ${lasting(stage.limits.cpu_seconds)} of CPU, ${count(stage.limits.output_mb)} MB written`],
    ["Network", stage.network ? "yes" : "no"],
  ];
  return el("section", { class: "card wide", "data-key": "stage", "aria-labelledby": "stage-title" },
    el("div", { class: "line list-head" }, el("h3", { id: "stage-title" }, `Stage ${summary.name}`), el("a", { class: "push", href: close }, "Close")),
    el("dl", { class: "facts-list" }, facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)))),
    [["Parameters", stage.parameters], ["Config", stage.config], ["Environment", stage.environment]].map(([name, values]) =>
      values && Object.keys(values).length > 0 && [el("h4", {}, name), el("pre", { tabindex: "0" }, JSON.stringify(values, null, 2))]),
    stage.source ? el("pre", { class: "source", tabindex: "0", "aria-label": `Source of ${summary.name}` }, stage.source)
      : stage.function && [el("h4", {}, "Function"), el("pre", { tabindex: "0" }, JSON.stringify(stage.function, null, 2))]);
}
