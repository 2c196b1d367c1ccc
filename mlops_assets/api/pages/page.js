// The life of a page: asks the API, shows, comes back after a while, and lets people sign in when it must.
// Add here what every page does that shows one thing of the API. Keep out what a page shows.

import { hideConnection, showConnection } from "./connection.js";
import { byId } from "./dom.js";
import { Failure } from "./http.js";
import { OVER, showSession, signIn } from "./sign_in.js";

const RETRY_MS = 5000;

/**
 * Begin. `parts` are ids of elements that only somebody who signed in may see; `load` gives what `shown` is to hold,
 * and may put what it has before it asks on with the function that it is given; `render` shows it, `forget` drops it;
 * `every()` is how many ms what was read stays good.
 * Comes back with `refresh`, which asks at once, `show`, which shows again what is known, `fail`, which tells why the
 * API couldn't be asked, and `over`, which asks to sign in.
 */
export function livePage({ parts, shown, load, render, forget, every }) {
  let timer = null;
  let turn = 0;
  const state = { good: 0, failure: null, signedIn: false };

  /** Ask, show, and come back; a newer call makes an older one's answers count for nothing. */
  async function refresh() {
    clearTimeout(timer);
    const mine = (turn += 1);
    const keep = (found) => { if (mine === turn) Object.assign(shown, found); };
    try {
      keep(await load(keep));
      if (mine !== turn) return;
      Object.assign(state, { good: Date.now(), failure: null, signedIn: true });
      showSession();
    } catch (failure) {
      if (mine !== turn) return;
      if (failure.status === 401) return askToSignIn(state.signedIn ? OVER : "");
      if (!(failure instanceof Failure)) throw failure;
      state.failure = failure.message;
    }
    show();
    timer = setTimeout(refresh, state.failure ? RETRY_MS : every());
  }

  function show() {
    for (const id of ["links", ...parts]) byId(id).hidden = false;
    byId("sign-in").hidden = true;
    showConnection(state.failure, state.good);
    render(state);
  }

  function askToSignIn(text) {
    clearTimeout(timer);
    turn += 1;
    state.signedIn = false;
    forget();
    for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
    for (const id of ["links", ...parts]) byId(id).hidden = true;
    hideConnection();
    showForm(text);
  }

  function fail(message) {
    clearTimeout(timer);
    state.failure = message;
    show();
    timer = setTimeout(refresh, RETRY_MS);
  }

  const showForm = signIn({ entered: refresh, left: askToSignIn, failed: fail });

  // The part of the address after # says what a page shows: a way past the navigation mustn't change it.
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault();
    byId("main").focus();
  });
  document.addEventListener("visibilitychange", () => { if (!document.hidden && state.signedIn) refresh(); });
  refresh();
  return { refresh, show, fail, over: () => askToSignIn(OVER), isIn: () => state.signedIn };
}

/** What stands where nothing can be shown. */
export function nothing({ failure, good }, empty) {
  if (failure) return "Nothing can be shown yet.";
  return good ? empty : "Loading …";
}
