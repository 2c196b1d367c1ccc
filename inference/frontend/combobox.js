// A text field with search-as-you-type suggestions. Any text may stay in it; suggestions only help.
// Follows the ARIA pattern "editable combobox with list autocomplete".

import { el } from "./dom.js";

const SHOWN = 40;

/**
 * Put suggestions below `input`; resolves later when `load` gives the list of texts.
 * Returns { element, known, loaded }: the wrapper to insert, whether a text is one of the list (null while unknown),
 * and a function whose promise resolves when the list is there or could not be had.
 */
export function combobox(input, load) {
  const listId = `${input.id}-list`;
  const list = el("ul", { id: listId, role: "listbox", class: "suggestions", hidden: true, "aria-label": "Suggestions" });
  const element = el("div", { class: "combobox" }, input, list);
  let words = null;
  let found = [];
  let active = -1;
  let asked = null;

  for (const [name, value] of Object.entries({
    role: "combobox", "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": listId,
  })) input.setAttribute(name, value);

  const isOpen = () => !list.hidden;
  const fetchOnce = () => {
    asked ??= load().then((texts) => { words = texts; }, () => { asked = null; });
    return asked;
  };

  function close() {
    list.hidden = true;
    active = -1;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
  }

  function choose(text) {
    input.value = text;
    close();
    input.dispatchEvent(new Event("change", { bubbles: true }));
  }

  function show() {
    if (words === null || document.activeElement !== input) return;
    found = ranked(words, input.value);
    active = -1;
    input.removeAttribute("aria-activedescendant");
    const options = found.slice(0, SHOWN).map((text, index) => option(text, input.value, `${listId}-${index}`));
    if (found.length > SHOWN) {
      options.push(el("li", { class: "quiet", role: "presentation" }, `${found.length - SHOWN} more, type to narrow down`));
    }
    list.replaceChildren(...options);
    list.hidden = options.length === 0;
    list.scrollTop = 0;
    input.setAttribute("aria-expanded", String(isOpen()));
  }

  function move(step) {
    const options = [...list.querySelectorAll('[role="option"]')];
    if (options.length === 0) return;
    options[active]?.removeAttribute("aria-selected");
    // One place more than options: the text field itself, where nothing is active.
    const places = options.length + 1;
    active = ((active + 1 + step + places) % places) - 1;
    const node = options[active];
    if (!node) {
      input.removeAttribute("aria-activedescendant");
      return;
    }
    node.setAttribute("aria-selected", "true");
    node.scrollIntoView({ block: "nearest" });
    input.setAttribute("aria-activedescendant", node.id);
  }

  input.addEventListener("focus", () => fetchOnce().then(show));
  input.addEventListener("input", () => fetchOnce().then(show));
  input.addEventListener("click", () => { if (!isOpen()) show(); });
  input.addEventListener("blur", close);
  input.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (!isOpen()) show();
      move(event.key === "ArrowDown" ? 1 : -1);
    } else if (event.key === "Enter" && isOpen() && active >= 0) {
      event.preventDefault();
      choose(found[active]);
    } else if (event.key === "Escape" && isOpen()) {
      event.preventDefault();
      close();
    }
  });
  // A press on a suggestion must not take the focus from the field, which would close the list first.
  list.addEventListener("pointerdown", (event) => event.preventDefault());
  list.addEventListener("mousedown", (event) => event.preventDefault());
  list.addEventListener("click", (event) => {
    const node = event.target.closest('[role="option"]');
    if (node) choose(node.dataset.text);
  });

  const known = (text) => (words === null ? null : words.some((word) => fold(word) === fold(text)));
  fetchOnce();
  return { element, known, loaded: fetchOnce };
}

const fold = (text) => text.trim().replace(/\s+/g, " ").toLocaleLowerCase();

/** Texts that contain what was typed: those that begin with it, then those with a word that does, then the rest. */
export function ranked(words, query) {
  const wanted = fold(query);
  if (!wanted) return words;
  const groups = [[], [], []];
  for (const word of words) {
    const place = fold(word).indexOf(wanted);
    if (place === 0) groups[0].push(word);
    else if (place > 0) groups[fold(word).includes(` ${wanted}`) ? 1 : 2].push(word);
  }
  return groups.flat();
}

function option(text, query, id) {
  const wanted = fold(query);
  const place = wanted ? text.toLocaleLowerCase().indexOf(wanted) : -1;
  const parts = place < 0 ? [text] : [
    text.slice(0, place), el("mark", {}, text.slice(place, place + wanted.length)), text.slice(place + wanted.length),
  ];
  return el("li", { id, role: "option", "data-text": text }, ...parts);
}
