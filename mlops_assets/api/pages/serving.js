// Who serves a product, where its rollout stands, what comes next, and the orders that a person may give.

import { el } from "./dom.js";
import { COURSE, distance, event, metric, moment, number, percent, phase } from "./format.js";

const ORDERS = [["pause", "Pause"], ["resume", "Resume"], ["share", "Set share"], ["promote", "Promote"], ["rollback", "Roll back"]];
const COMPARING = new Set(["ramp", "hold"]);
const DECISIONS = { first_release: "good", candidate: "", promoted: "good", rolled_back: "bad", expired: "warn" };
const TONES = { promote: "good", advance: "good", roll_back: "bad", expire: "quiet", hold: "warn", continue: "neutral" };

/** The head of a product: title, phase, verdict in a sentence, and why. */
export function head(view) {
  const { look, state } = view;
  const comparing = COMPARING.has(state.phase);
  const shown = comparing && look ? verdict(look) : decision(view);
  return el("section", { class: "card head", "data-key": "head", "aria-labelledby": "product-title" },
    el("div", { class: "line" },
      el("h2", { id: "product-title" }, view.title),
      state.production !== null && el("span", { class: `chip phase-${state.phase}` }, phase(state.phase)),
      state.paused && el("span", { class: "chip warn" }, "Paused"),
      state.drift_block && el("span", { class: "chip warn" }, "Drift block")),
    state.rollout !== null && course(state.phase),
    state.production !== null && el("p", { class: "meaning" }, `${capital(view.phase.meaning)}.`,
      view.phase.since && el("span", { class: "quiet" }, ` Since ${moment(view.phase.since)} (${distance(view.phase.since)}).`)),
    shown || el("p", { class: "empty" }, nothingLooked(view)));
}

/** What the newest look concluded, and why. */
const verdict = (look) => el("div", { class: `verdict ${TONES[look.verdict] ?? ""}` },
  el("p", { class: "words" }, look.words), newestLook(look));

const newestLook = ({ reasons, at }) => [
  el("ul", {}, reasons.map((reason) => el("li", {}, reason))),
  el("p", { class: "quiet small" }, `Looked ${distance(at)}, at ${moment(at, true)}`),
];

/** While nothing is compared: the decision that led here, and what the look before it said. */
function decision({ ledger, look }) {
  const made = ledger.entries.find((entry) => DECISIONS[entry.event] !== undefined);
  if (!made) return null;
  return el("div", { class: `verdict ${DECISIONS[made.event]}` },
    el("p", { class: "words" }, `${event(made.event)} by ${made.actor}, ${distance(made.at)}`),
    el("p", { class: "said" }, made.reason),
    look && el("details", {}, el("summary", {}, "The newest look"), newestLook(look)));
}

function nothingLooked({ state }) {
  if (state.production === null) return "Nothing is served yet: the first release that passes its gates becomes production.";
  if (state.candidate === null) return "There is no candidate, so nothing is compared. A new release starts a rollout by itself.";
  return "Nobody has looked at the evidence yet. The first look follows once the candidate has users.";
}

function course(now) {
  const place = COURSE.indexOf(now);
  if (place < 0) return null;
  return el("ol", { class: "course", "aria-label": "Phases of a rollout" }, COURSE.map((name, index) =>
    el("li", { class: index < place ? "past" : index === place ? "present" : "", "aria-current": index === place ? "step" : null }, phase(name))));
}

/** Shares as a bar, and the two releases beside each other. */
export function serving(view) {
  const { state, production, candidate, previous } = view;
  const names = [...new Set([production, candidate].filter(Boolean).flatMap((release) => Object.keys(release.metrics)))];
  const columns = [["Production", production, "production"], ["Candidate", candidate, "candidate"]];
  if (!candidate && previous) columns[1] = ["Before", previous, "before"];
  const known = columns.filter(([, release]) => release);
  return el("section", { class: "card", "data-key": "serving", "aria-labelledby": "serving-title" },
    el("h3", { id: "serving-title" }, "Who serves"),
    production ? shares(state) : null,
    known.length ? comparison(known, names) : el("p", { class: "empty" }, "No release serves yet."));
}

function shares({ production, candidate, candidate_share: share }) {
  const part = (role, version, size) => {
    if (!size) return null;
    const node = el("span", { class: `part ${role}` }, size >= 0.12 ? percent(size) : "");
    node.style.flexGrow = String(size);
    node.title = `${role} (release ${version}): ${percent(size)} of the users`;
    return node;
  };
  const spoken = share ? `${percent(1 - share)} of the users to production, ${percent(share)} to the candidate` : "all users to production";
  return el("div", { class: "shares", role: "img", "aria-label": capital(spoken) },
    part("production", production, 1 - share), part("candidate", candidate, share));
}

function comparison(columns, names) {
  const row = (title, value) => el("tr", {}, el("th", { scope: "row" }, title),
    columns.map(([, release]) => el("td", {}, value(release))));
  return el("div", { class: "scroll" }, el("table", { class: "releases" },
    el("thead", {}, el("tr", {}, el("td"), columns.map(([title, release, role]) =>
      el("th", { scope: "col" }, el("span", { class: "side" }, el("span", { class: `dot ${role}`, "aria-hidden": "true" }), title), el("b", {}, `release ${release.version}`))))),
    el("tbody", {},
      row("Labels", (release) => release.labels.join(", ") || "–"),
      row("Serves users since", (release) => (release.since ? `${moment(release.since)} (${distance(release.since)})` : "not now")),
      row("Trained", (release) => moment(release.created_at)),
      row("Data version", (release) => `V${release.data_version}${release.sample_data ? ", sample data" : ""}`),
      names.map((name) => row(capital(metric(name)), (release) => number(release.metrics[name]))))));
}

/** What happens next, and the buttons. */
export function next(view) {
  const steps = view.upcoming.map(({ at, what }) => {
    const due = at && Date.parse(at) <= Date.now();
    return el("li", {},
      el("span", { class: "when" }, el("b", {}, due ? "Now" : at ? distance(at) : "Next"), at && !due && el("span", { class: "quiet" }, moment(at))),
      el("span", {}, what));
  });
  const buttons = ORDERS.filter(([name]) => name !== (view.state.paused ? "pause" : "resume")).map(([name, title]) => {
    const { possible, effect } = view.orders[name];
    return el("button", {
      type: "button", class: name === "rollback" ? "danger" : "secondary", "data-order": name, "data-key": name,
      disabled: !possible, title: possible ? null : effect,
    }, title);
  });
  return el("section", { class: "card", "data-key": "next", "aria-labelledby": "next-title" },
    el("h3", { id: "next-title" }, "What happens next"),
    el("ul", { class: "steps" }, steps),
    el("h3", { class: "by-hand" }, "By hand"),
    el("div", { class: "buttons" }, buttons));
}

const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
