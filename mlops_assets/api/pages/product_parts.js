// The parts of a product in words: on the overview and on the product's own page.

import { el } from "./dom.js";
import { at } from "./http.js";
import { ago } from "./run_words.js";

const STATES = {
  good: ["✓", "good", "fine"], none: ["–", "", "nothing yet"], busy: ["▶", "busy", "going on"],
  warn: ["!", "warn", "look at it"], bad: ["✕", "bad", "broken"],
};
const NAMES = { data: "Data", training: "Training", serving: "Serving", rollout: "Rollout", drift: "Drift", scores: "Scores" };
const WHEN = { data: "since", training: "asked for", rollout: "since", drift: "compared", scores: "scored" };

/** How something is, as a chip with a sign and a word: colour alone tells nothing. */
export function stateChip(state, word) {
  const [sign, tone, usual] = STATES[state];
  return el("span", { class: `chip ${tone}` }, `${sign} ${word ?? usual}`);
}

export const productPath = (name) => at(`products/${encodeURIComponent(name)}`);

const sentence = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}`;

/** One row a part: its name leads to where more is told. */
export const partRows = (parts) => el("table", { class: "list parts" },
  el("thead", { class: "unseen" }, el("tr", {}, ["Part", "State", "What is seen"].map((name) => el("th", { scope: "col" }, name)))),
  el("tbody", {}, parts.map(({ name, state, said, at: when, page }) => el("tr", { "data-key": name },
    el("th", { scope: "row" }, page ? el("a", { href: at(page) }, NAMES[name]) : NAMES[name]),
    el("td", {}, stateChip(state)),
    el("td", { class: "wraps" }, sentence(said), ".", when && [" ", el("span", { class: "quiet small nowrap" }, `${sentence(WHEN[name] ?? "")} `, ago(when))])))));
