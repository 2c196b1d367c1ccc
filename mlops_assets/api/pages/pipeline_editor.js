// A plain text field for YAML: numbered lines, Tab for spaces, and a way to a line. Escape, then Tab, leaves it.

import { el } from "./dom.js";

const STEP = "  ";

/** The editor; `changed` is called when somebody types. */
export function yamlEditor(changed) {
  const numbers = el("pre", { class: "numbers", "aria-hidden": "true" }, "1");
  const area = el("textarea", {
    id: "yaml", class: "code", wrap: "off", spellcheck: "false", autocomplete: "off", autocapitalize: "off", rows: "24", "aria-describedby": "yaml-hint",
  });
  let count = 1;
  let leaving = false;

  const number = () => {
    const now = area.value.split("\n").length;
    if (now !== count) numbers.textContent = Array.from({ length: now }, (_, i) => i + 1).join("\n");
    count = now;
    numbers.scrollTop = area.scrollTop;
  };
  area.addEventListener("scroll", () => { numbers.scrollTop = area.scrollTop; });
  area.addEventListener("input", () => {
    number();
    changed();
  });
  area.addEventListener("blur", () => { leaving = false; });
  area.addEventListener("keydown", (event) => {
    if (event.key === "Escape") leaving = true;
    else if (event.key !== "Tab") leaving = leaving && event.key === "Shift";
    else if (!leaving && !event.ctrlKey && !event.altKey && !event.metaKey) {
      event.preventDefault();
      if (event.shiftKey) outdent(area);
      else indent(area);
    }
  });

  return {
    element: el("div", { class: "editor" }, numbers, area),
    area,
    text: () => area.value,
    put(text) {
      area.value = text;
      area.setSelectionRange(0, 0);
      area.scrollTop = 0;
      number();
    },
    /** Select a line, from 1, and bring it into sight. */
    go(line) {
      const before = area.value.split("\n").slice(0, line - 1).join("\n").length + (line > 1 ? 1 : 0);
      const end = area.value.indexOf("\n", before);
      area.focus();
      area.setSelectionRange(before, end < 0 ? area.value.length : end);
      area.scrollTop = Math.max(0, (line - 6) * (area.scrollHeight / Math.max(1, count)));
      numbers.scrollTop = area.scrollTop;
    },
  };
}

// Typed by the browser itself, so that Ctrl+Z takes it back.
const type = (area, text) => { if (!document.execCommand("insertText", false, text)) area.setRangeText(text, area.selectionStart, area.selectionEnd, "end"); };

/** The whole lines of the selection: { start, lines }. */
function selected(area) {
  const start = area.value.lastIndexOf("\n", area.selectionStart - 1) + 1;
  const end = area.value.indexOf("\n", area.selectionEnd);
  return { start, lines: area.value.slice(start, end < 0 ? area.value.length : end).split("\n") };
}

function indent(area) {
  if (area.selectionStart === area.selectionEnd) type(area, STEP);
  else rewrite(area, (line) => STEP + line);
}

const outdent = (area) => rewrite(area, (line) => (line.startsWith(STEP) ? line.slice(STEP.length) : line.trimStart()));

function rewrite(area, change) {
  const { start, lines } = selected(area);
  const before = lines.join("\n"), after = lines.map(change).join("\n");
  if (before === after) return;
  area.setSelectionRange(start, start + before.length);
  type(area, after);
  area.setSelectionRange(lines.length > 1 ? start : start + after.length, start + after.length);
}
