// Elements from plain values, and a patch that makes shown elements equal fresh ones without rebuilding them.
// Text always goes in as text, so nothing a person typed can become markup.

const SVG = "http://www.w3.org/2000/svg";

const build = (node, attributes, children) => {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
};

/** An HTML element. There are no listeners: what a press does follows from its data-… attributes. */
export const el = (tag, attributes = {}, ...children) => build(document.createElement(tag), attributes, children);

/** An SVG element. */
export const svg = (tag, attributes = {}, ...children) => build(document.createElementNS(SVG, tag), attributes, children);

/** The heading of a column; one without a name is an empty cell. */
export const heading = (name, attributes = {}) => (name ? el("th", { scope: "col", ...attributes }, name) : el("td"));

export const byId = (id) => document.getElementById(id);

/** Say something to screen readers without moving the focus. */
export function announce(text) {
  byId("announce").textContent = text;
}

/**
 * Make `shown` equal `fresh` by changing only what differs, so that focus, scrolling and opened details stay.
 * Children with data-key are matched by it, the others by their place. What has data-own draws itself:
 * it stays while that value does, and is replaced as a whole when it changes.
 */
export function patch(shown, fresh) {
  if (shown.dataset?.own) return;
  patchAttributes(shown, fresh);
  patchChildren(shown, [...fresh.childNodes]);
}

function patchAttributes(shown, fresh) {
  for (const { name, value } of fresh.attributes) {
    if (shown.getAttribute(name) === value) continue;
    // The content policy refuses styles that are set as an attribute.
    if (name === "style") shown.style.cssText = value;
    else shown.setAttribute(name, value);
  }
  for (const { name } of [...shown.attributes]) {
    // Whether details are open is up to the person who looks.
    if (!fresh.hasAttribute(name) && name !== "open") shown.removeAttribute(name);
  }
}

const keyOf = (node) => (node.nodeType === Node.ELEMENT_NODE ? node.dataset.key : undefined);
const same = (a, b) =>
  a.nodeType === b.nodeType && a.nodeName === b.nodeName && keyOf(a) === keyOf(b) && a.dataset?.own === b.dataset?.own;

function patchChildren(shown, wanted) {
  const keyed = new Map([...shown.childNodes].filter(keyOf).map((node) => [keyOf(node), node]));
  let place = shown.firstChild;
  for (const fresh of wanted) {
    const match = keyOf(fresh) ? keyed.get(keyOf(fresh)) : place;
    if (!match || !same(match, fresh)) {
      const focused = fresh.dataset?.own && match === document.activeElement;
      shown.insertBefore(fresh, place);
      if (focused) fresh.focus({ preventScroll: true });
      continue;
    }
    if (match === place) place = place.nextSibling;
    else shown.insertBefore(match, place);
    if (match.nodeType !== Node.ELEMENT_NODE) {
      if (match.data !== fresh.data) match.data = fresh.data;
    } else patch(match, fresh);
  }
  while (place) {
    const next = place.nextSibling;
    place.remove();
    place = next;
  }
}
