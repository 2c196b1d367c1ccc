// A dialog that asks something and does it once. Keep out what is asked: each caller gives its own content.

import { announce, byId, el } from "./dom.js";
import { Failure, safeAgain } from "./http.js";

/**
 * Open it. `content` are elements, `check` focuses what is wrong and gives false, `act` does it (and may throw a
 * Failure), `failed` may show parts of a Failure in the content, `once` says that doing it again counts once, `over` is
 * called once the session is over.
 */
export function openDialog({ title, content, action, tone = "primary", check = () => true, act, failed = () => {}, once = false, done = "", over }) {
  const dialog = byId("dialog");
  const problem = el("p", { class: "error", role: "alert" });
  const submit = el("button", { class: tone, type: "submit" }, action);
  const cancel = el("button", { class: "secondary", type: "button" }, "Cancel");
  const form = el("form", { novalidate: true },
    el("h2", { id: "dialog-title" }, title), content, problem, el("div", { class: "buttons end" }, cancel, submit));

  cancel.addEventListener("click", () => dialog.close());
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (form.getAttribute("aria-busy") === "true") return;
    problem.textContent = "";
    if (!check()) return;
    form.setAttribute("aria-busy", "true");
    submit.textContent = "Sending …";
    try {
      await act();
      dialog.close();
      if (done) announce(done);
    } catch (failure) {
      if (!(failure instanceof Failure)) throw failure;
      if (failure.status === 401) return over();
      failed(failure);
      problem.textContent = `Not done: ${failure.message}.${once ? safeAgain(failure) : ""}`;
    } finally {
      form.removeAttribute("aria-busy");
      submit.textContent = action;
    }
  });
  dialog.className = "";
  dialog.replaceChildren(form);
  dialog.showModal();
  (form.querySelector("input, textarea, select") ?? cancel).focus();
}

/** Open a dialog that only shows something. */
export function openView(title, content) {
  const dialog = byId("dialog");
  const close = el("button", { class: "secondary", type: "button" }, "Close");
  close.addEventListener("click", () => dialog.close());
  dialog.className = "view";
  dialog.replaceChildren(
    el("div", { class: "line" }, el("h2", { id: "dialog-title", tabindex: "-1" }, title), el("span", { class: "push" }, close)), content);
  if (!dialog.open) dialog.showModal();
  close.focus();
}
