// The list of all artifacts, with what narrows it and a preview of each.

import { openPreview } from "./artifact_preview.js";
import { artifactTable } from "./artifact_rows.js";
import { asked, listOf, sorting, turning } from "./asked.js";
import { byId, el, heading, patch } from "./dom.js";
import { count } from "./format.js";
import { livePage, nothing } from "./page.js";

const REFRESH_MS = 30000;
const LIMIT = 50;
const SORT = "-created_at";
const TYPES = ["MODEL", "DATASET", "METRICS", "PLOT", "LOG", "CONFIG", "REPORT", "OTHER"];
const STORAGES = [["LOCAL", "Local"], ["S3", "S3"], ["GCS", "Google Cloud"], ["AZURE", "Azure"]];
const ASKED = ["q", "pipeline", "run", "stage", "type", "storage", "result", "sort", "offset"];

const shown = { list: null, refused: "" };

const ask = asked("asked", [
  { name: "q", label: "Search", hint: "part of a name" },
  { name: "pipeline", label: "Pipeline", hint: "name" },
  { name: "stage", label: "Stage", hint: "name" },
  { name: "type", label: "Type", choices: [["", "Any"], ...TYPES.map((type) => [type, type.toLowerCase()])] },
  { name: "storage", label: "Storage", choices: [["", "Any"], ...STORAGES] },
  { name: "result", label: "Kind", choices: [["", "Any"], ["true", "Results of stages"], ["false", "Written by hand"]] },
], () => page.refresh());

const page = livePage({ parts: ["list"], shown, load, render, forget: () => { shown.list = null; }, every: () => REFRESH_MS });

async function load() {
  return listOf(`api/v1/artifacts?${ask.query(ASKED, { limit: LIMIT })}`);
}

function render(state) {
  const { list } = shown;
  const sort = ask.get("sort") || SORT;
  const head = [
    sorting("Name", "name", sort), heading("Stage"), heading("Type"),
    sorting("Size", "size", sort, "-"), sorting("Made", "created_at", sort, "-"), heading(""),
  ];
  const empty = ask.any() ? `No artifact is like that${shown.refused && `: ${shown.refused}`}.` : "There is no artifact yet: stages leave them when they run.";
  patch(byId("rows"), el("div", { id: "rows", class: "wide" }, el("section", { class: "card", "aria-labelledby": "rows-title" },
    el("div", { class: "line list-head" }, el("h2", { id: "rows-title" }, "Artifacts"), list && el("span", { class: "quiet" }, count(list.total))),
    list?.items.length ? artifactTable(list.items, { head }) : el("p", { class: "empty" }, nothing(state, empty)),
    list && turning(list))));
}

byId("rows").addEventListener("click", ({ target }) => {
  const pressed = target.closest("[data-sort], [data-offset], [data-preview]");
  if (!pressed) return;
  const { sort, offset, preview } = pressed.dataset;
  if (preview) openPreview(shown.list.items.find(({ id }) => id === preview), page.over);
  else ask.set(sort ? { sort } : { offset });
});
