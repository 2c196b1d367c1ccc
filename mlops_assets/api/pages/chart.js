// The confidence chart: the candidate's mean rating minus production's over time, with the range that is certain.
// Drawn as SVG for the width at hand. Pointer and arrow keys show the values of one look.

import { announce, el, svg } from "./dom.js";
import { count, event, moment, percent, signed } from "./format.js";

const HEIGHT = 300;
const ROOM = { top: 16, right: 16, bottom: 34, left: 52 };
const LEAST_SPAN = 0.3;
const DECIDED = new Set(["advance", "promote", "roll_back", "expire"]);
const POINTS_FOR_SCALE = 0.6;

/** A container that draws `points` when it is shown, and again when its width changes. */
export function chart(points) {
  const rated = points.filter((point) => point.theta !== null);
  const own = `${points.length}:${points.at(-1)?.seq ?? 0}`;
  const title = el("h3", { id: "chart-title" }, "Difference of the ratings");
  const about = el("p", { class: "quiet small" }, "Candidate minus production, in stars. The band holds the true difference at every look, whenever one looks.");
  if (rated.length === 0) {
    return el("section", { class: "card wide", "data-key": "chart", "aria-labelledby": "chart-title" }, title,
      el("p", { class: "empty" }, points.length ? "Ratings can't be compared yet: both sides need some first." : "There is no comparison to draw yet."));
  }
  const frame = el("div", { class: "chart", "data-own": own, tabindex: "0", role: "group", "aria-label": summary(rated) });
  const state = { frame, points, rated, at: null };
  const redraw = () => frame.isConnected && draw(state);
  new ResizeObserver(redraw).observe(frame);
  frame.addEventListener("pointermove", (moved) => hover(state, nearest(state, moved.clientX - frame.getBoundingClientRect().left)));
  frame.addEventListener("pointerleave", () => hover(state, null));
  frame.addEventListener("blur", () => hover(state, null));
  frame.addEventListener("keydown", (pressed) => step(state, pressed));
  return el("section", { class: "card wide", "data-key": "chart", "aria-labelledby": "chart-title" }, title, about, frame, legend());
}

function summary(rated) {
  const { theta, low, high, raters } = rated.at(-1);
  const stand = low > 0 ? "the candidate is better" : high < 0 ? "the candidate is worse" : "no difference is certain";
  return `Chart of ${rated.length} looks. Newest: ${signed(theta)} stars, between ${signed(low)} and ${signed(high)}, ${raters} raters: ${stand}. Arrow keys read single looks.`;
}

/** Where times and stars are drawn. The first, very wide ranges may leave the frame: they would hide the rest. */
function scales({ rated, points }, width) {
  const times = points.map((point) => Date.parse(point.at));
  const [first, last] = [Math.min(...times), Math.max(...times)];
  const settled = rated.slice(Math.floor(rated.length * (1 - POINTS_FOR_SCALE)));
  const reach = Math.max(...settled.flatMap(({ low, high, margin }) => [-low, high, Math.abs(margin ?? 0)]), ...rated.map((p) => Math.abs(p.theta)));
  const span = Math.max(LEAST_SPAN, reach * 1.1);
  const inner = { width: width - ROOM.left - ROOM.right, height: HEIGHT - ROOM.top - ROOM.bottom };
  const x = (iso) => ROOM.left + (last === first ? inner.width / 2 : ((Date.parse(iso) - first) / (last - first)) * inner.width);
  const y = (stars) => ROOM.top + inner.height * (0.5 - stars / (2 * span));
  return { x, y, span, first, last, inner };
}

