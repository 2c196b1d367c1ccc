// The heat map: a table of columns by days, each cell a button. Strength is told by number, sign and colour.

import { el } from "./dom.js";
import { SIGNS, WORDS, calendar, dayOfMonth, isWeekend, longDay, monthOf, shortDay, times } from "./drift_days.js";

const NOTICED = 0.5;
const ROLES = { feature: "", prediction: "what the model answers", error: "how far off it was" };

/** `cell` is the one looked at, `focus` the one that the keyboard is on; `column` null is the day as a whole. */
export function map(detail, cell, focus) {
  const days = calendar(detail.first, detail.last);
  const compared = new Map(detail.days.map((day) => [day.day, day]));
  const strong = detail.policy.block_strength;
  const stop = tabStop(detail, cell, focus);
  const button = (day, column, found) => tableCell(day, column, found, { strong, pressed: same(cell, day, column), stop: same(stop, day, column) });
  const whole = days.map((day) => button(day, null, compared.get(day)));
  const rows = detail.columns.map((column) => {
    const cells = new Map(column.cells.map((one) => [one.day, one]));
    return el("tr", { class: `role-${column.role}`, "data-key": column.name }, rowHead(column.name, ROLES[column.role] || column.kind),
      days.map((day) => button(day, column.name, cells.get(day) ?? unjudged(compared.get(day)))));
  });
  return el("section", { class: "card wide", "data-key": "map", "aria-labelledby": "map-title" },
    el("div", { class: "line map-head" },
      el("h3", { id: "map-title" }, "Columns by day"),
      el("span", { class: "quiet small" }, `${shortDay(detail.first)} to ${shortDay(detail.last)}, days in UTC`),
      paging(detail)),
    el("p", { id: "map-help", class: "unseen" }, "Arrow keys move between cells, Enter shows what a cell holds."),
    el("div", { class: "map-scroll" }, el("table", { class: "map", "aria-labelledby": "map-title", "aria-describedby": "map-help" },
      el("thead", {}, el("tr", {}, el("th", { scope: "col", class: "corner" }, "Column"), days.map(dayHead))),
      el("tbody", {}, el("tr", { class: "whole", "data-key": "whole-day" }, rowHead("Whole day", "strongest column"), whole), rows))),
    legend(strong));
}

function paging({ earlier, later }) {
  const to = (until, text) => el("button", { type: "button", class: "small-button", "data-until": until ?? "", disabled: !until }, text);
  if (!earlier && !later) return null;
  return el("span", { class: "paging" }, to(earlier, "← Earlier"), to(later, "Later →"));
}

const same = (cell, day, column) => cell?.day === day && (cell.column ?? null) === column;

/** The one cell that Tab stops at: where the keyboard was, else what is looked at, else the newest day. */
function tabStop(detail, cell, focus) {
  const there = (one) => one?.day && detail.days.some(({ day }) => day === one.day)
    && (!one.column || detail.columns.some(({ name }) => name === one.column));
  return [focus, cell].find(there) ?? { day: detail.days.at(-1)?.day, column: null };
}

/** A column of a day that has no verdict says what the day says. */
const unjudged = (day) => (day && day.status !== "ok" && day.status !== "drifted" ? { status: day.status, strength: 0 } : undefined);

function dayHead(day, place) {
  const number = dayOfMonth(day);
  const name = place === 0 || number === 1 ? monthOf(day) : "";
  return el("th", { scope: "col", class: isWeekend(day) ? "weekend" : null },
    el("span", { class: "month", "aria-hidden": "true" }, name), el("span", { "aria-hidden": "true" }, String(number)), el("span", { class: "unseen" }, longDay(day)));
}

const rowHead = (name, about) => el("th", { scope: "row" }, el("span", { class: "name", title: name }, name), el("span", { class: "about" }, about));

function tableCell(day, column, found, { strong, pressed, stop }) {
  if (!found) return el("td", { class: "none", "data-key": day }, el("span", { class: "unseen" }, column ? "not compared" : "no verdict"));
  const text = found.status === "drifted" ? times(found.strength) : SIGNS[found.status];
  const spoken = `${column ?? "Whole day"}, ${shortDay(day)}: ${WORDS[found.status]}${found.strength >= 1 ? `, ${times(found.strength)} times its limit` : ""}`;
  return el("td", { "data-key": day }, el("button", {
    type: "button", class: `cell ${level(found, strong)}`, "data-day": day, "data-column": column, "aria-label": spoken, title: spoken,
    "aria-pressed": String(pressed), tabindex: stop ? 0 : -1,
  }, text));
}

function level({ status, strength }, strong) {
  if (status === "drifted") return strength >= strong ? "l4" : strength >= (1 + strong) / 2 ? "l3" : "l2";
  if (status === "ok") return strength >= NOTICED ? "l1" : "l0";
  return status;
}

function legend(strong) {
  const sample = (kind, text, words) => el("li", {}, el("span", { class: `cell ${kind}`, "aria-hidden": "true" }, text), words);
  return [
    el("p", { class: "quiet small map-about" }, "A number is the change divided by the least one that counts: from 1 on, and only if it is significant too, the column drifted."),
    el("ul", { class: "legend map-legend" },
      sample("l0", SIGNS.ok, "no drift"), sample("l1", SIGNS.ok, "significant, below the limit"), sample("l2", "1.2", "drifted"),
      sample("l4", times(strong), "blocks promotions at once"), sample("insufficient", SIGNS.insufficient, "too few rows"),
      sample("no_reference", SIGNS.no_reference, "no reference"), sample("none", "", "not compared")),
  ];
}

/** The cell that a key leads to from this one; null if the key means nothing here. */
export function neighbour(cell, key) {
  const row = cell.closest("tr");
  const place = cell.closest("td").cellIndex;
  const inRow = [...row.querySelectorAll(".cell")];
  const along = { ArrowLeft: -1, ArrowRight: 1 }[key];
  if (along) return inRow[inRow.indexOf(cell) + along] ?? null;
  if (key === "Home") return inRow[0];
  if (key === "End") return inRow.at(-1);
  const step = { ArrowUp: "previousElementSibling", ArrowDown: "nextElementSibling" }[key];
  if (!step) return null;
  for (let other = row[step]; other; other = other[step]) {
    const found = other.cells[place]?.querySelector(".cell");
    if (found) return found;
  }
  return null;
}
