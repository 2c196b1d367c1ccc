// What a list is asked for: kept in the address, so that it can be linked to, with the controls that change it,
// the links that turn pages and the headings that sort.

import { byId, el } from "./dom.js";
import { count } from "./format.js";
import { get } from "./http.js";

const TYPING_MS = 300;

/**
 * Build the controls in the form `id` from `fields` ({ name, label, choices?, hint? }) and call `changed` when one is
 * used. What comes back gives and changes what is asked.
 */
export function asked(id, fields, changed) {
  const values = new URLSearchParams(location.search);
  const form = byId(id);
  let timer = null;

  const keep = () => history.replaceState(null, "", `${location.pathname}${values.size ? `?${values}` : ""}`);
  const set = (changes) => {
    // Other rows are asked for: what was turned to has no meaning any more.
    for (const name of ["offset", "cursor"]) values.delete(name);
    for (const [name, value] of Object.entries(changes)) {
      if (value) values.set(name, value);
      else values.delete(name);
      const control = form.elements.namedItem(name);
      if (control && control.value !== value) control.value = value;
    }
    keep();
    changed();
  };

  form.replaceChildren(...fields.map(({ name, label, choices, hint }) => {
    const now = values.get(name) ?? "";
    const own = { id: `asked-${name}`, name };
    const control = choices
      ? el("select", own, choices.map(([value, title]) => el("option", { value, selected: value === now }, title)))
      : el("input", { ...own, type: "search", value: now, placeholder: hint, autocomplete: "off", spellcheck: "false", maxlength: "200" });
    return el("div", {}, el("label", { for: own.id }, label), control);
  }));
  const read = (target) => { if (target.name) set({ [target.name]: target.value.trim() }); };
  form.addEventListener("input", ({ target }) => {
    clearTimeout(timer);
    if (target.nodeName === "SELECT") read(target);
    else timer = setTimeout(() => read(target), TYPING_MS);
  });
  form.addEventListener("submit", (event) => event.preventDefault());

  return {
    get: (name) => values.get(name) ?? "",
    any: () => fields.some(({ name }) => values.get(name)),
    set,
    /** The query of these names and of what is fixed. */
    query(names, fixed = {}) {
      const query = new URLSearchParams(fixed);
      for (const name of names) if (values.get(name)) query.set(name, values.get(name));
      return query;
    },
  };
}

const NONE = { items: [], total: 0, limit: 0, offset: 0, next_cursor: null };

/** { list, refused }: a page of a list, or why nothing can be like what is asked for. */
export async function listOf(path) {
  try {
    return { list: (await get(path)).body, refused: "" };
  } catch (failure) {
    // What somebody typed names nothing, or nothing yet.
    if (failure.status === 404 || failure.status === 422) return { list: NONE, refused: failure.message };
    throw failure;
  }
}

/** The way to the rows before and after these; presses are told by data-offset. */
export function turning({ items, total, limit, offset }) {
  if (total <= limit && offset === 0) return null;
  const button = (to, possible, text) => el("button", { type: "button", class: "secondary", "data-offset": to, disabled: !possible }, text);
  return el("nav", { class: "turning", "aria-label": "More of the list" },
    button(Math.max(0, offset - limit), offset > 0, "← Before"),
    el("span", { class: "quiet" }, items.length ? `${count(offset + 1)}–${count(offset + items.length)} of ${count(total)}` : `none of ${count(total)} here`),
    button(offset + limit, offset + items.length < total, "Next →"));
}

/** The heading of a column that sorts; `first` is the direction of the first press. */
export function sorting(title, column, now, first = "") {
  const up = now === column, down = now === `-${column}`;
  const next = up ? `-${column}` : down ? column : `${first}${column}`;
  return el("th", { scope: "col", "aria-sort": up ? "ascending" : down ? "descending" : null },
    el("button", { type: "button", class: "sort", "data-sort": next }, title, el("span", { "aria-hidden": "true" }, up ? " ↑" : down ? " ↓" : " ↕")));
}
