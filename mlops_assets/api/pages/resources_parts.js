// The parts of the resources page: sums in a strip, what changed since last week, the table, one run.
// Add a part here. Keep out what is asked of the API (`resources.js`).

import { sorting } from "./asked.js";
import { el, heading, svg } from "./dom.js";
import { count, moment } from "./format.js";
import { bytes, lasting } from "./run_words.js";

const SHOWN = 12;
const TITLES = { product: "Usage by product", stage: "Usage by stage", job: "Usage by job" };
const OUTCOMES = {
  SUCCESS: ["✓", "completed", "good"], FAILURE: ["✕", "failed", "bad"], RETRY: ["↻", "tried again", "warn"],
  CANCELED: ["■", "cancelled", "warn"], RUNNING: ["▶", "running", "busy"], LOST: ["?", "process died", "bad"],
};
const WORSE = { wall_seconds: "slower", cpu_seconds: "more CPU", peak_memory_bytes: "bigger", read_bytes: "reads more", written_bytes: "writes more" };
const BETTER = { wall_seconds: "faster", cpu_seconds: "less CPU", peak_memory_bytes: "smaller", read_bytes: "reads less", written_bytes: "writes less" };

const few = new Intl.NumberFormat("en", { maximumSignificantDigits: 2 });
const size = (value) => (value < 100 ? few.format(value) : count(Math.round(value)));
const money = (value, currency) =>
  value === null ? "–" : new Intl.NumberFormat("en", { style: "currency", currency, maximumSignificantDigits: 3 }).format(value);

/** What all of the period used and cost. */
export function strip({ all, prices, since, until }) {
  const facts = [
    ["Cost", money(all.cost, prices.currency), `${money(prices.cpu_hour, prices.currency)} a CPU hour, ${money(prices.gb_hour, prices.currency)} a GB hour`],
    ["CPU time", lasting(all.cpu_seconds), `in ${lasting(all.wall_seconds)} of stages`],
    ["Memory", `${size(all.gb_hours)} GB h`, `${bytes(all.peak_memory_bytes)} at most in one stage`],
    ["Files", bytes(all.read_bytes), `read, and ${bytes(all.written_bytes)} written`],
    ["Attempts", count(all.attempts), `in ${count(all.runs)} runs; ${count(all.failed)} failed, ${count(all.lost)} died`],
  ];
  return el("div", { class: "cards strip-facts", role: "group", "aria-label": `From ${moment(since)} to ${moment(until)}` }, facts.map(([name, value, more]) =>
    el("p", { class: "card", "data-key": name }, el("span", { class: "quiet small" }, name), el("b", {}, value), el("span", { class: "quiet small" }, more))));
}

/** What got slower or bigger; improvements after that. */
export function changesCard({ changes, stages, too_few: lacking, middle }) {
  const worse = changes.filter((change) => change.worse), better = changes.filter((change) => !change.worse);
  const compared = stages === 1 ? "One stage" : `${count(stages)} stages`;
  const about = `${compared} compared, the seven days since ${moment(middle)} with the seven before.`
    + (lacking ? ` ${count(lacking)} had less than three successful attempts in one of them.` : "");
  return el("section", { class: "card wide", "aria-labelledby": "changes-title" },
    el("div", { class: "line list-head" }, el("h2", { id: "changes-title" }, "Slower or bigger than last week"),
      worse.length > 0 && el("span", { class: "chip bad" }, count(worse.length)),
      better.length > 0 && el("span", { class: "chip good" }, `${count(better.length)} better`)),
    worse.length ? list(worse) : el("p", {}, "Nothing got clearly slower or bigger."),
    better.length > 0 && el("details", { "data-key": "better", class: "given" }, el("summary", {}, "Faster or smaller"), list(better)),
    el("p", { class: "quiet small meaning" }, about, " Medians differ by more than a fifth, and chance doesn't explain it."));
}

const list = (changes) => [
  el("ul", { class: "changes" }, changes.slice(0, SHOWN).map(line)),
  changes.length > SHOWN && el("details", { "data-key": "more" }, el("summary", {}, `${count(changes.length - SHOWN)} more`), el("ul", { class: "changes" }, changes.slice(SHOWN).map(line))),
];

function line({ said, worse, measure }) {
  const word = worse ? WORSE[measure] : BETTER[measure];
  return el("li", { "data-key": said }, el("span", { class: `chip ${worse ? "bad" : "good"}` }, `${worse ? "▲" : "▼"} ${word}`), el("span", { class: "wraps" }, said));
}

const NUMBERS = [
  ["Runs", "runs", count], ["Attempts", "attempts", count], ["Time", "wall_seconds", lasting], ["CPU", "cpu_seconds", lasting],
  ["Peak memory", "peak_memory_bytes", bytes], ["Read", "read_bytes", bytes], ["Written", "written_bytes", bytes],
];

