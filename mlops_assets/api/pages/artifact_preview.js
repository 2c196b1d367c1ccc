// What is inside an artifact, in a dialog: the first rows of a table, the beginning of a text, or a picture.
// All of it comes from strangers' code and is shown as text; only pictures that the API has proven are drawn.

import { openView } from "./dialogs.js";
import { el } from "./dom.js";
import { count } from "./format.js";
import { Failure, at, get } from "./http.js";
import { ago, bytes } from "./run_words.js";

export const contentPath = (id) => at(`api/v1/artifacts/${encodeURIComponent(id)}/content`);

/** Open it; `over` is called once the session is over. */
export async function openPreview({ id, name }, over) {
  const place = el("div", { "aria-live": "polite" }, el("p", { class: "quiet" }, "Loading …"));
  openView(name, place);
  try {
    const path = `api/v1/artifacts/${encodeURIComponent(id)}`;
    const [artifact, preview] = await Promise.all([get(path), get(`${path}/preview`)]);
    place.replaceChildren(...content(artifact.body, preview.body));
  } catch (failure) {
    if (!(failure instanceof Failure)) throw failure;
    if (failure.status === 401) return over();
    place.replaceChildren(el("p", { class: "banner" }, `It can't be shown: ${failure.message}.`));
  }
}

function content(artifact, preview) {
  const facts = [
    ["Type", artifact.type], ["Format", artifact.format], ["Size", bytes(artifact.size)], ["Of", artifact.type_name], ["Storage", artifact.storage],
    ["Made", ago(artifact.created_at)], ["SHA-256", artifact.sha256 && el("code", {}, artifact.sha256)],
  ].filter(([, value]) => value);
  const own = Object.keys(artifact.metadata).length > 0;
  return [
    shownOf(artifact, preview),
    artifact.removed_at ? el("p", { class: "quiet" }, "Its file was removed, since it is older than artifacts are kept.")
      : artifact.location && el("p", {}, el("a", { href: contentPath(artifact.id), download: "" }, "Download")),
    el("dl", { class: "facts-list" }, facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)))),
    own && el("details", {}, el("summary", {}, "What the stage said of it"), el("pre", { tabindex: "0" }, JSON.stringify(artifact.metadata, null, 2))),
  ].filter(Boolean);
}

function shownOf({ id, name }, preview) {
  if (preview.kind === "table") {
    const figures = preview.columns.map((_, place) => preview.rows.every((cells) => cells[place] === null || typeof cells[place] === "number"));
    const more = preview.total_rows !== null && preview.total_rows > preview.rows.length;
    return el("div", {},
      el("div", { class: "scroll preview", tabindex: "0", role: "region", "aria-label": `The first rows of ${name}` }, el("table", {},
        el("thead", {}, el("tr", {}, preview.columns.map((column, place) => el("th", { scope: "col", class: figures[place] ? "figure-cell" : null }, column)))),
        el("tbody", {}, preview.rows.map((cells) => el("tr", {}, cells.map((cell, place) =>
          el("td", { class: figures[place] ? "figure-cell" : null }, cell === null ? el("span", { class: "quiet" }, "null") : String(cell)))))))),
      el("p", { class: "quiet small" }, more ? `The first ${count(preview.rows.length)} of ${count(preview.total_rows)} rows.` : `${count(preview.rows.length)} rows${preview.truncated ? ", and more" : ""}.`));
  }
  if (preview.kind === "text") {
    return el("div", {}, el("pre", { tabindex: "0", class: "preview" }, preview.text), preview.truncated && el("p", { class: "quiet small" }, "The text goes on."));
  }
  if (preview.kind === "image") return el("img", { class: "preview", src: at(`api/v1/artifacts/${encodeURIComponent(id)}/image`), alt: name });
  return el("p", { class: "empty" }, preview.reason || "There is no preview.");
}
