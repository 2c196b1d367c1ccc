// Fields for declared parameters: of a pipeline that is started, of a template that is filled in.
// Add a type of parameter here. What nobody touched isn't sent, so that its default stays the pipeline's business.

import { el } from "./dom.js";

const LARGEST_FILE = 20 * 1024 * 1024;
const MISSING = "Please fill this in.";

/** A pipeline's parameters as its spec has them, in the shape that templates tell theirs. */
export const declared = (parameters) => Object.entries(parameters ?? {}).map(([name, one]) => ({
  name, type: one.type, default: one.default ?? null, required: one.required ?? false, description: one.description ?? "",
  choices: one.choices ?? null, minimum: one.minimum ?? null, maximum: one.maximum ?? null,
}));

/**
 * The fields; `given` are values to begin with, for names that have one. `check` shows what is wrong, focuses the
 * first of it and gives false; `values` are what is to be sent; `fail` shows what the API said of "….<name>".
 */
export function parameterFields(parameters, given = {}) {
  const fields = parameters.map((parameter) => field(parameter, given));
  return {
    elements: fields.map(({ element }) => element),
    check() {
      const wrong = fields.filter((one) => !one.check());
      wrong[0]?.input.focus();
      return wrong.length === 0;
    },
    values: () => Object.fromEntries(fields.map(({ name, read }) => [name, read()]).filter(([, value]) => value !== undefined)),
    fail(errors) {
      for (const { field: place, message } of errors) fields.find(({ name }) => place.split(".").includes(name))?.fail(message);
    },
  };
}

function field(parameter, given) {
  const { name, type, required, description } = parameter;
  const id = `parameter-${name}`;
  const begun = Object.hasOwn(given, name);
  const { input, text, parse } = control(parameter, begun ? given[name] : parameter.default);
  const error = el("p", { class: "error", id: `${id}-error` });
  input.id = id;
  input.setAttribute("aria-describedby", `${id}-hint ${id}-error`);
  if (required) input.setAttribute("aria-required", "true");
  const fail = (words) => {
    error.textContent = words;
    input.setAttribute("aria-invalid", String(words !== ""));
  };
  input.addEventListener("input", () => fail(""));
  const read = () => {
    if (!begun && input.value === text) return undefined;
    if (input.value.trim() === "" && type !== "string") return undefined;
    return parse(input.value);
  };
  const check = () => {
    let words = "";
    try {
      const value = read();
      // A default is no reason to ask, and neither is a value that was there from the start.
      if (required && (value === undefined || value === "") ) words = MISSING;
    } catch (wrong) {
      words = wrong.message;
    }
    fail(words);
    return words === "";
  };
  const upload = name === "csv" && type === "string" && fileInto(input, id, fail);
  const element = el("div", { class: "field" },
    el("label", { for: id }, name, " ", el("span", { class: "quiet" }, required ? `(${type}, required)` : `(${type})`)),
    upload, input, el("p", { class: "quiet small", id: `${id}-hint` }, [description, limits(parameter)].filter(Boolean).join(" ")), error);
  return { name, element, input, read, check, fail };
}

function limits({ minimum, maximum }) {
  if (minimum !== null && maximum !== null) return `From ${minimum} to ${maximum}.`;
  if (minimum !== null) return `At least ${minimum}.`;
  return maximum === null ? "" : `At most ${maximum}.`;
}

/** { input, text, parse }: the control, what its value is before anybody touched it, and how a value is read. */
function control(parameter, value) {
  const { type, choices } = parameter;
  if (choices || type === "boolean") return choice(choices ?? [true, false], value);
  const none = value === null || value === undefined;
  if (type === "json") {
    const text = none ? "" : JSON.stringify(value, null, 2);
    return { input: area(text, 4), text, parse: (words) => parsed(words) };
  }
  const text = none ? "" : String(value);
  if (type === "string") {
    const long = text.includes("\n") || text.length > 120 || parameter.name === "csv";
    return { input: long ? area(text, 5) : line(text), text, parse: (words) => words };
  }
  const input = line(text);
  input.inputMode = type === "integer" ? "numeric" : "decimal";
  return { input, text, parse: (words) => numeric(words.trim(), parameter) };
}

const line = (text) => el("input", { type: "text", value: text, autocomplete: "off", spellcheck: "false" });

function area(text, rows) {
  const input = el("textarea", { rows, class: "code", spellcheck: "false" });
  input.value = text;
  return input;
}

function choice(choices, value) {
  const place = choices.findIndex((one) => JSON.stringify(one) === JSON.stringify(value));
  const text = place < 0 ? "" : String(place);
  const input = el("select", {}, place < 0 && el("option", { value: "" }, "not given"),
    choices.map((one, index) => el("option", { value: index, selected: index === place }, typeof one === "string" ? one : JSON.stringify(one))));
  return { input, text, parse: (index) => choices[Number(index)] };
}

function parsed(words) {
  try { return JSON.parse(words); } catch (wrong) { throw new Error(`This is no JSON: ${wrong.message}.`); }
}

function numeric(words, { type, minimum, maximum }) {
  const pattern = type === "integer" ? /^[+-]?\d{1,20}$/ : /^[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d{1,4})?$/i;
  if (!pattern.test(words)) throw new Error(type === "integer" ? "Please give a whole number." : "Please give a number, such as 0.5.");
  const value = Number(words);
  if (minimum !== null && value < minimum) throw new Error(`Please give ${minimum} or more.`);
  if (maximum !== null && value > maximum) throw new Error(`Please give ${maximum} or less.`);
  // Beyond what a number of this language holds, the API reads the digits themselves.
  return type === "integer" && !Number.isSafeInteger(value) ? words : value;
}

/** A chooser of a file whose text goes into `input`. */
function fileInto(input, id, fail) {
  const chooser = el("input", { type: "file", id: `${id}-file`, accept: ".csv,text/csv,text/plain", "aria-label": "Read a CSV file into this field" });
  chooser.addEventListener("change", async () => {
    const [file] = chooser.files;
    if (!file) return;
    const { text, problem } = await textOf(file);
    fail(problem);
    if (!problem) input.value = text;
  });
  return chooser;
}

/** { text, problem } of a file that a person chose. */
export async function textOf(file) {
  if (file.size > LARGEST_FILE) return { text: "", problem: "This file is larger than 20 MB: put it where the platform can read it, and give its location." };
  try {
    return { text: new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer()), problem: "" };
  } catch {
    return { text: "", problem: "This file can't be read as text in UTF-8." };
  }
}
