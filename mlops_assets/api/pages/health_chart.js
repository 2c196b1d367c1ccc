// The runs of a day as bars, hour by hour, with the same numbers in a table. Pointer and arrow keys read single hours.

import { announce, el, svg } from "./dom.js";
import { count, moment, timeZone } from "./format.js";

const HEIGHT = 220;
const ROOM = { top: 12, right: 8, bottom: 30, left: 36 };
const KINDS = [["success", "succeeded"], ["canceled", "canceled"], ["failed", "failed"]];
const LABEL_PIXELS = 110;

/** A card with the chart, drawn when it is shown and again when its width changes. */
export function chart(runs) {
  const hours = runs.hours_of;
  const ended = hours.reduce((sum, hour) => sum + total(hour), 0);
  const named = { class: "card wide", "data-key": "chart", "aria-labelledby": "chart-title" };
  const title = el("h2", { id: "chart-title" }, `Runs of ${runs.hours} hours`);
  if (!ended) return el("section", named, title, el("p", { class: "empty" }, `No run ended in the last ${runs.hours} hours.`));
  const own = `${runs.until}:${ended}`;
  const frame = el("div", { class: "chart", "data-own": own, tabindex: "0", role: "group", "aria-label": summary(runs) });
  const state = { frame, hours, at: null };
  new ResizeObserver(() => frame.isConnected && draw(state)).observe(frame);
  frame.addEventListener("pointermove", (moved) => hover(state, nearest(state, moved.clientX - frame.getBoundingClientRect().left)));
  for (const gone of ["pointerleave", "blur"]) frame.addEventListener(gone, () => hover(state, null));
  frame.addEventListener("keydown", (pressed) => step(state, pressed));
  return el("section", named, el("div", { class: "line list-head" }, title, el("span", { class: "quiet small" }, `when they ended, ${timeZone()}`)),
    frame, legend(), numbers(runs));
}

const total = (hour) => KINDS.reduce((sum, [kind]) => sum + hour[kind], 0);

function summary({ hours, success, failed, canceled }) {
  return `Chart of ${hours} hours: ${count(success)} runs succeeded, ${count(failed)} failed, ${count(canceled)} were canceled. `
    + "Arrow keys read single hours; a table follows.";
}

function draw(state) {
  const { frame, hours } = state;
  const width = Math.max(240, frame.clientWidth);
  const inner = { width: width - ROOM.left - ROOM.right, height: HEIGHT - ROOM.top - ROOM.bottom };
  const size = inner.width / hours.length;
  const { most, apart } = steps(Math.max(...hours.map(total)));
  const y = (runs) => ROOM.top + inner.height * (1 - runs / most);
  const levels = Array.from({ length: Math.floor(most / apart) + 1 }, (_, place) => place * apart);
  const every = Math.max(1, Math.ceil(hours.length / Math.max(1, Math.floor(inner.width / LABEL_PIXELS))));
  const picture = svg("svg", { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, "aria-hidden": "true" },
    svg("defs", {}, svg("pattern", { id: "failed-lines", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
      svg("rect", { width: 6, height: 6, class: "bar failed" }), svg("line", { x1: 0, y1: 0, x2: 0, y2: 6, class: "bar-line" }))),
    levels.map((runs) => [
      svg("line", { x1: ROOM.left, x2: width - ROOM.right, y1: y(runs), y2: y(runs), class: runs ? "grid" : "zero" }),
      svg("text", { x: ROOM.left - 6, y: y(runs) + 4, class: "level" }, count(runs))]),
    hours.map((hour, place) => bars(hour, ROOM.left + place * size, size, y)),
    hours.map((hour, place) => (place % every ? null : svg("text", { x: ROOM.left + place * size, y: HEIGHT - 10, class: "hour" }, moment(hour.at)))));
  const cursor = svg("g", { class: "cursor" });
  picture.append(cursor);
  Object.assign(state, { size, width, inner, cursor, tip: el("div", { class: "tip", hidden: true }) });
  frame.replaceChildren(picture, state.tip);
  hover(state, state.at);
}

/** The axis' end, and how far its lines are apart: 1, 2 or 5 times a power of ten, four lines at most. */
function steps(largest) {
  const rough = Math.max(1, largest / 4);
  const power = 10 ** Math.floor(Math.log10(rough));
  const apart = [1, 2, 5, 10].map((times) => times * power).find((size) => size >= rough);
  return { apart, most: Math.ceil(largest / apart) * apart };
}

function bars(hour, left, size, y) {
  let below = 0;
  return KINDS.map(([kind]) => {
    const from = below;
    below += hour[kind];
    return hour[kind] ? svg("rect", { x: left + size * 0.1, width: size * 0.8, y: y(below), height: y(from) - y(below), class: `bar ${kind}` }) : null;
  });
}

const nearest = ({ size, hours }, place) => Math.min(hours.length - 1, Math.max(0, Math.floor((place - ROOM.left) / size)));

function step(state, pressed) {
  const last = state.hours.length - 1;
  const now = state.at ?? last + 1;
  const wanted = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: last }[pressed.key];
  if (wanted === undefined) return;
  pressed.preventDefault();
  hover(state, Math.min(Math.max(wanted, 0), last));
  announce(told(state.hours[state.at]).join(", "));
}

const told = (hour) => [`From ${moment(hour.at)}`, ...KINDS.map(([kind, word]) => `${count(hour[kind])} ${word}`)];

function hover(state, place) {
  state.at = place;
  const { tip, cursor, size, inner } = state;
  if (!tip) return;
  tip.hidden = place === null;
  if (place === null) return cursor.replaceChildren();
  const left = ROOM.left + place * size;
  cursor.replaceChildren(svg("rect", { x: left, y: ROOM.top, width: size, height: inner.height, class: "chosen-hour" }));
  tip.replaceChildren(...told(state.hours[place]).map((text, line) => el(line ? "span" : "b", {}, text)));
  const turned = left > state.width / 2;
  tip.style.left = turned ? "auto" : `${left + size + 8}px`;
  tip.style.right = turned ? `${state.width - left + 8}px` : "auto";
}

const legend = () => el("ul", { class: "legend" }, KINDS.map(([kind, word]) => el("li", {}, el("span", { class: `swatch ${kind}`, "aria-hidden": "true" }), word)));

function numbers({ hours_of: hours }) {
  const rows = hours.filter((hour) => total(hour)).toReversed();
  return el("details", {}, el("summary", {}, "Numbers"),
    el("div", { class: "scroll tall", tabindex: "0", role: "group", "aria-label": "Runs by hour" }, el("table", { class: "list numbers-right" },
      el("thead", {}, el("tr", {}, ["Hour from", "Succeeded", "Failed", "Canceled"].map((name) => el("th", { scope: "col" }, name)))),
      el("tbody", {}, rows.map((hour) => el("tr", { "data-key": hour.at }, el("th", { scope: "row" }, moment(hour.at)),
        ["success", "failed", "canceled"].map((kind) => el("td", {}, count(hour[kind])))))))));
}