/** The sums as a table that sorts; `sort` is a column's name, with a minus for the largest first. */
export function sumsTable({ items, by, total, prices }, sort) {
  const name = by === "product" ? [] : [[by === "stage" ? "Stage" : "Job", by]];
  const rows = sorted(items, sort, by);
  const dearest = Math.max(...items.map(({ cost }) => cost));
  return [
    el("div", { class: "line list-head" }, el("h2", { id: "rows-title" }, TITLES[by]),
      el("span", { class: "quiet" }, total > items.length ? `the ${count(items.length)} dearest of ${count(total)}` : count(total))),
    el("div", { class: "scroll" }, el("table", { class: "list stacked numbers-right" },
      el("thead", {}, el("tr", {}, [...name, ["Product", "product"]].map(([title, column]) => sorting(title, column, sort)),
        NUMBERS.map(([title, column]) => sorting(title, column, sort, "-")), sorting("Cost", "cost", sort, "-"))),
      el("tbody", {}, rows.map((item) => row(item, by, prices, dearest))))),
  ];
}

function sorted(items, sort, by) {
  const column = sort.replace("-", ""), sign = sort.startsWith("-") ? -1 : 1;
  const known = column in (items[0] ?? {}) ? column : "cost";
  const compare = (a, b) => (typeof a === "number" ? a - b : String(a ?? "").localeCompare(String(b ?? "")));
  return items.toSorted((a, b) => sign * compare(a[known], b[known]) || compare(a.product, b.product) || compare(a[by], b[by]));
}

function row(item, by, prices, dearest) {
  const { product, kind } = item;
  const ended = [item.failed && `${count(item.failed)} failed`, item.lost && `${count(item.lost)} died`, item.running && `${count(item.running)} running`].filter(Boolean).join(", ");
  const whose = [product, kind !== "product" && kind !== product && el("span", { class: "quiet small" }, ` ${kind}`)];
  return el("tr", { "data-key": `${kind} ${product} ${item[by]}` },
    by === "product" ? null : el("th", { scope: "row" }, item[by]),
    by === "product" ? el("th", { scope: "row" }, whose) : el("td", { "data-label": "Product" }, whose),
    NUMBERS.map(([title, column, told]) => el("td", { "data-label": title }, told(item[column]), column === "attempts" && ended && el("span", { class: "quiet small under" }, ended))),
    el("td", { "data-label": "Cost" }, money(item.cost, prices.currency), bar(item.cost, dearest)));
}

/** How a cost compares with the dearest one. */
function bar(cost, dearest) {
  const share = dearest > 0 ? (100 * cost) / dearest : 0;
  return svg("svg", { class: "share", viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true" }, svg("rect", { width: share.toFixed(2), height: 4, rx: 2 }));
}

/** One run's attempts. */
export function runCard(run) {
  const { currency } = run.prices;
  const names = ["Stage", "Outcome", "Began", "Time", "CPU", "Peak memory", "Read", "Written", "Cost"];
  return el("section", { class: "card wide", "data-key": "run", "aria-labelledby": "run-title" },
    el("div", { class: "line list-head" }, el("h2", { id: "run-title" }, "Run ", el("span", { class: "mono" }, run.run_id.slice(0, 8))),
      el("span", { class: "quiet" }, `${money(run.cost, currency)} in all`),
      el("a", { class: "push", href: run.run_url, target: "_blank", rel: "noopener" }, "In Dagster ↗")),
    run.attempts.length === 0 ? el("p", { class: "empty" }, "No stage of this run was measured.")
      : el("div", { class: "scroll" }, el("table", { class: "list stacked numbers-right" },
        el("thead", {}, el("tr", {}, names.map((name) => heading(name)))),
        el("tbody", {}, run.attempts.map((one) => attemptRow(one, currency))))));
}

function attemptRow(one, currency) {
  const [sign, word, tone] = OUTCOMES[one.outcome] ?? ["?", one.outcome, "idle"];
  const cell = (label, value) => el("td", { "data-label": label }, value);
  return el("tr", { "data-key": `${one.stage} ${one.attempt}` },
    el("th", { scope: "row" }, one.stage, el("span", { class: "quiet small under" }, one.product, one.attempt > 1 && `, attempt ${one.attempt}`)),
    cell("Outcome", el("span", { class: `chip ${tone}` }, `${sign} ${word}`)),
    cell("Began", moment(one.started_at, true)),
    cell("Time", lasting(one.wall_seconds)), cell("CPU", lasting(one.cpu_seconds)), cell("Peak memory", bytes(one.peak_memory_bytes)),
    cell("Read", bytes(one.read_bytes)), cell("Written", bytes(one.written_bytes)), cell("Cost", money(one.cost, currency)));
}
