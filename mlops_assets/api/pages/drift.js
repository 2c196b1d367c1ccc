// The drift page: one product's days and what one cell of them holds.
// Add here what joins the parts. Keep out how a part looks: each has a file of its own.

import { decoded } from "./address.js";
import { announce, byId, el, patch } from "./dom.js";
import { facts } from "./drift_facts.js";
import { blocks, follows, head, products } from "./drift_head.js";
import { map, neighbour } from "./drift_map.js";
import { get } from "./http.js";
import { livePage, nothing } from "./page.js";

const REFRESH_MS = 30000;
const DAYS = 30;
const LIST = "api/v1/drift";

const shown = { products: [], detail: null, verdict: null, until: null, focus: null, scrolled: null, toTell: false };
const tags = new Map();

const page = livePage({
  parts: ["drift", "products"], shown, load, render, forget() {
    tags.clear();
    Object.assign(shown, { products: [], detail: null, verdict: null, scrolled: null });
  },
  every: () => REFRESH_MS,
});

/** What the address asks for: `#product/day/column`, from the left as much as is there. */
function asked() {
  const [product, day, column] = location.hash.slice(1).split("/").map(decoded);
  const known = shown.products.find((view) => view.product === product) ?? shown.products[0];
  return { product: known?.product ?? null, day: day || null, column: column || null };
}

const address = (product, day, column) => `#${[product, day, column].filter(Boolean).map(encodeURIComponent).join("/")}`;

/** The cell that is looked at: what the address names, else the newest day as a whole. */
function chosen() {
  const { day, column } = asked();
  return { day: day ?? shown.detail?.newest?.day ?? null, column };
}

/** The body of an answer, kept for as long as the API says that it is the same. */
async function read(path) {
  const known = tags.get(path);
  const { body, tag } = await get(path, known ? { "If-None-Match": known.tag } : {});
  if (body === null) return known.body;
  if (tags.size > 40) tags.clear();
  tags.set(path, { body, tag });
  return body;
}

async function load(keep) {
  keep({ products: (await read(LIST)).products });
  const { product, day } = asked();
  const detail = product === null ? null : await days(product, day);
  keep({ detail });
  const at = chosen().day;
  const compared = detail?.days.some((one) => one.day === at);
  return { verdict: compared ? await read(`${LIST}/${encodeURIComponent(product)}/${at}`) : null };
}

/** The days that were paged to, or those round the day that the address names. */
async function days(product, day) {
  const ask = (until) => read(`${LIST}/${encodeURIComponent(product)}?days=${DAYS}${until ? `&until=${until}` : ""}`);
  if (shown.until?.product !== product) shown.until = null;
  const found = await ask(shown.until?.day);
  const outside = day && !shown.until && found.first && /^\d{4}-\d\d-\d\d$/.test(day) && day < found.first;
  return outside ? ask(day) : found;
}

function render(state) {
  const { detail } = shown;
  document.title = detail ? `Drift: ${detail.title}` : "Drift";
  patch(byId("products"), products(shown.products, asked().product, address));
  const fresh = el("div", { id: "drift", class: "cards" });
  if (!detail) fresh.append(el("p", { class: "card empty" }, nothing(state, "No product is served by this installation yet.")));
  else {
    const cell = chosen();
    fresh.append(head(detail), follows(detail));
    if (detail.newest) fresh.append(map(detail, cell, shown.focus), facts(detail, cell, shown.verdict, address));
    if (detail.newest || detail.blocks.length) fresh.append(blocks(detail));
  }
  patch(byId("drift"), fresh);
  bringIntoSight();
  tell();
}

/** A narrow window begins with the cell that is looked at, in the middle if it can be: once for each set of days. */
function bringIntoSight() {
  const scroller = document.querySelector(".map-scroll");
  const what = scroller && `${shown.detail.product} ${shown.detail.last}`;
  if (!scroller || shown.scrolled === what) return;
  shown.scrolled = what;
  const cell = scroller.querySelector('[aria-pressed="true"]');
  scroller.scrollLeft = cell
    ? cell.getBoundingClientRect().left - scroller.getBoundingClientRect().left + scroller.scrollLeft - scroller.clientWidth / 2
    : scroller.scrollWidth;
}

/** Say what was chosen to whoever can't see it, once it is there. */
function tell() {
  if (!shown.toTell || shown.verdict?.verdict.day !== chosen().day) return;
  shown.toTell = false;
  announce(document.querySelector(".facts-card .line")?.textContent ?? "");
}

byId("drift").addEventListener("click", (event) => {
  const cell = event.target.closest("[data-day]");
  if (cell) {
    Object.assign(shown, { focus: { day: cell.dataset.day, column: cell.dataset.column ?? null }, toTell: true });
    location.hash = address(shown.detail.product, cell.dataset.day, cell.dataset.column);
    return;
  }
  const turned = event.target.closest("[data-until]");
  if (!turned) return;
  shown.until = { product: shown.detail.product, day: turned.dataset.until };
  page.refresh();
});

byId("drift").addEventListener("keydown", (event) => {
  const cell = event.target.closest(".map [data-day]");
  const next = cell && !event.ctrlKey && !event.altKey && !event.metaKey ? neighbour(cell, event.key) : null;
  if (!next) return;
  event.preventDefault();
  shown.focus = { day: next.dataset.day, column: next.dataset.column ?? null };
  cell.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
});

addEventListener("hashchange", () => {
  if (!page.isIn()) return;
  page.show();
  page.refresh();
});
