// One pipeline: its graph with the state of the newest run, its versions and runs, and what can be done with it.
// Add here what joins the parts. Keep out how a part looks: each has a file of its own.

import { choosing, chosen, lastOfPath } from "./address.js";
import { openDialog } from "./dialogs.js";
import { byId, el, patch } from "./dom.js";
import { Failure, at, get, getText, send } from "./http.js";
import { livePage, nothing } from "./page.js";
import { middle, walkable } from "./pipeline_graph.js";
import { head, runs, stages, versions, yaml } from "./pipeline_parts.js";
import { stageDetail } from "./pipeline_stage.js";
import { openTrigger } from "./pipeline_trigger.js";
import { underWay } from "./run_words.js";

const REFRESH_MS = 10000;
const BUSY_MS = 2000;
const RUNS = 20;

const asked = lastOfPath();
const shown = { detail: null, tag: null, versions: [], runs: null, newest: null, text: null, missing: null, problem: "" };
const path = (rest = "") => `api/v1/pipelines/${encodeURIComponent(shown.detail?.id ?? asked)}${rest}`;

const page = livePage({
  parts: ["pipeline"], shown, load, render,
  forget: () => Object.assign(shown, { detail: null, versions: [], runs: null, newest: null, text: null }),
  every: () => (shown.newest && underWay(shown.newest.status) || shown.detail && shown.detail.deployed_version !== null && !shown.detail.loaded ? BUSY_MS : REFRESH_MS),
});

async function load() {
  const version = Number(chosen("version")) || null;
  try {
    const first = await get(version ? `${path()}?version=${version}` : path());
    const id = encodeURIComponent(first.body.id);
    const [all, list] = await Promise.all([get(`api/v1/pipelines/${id}/versions`), get(`api/v1/pipelines/${id}/runs?limit=${RUNS}`)]);
    const newest = list.body.items[0] ? (await get(`api/v1/runs/${encodeURIComponent(list.body.items[0].id)}`)).body : null;
    const spec = first.body.spec_version;
    const text = chosen("yaml") === null ? null
      : shown.text?.version === spec ? shown.text
        : { version: spec, words: (await getText(`api/v1/pipelines/${id}/yaml?version=${spec}`, "application/yaml")).body };
    return { detail: same(first.body), tag: first.tag, versions: all.body.items, runs: list.body, newest, text, missing: null };
  } catch (failure) {
    if (failure.status !== 404) throw failure;
    return { detail: null, missing: failure.message };
  }
}

/** The stages that are known already if they are the same, so that the graph needn't be laid out again. */
function same(detail) {
  const known = shown.detail;
  const kept = known && known.id === detail.id && known.spec_version === detail.spec_version;
  return kept ? { ...detail, stages: known.stages } : detail;
}

function render(state) {
  const { detail } = shown;
  const fresh = el("div", { id: "pipeline", class: "cards" });
  if (!detail) {
    fresh.append(el("p", { class: "card empty wide" }, shown.missing ? `There is no pipeline ${asked}: ` : nothing(state, ""),
      shown.missing && el("a", { href: at("pipelines") }, "see all pipelines")));
  } else {
    document.title = `Pipeline: ${detail.title || detail.name}`;
    const stage = detail.stages.find(({ name }) => name === chosen("stage"));
    fresh.append(head(detail, shown.problem), ...stages(detail, shown.newest, stage?.name ?? null));
    if (stage) fresh.append(stageDetail(stage, detail.spec, { close: choosing({ stage: null }) }));
    fresh.append(runs(detail, shown.runs), versions(detail, shown.versions), yaml(detail, shown.text));
  }
  patch(byId("pipeline"), fresh);
  middle(byId("pipeline"));
}

const ACTS = {
  run: startRun,
  pause: () => act(() => send("POST", path("/pause"))),
  resume: () => act(() => send("POST", path("/resume"))),
  deploy: ({ version }) => openDeploy(Number(version)),
  delete: openDelete,
};

/** Do it, and show what came of it; what was refused stays to be read until the next try. */
async function act(work) {
  shown.problem = "";
  try {
    await work();
  } catch (failure) {
    if (!(failure instanceof Failure)) throw failure;
    if (failure.status === 401) return page.over();
    shown.problem = `Not done: ${failure.message}.`;
  }
  await page.refresh();
}

/** Runs start with the version that is deployed, whichever is looked at. */
async function startRun() {
  const { detail } = shown;
  await act(async () => {
    const deployed = detail.spec_version === detail.deployed_version ? detail : (await get(`${path()}?version=${detail.deployed_version}`)).body;
    openTrigger(detail, deployed.spec, { over: page.over });
  });
}

function openDeploy(version) {
  const { detail } = shown;
  const back = detail.deployed_version !== null && version < detail.deployed_version;
  openDialog({
    title: back ? `Roll back to version ${version}` : `Deploy version ${version}`,
    action: back ? "Roll back" : "Deploy", over: page.over, done: `Version ${version} is deployed.`,
    content: el("p", { class: "effect" }, `Runs and the schedule use version ${version} from now on. Runs that have started finish on the version that they started with.`),
    async act() {
      await send("POST", path("/deploy"), { version });
      shown.problem = "";
      page.refresh();
    },
  });
}

function openDelete() {
  const { detail, tag } = shown;
  openDialog({
    title: `Delete ${detail.name}`, action: "Delete", tone: "danger solid", over: page.over,
    content: el("p", { class: "effect" }, "It disappears from the lists and from Dagster, and its schedule ends. Its runs and artifacts can still be looked at. Its name becomes free."),
    async act() {
      await send("DELETE", path(), undefined, tag ? { "If-Match": tag } : {});
      location.assign(at("pipelines"));
    },
  });
}

byId("pipeline").addEventListener("click", ({ target }) => {
  const pressed = target.closest("[data-act]");
  if (pressed && !pressed.disabled) ACTS[pressed.dataset.act](pressed.dataset);
});
walkable(byId("pipeline"), () => shown.detail?.stages ?? []);
addEventListener("hashchange", () => {
  if (!page.isIn()) return;
  page.refresh();
});
