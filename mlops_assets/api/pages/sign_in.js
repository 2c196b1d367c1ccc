// The way in and out of a page: the form that asks for the token, and the button that signs out.
// Add here what every page does about sessions. Keep out what a page shows once somebody is in.

import { announce, byId, el } from "./dom.js";
import { send } from "./http.js";
import { setWho, who } from "./orders.js";

export const OVER = "The session is over. Please sign in again.";

/**
 * Make the form. `entered` is awaited once the token was taken, `left` is told a text for the form once the session
 * is closed, `failed` why it couldn't be closed. The function that comes back shows the form with a text.
 */
export function signIn({ entered, left, failed }) {
  const token = el("input", {
    id: "token", type: "password", autocomplete: "current-password", required: true, "aria-describedby": "sign-in-error", spellcheck: "false",
  });
  const name = el("input", { id: "who", type: "text", autocomplete: "name", maxlength: "80" });
  const problem = el("p", { class: "error", id: "sign-in-error", role: "alert" });
  const form = el("form", { id: "sign-in-form", novalidate: true },
    el("label", { for: "token" }, "Operator token"), token,
    el("label", { for: "who" }, "Your name ", el("span", { class: "quiet" }, "(for the ledger)")), name,
    problem, el("button", { class: "primary", type: "submit" }, "Sign in"));
  byId("sign-in").replaceChildren(
    el("h2", { id: "sign-in-title" }, "Sign in"),
    el("p", { class: "quiet" }, "The operators' token is in the file ", el("code", {}, "secrets/operator_token"), " of the installation's folder."),
    form);

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
      byId("main").focus();
    } catch (failure) {
      problem.textContent = failure.status === 401 ? "This is not the operators' token." : `Not signed in: ${failure.message}.`;
      token.focus();
    } finally {
      form.removeAttribute("aria-busy");
    }
  });

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
    byId("sign-in").hidden = false;
    problem.textContent = text;
    name.value = who();
    token.focus();
  };
}
