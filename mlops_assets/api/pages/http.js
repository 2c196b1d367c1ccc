// Talks to the control API. A Failure says what a person can do about it.

const CALL_MS = 15000;
// This file lies in the folder `static` of the console, whatever page asks and wherever the console is mounted.
const ROOT = new URL("..", import.meta.url);

/** The address of a path of the console or of its API. */
export const at = (path) => new URL(path, ROOT).href;

export class Failure extends Error {
  constructor(message, { status = 0, fields = {}, errors = [], tag = null, seconds = 0 } = {}) {
    super(message);
    Object.assign(this, { status, fields, errors, tag, seconds });
  }
}

/** What to say of an order with a key of its own that failed: its answer may have been lost, or it never came. */
export const safeAgain = ({ status }) => (status === 0 || status === 503 ? " Sending it again is safe: it counts once." : "");

export const get = (path, headers = {}) => call(path, { headers });

export const send = (method, path, body, headers = {}) =>
  call(path, {
    method,
    headers: { "Content-Type": "application/json", "X-Requested-With": "mlops", ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
  });

/** Text that is no JSON, such as YAML, with the media type that it has. */
export const sendText = (method, path, text, type, headers = {}) =>
  call(path, { method, headers: { "Content-Type": type, "X-Requested-With": "mlops", ...headers }, body: text });

export const getText = (path, type) => call(path, { headers: { Accept: type } }, (response) => response.text());

/** { body, tag }; `body` is null for an answer without one (204, 304). */
async function call(path, options, read = (response) => response.json()) {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), CALL_MS);
  try {
    const response = await fetch(at(path), {
      ...options, credentials: "same-origin", cache: "no-store", signal: stop.signal,
    });
    if (response.status === 204 || response.status === 304) return { body: null, tag: response.headers.get("ETag") };
    const tag = response.headers.get("ETag");
    const body = await (response.ok ? read(response) : response.json()).catch(() => null);
    if (response.ok && body !== null) return { body, tag };
    const errors = body?.errors ?? [];
    const fields = Object.fromEntries(errors.map(({ field, message }) => [field, message]));
    const seconds = Number(response.headers.get("Retry-After")) || 0;
    throw new Failure(body?.detail ?? `the API answered with status ${response.status}`, { status: response.status, fields, errors, tag, seconds });
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw new Failure(error.name === "AbortError" ? "the API took too long to answer" : "the API can't be reached");
  } finally {
    clearTimeout(timer);
  }
}

/** A key for one order, so that sending it again after a lost answer changes nothing. */
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
