// The log of one stage of a run: its lines as they come, following the end unless somebody reads further up.
// It draws itself line by line, since a log may be long. Lines come from strangers' code and are shown as text.

import { el } from "./dom.js";
import { count } from "./format.js";
import { Failure, get, getText } from "./http.js";

const BATCH = 1000;
// What is kept on the page: a browser gets slow with more, and the whole text can be downloaded.
const MOST = 2000;
const MOST_READ = 100_000;
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3 });

/** The log in `card`; `failed` is told why it can't be read. What comes back chooses, takes and reads lines. */
export function stageLog(card, run, failed) {
  const stages = el("select", { id: "log-stage" });
  const attempts = el("select", { id: "log-attempt" });
  const follow = el("button", { type: "button", class: "small-button", "aria-pressed": "true" }, "Follow the end");
  const download = el("button", { type: "button", class: "small-button" }, "Download");
  const lines = el("div", { class: "log", role: "log", "aria-live": "off", tabindex: "0", "aria-labelledby": "log-title" });
  const said = el("p", { class: "quiet small", role: "status" });
  card.replaceChildren(
    el("div", { class: "line list-head" }, el("h3", { id: "log-title" }, "Log"),
      el("label", { class: "inline" }, el("span", {}, "Stage"), stages), el("label", { class: "inline" }, el("span", {}, "Attempt"), attempts),
      el("span", { class: "push line" }, follow, download)),
    lines, said);

  // `last` is the number of the newest line, `turn` makes answers for what was chosen before count for nothing.
  const at = { stage: null, attempt: 0, newest: 0, last: 0, ended: false, reading: false, turn: 0, again: false };
  const path = () => `api/v1/runs/${encodeURIComponent(run)}/stages/${encodeURIComponent(at.stage)}/logs?attempt=${at.attempt}`;
  const following = () => follow.getAttribute("aria-pressed") === "true";
  const toEnd = () => { if (following()) lines.scrollTop = lines.scrollHeight; };
  const setFollowing = (on) => {
    follow.setAttribute("aria-pressed", String(on));
    toEnd();
  };

  function begin(stage, attempt) {
    Object.assign(at, { stage, attempt, last: 0, ended: false, reading: false, again: false, turn: at.turn + 1 });
    lines.replaceChildren();
    tell();
    if (attempt) read();
  }

  function tell() {
    said.textContent = !at.attempt ? "The stage has not begun."
      : at.last > lines.childElementCount ? `The newest ${count(lines.childElementCount)} of ${count(at.last)} lines.`
        : at.last ? "" : at.ended ? "It wrote nothing." : "Nothing was written yet.";
  }

  function add(fresh) {
    if (!fresh.length) return;
    at.last = fresh.at(-1).number;
    lines.append(...fresh.slice(-MOST).map(({ number, at: time, level, text }) => el("p", { class: `log-line ${tone(level)}`, "data-number": number },
      el("time", { datetime: time }, clock.format(new Date(time))), el("b", {}, level), el("span", {}, text))));
    while (lines.childElementCount > MOST) lines.firstElementChild.remove();
    toEnd();
  }

  /** Read on from the newest line until there are no more for now. */
  async function read() {
    if (at.reading) {
      at.again = true;
      return;
    }
    at.reading = true;
    const mine = at.turn;
    try {
      let body;
      do {
        at.again = false;
        body = (await get(`${path()}&after=${at.last}&limit=${BATCH}`)).body;
        if (mine !== at.turn) return;
        add(body.lines.filter(({ number }) => number > at.last));
        at.ended = body.ended;
      } while ((body.lines.length === BATCH && at.last < MOST_READ) || at.again);
      tell();
    } catch (failure) {
      if (mine !== at.turn) return;
      if (!(failure instanceof Failure)) throw failure;
      // A stage that has only just begun may have no log yet.
      if (failure.status !== 404) failed(failure);
    } finally {
      if (mine === at.turn) at.reading = false;
    }
  }

  stages.addEventListener("change", () => { location.hash = `stage=${encodeURIComponent(stages.value)}`; });
  attempts.addEventListener("change", () => begin(at.stage, Number(attempts.value)));
  follow.addEventListener("click", () => setFollowing(!following()));
  lines.addEventListener("scroll", () => {
    const atEnd = lines.scrollTop + lines.clientHeight >= lines.scrollHeight - 8;
    if (atEnd !== following()) follow.setAttribute("aria-pressed", String(atEnd));
  });
  download.addEventListener("click", async () => {
    try {
      const { body } = await getText(path(), "text/plain");
      const link = el("a", { href: URL.createObjectURL(new Blob([body], { type: "text/plain" })), download: `${at.stage}_${at.attempt}.log` });
      link.click();
      URL.revokeObjectURL(link.href);
    } catch (failure) {
      if (!(failure instanceof Failure)) throw failure;
      failed(failure);
    }
  });

  return {
    /** Show the stage; a new attempt is gone over to by whoever looked at the one before it. */
    choose(names, { name, attempt }) {
      options(stages, names.map((one) => [one, one]), name);
      const moved = at.stage !== name;
      const newer = !moved && attempt > at.newest && at.attempt === at.newest;
      options(attempts, Array.from({ length: attempt }, (_, i) => [String(i + 1), String(i + 1)]), String(moved || newer ? attempt : at.attempt));
      at.newest = attempt;
      download.disabled = !attempt;
      if (moved || newer) begin(name, attempt);
    },
    /** A line of any stage, as it came. */
    take(line) {
      if (line.stage !== at.stage || line.attempt !== at.attempt || line.number <= at.last) return;
      if (at.reading || line.number !== at.last + 1) read();
      else {
        add([line]);
        tell();
      }
    },
    /** Ask for what may have been written since. */
    more: () => { if (at.attempt && !at.ended) read(); },
  };
}

function options(select, wanted, value) {
  const known = [...select.options].map((option) => option.value).join("\n");
  if (known !== wanted.map(([key]) => key).join("\n")) select.replaceChildren(...wanted.map(([key, title]) => el("option", { value: key }, title)));
  if (select.value !== value) select.value = value;
  select.disabled = wanted.length === 0;
}

const tone = (level) => (/^(error|critical|stderr)$/i.test(level) ? "bad" : /^warn/i.test(level) ? "warn" : "");
