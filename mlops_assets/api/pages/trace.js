// One served answer and all that stands behind it: asks for the trace of the id in the address.
// Add here what a press does. Keep out how the parts look (`trace_parts.js`).

import { decoded } from "./address.js";
import { announce, byId, el, patch } from "./dom.js";
import { at, get } from "./http.js";
import { livePage, nothing } from "./page.js";
import { answer, chain, data, drift, feedback, missing, release, standing } from "./trace_parts.js";

const REFRESH_MS = 60000;
const LOOK_AGAIN_MS = 5000;
const ID = /^\{?[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}\}?$/i;

const parts = location.pathname.split("/");
const id = parts.at(-2) === "trace" ? decoded(parts.at(-1)) : "";
// Without an id this is refused, to whoever is signed in for that and to others for not being so.
const path = `api/v1/predictions/${encodeURIComponent(id || "-")}/trace`;
// `values` is the trace with the request's values, once somebody asked for them: each time they are read is noted.
const shown = { trace: null, problem: null, values: null, refused: null };

const page = livePage({
  parts: ["trace"], shown, load, render,
  forget: () => Object.assign(shown, { trace: null, problem: null, values: null, refused: null }),
  every: () => (shown.problem ? LOOK_AGAIN_MS : REFRESH_MS),
});

async function load() {
  try {
    return { trace: (await get(path)).body, problem: null };
  } catch (failure) {
    if (failure.status !== 404 && failure.status !== 422) throw failure;
    return { trace: null, problem: id ? failure.message : null };
  }
}

function render(state) {
  const input = byId("prediction");
  if (id && !input.value) input.value = id;
  const fresh = el("div", { id: "found", class: "cards wide" });
  if (shown.problem) fresh.append(el("p", { class: "card empty wide", role: "status" }, shown.problem));
  else if (shown.trace) {
    const trace = shown.values ?? shown.trace;
    document.title = `Answer of ${trace.answer.product}, release ${trace.answer.version}`;
    fresh.append(chain(trace), answer(trace, shown.refused), release(trace), data(trace), standing(trace), drift(trace), feedback(trace));
    if (trace.missing.length) fresh.append(missing(trace));
  } else if (id) fresh.append(el("p", { class: "card empty wide" }, nothing(state, "")));
  patch(byId("found"), fresh);
}

byId("asking").addEventListener("submit", (event) => {
  event.preventDefault();
  const given = byId("prediction").value.trim();
  byId("asking-error").textContent = ID.test(given) ? "" : "This is no prediction id: it has 32 hexadecimal digits, as in 0192d7c4-8d9a-7c3e-9a51-0d3a2d1f5c11.";
  if (!ID.test(given)) return byId("prediction").focus();
  location.assign(at(`trace/${encodeURIComponent(given)}`));
});

byId("found").addEventListener("click", async ({ target }) => {
  if (target.closest("[data-act]")?.dataset.act !== "values") return;
  try {
    shown.values = (await get(`${path}?values=true`)).body;
    announce("The request's values are shown.");
  } catch (failure) {
    if (failure.status === 401) return page.over();
    shown.refused = failure.message;
  }
  page.show();
});
