// Talks to the control API. A Failure says what a person can do about it.

const CALL_MS = 15000;

export class Failure extends Error {
  constructor(message, { status = 0, fields = {}, seconds = 0 } = {}) {
    super(message);
    Object.assign(this, { status, fields, seconds });
  }
}

export const get = (path, headers = {}) => call(path, { headers });

export const send = (method, path, body, headers = {}) =>
  call(path, {
    method,
    headers: { "Content-Type": "application/json", "X-Requested-With": "mlops", ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
  });

/** { body, tag }; `body` is null for an answer without one (204, 304). */
async function call(path, options) {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), CALL_MS);
  try {
    const response = await fetch(new URL(path, document.baseURI), {
      ...options, credentials: "same-origin", cache: "no-store", signal: stop.signal,
    });
    if (response.status === 204 || response.status === 304) return { body: null, tag: response.headers.get("ETag") };
    const body = await response.json().catch(() => null);
    if (response.ok && body !== null) return { body, tag: response.headers.get("ETag") };
    const fields = Object.fromEntries((body?.errors ?? []).map(({ field, message }) => [field, message]));
    const seconds = Number(response.headers.get("Retry-After")) || 0;
    throw new Failure(body?.detail ?? `the API answered with status ${response.status}`, { status: response.status, fields, seconds });
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
