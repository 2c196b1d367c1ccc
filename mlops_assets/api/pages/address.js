// What the part of the address after # asks for, as names with values: `#version=2&stage=train`.

/** The value of a name, or null. */
export const chosen = (name) => new URLSearchParams(location.hash.slice(1)).get(name);

/** A link that changes some of it and keeps the rest; null takes a name out. */
export function choosing(changes) {
  const values = new URLSearchParams(location.hash.slice(1));
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) values.delete(name);
    else values.set(name, value);
  }
  return `#${values}`;
}

/** The last part of the path: the name or id of what the page shows. */
export function lastOfPath() {
  const part = location.pathname.split("/").pop();
  try { return decodeURIComponent(part); } catch { return part; }
}
