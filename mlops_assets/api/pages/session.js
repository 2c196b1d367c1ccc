// Who is signed in here: name, role, how they proved it, and until when.
// Keep out signing in and out.

import { get } from "./http.js";

let known = null;

/** What is known of the session: { name, role, how, until }; null before it was read. */
export const session = () => known;

/** Read it. Throws a Failure; one with status 401 while nobody is signed in. */
export async function readSession() {
  known = null;
  known = (await get("api/v1/session")).body;
  return known;
}

export const forgetSession = () => { known = null; };
