// Where the stages of a graph lie: layers from above to below, each stage under all that it depends on.
// Only numbers; `pipeline_graph.js` draws them. Units are pixels.

export const WIDTH = 200, HEIGHT = 48;
const ACROSS = 22, DOWN = 36, BEND = 14, SWEEPS = 8;
// Beyond this the ways round other stages cost more than they explain, and edges go straight.
const MOST_BENDS = 1500;

/** { nodes, edges, width, height } of stages in execution order; an edge is a list of points. */
export function layout(stages) {
  const { items, chains } = connected(stages);
  const layers = [];
  for (const item of items) (layers[item.layer] ??= []).push(item);
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) order(layers, sweep % 2 === 0);
  spread(layers);
  const left = Math.min(0, ...items.map(({ x }) => x));
  for (const item of items) Object.assign(item, { x: item.x - left, y: item.layer * (HEIGHT + DOWN) });
  return {
    nodes: items.filter(({ stage }) => stage),
    edges: chains.map((chain) => ({ key: `${chain[0].stage.name} ${chain.at(-1).stage.name}`, points: points(chain) })),
    width: Math.max(0, ...items.map(({ x, width }) => x + width)),
    height: layers.length * (HEIGHT + DOWN) - DOWN,
  };
}

/** Stages and the bends of edges that pass layers, each knowing what is above (`before`) and below (`after`) it. */
function connected(stages) {
  const known = new Map();
  const items = [], chains = [];
  const made = (stage, layer) => {
    const item = { stage, layer, width: stage ? WIDTH : BEND, before: [], after: [], x: 0, place: items.length };
    items.push(item);
    return item;
  };
  for (const stage of stages) {
    const above = stage.dependencies.map((name) => known.get(name)).filter(Boolean);
    const item = made(stage, Math.max(-1, ...above.map(({ layer }) => layer)) + 1);
    known.set(stage.name, item);
    for (const from of new Set(above)) chains.push([from, item]);
  }
  const bends = chains.reduce((sum, [from, to]) => sum + to.layer - from.layer - 1, 0);
  for (const chain of chains) {
    const [from, to] = chain;
    for (let layer = from.layer + 1; bends <= MOST_BENDS && layer < to.layer; layer += 1) chain.splice(-1, 0, made(null, layer));
    for (let i = 1; i < chain.length; i += 1) {
      chain[i - 1].after.push(chain[i]);
      chain[i].before.push(chain[i - 1]);
    }
  }
  return { items, chains };
}

const mean = (numbers) => numbers.reduce((sum, one) => sum + one, 0) / numbers.length;

/** Put what belongs together beside each other, so that fewer edges cross. */
function order(layers, down) {
  for (const layer of layers) layer.forEach((item, place) => { item.place = place; });
  for (const layer of down ? layers : [...layers].reverse()) {
    const wish = new Map(layer.map((item) => {
      const near = down ? item.before : item.after;
      return [item, near.length ? mean(near.map(({ place }) => place)) : item.place];
    }));
    layer.sort((a, b) => wish.get(a) - wish.get(b));
    layer.forEach((item, place) => { item.place = place; });
  }
}

/** Move each stage towards the middle of what it is connected with, keeping the order of its layer. */
function spread(layers) {
  for (const layer of layers) row(layer, layer.map(() => 0));
  for (let sweep = 0; sweep < SWEEPS; sweep += 1) {
    const down = sweep % 2 === 0;
    for (const layer of down ? layers : [...layers].reverse()) {
      row(layer, layer.map((item) => {
        const near = down ? item.before : item.after;
        return near.length ? mean(near.map(({ x, width }) => x + width / 2)) - item.width / 2 : item.x;
      }));
    }
  }
}

function row(layer, wishes) {
  let end = -Infinity;
  layer.forEach((item, i) => {
    item.x = Math.max(wishes[i], end);
    end = item.x + item.width + ACROSS;
  });
  // Whoever had to give way went to the right: the row as a whole goes back by as much.
  const shift = mean(layer.map((item, i) => wishes[i] - item.x));
  for (const item of layer) item.x += shift;
}

function points(chain) {
  return chain.flatMap(({ stage, x, y, width }, i) => {
    const middle = x + width / 2;
    if (i === 0) return [[middle, y + HEIGHT]];
    return stage ? [[middle, y]] : [[middle, y], [middle, y + HEIGHT]];
  });
}
