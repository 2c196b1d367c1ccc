// The answer of a detector: unusual or not, its score, and what is unusual about the record.

import { el } from "./dom.js";
import { grounds } from "./estimate.js";

const short = new Intl.NumberFormat("en", { maximumSignificantDigits: 3 });
const isOdd = (answer) => answer.anomaly_pred < 0;
const verdict = (answer) => (isOdd(answer) ? "Unusual" : "Usual");
const score = (answer) => short.format(answer.anomaly_score).replace("-", "−");

/** Elements that show an answer of the service. `asked` is what was asked, in words. */
export function showScore(answer, _form, asked) {
  return [
    el("p", { class: "asked" }, asked),
    el("p", { class: isOdd(answer) ? "value odd" : "value" }, verdict(answer)),
    el("p", { class: "quiet whole" }, `Score ${score(answer)}. Below 0 is unusual, and the lower, the more so.`),
    el("h3", { class: "why" }, isOdd(answer) ? "What makes it unusual" : "What is least usual about it"),
    el("ul", { class: "reasons" }, ...answer.reasons.map((text) => el("li", {}, text))),
    ...grounds(answer),
  ];
}

/** One sentence of the answer, for screen readers. */
export function spokenScore(answer) {
  return `${verdict(answer)}, score ${score(answer)}: ${answer.reasons.join("; ")}.`;
}
