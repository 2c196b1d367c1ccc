// Both sides of a column as small bars: quantiles of numbers, shares of words. Every bar's figure stands beside it.

import { el } from "./dom.js";
import { number, percent } from "./format.js";

const SIDES = [["reference", "Training"], ["current", "Day"]];
const QUANTILES = [["0.05", "5 %"], ["0.25", "25 %"], ["0.5", "Median"], ["0.75", "75 %"], ["0.95", "95 %"]];
const MOST_VALUES = 12;

/** Where nine tenths, half and the middle of the numbers lie on each side, on one scale. */
export function quantiles(column) {
  const known = SIDES.filter(([side]) => column[side].quantiles["0.5"] !== undefined);
  if (!known.length) return el("p", { class: "empty" }, "There is no number on either side.");
  const ends = known.flatMap(([side]) => [column[side].quantiles["0.05"], column[side].quantiles["0.95"]]);
  const [low, high] = [Math.min(...ends), Math.max(...ends)];
  const place = (value) => `${high > low ? ((value - low) / (high - low)) * 100 : 50}%`;
  return el("figure", { class: "sides" },
    el("figcaption", {}, "Where the values lie"),
    el("div", { class: "ranges", "aria-hidden": "true" },
      known.map(([side, title]) => range(column[side].quantiles, side, title, place)),
      el("div", { class: "scale" }, el("span", {}), el("span", { class: "ends" }, el("span", {}, number(low)), el("span", {}, number(high))))),
    el("table", { class: "beside" }, titles("Quantile"), el("tbody", {},
      QUANTILES.map(([name, title]) => row(title, column, (side) => number(side.quantiles[name]))),
      row("Mean", column, (side) => number(side.mean)),
      row("Missing", column, (side) => percent(side.missing)))));
}

function range(at, side, title, place) {
  const bar = (name, from, to) => {
    const node = el("span", { class: name });
    node.style.left = place(from);
    if (to !== undefined) node.style.right = `calc(100% - ${place(to)})`;
    return node;
  };
  return el("div", { class: `range ${side}` }, el("span", { class: "side-name" }, title),
    el("span", { class: "lane" }, bar("most", at["0.05"], at["0.95"]), bar("half", at["0.25"], at["0.75"]), bar("middle", at["0.5"])));
}

const titles = (first) => el("thead", {}, el("tr", {}, el("th", { scope: "col" }, first),
  SIDES.map(([side, title]) => el("th", { scope: "col" }, el("span", { class: `dot ${side}`, "aria-hidden": "true" }), title))));

const row = (title, column, value) => el("tr", {}, el("th", { scope: "row" }, title), SIDES.map(([side]) => el("td", {}, value(column[side]))));

/** The commonest words of both sides with their shares. */
export function categories(column) {
  const { reference, current } = column;
  const names = [...new Set([...Object.keys(reference.top), ...Object.keys(current.top)])]
    .sort((a, b) => (reference.top[b] ?? 0) - (reference.top[a] ?? 0) || (current.top[b] ?? 0) - (current.top[a] ?? 0)).slice(0, MOST_VALUES);
  if (!names.length) return el("p", { class: "empty" }, "There is no value on either side.");
  const share = (side, name) => column[side].top[name] ?? 0;
  const rest = Object.fromEntries(SIDES.map(([side]) => [side, Math.max(0, 1 - names.reduce((sum, name) => sum + share(side, name), 0))]));
  const most = Math.max(...names.flatMap((name) => SIDES.map(([side]) => share(side, name))), rest.reference, rest.current);
  const line = (title, of) => el("tr", { "data-key": `value-${title}` }, el("th", { scope: "row" }, title), SIDES.map(([side]) => {
    const bar = el("span", { class: `bar ${side}`, "aria-hidden": "true" });
    bar.style.width = `${most ? (of(side) / most) * 100 : 0}%`;
    return el("td", {}, el("span", { class: "lane" }, bar), el("span", { class: "figure" }, percent(of(side))));
  }));
  const others = rest.reference > 0.0005 || rest.current > 0.0005;
  return el("figure", { class: "sides" },
    el("figcaption", {}, "Commonest values"),
    el("table", { class: "beside values" }, titles("Value"), el("tbody", {},
      names.map((name) => line(name, (side) => share(side, name))), others && line("All others", (side) => rest[side]))),
    el("p", { class: "quiet small" }, `Missing: ${percent(reference.missing)} in training, ${percent(current.missing)} on the day.`));
}
