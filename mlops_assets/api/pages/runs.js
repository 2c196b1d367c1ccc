// The list of all runs, newest first, with what narrows it. One run's page is `run_page.js`.

import { asked, listOf } from "./asked.js";
import { byId, el, patch } from "./dom.js";
import { count } from "./format.js";
import { livePage, nothing } from "./page.js";
import { runTable } from "./run_rows.js";
import { RUN_STATES, TRIGGERS, underWay, word } from "./run_words.js";

const REFRESH_MS = 10000;
const BUSY_MS = 3000;
const LIMIT = 50;

const shown = { list: null, refused: "" };
// The API tells where the next rows begin, and nothing of those before: the way back is remembered.
let before = [];

const ask = asked("asked", [
  { name: "status", label: "Status", choices: [["", "Any"], ...RUN_STATES.map((status) => [status, word(status)])] },
  { name: "trigger", label: "Started by", choices: [["", "Any"], ...TRIGGERS] },
  { name: "pipeline", label: "Pipeline", hint: "name" },
  { name: "tag", label: "Tag", hint: "team or team=risk" },
], () => page.refresh());

const page = livePage({
  parts: ["list"], shown, load, render, forget: () => { shown.list = null; },
  every: () => (shown.list?.items.some(({ status }) => underWay(status)) ? BUSY_MS : REFRESH_MS),
});

async function load() {
  if (!ask.get("cursor")) before = [];
  return listOf(`api/v1/runs?${ask.query(["status", "trigger", "pipeline", "tag", "cursor"], { limit: LIMIT })}`);
}

function render(state) {
  const { list } = shown;
  const empty = ask.any() ? `No run is like that${shown.refused && `: ${shown.refused}`}.` : "Nothing has run yet. Runs start on a pipeline's page, by its schedule or over the API.";
  const turned = Boolean(ask.get("cursor"));
  patch(byId("rows"), el("div", { id: "rows", class: "wide" }, el("section", { class: "card", "aria-labelledby": "rows-title" },
    el("div", { class: "line list-head" }, el("h2", { id: "rows-title" }, "Runs"), list && el("span", { class: "quiet" }, count(list.total))),
    list?.items.length ? runTable(list.items) : el("p", { class: "empty" }, nothing(state, empty)),
    (turned || list?.next_cursor) && el("nav", { class: "turning", "aria-label": "More of the list" },
      el("button", { type: "button", class: "secondary", "data-turn": "newer", disabled: !turned }, "← Newer"),
      el("button", { type: "button", class: "secondary", "data-turn": "older", disabled: !list?.next_cursor }, "Older →")))));
}

byId("rows").addEventListener("click", ({ target }) => {
  const turn = target.closest("[data-turn]")?.dataset.turn;
  if (turn === "older") {
    before.push(ask.get("cursor"));
    ask.set({ cursor: shown.list.next_cursor });
  } else if (turn === "newer") ask.set({ cursor: before.pop() ?? "" });
});
