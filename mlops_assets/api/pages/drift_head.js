// A product's newest verdict, what follows from it, its blocks, and the products to choose from.

import { el } from "./dom.js";
import { SIGNS, TONES, WORDS, daysAgo, longDay, shortDay } from "./drift_days.js";
import { count, distance, moment } from "./format.js";

const LATE_DAYS = 3;

/** One link a product with its newest days as small bars. */
export function products(all, now, address) {
  return el("nav", { id: "products", "aria-label": "Products", hidden: all.length < 2 }, all.map(({ product, title, newest, days, block }) =>
    el("a", { href: address(product), "data-key": product, "aria-current": product === now ? "page" : null }, title,
      el("span", { class: "strip", "aria-hidden": "true" }, days.map((day) => el("i", { class: day.status, "data-key": day.day }))),
      el("span", { class: "unseen" }, newest ? `, ${WORDS[newest.status]}` : ", not compared yet"), block && el("span", { class: "quiet" }, " blocked"))));
}

/** The head: title, status, and the newest verdict in words. */
export function head(detail) {
  const { newest, block } = detail;
  return el("section", { class: "card head", "data-key": "head", "aria-labelledby": "product-title" },
    el("div", { class: "line" },
      el("h2", { id: "product-title" }, detail.title),
      newest && el("span", { class: `chip ${TONES[newest.status]}` }, `${SIGNS[newest.status]} ${WORDS[newest.status]}`),
      block && el("span", { class: "chip bad" }, "Promotions blocked")),
    newest ? verdict(newest) : empty(detail));
}

function verdict(newest) {
  const late = daysAgo(newest.day) >= LATE_DAYS;
  return [
    el("div", { class: `verdict ${TONES[newest.status]}` },
      el("p", { class: "words" }, `${longDay(newest.day)}: ${said(newest)}`),
      newest.drifted.length > 0 && el("ul", { class: "names", "aria-label": "Drifted columns, strongest first" }, newest.drifted.map((name) =>
        el("li", {}, el("button", { type: "button", class: "link", "data-day": newest.day, "data-column": name }, name)))),
      el("p", { class: "quiet small" }, `${count(newest.rows)} rows beside what release ${newest.release} was trained on. Compared ${distance(newest.computed_at)}.`)),
    late && el("p", { class: "banner late" }, `No day after ${shortDay(newest.day)} was compared: either there were no requests, or the daily job doesn't run.`),
  ];
}

function said({ status, drifted }) {
  if (status === "drifted") return drifted.length === 1 ? "one column drifted" : `${drifted.length} columns drifted`;
  if (status === "ok") return "no drift";
  if (status === "insufficient") return "too few rows to tell, so neither drift nor its absence is shown";
  return "the release that served has no reference to compare with";
}

const empty = ({ product }) => el("div", { class: "empty" },
  el("p", {}, el("b", {}, "No day was compared yet.")),
  el("p", {}, "Each night the platform compares the day before with what production was trained on. Nothing needs to be done: "
    + "the first verdict comes after the first full UTC day with requests."),
  el("p", {}, "To compare past days of the log now, backfill the asset ", el("code", {}, `${product}/drift_report`), " in Dagster. ",
    el("code", {}, "mlops drift check"), " compares the last hours without keeping anything."));

/** What follows from the verdicts. */
export const follows = (detail) => el("section", { class: "card wide", "data-key": "follows", "aria-labelledby": "follows-title" },
  el("h3", { id: "follows-title" }, "What follows"),
  el("ul", { class: "follows" }, detail.upcoming.map((words) => el("li", {}, words))));

/** When promotions were blocked and why, newest first. */
export function blocks({ blocks: all }) {
  const rows = all.map(({ seq, at, blocked, reason, actor }) => el("li", { "data-key": `block-${seq}` },
    el("time", { datetime: at }, moment(at)),
    el("span", { class: `chip ${blocked ? "bad" : "good"}` }, blocked ? "Blocked" : "Lifted"),
    el("span", { class: "said" }, reason), el("span", { class: "quiet small" }, actor)));
  return el("section", { class: "card wide", "data-key": "blocks", "aria-labelledby": "blocks-title" },
    el("h3", { id: "blocks-title" }, "Blocks of promotions"),
    all.length ? el("ol", { class: "blocks" }, rows) : el("p", { class: "empty" }, "Drift has never blocked a promotion."));
}
