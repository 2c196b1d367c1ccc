// The line in the head of a page that says whether what it shows is true now.

import { byId } from "./dom.js";
import { distance } from "./format.js";

/** `failure`: why the API couldn't be asked, null when all is well; `good`: when it last answered (ms), 0 for never. */
export function showConnection(failure, good) {
  const at = byId("connection");
  at.className = failure ? "stale" : "live";
  const when = good ? `Showing what was true ${distance(good)}.` : "";
  const text = failure ? `Disconnected: ${failure}. ${when} Trying again …` : "Live";
  if (at.textContent !== text) at.textContent = text;
  document.body.classList.toggle("old-news", Boolean(failure));
}

/** While nobody is signed in there is nothing to say. */
export function hideConnection() {
  byId("connection").textContent = "";
  byId("connection").className = "";
}
