// Follows one run as it goes: server-sent events, which the browser takes up again by itself after a break; while
// they can't be had, the API is asked every few seconds instead.
// Keep out what is shown of it.

import { at, get } from "./http.js";

const ASK_MS = 2000;
const AGAIN_MS = 15000;

/**
 * Follow the run `id`. `on` has `run`, `stage` and `log` for what comes, `whole` for all of the run at once, `failed`
 * for why it can't be asked, `way` for how it is followed: "live", "asking" or "ended". Calling what comes back stops it.
 */
export function follow(id, on) {
  const path = `api/v1/runs/${encodeURIComponent(id)}`;
  let source = null, asking = null, again = null, over = false;

  function listen() {
    clearTimeout(again);
    source?.close();
    source = new EventSource(at(`${path}/events`));
    source.addEventListener("open", () => {
      clearTimeout(asking);
      asking = null;
      on.way("live");
    });
    for (const name of ["run", "stage", "log"]) source.addEventListener(name, (event) => { if (!over) on[name](JSON.parse(event.data)); });
    source.addEventListener("end", () => finish());
    source.addEventListener("error", () => {
      if (over) return;
      // The browser gives up where the answer was a refusal; where the line broke it tries again by itself.
      if (source.readyState === EventSource.CLOSED) again = setTimeout(listen, AGAIN_MS);
      if (asking === null) ask();
    });
  }

  async function ask() {
    clearTimeout(asking);
    asking = 0;
    try {
      const { body } = await get(path);
      if (over) return;
      on.whole(body);
      if (body.ended_at) return stop("ended");
      if (asking !== null) on.way("asking");
    } catch (failure) {
      if (over) return;
      on.failed(failure);
      if (failure.status === 401) return stop();
    }
    // The line may be back by now.
    if (asking !== null) asking = setTimeout(ask, ASK_MS);
  }

  /** The last word is the API's: all of the run as it ended. */
  async function finish() {
    source.close();
    try {
      const { body } = await get(path);
      if (over) return;
      on.whole(body);
      stop("ended");
    } catch (failure) {
      on.failed(failure);
      if (failure.status === 401) stop();
      else ask();
    }
  }

  function stop(way) {
    over = true;
    source?.close();
    clearTimeout(asking);
    clearTimeout(again);
    if (way) on.way(way);
  }

  listen();
  return () => stop();
}
