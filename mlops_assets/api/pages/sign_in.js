// The way in and out of a page: the form that asks for the token, and the button that signs out.
// Add here what every page does about sessions. Keep out what a page shows once somebody is in.

import { announce, byId, el } from "./dom.js";
import { at, send } from "./http.js";
import { setWho, who } from "./orders.js";
import { forgetSession, readSession, session } from "./session.js";

export const OVER = "The session is over. Please sign in again.";

/**
 * The form for a token; `entered` is awaited once it was taken. `show` sets the text of its line for what is wrong.
 * Where there is a provider to sign in with, that is the first way and the token the second one.
 */
export function tokenForm(entered, second) {
  const token = el("input", {
    id: "token", type: "password", autocomplete: "current-password", required: true, "aria-describedby": "sign-in-error", spellcheck: "false",
  });
  const name = el("input", { id: "who", type: "text", autocomplete: "name", maxlength: "80" });
  const problem = el("p", { class: "error", id: "sign-in-error", role: "alert" });
  const form = el("form", { id: "sign-in-form", novalidate: true },
    el("p", { class: "quiet" }, "The operators' token is in the file ", el("code", {}, "secrets/operator_token"), " of the installation's folder."),
    el("label", { for: "token" }, "Operator token"), token,
    el("label", { for: "who" }, "Your name ", el("span", { class: "quiet" }, "(for the ledger)")), name,
    problem, el("button", { class: second ? "secondary" : "primary", type: "submit" }, "Sign in"));

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (form.getAttribute("aria-busy") === "true") return;
    problem.textContent = "";
    if (!token.value.trim()) {
      problem.textContent = "Please give the token.";
      return token.focus();
    }
    form.setAttribute("aria-busy", "true");
    try {
      await send("POST", "session", { token: token.value.trim() });
      setWho(name.value);
      token.value = "";
      announce("Signed in.");
      await entered();
    } catch (failure) {
      problem.textContent = failure.status === 401 ? "This is not the operators' token." : `Not signed in: ${failure.message}.`;
      token.focus();
    } finally {
      form.removeAttribute("aria-busy");
    }
  });

  const show = (text) => {
    problem.textContent = text;
    name.value = who();
    if (!second) token.focus();
  };
  return { element: form, show };
}

/**
 * Make a page's own form, and its button that signs out. `entered` is awaited once the token was taken, `left` is told a
 * text for the form once the session is closed, `failed` why it couldn't be closed. The function that comes back shows
 * the form with a text.
 */
export function signIn({ entered, left, failed }) {
  const section = byId("sign-in");
  const { host, provider } = section.dataset;
  const form = tokenForm(async () => {
    await entered();
    byId("main").focus();
  }, Boolean(provider));
  const link = provider && el("a", { class: "button primary broad" }, `Sign in with ${host}`);
  section.replaceChildren(
    el("h2", { id: "sign-in-title" }, "Sign in"),
    ...(link ? [link, el("p", { class: "or" }, el("span", {}, "or with a token"))] : []),
    form.element);

  byId("sign-out").addEventListener("click", async () => {
    try {
      await send("DELETE", "session");
      left("You are signed out.");
    } catch (failure) {
      if (failure.status === 401) left("");
      else failed(failure.message);
    }
  });

  return (text) => {
    forgetSession();
    // Back to what this page shows now, which may not be what it showed at first.
    if (link) link.href = `${provider}?next=${encodeURIComponent(`/${location.href.slice(at("").length)}`)}`;
    section.hidden = false;
    form.show(text);
    link?.focus();
  };
}

/** Say in the page's head who is signed in; what can't be read now is asked for again with the next call. */
export async function showSession() {
  if (session() === null) await readSession().catch(() => {});
  const known = session();
  const name = known && el("span", { class: "cut", title: known.name }, el("span", { class: "unseen" }, "Signed in as "), known.name);
  // The installation's own token is called as its role is.
  const role = known && known.role !== known.name && el("span", {}, ` ${known.role}`);
  byId("signed-in").replaceChildren(...[name, role].filter(Boolean));
}
