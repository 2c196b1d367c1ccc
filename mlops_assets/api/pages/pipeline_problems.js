// Why a pipeline would be refused, by stage and field, each with the way to the line that is meant.

import { el, heading } from "./dom.js";

/** What the API says of a change that it refused, in the shape of its validation. */
export const fromErrors = (errors) => errors.map(({ field, message }) => {
  const [, stage, rest] = /^stages\.([^.]+)\.?(.*)$/.exec(field) ?? [null, null, field];
  return { stage, field: rest, message };
});

/** The list; a press on data-line leads to that line of `text`. */
export function problemList(problems, text) {
  const rows = problems.map(({ stage, field, message }) => {
    const line = lineOf(text, stage, field, message);
    return el("tr", {},
      el("th", { scope: "row" }, stage ?? el("span", { class: "quiet" }, "the pipeline")),
      el("td", { class: "nowrap" }, field ? el("code", {}, field) : el("span", { class: "quiet" }, "all of it")),
      el("td", { class: "said" }, message),
      el("td", {}, line && el("button", { type: "button", class: "link nowrap", "data-line": line }, `Line ${line}`)));
  });
  return el("div", { class: "problems", role: "group", "aria-label": "Problems" },
    el("p", { class: "error" }, problems.length === 1 ? "One problem" : `${problems.length} problems`),
    el("div", { class: "scroll" }, el("table", {},
      el("thead", {}, el("tr", {}, ["Stage", "Field", "Problem", ""].map((title) => heading(title)))),
      el("tbody", {}, rows))));
}

/** The line that a problem is about, from 1; null where it can't be told. */
export function lineOf(text, stage, field, message) {
  const said = Number(/^line (\d+), column \d+/.exec(message)?.[1] ?? 0);
  if (said && stage === null) return said;
  const lines = text.split("\n");
  const key = field.split(".")[0];
  const names = (name) => (line) => new RegExp(`^\\s*(- )?${escaped(name)}\\s*:`).test(line);
  if (stage === null) return key ? lines.findIndex((line) => names(key)(line) && !/^\s/.test(line)) + 1 || null : null;
  const from = lines.findIndex((line) => new RegExp(`^\\s*(- )?name\\s*:\\s*["']?${escaped(stage)}["']?\\s*$`).test(line));
  if (from < 0) return null;
  if (!key) return from + 1;
  const next = lines.findIndex((line, i) => i > from && /^\s*- /.test(line) && indent(line) <= indent(lines[from].startsWith(" ") || lines[from].startsWith("-") ? lines[from] : ""));
  const end = next < 0 ? lines.length : next;
  const inside = lines.findIndex((line, i) => i >= from && i < end && names(key)(line));
  // A source counts its own lines: in a block they begin under its key.
  if (said && inside >= 0 && /:\s*[|>][-+0-9]*\s*$/.test(lines[inside])) return inside + 1 + said;
  return (inside < 0 ? from : inside) + 1;
}

const escaped = (name) => name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
const indent = (line) => line.length - line.trimStart().length;
