// Making a pipeline, and changing one: from a template or a file to text, which the API checks and keeps.
// Add here what joins the parts. Keep out the editor itself and how problems look.

import { announce, byId, el } from "./dom.js";
import { openDialog } from "./dialogs.js";
import { Failure, at, get, getText, newKey, safeAgain, send, sendText } from "./http.js";
import { livePage } from "./page.js";
import { yamlEditor } from "./pipeline_editor.js";
import { parameterFields, textOf } from "./pipeline_form.js";
import { fromErrors, problemList } from "./pipeline_problems.js";
import { pagePath } from "./pipeline_words.js";

const YAML = "application/yaml";
const HOUR_MS = 3600000;
const EMPTY = `name: my_pipeline
stages:
  - name: prepare
    stage_type: DATA_PREPROCESSING
    source: |
      import pandas as pd

      def run():
          return pd.DataFrame({"x": [1, 2, 3], "y": [2, 4, 6]})
  - name: train
    stage_type: MODEL_TRAINING
    dependencies: [prepare]
    source: |
      def run(prepare, context):
          context.logger.info("%d rows", len(prepare))
          return {"slope": float((prepare.y / prepare.x).mean())}
`;

const edited = new URLSearchParams(location.search).get("edit");
const shown = { templates: [], pipeline: null };
// `kept` is the text as it was put in: what differs from it is somebody's work. `tag` is what a change is made from.
const at_ = { tag: null, kept: "", key: newKey(), template: null, begun: false };

const editor = yamlEditor(() => {
  at_.key = newKey();
  result.replaceChildren();
});
const result = el("div", { id: "result", "aria-live": "polite" });
const deploy = el("input", { type: "checkbox", id: "deploy", checked: true });
const save = el("button", { type: "button", class: "primary", "data-act": "save" }, edited ? "Save as a new version" : "Create");

const page = livePage({ parts: ["made"], shown, load, render, forget: () => {}, every: () => HOUR_MS });

async function load() {
  if (at_.begun) return {};
  const templates = (await get("api/v1/templates")).body.items;
  return { templates, pipeline: edited === null ? null : await newest() };
}

async function newest() {
  try {
    const { body, tag } = await get(`api/v1/pipelines/${encodeURIComponent(edited)}`);
    const text = (await getText(`api/v1/pipelines/${encodeURIComponent(body.id)}/yaml?version=${body.version}`, YAML)).body;
    return { ...body, tag, text };
  } catch (failure) {
    if (failure.status !== 404) throw failure;
    return { missing: failure.message };
  }
}

function render({ good }) {
  if (at_.begun || !good) return;
  at_.begun = true;
  const { pipeline, templates } = shown;
  if (pipeline?.missing) return byId("title").replaceChildren(el("p", { class: "card empty" }, `There is no pipeline ${edited}: `, el("a", { href: at("pipelines") }, "see all pipelines")));
  byId("title").replaceChildren(el("h2", {}, pipeline ? `Edit ${pipeline.title || pipeline.name}` : "New pipeline",
    pipeline && el("span", { class: "quiet" }, ` from version ${pipeline.version}`)));
  byId("editor").replaceChildren(
    el("h3", { id: "editor-title" }, el("label", { for: "yaml", class: "bare" }, "Pipeline as YAML")), editor.element,
    el("p", { class: "quiet small", id: "yaml-hint" }, "Tab inserts spaces; press Escape and then Tab to leave the field."),
    result,
    el("div", { class: "buttons by-hand" }, save, el("button", { type: "button", class: "secondary", "data-act": "validate" }, "Validate"),
      el("label", { class: "inline", for: "deploy" }, deploy, el("span", {}, edited ? "Deploy it" : "Deploy at once"))));
  byId("start").replaceChildren(...starts(templates, pipeline));
  put(pipeline ? pipeline.text : EMPTY);
  at_.tag = pipeline?.tag ?? null;
  if (pipeline) document.title = `Edit ${pipeline.name}`;
}

