// The page of its own where people sign in: goes on by itself if somebody has a session already, else shows the form.
// A link from another site doesn't carry the session; what this page asks does.

import { byId } from "./dom.js";
import { at } from "./http.js";
import { readSession } from "./session.js";
import { tokenForm } from "./sign_in.js";

const section = byId("sign-in");
// The server has seen to it that this is a path of this site. The dot keeps it one, whatever comes after it.
const onwards = () => location.replace(at(`.${section.dataset.next}`));

const form = tokenForm(onwards, "provider" in section.dataset);
byId("token-form").replaceChildren(form.element);
start();

async function start() {
  if ("problem" in section.dataset) return;
  try {
    await readSession();
  } catch (failure) {
    return form.show(failure.status === 401 ? "" : `Not known whether you are signed in: ${failure.message}.`);
  }
  onwards();
}
