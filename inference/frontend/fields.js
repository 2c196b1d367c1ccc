// One form field from its description in /api/form: label, control, hint, error, and the value to send.

import { combobox } from "./combobox.js";
import { el } from "./dom.js";
import { get } from "./http.js";
import { typed } from "./numbers.js";

/**
 * A field of the form:
 * { name, required, element, read() → value or undefined when left empty, check() → error or "", fail(text), focus() }
 */
export function makeField(declared) {
  const spec = named(declared);
  const id = `field-${spec.name}`;
  const error = el("p", { class: "error", id: `${id}-error` });
  const hint = el("p", { class: "hint", id: `${id}-hint` }, hintOf(spec));
  const described = `${hint.id} ${error.id}`;
  const kind = KINDS[spec.type] ?? KINDS.text;
  const control = kind.make(spec, id, described, hint);
  const label = el("label", { for: id }, spec.title);
  const element = el("div", { class: `field field-${spec.type}` }, label, control.element, hint, error);

  const fail = (text) => {
    error.textContent = text;
    element.classList.toggle("invalid", text !== "");
    control.input.setAttribute("aria-invalid", String(text !== ""));
  };
  const text = () => control.input.value.trim();
  const read = () => (text() === "" ? undefined : kind.read(text(), spec));
  const check = () => {
    if (text() === "") return spec.required ? "Please fill this in." : "";
    return kind.check?.(text(), spec) ?? "";
  };
  element.addEventListener("input", () => fail(""));
  element.addEventListener("change", () => fail(text() === "" ? "" : check()));
  const said = () => (control.said ? control.said() : text());
  return { name: spec.name, title: spec.title, required: spec.required, element, read, check, fail, said, focus: () => control.input.focus() };
}

const KINDS = {
  number: { make: number, check: outside, read: (text) => typed(text) },
  integer: { make: counter, check: outside, read: (text) => typed(text) },
  choice: { make: choice, read: (text, spec) => choicesOf(spec).find((c) => String(c.value) === text)?.value ?? text },
  boolean: { make: yesOrNo, read: (text) => text === "true" },
  text: { make: plainText, check: tooLong, read: (text) => text },
};

/** A title that is only the name of the field says less than a description that is a title itself ("Bedrooms"). */
function named(spec) {
  const automatic = spec.title.toLowerCase() === spec.name.replaceAll("_", " ").toLowerCase();
  const brief = /^[\p{L}\p{N} -]{1,32}$/u.test(spec.description ?? "");
  return automatic && brief ? { ...spec, title: spec.description, description: null } : spec;
}

function hintOf({ description, title, type, choices }) {
  // A choice shows its values itself, and a hint that repeats the label says nothing.
  if (type === "choice" || choices || description?.toLowerCase() === title.toLowerCase()) return "";
  return description ?? "";
}

const attributes = (spec, id, described) => ({
  id, name: spec.name, "aria-describedby": described, "aria-required": spec.required ? "true" : null,
  placeholder: spec.example === undefined ? null : `e.g. ${spec.example}`,
});

function number(spec, id, described) {
  const input = el("input", { ...attributes(spec, id, described), type: "text", inputmode: "decimal" });
  return { element: input, input };
}

/** A whole number with a button on each side; the arrow keys do the same. */
function counter(spec, id, described) {
  const input = el("input", { ...attributes(spec, id, described), placeholder: null, type: "text", inputmode: "numeric" });
  const step = (by) => {
    const now = typed(input.value);
    const start = Number.isFinite(now) ? now + by : spec.minimum ?? 0;
    input.value = String(Math.min(Math.max(start, spec.minimum ?? -Infinity), spec.maximum ?? Infinity));
    input.dispatchEvent(new Event("input", { bubbles: true }));
  };
  input.addEventListener("keydown", (event) => {
    const by = { ArrowUp: 1, ArrowDown: -1 }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    step(by);
  });
  const button = (sign, word, by) =>
    el("button", { type: "button", tabindex: "-1", "aria-label": `${spec.title}: one ${word}`, click: () => step(by) }, sign);
  return { element: el("div", { class: "counter" }, button("−", "less", -1), input, button("+", "more", 1)), input };
}

const choicesOf = (spec) => (spec.choices ?? []).map((c) => (typeof c === "object" ? c : { value: c, title: String(c) }));

function choice(spec, id, described) {
  const first = el("option", { value: "" }, spec.required ? "Please choose" : "Not sure");
  const options = choicesOf(spec).map((c) => el("option", { value: c.value }, c.title ?? c.value));
  const input = el("select", { ...attributes(spec, id, described), placeholder: null }, first, ...options);
  return { element: input, input, said: () => input.selectedOptions[0].textContent };
}

function yesOrNo(spec, id, described) {
  const choices = [{ value: "true", title: "Yes" }, { value: "false", title: "No" }];
  return choice({ ...spec, choices }, id, described);
}

function plainText(spec, id, described, hint) {
  const input = el("input", { ...attributes(spec, id, described), type: "text", spellcheck: "false" });
  if (!spec.vocabulary_url) return { element: input, input };
  const box = combobox(input, async () => {
    const answer = await get(spec.vocabulary_url);
    return answer[spec.vocabulary_key] ?? Object.values(answer).find(Array.isArray) ?? [];
  });
  const tell = () => {
    const unknown = input.value.trim() !== "" && box.known(input.value) === false;
    hint.textContent = unknown ? "Not in our list. You still get an answer, with less to rest on." : hintOf(spec);
    hint.classList.toggle("note", unknown);
  };
  // The list may come later than the text that it judges.
  input.addEventListener("change", () => box.loaded().then(tell));
  return { element: box.element, input };
}

function outside(text, { type, minimum, maximum, exclusive_minimum: above, exclusive_maximum: below }) {
  const value = typed(text);
  if (Number.isNaN(value)) return type === "integer" ? "Please give a whole number." : "Please give a number.";
  if (type === "integer" && !Number.isInteger(value)) return "Please give a whole number.";
  if (isGiven(minimum) && value < minimum) return `Please give ${minimum} or more.`;
  if (isGiven(above) && value <= above) return `Please give more than ${above}.`;
  if (isGiven(maximum) && value > maximum) return `Please give ${maximum.toLocaleString("en-IN")} or less.`;
  if (isGiven(below) && value >= below) return `Please give less than ${below}.`;
  return "";
}

const isGiven = (limit) => typeof limit === "number";

function tooLong(text, { max_length: limit }) {
  return isGiven(limit) && text.length > limit ? `Please use at most ${limit} characters.` : "";
}
