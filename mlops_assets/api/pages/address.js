// What the address asks for: in the part after #, as names with values (`#version=2&stage=train`), and in its path.

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

/** A part of an address as it was before it was escaped; what nobody escaped stays as it is. */
export function decoded(part) {
  try { return decodeURIComponent(part); } catch { return part; }
}

/** The last part of the path: the name or id of what the page shows. */
export const lastOfPath = () => decoded(location.pathname.split("/").pop());
