// The page for people who want an estimate. It knows no product: fields, names and routes come from /api/form.
// Add here what joins the parts. Keep out how a field looks (fields), an answer (estimate, anomaly) or feedback,
// and texts (words).

import { showScore, spokenScore } from "./anomaly.js";
import { announce, byId, el } from "./dom.js";
import { showAnswer, spoken } from "./estimate.js";
import { feedbackForm } from "./feedback.js";
import { makeField } from "./fields.js";
import { get, post } from "./http.js";
import { WORDS } from "./words.js";

const RELEVANT = 4;
const ALIKE = 3;
const SHOWN = {
  estimate: { elements: showAnswer, sentence: spoken },
  anomaly: { elements: showScore, sentence: spokenScore },
};

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
  const words = WORDS[form.kind];
  byId("lead").textContent = words.lead;
  byId("ask").textContent = words.ask;
  byId("answer-title").textContent = words.answer;
  byId("empty").textContent = words.empty;
  byId("more-text").textContent = words.more;
  byId("submit-text").textContent = words.act;
  const fields = saidOnce(form.fields).map(makeField);
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

/** A description that many fields share is told at the first of them. */
function saidOnce(fields) {
  const sharing = (text) => fields.filter((field) => field.description === text);
  return fields.map((field) => {
    const all = sharing(field.description);
    return all.length < ALIKE || all[0] === field ? field : { ...field, description: null };
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
  busy(true, form);
  try {
    const answer = await post(form.route, record);
    show(answer, form, summary(asked));
  } catch (failure) {
    refuse(failure, fields, () => submit(form, fields));
  } finally {
    busy(false, form);
  }
}

function busy(on, { kind }) {
  byId("form").setAttribute("aria-busy", String(on));
  byId("answer").classList.toggle("waiting", on);
  byId("submit-text").textContent = on ? WORDS[kind].acting : WORDS[kind].act;
}

const summary = (asked) => asked.slice(0, RELEVANT).map((field) => `${field.title}: ${field.said()}`).join(" · ");

function show(answer, form, asked) {
  const { elements, sentence } = SHOWN[form.kind];
  byId("estimate").replaceChildren(...elements(answer, form, asked));
  byId("feedback").replaceChildren(answer.prediction_id ? feedbackForm(answer, form) : "");
  announce(sentence(answer, form));
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
