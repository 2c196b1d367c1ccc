// Artifacts as rows of a table: in the list of all and on the page of the run that left them.

import { contentPath } from "./artifact_preview.js";
import { el, heading } from "./dom.js";
import { at } from "./http.js";
import { ago, bytes } from "./run_words.js";

/** The table; `head` are its headings (cells), `ofRun` leaves out which run each is of. A press on data-preview opens one. */
export const artifactTable = (artifacts, { head = null, ofRun = false } = {}) => el("div", { class: "scroll" }, el("table", { class: "list stacked" },
  el("thead", {}, el("tr", {}, head ?? ["Name", "Stage", "Type", "Size", "Made", ""].map((name) => heading(name)))),
  el("tbody", {}, artifacts.map((artifact) => row(artifact, ofRun)))));

const row = (artifact, ofRun) => el("tr", { "data-key": artifact.id },
  el("th", { scope: "row" },
    el("button", { type: "button", class: "link main-link", "data-preview": artifact.id, "aria-haspopup": "dialog" }, artifact.name),
    artifact.is_result && [" ", el("span", { class: "chip" }, "result")],
    !ofRun && el("span", { class: "quiet small under" }, artifact.format)),
  el("td", { "data-label": "Stage" }, ofRun ? artifact.stage : el("a", { href: at(`runs/${encodeURIComponent(artifact.run_id)}#stage=${encodeURIComponent(artifact.stage)}`) }, artifact.stage),
    !ofRun && el("span", { class: "quiet small under" }, `${artifact.pipeline} v${artifact.pipeline_version}`)),
  el("td", { "data-label": "Type" }, artifact.type.toLowerCase(), ofRun && el("span", { class: "quiet small under" }, artifact.format)),
  el("td", { class: "nowrap", "data-label": "Size" }, bytes(artifact.size), artifact.removed_at && el("span", { class: "quiet small under" }, "removed")),
  el("td", { class: "nowrap", "data-label": "Made" }, ago(artifact.created_at)),
  el("td", {}, artifact.location && !artifact.removed_at ? el("a", { href: contentPath(artifact.id), download: "", "aria-label": `Download ${artifact.name}` }, "Download") : null));
