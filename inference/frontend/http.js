// Talks to the service. Every failure becomes a Failure that a person can read and act on.

const CALL_MS = 15000;
const LONGEST_PAUSE_MS = 5000;

/** Why a call gave no answer. `fields` maps field names to what is wrong; `again` says whether to try again. */
export class Failure extends Error {
  constructor(message, { status = 0, fields = {}, again = false, pause = 1000 } = {}) {
    super(message);
    Object.assign(this, { status, fields, again, pause });
  }
}

/** Addresses are taken relative to the page, which may be served below a prefix. */
export const address = (path) => new URL(String(path).replace(/^\/+/, ""), document.baseURI);

export const get = (path) => call(path, {});

export const post = (path, body) =>
  call(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

/** `post`, again after a pause while the service says that it is busy, at most `tries` times. */
export async function persistently(path, body, tries = 4) {
  for (let left = tries; ; left -= 1) {
    try {
      return await post(path, body);
    } catch (failure) {
      if (failure.status !== 503 || left <= 1) throw failure;
      await new Promise((done) => setTimeout(done, failure.pause));
    }
  }
}

async function call(path, options) {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), CALL_MS);
  try {
    const response = await fetch(address(path), { ...options, credentials: "same-origin", signal: stop.signal });
    const body = await response.json().catch(() => null);
    if (!response.ok) throw refusal(response, body);
    if (body === null) throw new Failure("The service gave an answer that can't be read.", { again: true });
    return body;
  } catch (error) {
    if (error instanceof Failure) throw error;
    const late = error.name === "AbortError";
    throw new Failure(late ? "The service took too long to answer." : "The service can't be reached.", { again: true });
  } finally {
    clearTimeout(timer);
  }
}

function refusal(response, body) {
  const { status } = response;
  const detail = body?.detail;
  if (status === 422 && Array.isArray(detail)) {
    const fields = {};
    for (const { loc = [], msg } of detail) {
      const name = loc.filter((part) => part !== "body")[0] ?? "";
      fields[name] ??= sentence(msg);
    }
    return new Failure("Please look at the marked fields.", { status, fields });
  }
  if (status === 503 || status === 502 || status === 504) {
    const seconds = Number(response.headers.get("Retry-After")) || 1;
    const pause = Math.min(seconds * 1000, LONGEST_PAUSE_MS);
    return new Failure("The service is busy or starting.", { status, again: true, pause });
  }
  const said = typeof detail === "string" ? sentence(detail) : `The service answered with status ${status}.`;
  return new Failure(said, { status, again: status >= 500 || status === 429 });
}

/** "Value error, must be …" as a sentence. */
function sentence(text) {
  const plain = String(text).replace(/^Value error, /, "").trim();
  const first = plain.charAt(0).toUpperCase() + plain.slice(1);
  return /[.!?…]$/.test(first) ? first : `${first}.`;
}
