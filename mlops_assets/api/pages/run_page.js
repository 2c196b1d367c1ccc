// One run: its graph as it goes, its stages with what they used, errors, the log, and what it left behind.
// Add here what joins the parts. Keep out how a part looks, and how a run is followed (`run_live.js`).

import { chosen, lastOfPath } from "./address.js";
import { openPreview } from "./artifact_preview.js";
import { showConnection } from "./connection.js";
import { openDialog } from "./dialogs.js";
import { announce, byId, el, patch } from "./dom.js";
import { Failure, at, get, send } from "./http.js";
import { livePage, nothing } from "./page.js";
import { middle, walkable } from "./pipeline_graph.js";
import { openTrigger } from "./pipeline_trigger.js";
import { follow } from "./run_live.js";
import { stageLog } from "./run_log.js";
import { artifacts, failure as failed, graphCard, head, stageTable } from "./run_parts.js";
import { underWay, word } from "./run_words.js";

const REFRESH_MS = 60000;
const TICK_MS = 1000;
const MOST_ARTIFACTS = 200;

const id = lastOfPath();
const path = `api/v1/runs/${encodeURIComponent(id)}`;
const shown = { run: null, graph: null, detail: null, artifacts: null, missing: null };
let stop = null;
let way = "";
let drawing = 0;

const page = livePage({
  parts: ["run"], shown, load, render, forget() {
    stop?.();
    stop = null;
    Object.assign(shown, { run: null, graph: null, detail: null, artifacts: null });
  },
  every: () => REFRESH_MS,
});
const log = stageLog(byId("log"), id, (problem) => (problem.status === 401 ? page.over() : announce(`The log can't be read: ${problem.message}.`)));

async function load() {
  try {
    const run = (await get(path)).body;
    const [graph, left] = await Promise.all([shown.graph ?? version(run), leftBehind()]);
    return { run, ...graph, graph, artifacts: left, missing: null };
  } catch (problem) {
    if (problem.status !== 404) throw problem;
    return { run: null, missing: problem.message };
  }
}

/** The pipeline as it was when the run started; null if it was deleted since. */
async function version(run) {
  try {
    return { detail: (await get(`api/v1/pipelines/${encodeURIComponent(run.pipeline_id)}?version=${run.version}`)).body };
  } catch (problem) {
    if (problem.status !== 404) throw problem;
    return { detail: null };
  }
}

const leftBehind = async () => (await get(`api/v1/artifacts?run=${encodeURIComponent(id)}&limit=${MOST_ARTIFACTS}&sort=created_at`)).body;

/** The stage that is looked at: the chosen one, else what failed, what runs, or what came last. */
function stageShown() {
  const { stages } = shown.run;
  const begun = stages.filter(({ attempt }) => attempt > 0);
  return stages.find(({ name }) => name === chosen("stage")) ?? stages.find(({ status }) => status === "FAILED")
    ?? stages.find(({ status }) => status === "RUNNING") ?? begun.at(-1) ?? stages[0] ?? null;
}

function render(state) {
  const { run } = shown;
  byId("log").hidden = !run?.stages.length;
  byId("left").hidden = !run;
  const fresh = el("div", { id: "facts", class: "cards wide" });
  if (!run) {
    fresh.append(el("p", { class: "card empty wide" }, shown.missing ? `There is no run ${id}: ` : nothing(state, ""),
      shown.missing && el("a", { href: at("runs") }, "see all runs")));
    return patch(byId("facts"), fresh);
  }
  document.title = `Run of ${run.pipeline}: ${word(run.status)}`;
  const stage = stageShown();
  fresh.append(head(run, { way, deletable: shown.detail === null }), graphCard(run, shown.detail, stage?.name ?? null), stageTable(run, shown.detail, stage?.name ?? null));
  if (stage?.error) fresh.append(failed(stage, shown.detail));
  patch(byId("facts"), fresh);
  middle(byId("facts"));
  patch(byId("left"), el("div", { id: "left", class: "wide" }, artifacts(shown.artifacts)));
  if (stage) log.choose(run.stages.map(({ name }) => name), stage);
  if (underWay(run.status) && !stop) stop = follow(id, { run: take, stage: takeStage, log: log.take, whole, failed: cantAsk, way: setWay });
}

/** Draw once for all that came at the same time. */
function draw() {
  if (!shown.run) return;
  cancelAnimationFrame(drawing);
  drawing = requestAnimationFrame(() => shown.run && render({ failure: null, good: Date.now() }));
}

function take(run) {
  if (!shown.run) return;
  if (run.status !== shown.run.status) announce(`The run is ${word(run.status)}.`);
  shown.run = { ...shown.run, ...run };
  draw();
}

function takeStage(stage) {
  if (!shown.run) return;
  const { stages } = shown.run;
  const before = stages.find(({ name }) => name === stage.name);
  shown.run = { ...shown.run, stages: before ? stages.map((one) => (one === before ? stage : one)) : [...stages, stage] };
  if (before?.status !== stage.status) {
    announce(`${stage.name} is ${word(stage.status)}.`);
    if (!underWay(stage.status)) refreshLeft();
  }
  draw();
  if (stage.name === stageShown()?.name) log.more();
}

function whole(run) {
  if (!shown.run) return;
  const over = underWay(shown.run.status) && !underWay(run.status);
  if (over) announce(`The run is ${word(run.status)}.`);
  shown.run = run;
  showConnection(null, Date.now());
  draw();
  log.more();
  if (over || way === "asking") refreshLeft();
}

async function refreshLeft() {
  try {
    shown.artifacts = await leftBehind();
    draw();
  } catch (problem) {
    if (!(problem instanceof Failure)) throw problem;
  }
}

function cantAsk(problem) {
  if (problem.status === 401) return page.over();
  showConnection(problem.message ?? String(problem), 0);
}

function setWay(now) {
  way = now;
  if (now === "live") showConnection(null, Date.now());
  draw();
}

const ACTS = {
  cancel: () => openDialog({
    title: "Cancel the run", action: "Cancel the run", tone: "danger solid", over: page.over, done: "The run is being cancelled.",
    content: el("p", { class: "effect" }, "Stages that run are ended at once, those that wait don't start. What was left behind so far stays."),
    async act() {
      const { body } = await send("POST", `${path}/cancel`);
      take(body);
    },
  }),
  async again() {
    const { run } = shown;
    try {
      const now = (await get(`api/v1/pipelines/${encodeURIComponent(run.pipeline_id)}`)).body;
      const { spec } = now.spec_version === now.deployed_version || now.deployed_version === null ? now
        : (await get(`api/v1/pipelines/${encodeURIComponent(run.pipeline_id)}?version=${now.deployed_version}`)).body;
      openTrigger(now, spec, { again: run, over: page.over });
    } catch (problem) {
      if (!(problem instanceof Failure)) throw problem;
      cantAsk(problem);
    }
  },
};

byId("run").addEventListener("click", ({ target }) => {
  const pressed = target.closest("[data-act], [data-preview]");
  if (!pressed || pressed.disabled) return;
  const { act, preview } = pressed.dataset;
  if (act) ACTS[act]();
  else openPreview(shown.artifacts.items.find((one) => one.id === preview), page.over);
});
walkable(byId("facts"), () => shown.detail?.stages ?? []);
addEventListener("hashchange", draw);
setInterval(() => { if (shown.run && underWay(shown.run.status) && !document.hidden) draw(); }, TICK_MS);