function put(text) {
  editor.put(text);
  at_.kept = text;
  at_.key = newKey();
  result.replaceChildren();
}

/** What a pipeline may begin with. */
function starts(templates, pipeline) {
  const file = el("input", { type: "file", id: "yaml-file", accept: ".yaml,.yml,application/yaml,text/yaml" });
  const problem = el("p", { class: "error", role: "alert" });
  file.addEventListener("change", async () => {
    const [chosen] = file.files;
    if (!chosen) return;
    const { text, problem: wrong } = await textOf(chosen);
    problem.textContent = wrong;
    if (!wrong) replace(text, `${chosen.name} is in the editor.`);
    file.value = "";
  });
  const upload = [el("label", { for: "yaml-file" }, pipeline ? "Put a YAML file in the editor" : "A YAML file"), file, problem];
  if (pipeline) return [el("h3", { id: "start-title" }, "From a file"), ...upload, el("p", { class: "quiet small" }, "Versions that are there stay: saving makes a new one, and the page of the pipeline leads back to any.")];
  return [
    el("h3", { id: "start-title" }, "Start from"),
    el("ul", { class: "starts" },
      templates.map(({ name, title, description, stages }) => el("li", {}, el("button", { type: "button", class: "start", "data-template": name, "aria-expanded": "false", "aria-controls": "template" },
        el("b", {}, title), el("span", { class: "quiet small" }, `${stages.length} stages. ${description}`)))),
      el("li", {}, el("button", { type: "button", class: "start", "data-act": "empty" }, el("b", {}, "Two small stages"), el("span", { class: "quiet small" }, "The smallest pipeline, to be written over.")))),
    el("div", { id: "template" }), ...upload,
  ];
}

function openTemplate(name) {
  const template = shown.templates.find((one) => one.name === name);
  const fields = parameterFields(template.parameters);
  const named = el("input", { type: "text", id: "template-name", value: name, maxlength: "200", autocomplete: "off", spellcheck: "false", "aria-describedby": "template-name-hint template-name-error" });
  const wrong = el("p", { class: "error", id: "template-name-error" });
  const problem = el("p", { class: "error", role: "alert" });
  const form = el("form", { novalidate: true, "aria-label": template.title },
    el("label", { for: "template-name" }, "Name of the pipeline"), named,
    el("p", { class: "quiet small", id: "template-name-hint" }, "Small letters, digits and underscores."), wrong,
    fields.elements, problem,
    el("div", { class: "buttons by-hand" }, el("button", { class: "primary", type: "submit" }, "Put it in the editor")));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (form.getAttribute("aria-busy") === "true") return;
    problem.textContent = wrong.textContent = "";
    if (!fields.check()) return;
    form.setAttribute("aria-busy", "true");
    try {
      const { body } = await send("POST", `api/v1/templates/${encodeURIComponent(name)}/render`, { name: named.value.trim(), parameters: fields.values() });
      replace(body.yaml, `${template.title} is in the editor.`);
    } catch (failure) {
      if (!(failure instanceof Failure)) throw failure;
      if (failure.status === 401) return page.over();
      wrong.textContent = failure.fields.name ?? "";
      fields.fail(failure.errors.filter(({ field }) => field !== "name"));
      problem.textContent = `Not done: ${failure.message}.`;
    } finally {
      form.removeAttribute("aria-busy");
    }
  });
  for (const button of document.querySelectorAll("[data-template]")) button.setAttribute("aria-expanded", String(button.dataset.template === name));
  byId("template").replaceChildren(form);
  named.focus();
  named.select();
}

const changed = () => editor.text() !== at_.kept;

/** Put a text in the editor, once whoever has written in it agrees. */
function replace(text, said) {
  const done = () => {
    put(text);
    announce(said);
    byId("editor").scrollIntoView({ block: "start" });
    editor.area.focus({ preventScroll: true });
  };
  if (!changed()) return done();
  openDialog({
    title: "Replace the text?", action: "Replace it", tone: "danger solid", over: page.over,
    content: el("p", { class: "effect" }, "What you changed in the editor is lost."), act: async () => { queueMicrotask(done); },
  });
}