function draw(state) {
  const width = Math.max(260, state.frame.clientWidth);
  const scale = scales(state, width);
  const { x, y, inner } = scale;
  const right = width - ROOM.right;
  const line = (points) => points.map(([a, b]) => `${a.toFixed(1)},${b.toFixed(1)}`).join(" ");
  const { rated } = state;
  const band = [...rated.map((p) => [x(p.at), y(p.high)]), ...rated.toReversed().map((p) => [x(p.at), y(p.low)])];
  const margin = rated.at(-1).margin ?? 0;
  const box = { x: ROOM.left, width: inner.width };
  const picture = svg("svg", { width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`, "aria-hidden": "true" },
    svg("clipPath", { id: "frame" }, svg("rect", { ...box, y: ROOM.top, height: inner.height })),
    svg("rect", { ...box, y: ROOM.top, height: y(0) - ROOM.top, class: "better" }),
    svg("rect", { ...box, y: y(0), height: ROOM.top + inner.height - y(0), class: "worse" }),
    levels(scale, right), hours(scale),
    svg("g", { "clip-path": "url(#frame)" },
      rated.length > 1 ? svg("polygon", { points: line(band), class: "band" })
        : svg("line", { x1: x(rated[0].at), x2: x(rated[0].at), y1: y(rated[0].high), y2: y(rated[0].low), class: "whisker" }),
      svg("polyline", { points: line(rated.map((p) => [x(p.at), y(p.high)])), class: "edge" }),
      svg("polyline", { points: line(rated.map((p) => [x(p.at), y(p.low)])), class: "edge" })),
    svg("line", { x1: ROOM.left, x2: right, y1: y(0), y2: y(0), class: "zero" }),
    margin ? svg("line", { x1: ROOM.left, x2: right, y1: y(margin), y2: y(margin), class: "margin" }) : null,
    margin ? svg("text", { x: right - 6, y: y(margin) - 5, class: "margin-label" }, `promotion needs ${signed(margin)}`) : null,
    svg("text", { x: ROOM.left + 8, y: ROOM.top + 18, class: "side up" }, "▲ candidate better"),
    svg("text", { x: ROOM.left + 8, y: ROOM.top + inner.height - 9, class: "side down" }, "▼ candidate worse"),
    svg("polyline", { points: line(rated.map((p) => [x(p.at), y(p.theta)])), class: "theta" }),
    svg("circle", { cx: x(rated.at(-1).at), cy: y(rated.at(-1).theta), r: 4, class: "newest" }),
    decisions(state.points, scale));
  const cursor = svg("g", { class: "cursor" });
  picture.append(cursor);
  Object.assign(state, { scale, cursor, width, tip: el("div", { class: "tip", hidden: true }) });
  state.frame.replaceChildren(picture, state.tip);
  if (state.at !== null) hover(state, state.at);
}

function levels({ y, span }, right) {
  const size = [0.05, 0.1, 0.2, 0.5, 1, 2].find((candidate) => span / candidate <= 4) ?? 5;
  const lines = [];
  for (let level = -Math.floor(span / size); level <= span / size; level += 1) {
    const stars = level * size;
    lines.push(level ? svg("line", { x1: ROOM.left, x2: right, y1: y(stars), y2: y(stars), class: "grid" }) : null,
      svg("text", { x: ROOM.left - 8, y: y(stars) + 4, class: "level" }, level ? signed(stars, size < 0.1 ? 2 : 1) : "0 ★"));
  }
  return lines;
}

/** A few times below the axis, as many as fit; on short spans with the seconds that tell them apart. */
function hours({ first, last, inner }) {
  const apart = last - first;
  const wanted = apart === 0 ? 1 : Math.max(2, Math.min(6, Math.floor(inner.width / 130)));
  return Array.from({ length: wanted }, (_, index) => {
    const share = wanted === 1 ? 0.5 : index / (wanted - 1);
    const anchor = wanted === 1 ? "middle" : index === 0 ? "start" : index === wanted - 1 ? "end" : "middle";
    const at = new Date(first + share * apart).toISOString();
    return svg("text", { x: ROOM.left + share * inner.width, y: HEIGHT - 12, class: "hour", "text-anchor": anchor }, moment(at, apart < 600000));
  });
}

function decisions(points, { x, y, inner }) {
  return points.filter((point) => DECIDED.has(point.verdict)).map((point) => {
    const at = x(point.at);
    return svg("g", { class: `decision ${point.verdict}` },
      svg("line", { x1: at, x2: at, y1: ROOM.top, y2: ROOM.top + inner.height }),
      svg("path", { d: `M${at} ${y(point.theta ?? 0) - 8}l8 8-8 8-8-8z` }));
  });
}

function nearest({ rated, scale }, place) {
  const away = rated.map((point) => Math.abs(scale.x(point.at) - place));
  return away.indexOf(Math.min(...away));
}

function step(state, pressed) {
  const last = state.rated.length - 1;
  const now = state.at ?? last + 1;
  const wanted = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: last }[pressed.key];
  if (wanted === undefined) return;
  pressed.preventDefault();
  hover(state, Math.min(Math.max(wanted, 0), last));
  announce(told(state.rated[state.at]).join(", "));
}

function told(point) {
  const lines = [moment(point.at, true), `${signed(point.theta)} stars (${signed(point.low)} … ${signed(point.high)})`,
    `${count(point.raters)} raters, share ${percent(point.share)}`];
  return DECIDED.has(point.verdict) ? [...lines, event(point.event)] : lines;
}

function hover(state, index) {
  state.at = index;
  const { tip, cursor, scale } = state;
  if (!tip) return;
  tip.hidden = index === null;
  if (index === null) return cursor.replaceChildren();
  const point = state.rated[index];
  const at = scale.x(point.at);
  cursor.replaceChildren(
    svg("line", { x1: at, x2: at, y1: ROOM.top, y2: ROOM.top + scale.inner.height }),
    svg("circle", { cx: at, cy: scale.y(point.theta), r: 5 }));
  tip.replaceChildren(...told(point).map((text, line) => el(line ? "span" : "b", {}, text)));
  const left = at > state.width / 2;
  tip.style.left = left ? "auto" : `${at + 12}px`;
  tip.style.right = left ? `${state.width - at + 12}px` : "auto";
}

function legend() {
  const entry = (name, text) => el("li", {}, el("span", { class: `swatch ${name}`, "aria-hidden": "true" }), text);
  return el("ul", { class: "legend" }, entry("theta", "difference so far"), entry("band", "certain range"), entry("decision", "verdict that changed something"));
}
