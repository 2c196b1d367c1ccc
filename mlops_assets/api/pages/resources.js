// The resources page: what products, stages and jobs used and cost, what got slower or bigger, and one run's attempts.
// Add here what is asked of the API. Keep out how it is told (`resources_parts.js`).

import { asked } from "./asked.js";
import { byId, el, patch } from "./dom.js";
import { get } from "./http.js";
import { livePage, nothing } from "./page.js";
import { changesCard, runCard, strip, sumsTable } from "./resources_parts.js";

const REFRESH_MS = 30000;
const LIMIT = 500;
const SORT = "-cost";
const DAYS = { "": 7, day: 1, month: 30, quarter: 90 };

const shown = { usage: null, changes: null, run: null, refused: "" };

const ask = asked("asked", [
  { name: "period", label: "Period", choices: [["day", "24 hours"], ["", "7 days"], ["month", "30 days"], ["quarter", "90 days"]] },
  { name: "by", label: "Added up by", choices: [["", "Product"], ["stage", "Stage"], ["job", "Job"]] },
  { name: "run", label: "One run", hint: "its id" },
], () => page.refresh());

const page = livePage({
  parts: ["list"], shown, load, render,
  forget: () => Object.assign(shown, { usage: null, changes: null, run: null }),
  every: () => REFRESH_MS,
});

async function load(keep) {
  const since = new Date(Date.now() - (DAYS[ask.get("period")] ?? 7) * 86400e3).toISOString();
  const run = ask.get("run");
  const [usage, one] = await Promise.all([
    get(`api/v1/usage?${ask.query(["by"], { since, limit: LIMIT })}`), run ? ofRun(run) : { run: null, refused: "" },
  ]);
  // Comparing two weeks of many stages takes longer than adding them up.
  keep({ usage: usage.body, ...one });
  page?.show();
  return { changes: (await get("api/v1/usage/changes")).body };
}

async function ofRun(id) {
  try {
    return { run: (await get(`api/v1/runs/${encodeURIComponent(id)}/usage`)).body, refused: "" };
  } catch (failure) {
    if (failure.status === 404 || failure.status === 422) return { run: null, refused: failure.message };
    throw failure;
  }
}

function render(state) {
  const { usage, changes, run, refused } = shown;
  patch(byId("strip"), el("div", { id: "strip", class: "wide" }, usage && strip(usage)));
  patch(byId("changes"), el("div", { id: "changes", class: "wide" }, changes && changesCard(changes)));
  const none = "No stage has begun in this time. Each attempt of a stage is here as soon as it begins.";
  patch(byId("rows"), el("div", { id: "rows", class: "wide cards" },
    ask.get("run") && (run ? runCard(run) : el("p", { class: "card wide empty", "data-key": "run" }, refused ? `There is no run “${ask.get("run")}”.` : nothing(state, ""))),
    el("section", { class: "card wide", "data-key": "sums", "aria-labelledby": "rows-title" },
      usage?.items.length ? sumsTable(usage, ask.get("sort") || SORT) : [el("h2", { id: "rows-title" }, "Usage"), el("p", { class: "empty" }, nothing(state, none))])));
}

byId("rows").addEventListener("click", ({ target }) => {
  const sort = target.closest("[data-sort]")?.dataset.sort;
  if (sort) ask.set({ sort });
});
