// "How good is this answer?": what a person thinks of one answer, sent as one or more pieces of feedback.

import { announce, el } from "./dom.js";
import { persistently } from "./http.js";
import { typed, unitHint } from "./numbers.js";
import { WORDS } from "./words.js";

const ROUTE = "api/feedback";
const MAX_COMMENT = 1000;
const STARS = ["very poor", "poor", "fair", "good", "very good"];
const ACCURACY = [["too_low", "Too low"], ["accurate", "About right"], ["too_high", "Too high"]];

/** The feedback form of one answer. It sends what was filled in, and only what hasn't arrived yet. */
export function feedbackForm(answer, { kind, answer: key, unit: usual }) {
  const predictionId = answer.prediction_id;
  const unit = answer.unit ?? usual;
  // A score has no true value that anybody could know.
  const numeric = kind === "estimate" && typeof answer[key] === "number";
  const sent = new Set();
  const problem = el("div", { role: "alert" });
  const button = el("button", { class: "secondary", type: "submit" }, "Send");
  const price = el("input", { id: "actual", type: "text", inputmode: "decimal", "aria-describedby": "actual-hint actual-error" });
  const priceError = el("p", { class: "error", id: "actual-error" });
  const comment = el("textarea", { id: "comment", rows: "3", maxlength: MAX_COMMENT });
  const form = el("form", { class: "feedback", novalidate: true },
    el("h3", {}, WORDS[kind].judge),
    stars(),
    numeric ? accuracy() : kind === "anomaly" ? right() : null,
    el("details", {}, el("summary", {}, numeric ? "Tell us the actual price, or more" : "Tell us more"),
      numeric ? el("div", { class: "field" }, el("label", { for: "actual" }, "Actual price"), price,
        el("p", { class: "hint", id: "actual-hint" }, unitHint(unit)), priceError) : null,
      el("div", { class: "field" }, el("label", { for: "comment" }, "Comment"), comment)),
    problem, button);

  price.addEventListener("input", () => failPrice(""));
  function failPrice(text) {
    priceError.textContent = text;
    price.setAttribute("aria-invalid", String(text !== ""));
    if (text) {
      form.querySelector("details").open = true;
      price.focus();
    }
  }

  function filled() {
    const chosen = (name) => form.querySelector(`input[name="${name}"]:checked`)?.value;
    const items = [];
    const add = (type, rest = {}) => items.push({ prediction_id: predictionId, feedback_type: type, ...rest });
    if (chosen("stars")) add("rating", { feedback_value: Number(chosen("stars")) });
    if (chosen("accuracy")) add(chosen("accuracy"));
    if (price.value.trim()) add("actual_price", { feedback_value: typed(price.value) });
    if (comment.value.trim()) add("comment", { feedback_text: comment.value.trim() });
    return items;
  }

  function say(text) {
    problem.replaceChildren(text ? el("p", { class: "banner" }, text) : "");
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (form.getAttribute("aria-busy") === "true") return;
    const items = filled();
    say("");
    if (items.length === 0) return say("Choose some stars or another answer first.");
    const paid = items.find((item) => item.feedback_type === "actual_price");
    if (paid && !(paid.feedback_value > 0)) return failPrice("Please give a price above 0.");
    form.setAttribute("aria-busy", "true");
    button.textContent = "Sending …";
    try {
      for (const item of items) {
        if (sent.has(item.feedback_type)) continue;
        await persistently(ROUTE, item);
        sent.add(item.feedback_type);
      }
      thank(form);
    } catch (failure) {
      const fieldText = Object.values(failure.fields)[0];
      const aboutPrice = fieldText && !sent.has("actual_price") && paid;
      if (aboutPrice) failPrice(fieldText);
      else say(fieldText ?? `${failure.message} ${failure.again ? "Your answer is still here: send it again." : ""}`.trim());
      button.textContent = failure.again ? "Send again" : "Send";
    } finally {
      form.removeAttribute("aria-busy");
    }
  });
  return form;
}

function thank(form) {
  form.replaceWith(el("p", { class: "thanks" }, "Thank you. Your answer helps to judge the next model."));
  announce("Thank you. Your answer was sent.");
}

function stars() {
  const choices = STARS.flatMap((word, index) => {
    const id = `star-${index + 1}`;
    const name = `${index + 1} of 5, ${word}`;
    return [
      el("input", { class: "unseen", type: "radio", name: "stars", id, value: index + 1 }),
      el("label", { for: id, title: name }, el("span", { class: "unseen" }, name), el("span", { "aria-hidden": "true" }, "★")),
    ];
  });
  return el("fieldset", { class: "stars" }, el("legend", { class: "unseen" }, "Rating from 1 to 5 stars"), el("div", {}, ...choices));
}

function accuracy() {
  const choices = ACCURACY.flatMap(([value, text]) => {
    const id = `accuracy-${value}`;
    return [el("input", { class: "unseen", type: "radio", name: "accuracy", id, value }), el("label", { for: id }, text)];
  });
  return el("fieldset", { class: "segments" }, el("legend", {}, "The estimate is"), el("div", {}, ...choices));
}

function right() {
  const id = "accuracy-accurate";
  const box = el("input", { class: "unseen", type: "checkbox", name: "accuracy", id, value: "accurate" });
  return el("fieldset", { class: "segments" }, el("legend", { class: "unseen" }, "Your view"), el("div", {}, box, el("label", { for: id }, "The answer is right")));
}
