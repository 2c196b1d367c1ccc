// The page for people who want an estimate. It knows no product: fields, names and routes come from /api/form.
// Add here what joins the parts. Keep out how a field looks (fields), an answer (estimate) or feedback.

import { announce, byId, el } from "./dom.js";
import { showAnswer, spoken } from "./estimate.js";
import { feedbackForm } from "./feedback.js";
import { makeField } from "./fields.js";
import { get, post } from "./http.js";

const RELEVANT = 4;

/** A message with a button that tries again. */
function banner(text, again) {
  const button = again && el("button", { type: "button", class: "link", click: again }, "Try again");
  return el("p", { class: "banner" }, text, button ? " " : null, button);
}

async function start() {
  byId("load").replaceChildren(el("p", { class: "quiet" }, "Loading the form …"));
  try {
    build(await get("api/form"));
  } catch (failure) {
    byId("load").replaceChildren(banner(failure.message, start));
  }
}

function build(form) {
  document.title = form.title;
  byId("title").textContent = form.title;
  byId("lead").textContent = form.description ?? "An estimate in a moment, with the range it is likely to fall in.";
  const fields = form.fields.map(makeField);
  const part = (required) => fields.filter((field) => Boolean(field.required) === required).map((field) => field.element);
  byId("required").replaceChildren(...part(true));
  byId("optional").replaceChildren(...part(false));
  byId("more").hidden = part(false).length === 0;
  byId("load").replaceChildren();
  byId("form").hidden = false;
  byId("form").addEventListener("submit", (event) => {
    event.preventDefault();
    submit(form, fields);
  });
}

async function submit(form, fields) {
  const element = byId("form");
  if (element.getAttribute("aria-busy") === "true") return;
  byId("problem").replaceChildren();
  const wrong = fields.filter((field) => {
    field.fail(field.check());
    return field.check() !== "";
  });
  if (wrong.length > 0) return goTo(wrong[0], `${wrong.length === 1 ? "One field needs" : `${wrong.length} fields need`} your attention.`);
  const asked = fields.filter((field) => field.read() !== undefined);
  const record = Object.fromEntries(asked.map((field) => [field.name, field.read()]));
  busy(true);
  try {
    const answer = await post(form.route, record);
    show(answer, form, words(asked));
  } catch (failure) {
    refuse(failure, fields, () => submit(form, fields));
  } finally {
    busy(false);
  }
}

function busy(on) {
  byId("form").setAttribute("aria-busy", String(on));
  byId("answer").classList.toggle("waiting", on);
  byId("submit-text").textContent = on ? "Estimating …" : "Estimate";
}

const words = (asked) => asked.slice(0, RELEVANT).map((field) => `${field.title}: ${field.said()}`).join(" · ");

function show(answer, form, asked) {
  byId("estimate").replaceChildren(...showAnswer(answer, form, asked));
  const numeric = typeof answer[form.answer] === "number";
  byId("feedback").replaceChildren(answer.prediction_id ? feedbackForm(answer.prediction_id, answer.unit ?? form.unit, numeric) : "");
  announce(spoken(answer, form));
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const { top, bottom } = byId("estimate").getBoundingClientRect();
  if (top < 0 || bottom > innerHeight) byId("answer").scrollIntoView({ block: "start", behavior: calm ? "auto" : "smooth" });
}

function refuse(failure, fields, again) {
  const marked = fields.filter((field) => failure.fields[field.name]);
  for (const field of marked) field.fail(failure.fields[field.name]);
  if (marked.length > 0) return goTo(marked[0], failure.message);
  const text = Object.values(failure.fields)[0] ?? failure.message;
  byId("problem").replaceChildren(banner(text, failure.again ? again : null));
}

function goTo(field, text) {
  if (byId("more").contains(field.element)) byId("more").open = true;
  field.focus();
  announce(text);
}

start();
