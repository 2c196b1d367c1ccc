// The dialog that starts a run: the pipeline's own parameters, and what the run is to be found by.

import { openDialog } from "./dialogs.js";
import { el } from "./dom.js";
import { at, newKey, send } from "./http.js";
import { declared, parameterFields } from "./pipeline_form.js";

/** Ask for all that a run is given, start it and go to its page; `again` is a run to take the values from. */
export function openTrigger(pipeline, spec, { again = null, over }) {
  const key = newKey();
  const fields = parameterFields(declared(spec.parameters), again?.parameters);
  const environment = el("input", { type: "text", id: "run-environment", maxlength: "100", value: again?.environment ?? "", autocomplete: "off" });
  const tags = el("textarea", { id: "run-tags", rows: "2", class: "code", spellcheck: "false", "aria-describedby": "run-tags-error" });
  tags.value = Object.entries(again?.tags ?? {}).map(([name, value]) => `${name}=${value}`).join("\n");
  const notes = el("textarea", { id: "run-notes", rows: "2", maxlength: "500" });
  notes.value = again?.notes ?? "";
  const wrong = el("p", { class: "error", id: "run-tags-error" });

  openDialog({
    title: again ? `Run ${pipeline.name} again` : `Run ${pipeline.name}`,
    action: "Start the run",
    content: [
      el("p", { class: "effect" }, `Version ${pipeline.deployed_version}, which is deployed, starts at once or as soon as there is room.`),
      fields.elements,
      el("details", { open: Boolean(again?.environment || tags.value || notes.value) }, el("summary", {}, "Environment, tags, notes"),
        el("label", { for: "run-environment" }, "Environment"), environment,
        el("p", { class: "quiet small" }, "A label that stages see as context.environment."),
        el("label", { for: "run-tags" }, "Tags ", el("span", { class: "quiet" }, "(one name=value a line)")), tags, wrong,
        el("label", { for: "run-notes" }, "Notes"), notes),
    ],
    check() {
      wrong.textContent = lines(tags.value).every((line) => /^[^=]+=/.test(line)) ? "" : "Each line is name=value.";
      if (wrong.textContent) {
        tags.closest("details").open = true;
        tags.focus();
      }
      return fields.check() && !wrong.textContent;
    },
    async act() {
      const order = { parameters: fields.values(), tags: pairs(tags.value), notes: notes.value.trim(), trigger: "MANUAL" };
      if (environment.value.trim()) order.environment = environment.value.trim();
      const { body } = await send("POST", `api/v1/pipelines/${encodeURIComponent(pipeline.id)}/runs`, order, { "Idempotency-Key": key });
      location.assign(at(`runs/${encodeURIComponent(body.id)}`));
    },
    failed: (failure) => fields.fail(failure.errors),
    once: true,
    over,
  });
}

const lines = (text) => text.split("\n").map((line) => line.trim()).filter(Boolean);

const pairs = (text) => Object.fromEntries(lines(text).map((line) => {
  const place = line.indexOf("=");
  return [line.slice(0, place).trim(), line.slice(place + 1).trim()];
}));