/** Do something that the API may refuse, with the buttons shut meanwhile. */
async function busy(work) {
  const card = byId("editor");
  if (card.getAttribute("aria-busy") === "true") return;
  card.setAttribute("aria-busy", "true");
  try {
    await work();
  } catch (failure) {
    if (!(failure instanceof Failure)) throw failure;
    refused(failure);
  } finally {
    card.removeAttribute("aria-busy");
  }
}

function refused(failure) {
  if (failure.status === 401) return page.over();
  if (failure.status === 412) return result.replaceChildren(overtaken(failure.tag));
  const listed = failure.status === 422 && failure.errors.length > 0;
  result.replaceChildren(...[
    !listed && el("p", { class: "banner" }, `Not done: ${failure.message}.${safeAgain(failure)}`), listed && problemList(fromErrors(failure.errors), editor.text()),
  ].filter(Boolean));
}

/** Somebody was faster: nothing is lost, and both ways on are one press away. */
const overtaken = (tag) => el("div", { class: "verdict warn", role: "alert" },
  el("p", { class: "words" }, "Somebody changed this pipeline since you opened it"),
  el("p", {}, "Your text is still here and was not saved. Look at what is there now, then save yours over it as one more version, or take theirs and begin again."),
  el("div", { class: "buttons by-hand" },
    el("a", { class: "button secondary", href: `${pagePath(shown.pipeline)}#yaml=shown`, target: "_blank", rel: "noopener" }, "What is there now ↗"),
    el("button", { type: "button", class: "secondary", "data-act": "over", "data-tag": tag }, "Save mine over it"),
    el("button", { type: "button", class: "danger", "data-act": "theirs" }, "Take theirs")));

async function validate() {
  const text = editor.text();
  const { body } = await sendText("POST", "api/v1/pipelines/validate", text, YAML);
  result.replaceChildren(body.valid
    ? el("p", { class: "banner fine" }, `It is good: ${body.order.join(" → ")}`) : problemList(body.problems, text));
}

async function keep() {
  const text = editor.text();
  const query = `?deploy=${deploy.checked}`;
  if (edited === null) {
    const { body } = await sendText("POST", `api/v1/pipelines${query}`, text, YAML, { "Idempotency-Key": at_.key });
    return leave(body);
  }
  const { pipeline } = shown;
  const { body } = await sendText("PUT", `api/v1/pipelines/${encodeURIComponent(pipeline.id)}${query}`, text, YAML, { "If-Match": at_.tag });
  return leave(body);
}

function leave(pipeline) {
  at_.kept = editor.text();
  location.assign(pagePath(pipeline));
}

async function theirs() {
  const pipeline = await newest();
  if (pipeline.missing) throw new Failure(pipeline.missing, { status: 404 });
  shown.pipeline = pipeline;
  at_.tag = pipeline.tag;
  put(pipeline.text);
  announce(`Version ${pipeline.version} is in the editor.`);
}

async function over(tag) {
  // Whoever changed it once more in between is still not overwritten unseen.
  at_.tag = tag && tag !== "null" ? tag : (await get(`api/v1/pipelines/${encodeURIComponent(shown.pipeline.id)}`)).tag;
  await keep();
}

byId("made").addEventListener("click", ({ target }) => {
  const pressed = target.closest("[data-act], [data-template], [data-line]");
  if (!pressed) return;
  const { act, template, line, tag } = pressed.dataset;
  if (template) openTemplate(template);
  else if (line) editor.go(Number(line));
  else if (act === "empty") replace(EMPTY, "Two small stages are in the editor.");
  else busy({ validate, save: keep, theirs, over: () => over(tag) }[act]);
});
addEventListener("beforeunload", (event) => { if (at_.begun && changed()) event.preventDefault(); });
