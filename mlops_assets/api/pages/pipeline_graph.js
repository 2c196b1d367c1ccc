// The graph of a pipeline's stages: each a link that chooses it, with the state of a run in words and colour.
// Keep out where things lie (`pipeline_layout.js`); the same facts stand in a table beside it.

import { el, svg } from "./dom.js";
import { HEIGHT, WIDTH, layout } from "./pipeline_layout.js";
import { kind, sign, tone, word } from "./run_words.js";

const EDGE = 6, LONGEST = 23, SMALLEST = 0.75;
// What fits into half of a wide window.
const HALF = 540;
const laidOut = new WeakMap();
const seen = new WeakSet();

const cut = (text) => (text.length > LONGEST ? `${text.slice(0, LONGEST - 1)}…` : text);

function placed(stages) {
  if (!laidOut.has(stages)) laidOut.set(stages, layout(stages));
  return laidOut.get(stages);
}

/** Whether the drawing needs the whole width of a page. */
export const isWide = (stages) => placed(stages).width > HALF;

/** Begin with the middle of a drawing that is wider than its place. */
export function middle(place) {
  const scroller = place.querySelector(".graph-scroll");
  if (!scroller || seen.has(scroller)) return;
  seen.add(scroller);
  scroller.scrollLeft = (scroller.scrollWidth - scroller.clientWidth) / 2;
}

/** The drawing; `states` maps a stage's name to { status, text }, `chosen` is a name or null, `href` makes its link. */
export function graph(stages, { states, chosen, href }) {
  const { nodes, edges, width, height } = placed(stages);
  const whole = [width + 2 * EDGE, height + 2 * EDGE];
  const drawing = svg("svg", { class: "graph", width: whole[0], height: whole[1], viewBox: `${-EDGE} ${-EDGE} ${whole.join(" ")}`, role: "group", "aria-label": "Stages from above to below" },
    svg("defs", {}, svg("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 8, markerHeight: 8, orient: "auto" },
      svg("path", { d: "M0 .5 L7.5 4 L0 7.5 z", class: "arrow" }))),
    edges.map(({ key, points }) => svg("path", { "data-key": key, d: line(points), class: "edge", "marker-end": "url(#arrow)", "aria-hidden": "true" })),
    nodes.map(({ stage, x, y }) => node(stage, x, y, states.get(stage.name), stage.name === chosen, href(stage.name))));
  // A narrow window shows it smaller before it scrolls.
  drawing.style.maxWidth = `max(100%, ${Math.round(SMALLEST * whole[0])}px)`;
  return el("div", { class: "graph-scroll", "data-key": "graph" }, drawing);
}

function node(stage, x, y, state, chosen, href) {
  const needs = stage.dependencies.length ? `, needs ${stage.dependencies.join(", ")}` : "";
  const label = `${stage.name}, ${kind(stage)}${state ? `, ${word(state.status)}${state.text ? ` ${state.text}` : ""}` : ""}${needs}`;
  return svg("a", {
    class: `node ${state ? tone(state.status) : ""}`, href, "data-key": stage.name, "data-stage": stage.name,
    transform: `translate(${x} ${y})`, "aria-label": label, "aria-current": chosen ? "true" : null,
  },
    svg("title", {}, `${stage.name}: ${kind(stage)}`),
    svg("rect", { width: WIDTH, height: HEIGHT, rx: 9 }),
    svg("rect", { class: "stripe", x: 0, y: 9, width: 4, height: HEIGHT - 18, rx: 2 }),
    svg("text", { class: "name", x: 14, y: 20 }, cut(stage.name)),
    svg("text", { class: "about", x: 14, y: 37 }, cut(state ? `${sign(state.status)} ${word(state.status)} ${state.text}`.trim() : kind(stage))));
}

const line = (points) => points.map(([x, y], i) => {
  if (i === 0) return `M${x} ${y}`;
  const [before, above] = points[i - 1];
  return before === x ? `L${x} ${y}` : `C${before} ${(above + y) / 2} ${x} ${(above + y) / 2} ${x} ${y}`;
}).join(" ");

/** The stage that an arrow key leads to from one: up to what it needs, down to what needs it, else beside it. */
export function neighbour(stages, name, key) {
  const { nodes } = placed(stages);
  const from = nodes.find(({ stage }) => stage.name === name);
  if (!from) return null;
  const beside = (way) => nodes.filter(({ y, x }) => y === from.y && (x - from.x) * way > 0).sort((a, b) => (a.x - b.x) * way)[0];
  const next = {
    ArrowUp: () => nodes.find(({ stage }) => from.stage.dependencies.includes(stage.name)),
    ArrowDown: () => nodes.find(({ stage }) => stage.dependencies.includes(name)),
    ArrowLeft: () => beside(-1), ArrowRight: () => beside(1),
  }[key]?.();
  return next?.stage.name ?? null;
}

/** Let arrow keys walk the graph that is somewhere in `place`; `stages` gives the stages now. */
export function walkable(place, stages) {
  place.addEventListener("keydown", (event) => {
    const here = event.target.closest?.(".node");
    if (!here || event.ctrlKey || event.altKey || event.metaKey || event.shiftKey) return;
    const next = neighbour(stages(), here.dataset.stage, event.key);
    if (next === null) return;
    event.preventDefault();
    [...place.querySelectorAll(".node")].find((node) => node.dataset.stage === next)?.focus();
  });
}
