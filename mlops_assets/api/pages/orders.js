// The dialog of an order by hand: what will happen, why, and sending it once.

import { openDialog } from "./dialogs.js";
import { el } from "./dom.js";
import { percent } from "./format.js";
import { newKey, send } from "./http.js";
import { session } from "./session.js";

const LONGEST_REASON = 500;
const WHO = "mlops-operator";
const TITLES = {
  pause: ["Pause the rollout", "Pause"], resume: ["Resume the rollout", "Resume"], share: ["Set the candidate's share", "Set share"],
  promote: ["Promote a release", "Promote"], rollback: ["Roll back", "Roll back"],
};

/** The name that is kept in the ledger; empty when none was given. */
export const who = () => { try { return localStorage.getItem(WHO) ?? ""; } catch { return ""; } };
export const setWho = (name) => { try { localStorage.setItem(WHO, name.trim()); } catch { /* private windows keep nothing */ } };

/** Ask for a reason and send the order; `done` is called when the ledger has it, `over` once the session is over. */
export function openOrder(name, detail, done, over) {
  const [title, action] = TITLES[name];
  const key = newKey();
  const effect = el("p", { class: "effect", "aria-live": "polite" }, detail.orders[name].effect);
  const fields = { reason: reasonField(), ...extraFields(name, detail, effect), actor: actorField() };

  openDialog({
    title, action, tone: name === "rollback" ? "danger solid" : "primary",
    content: [effect, Object.values(fields).map(({ element }) => element)],
    check() {
      const wrong = Object.values(fields).filter((field) => !field.check());
      wrong[0]?.input.focus();
      return !wrong.length;
    },
    async act() {
      const given = Object.entries(fields).map(([field, { value }]) => [field, value()]);
      const body = Object.fromEntries(given.filter(([, value]) => value !== undefined));
      if (body.actor) setWho(body.actor);
      await send("POST", `api/v1/rollouts/${encodeURIComponent(detail.product)}/${name}`, body, { "Idempotency-Key": key });
      done();
    },
    failed: (failure) => { for (const [field, text] of Object.entries(failure.fields)) fields[field]?.fail(text); },
    once: true, done: `${title}: done.`, over,
  });
  fields.share?.input.focus();
}

function field(label, input, { id, hint = "", check = () => "", value }) {
  const error = el("p", { class: "error", id: `${id}-error` });
  input.id = id;
  input.setAttribute("aria-describedby", `${id}-hint ${id}-error`);
  const fail = (text) => {
    error.textContent = text;
    input.setAttribute("aria-invalid", String(text !== ""));
  };
  input.addEventListener("input", () => fail(""));
  const element = el("div", { class: "field" }, el("label", { for: id }, label), input, el("p", { class: "quiet small", id: `${id}-hint` }, hint), error);
  return { element, input, value, fail, check: () => { fail(check()); return check() === ""; } };
}

function reasonField() {
  const input = el("textarea", { rows: "3", maxlength: LONGEST_REASON, "aria-required": "true" });
  return field("Reason", input, {
    id: "order-reason", hint: "Kept in the ledger for ever.", value: () => input.value.trim(),
    check: () => (input.value.trim() ? "" : "Please say why."),
  });
}

function actorField() {
  // Whom a provider vouches for gives orders under no other name.
  const vouched = session()?.how === "oidc" ? session().name : null;
  const input = el("input", { type: "text", maxlength: "80", autocomplete: "name", value: vouched ?? who(), readonly: vouched !== null });
  return field("Your name", input, { id: "order-actor", value: () => (vouched === null && input.value.trim()) || undefined });
}

function extraFields(name, detail, effect) {
  if (name === "share") return { share: shareField(detail.state.candidate_share) };
  if (name === "promote") return { version: versionField(detail, effect) };
  return {};
}

function shareField(now) {
  const input = el("input", { type: "range", min: "1", max: "99", step: "1", value: Math.round(now * 100) });
  const made = field("Share of the candidate", input, {
    id: "order-share", value: () => Number(input.value) / 100,
    check: () => (Number(input.value) === Math.round(now * 100) ? "This is the share it has now." : ""),
  });
  const hint = made.element.querySelector("p");
  const tell = () => {
    const share = Number(input.value) / 100;
    hint.textContent = `${percent(share)} to the candidate, ${percent(1 - share)} to production`;
    input.setAttribute("aria-valuetext", hint.textContent);
  };
  input.addEventListener("input", tell);
  tell();
  return made;
}

function versionField({ releases, state, orders }, effect) {
  const others = releases.filter((release) => release.version !== state.production);
  const name = (release) => [`Release ${release.version}`, release.labels.length ? ` (${release.labels.join(", ")})` : "",
    release.version === state.candidate ? ", the candidate" : "", release.version === state.previous ? ", production before" : ""].join("");
  const none = state.candidate === null && el("option", { value: "" }, others.length ? "Please choose" : "There is no other release");
  const input = el("select", {}, none, others.map((release) =>
    el("option", { value: release.version, selected: release.version === state.candidate }, name(release))));
  input.addEventListener("change", () => {
    const version = Number(input.value);
    effect.textContent = !version || version === state.candidate ? orders.promote.effect : otherEffect(version, state);
  });
  return field("Release", input, {
    id: "order-version", hint: `Production now is release ${state.production}.`, value: () => Number(input.value),
    check: () => (input.value ? "" : "Please choose the release."),
  });
}

/** What promoting a release other than the candidate does. */
function otherEffect(version, { candidate, production }) {
  const withdrawn = candidate === null ? "" : ` The candidate, release ${candidate}, is withdrawn: it was compared with another production.`;
  return `Release ${version} becomes production for everybody.${withdrawn} Release ${production} stays loaded during the watch, so that going back takes a second.`;
}
