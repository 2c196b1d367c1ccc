// The health page: the newest hourly report, its issues on top, then what it was made from.
// Add here what joins the parts. Keep out how a part looks (`health_parts`) and the chart of runs (`health_chart`).

import { byId, el, patch } from "./dom.js";
import { chart } from "./health_chart.js";
import { failures, head, issues, jobs, machinery } from "./health_parts.js";
import { get } from "./http.js";
import { livePage, nothing } from "./page.js";

const REFRESH_MS = 30000;
const NONE_YET = 404;

const shown = { report: null, none: "" };

livePage({
  parts: ["health"], shown, load, render, forget: () => Object.assign(shown, { report: null, none: "" }), every: () => REFRESH_MS,
});

async function load() {
  try {
    return { report: (await get("api/v1/health/report")).body, none: "" };
  } catch (failure) {
    if (failure.status !== NONE_YET) throw failure;
    return { report: null, none: failure.message };
  }
}

function render(state) {
  const { report } = shown;
  document.title = report ? `Health: ${report.status}` : "Health";
  const fresh = el("div", { id: "health", class: "cards" });
  if (!report) {
    const words = shown.none && `${shown.none.charAt(0).toUpperCase()}${shown.none.slice(1)}.`;
    fresh.append(el("p", { class: "card empty wide" }, nothing(state, words)));
  } else {
    const { facts } = report;
    fresh.append(head(report), ...issues(report));
    if (facts.runs) fresh.append(chart(facts.runs), jobs(facts.runs));
    if (facts.failures) fresh.append(failures(facts.failures));
    fresh.append(...machinery(report));
  }
  patch(byId("health"), fresh);
}
