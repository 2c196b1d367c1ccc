// The parts of the health page: the report in a line, its issues, jobs, stages that failed, and the machinery.

import { el } from "./dom.js";
import { count, moment, percent } from "./format.js";
import { ago, bytes, lasting } from "./run_words.js";

const TONES = { critical: ["✕", "bad"], warning: ["!", "warn"] };
const named = (key, ...more) => ({ class: `card ${more.join(" ")}`.trim(), "data-key": key, "aria-labelledby": `${key}-title` });
const words = (name) => name.replaceAll("_", " ");
// Names stay as they are: house_prices/model doesn't become another one at the begin of a sentence.
const sentence = (text) => (/^[a-z']+(?![\w/.])/.test(text) ? `${text.charAt(0).toUpperCase()}${text.slice(1)}` : text);
// What reads better than the name's own words.
const TITLES = {
  failure_rate_high: "Too large a share of failed runs", failures_many: "Too many failed runs", stage_fails_often: "Stage fails often",
  job_fails_in_a_row: "Job keeps failing", code_location_broken: "Code location doesn't load", queue_waits: "Runs wait for long",
  run_overdue: "Run beyond its time limit", automation_fails: "Schedule or sensor fails", service_down: "Service doesn't answer",
  program_down: "Program isn't running", database_connections: "Few connections are left", database_transaction_old: "Transaction stays open",
  facts_missing: "Couldn't be looked at", disk_full: "Little room on the disk",
};
const titled = (name) => TITLES[name] ?? sentence(words(name));

export function head(report) {
  const { status, made_at: made, late, issues, facts: { runs } } = report;
  const good = status === "healthy";
  const told = good ? "No issue was found." : `${count(issues.length)} ${issues.length === 1 ? "issue was" : "issues were"} found.`;
  return el("section", named("head", "wide", "head"),
    el("div", { class: "line" },
      el("h2", { id: "head-title" }, "The platform"),
      el("span", { class: `chip ${good ? "good" : "bad"}` }, `${good ? "✓" : "✕"} ${status}`),
      el("span", { class: "quiet push" }, "report of ", moment(made), ", ", ago(made))),
    el("p", { class: "meaning" }, told, " A report is made every hour; what follows is as of then."),
    late && el("p", { class: "banner notice" }, "The next report should have come. Is the daemon alive? ", el("code", {}, "mlops doctor"), " looks now."),
    runs && strip(runs));
}

function strip(runs) {
  const rate = runs.success + runs.failed ? percent(runs.failed / (runs.success + runs.failed)) : "–";
  const all = runs.success + runs.failed + runs.canceled + runs.running + runs.queued;
  const facts = [
    [`Runs in ${runs.hours} hours`, count(all), `${count(runs.success)} succeeded, ${count(runs.canceled)} canceled`],
    ["Failed", count(runs.failed), `${count(runs.retried)} of them tried again`],
    ["Failure rate", rate, "of those that succeeded or failed"],
    ["Now", count(runs.running), `running, ${count(runs.queued)} waiting`],
  ];
  return el("dl", { class: "strip-facts facts-list" }, facts.map(([name, value, more]) =>
    el("div", { "data-key": name }, el("dt", {}, name), el("dd", {}, el("b", {}, value), " ", el("span", { class: "quiet small" }, more)))));
}

/** One card an issue, the worst first as the report has them. */
export const issues = (report) => report.issues.map((issue) => {
  const [sign, tone] = TONES[issue.severity];
  const key = `issue-${issue.name}-${issue.subject}`.replaceAll(/[^\w-]/g, "_");
  return el("section", named(key, "wide", "issue"),
    el("div", { class: "line" },
      el("h2", { id: `${key}-title` }, titled(issue.name), issue.subject && [": ", el("code", {}, issue.subject)]),
      el("span", { class: `chip ${tone}` }, `${sign} ${issue.severity}`)),
    el("p", { class: "meaning wraps" }, sentence(issue.message), "."),
    el("dl", { class: "why" },
      el("div", {}, el("dt", {}, "Likely cause"), el("dd", {}, sentence(issue.cause))),
      el("div", {}, el("dt", {}, "What to do"), el("dd", {}, doing(issue.action)))));
});

/** Commands as such, the words round them as words. */
const doing = (action) => action.split("; ").map((part, place) => [place ? "; " : "",
  /^(mlops|timedatectl) /.test(part) ? el("code", {}, part) : part]);

export function jobs({ jobs: list, more_jobs: more, hours }) {
  if (!list.length) return "";
  const columns = [["success", "Succeeded"], ["failed", "Failed"], ["canceled", "Canceled"], ["running", "Running"], ["queued", "Waiting"]];
  return el("section", named("jobs", "wide"), el("h2", { id: "jobs-title", class: "list-head" }, `Jobs of ${hours} hours`),
    el("div", { class: "scroll" }, el("table", { class: "list stacked numbers-right" },
      el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "Job"), columns.map(([, name]) => el("th", { scope: "col" }, name)), el("th", { scope: "col" }, "Median"))),
      el("tbody", {}, list.map((job) => el("tr", { "data-key": job.job },
        el("th", { scope: "row" }, job.job),
        columns.map(([kind, name]) => el("td", { "data-label": name }, count(job[kind]))),
        el("td", { "data-label": "Median" }, lasting(job.seconds))))))),
    more > 0 && el("p", { class: "quiet small" }, `and ${count(more)} more jobs`));
}

export function failures({ stages, more_stages: more, hours }) {
  const title = el("h2", { id: "failures-title", class: "list-head" }, `Stages that failed in ${hours} hours`);
  if (!stages.length) return el("section", named("failures", "wide"), title, el("p", { class: "empty" }, "None did."));
  return el("section", named("failures", "wide"), title,
    el("div", { class: "scroll" }, el("table", { class: "list stacked" },
      el("thead", {}, el("tr", {}, ["Stage", "Failed", "Of tries", "Tried again", "Errors"].map((name) => el("th", { scope: "col" }, name)))),
      el("tbody", {}, stages.map(stage)))),
    more > 0 && el("p", { class: "quiet small" }, `and ${count(more)} more stages`));
}

const stage = (one) => el("tr", { "data-key": `${one.owner}/${one.stage}` },
  el("th", { scope: "row" }, one.stage || "outside of any stage", el("span", { class: "quiet small under" }, one.owner)),
  el("td", { "data-label": "Failed" }, count(one.failures)),
  el("td", { "data-label": "Of tries" }, percent(one.attempts ? one.failures / one.attempts : 1)),
  el("td", { "data-label": "Tried again" }, count(one.retries)),
  el("td", { "data-label": "Errors", class: "errors" }, one.errors.length
    ? el("ul", {}, one.errors.map((error) => el("li", {}, `${count(error.count)} × `, el("code", {}, error.line), " ", ago(error.at))))
    : "not read"));

/** What runs and what it stands on, each part in words; what couldn't be looked at is told as that. */
export function machinery({ facts: { platform, missing }, policy }) {
  return [
    part("daemon", "Dagster", daemon(platform, policy)),
    part("programs", "Programs", programs(platform)),
    part("ground", "Queue, disk, database", ground(platform)),
    Object.keys(missing).length > 0 && part("missing", "Not looked at", Object.entries(missing).map(([name, why]) => [name, why, "warn"])),
  ].filter(Boolean);
}

function part(key, title, rows) {
  return el("section", named(key), el("h2", { id: `${key}-title`, class: "list-head" }, title),
    rows.length ? el("div", { class: "scroll" }, el("table", { class: "list" }, el("tbody", {}, rows.map(([name, said, tone]) => el("tr", { "data-key": name },
      el("th", { scope: "row" }, name), el("td", {}, tone ? el("span", { class: `chip ${tone}` }, said) : said))))))
      : el("p", { class: "empty" }, "Nothing is known of them."));
}

function daemon({ heartbeats, locations, late, failed_ticks: failed }, policy) {
  const beats = (heartbeats ?? []).map(({ daemon: name, age, errors }) => {
    const silent = age === null || age >= policy.heartbeat_seconds;
    const said = age === null ? "✕ never heard of" : `${silent ? "✕ " : ""}heard ${lasting(age)} before`;
    return [`daemon: ${words(name.toLowerCase())}`, errors.length ? `✕ ${errors[0]}` : said, silent || errors.length ? "bad" : null];
  });
  return [
    ...beats,
    ...(locations ?? []).map(({ name, error }) => [`code location: ${name}`, error ? `✕ ${error}` : "loaded", error ? "bad" : null]),
    ...(late ?? []).map(({ name, seconds }) => [`schedule: ${name}`, `! ${lasting(seconds)} late`, "warn"]),
    ...(failed ?? []).map(({ name, kind, error }) => [`${kind}: ${name}`, `✕ ${error}`, "bad"]),
  ];
}

function programs({ programs: list, services }) {
  const down = new Map((services ?? []).filter((one) => one.down_seconds !== null).map((one) => [one.name, one.down_seconds]));
  const running = (list ?? []).map(({ name, state, seconds }) => {
    if (state !== "RUNNING") return [name, `✕ ${state.toLowerCase()}`, "bad"];
    if (down.has(name)) return [name, `✕ no answer for ${lasting(down.get(name))}`, "bad"];
    return [name, `runs for ${lasting(seconds)}`, null];
  });
  const known = new Set(running.map(([name]) => name));
  const others = (services ?? []).filter(({ name }) => !known.has(name));
  return [...running, ...others.map(({ name, down_seconds: seconds }) =>
    (seconds === null ? [name, "answers", null] : [name, `✕ no answer for ${lasting(seconds)}`, "bad"]))];
}

function ground({ queue, overdue, disk, database, prediction_log: log }) {
  const rows = [];
  if (queue) {
    rows.push(["waiting runs", queue.queued ? `${count(queue.queued)}, the oldest for ${lasting(queue.oldest_seconds)}` : "none"]);
    for (const { limit, most, used } of queue.slots) rows.push([`places for ${limit}`, `${count(used)} of ${count(most)} taken`]);
  }
  for (const { run_id: run, job, seconds } of overdue ?? []) rows.push([`run ${run.slice(0, 8)} of ${job}`, `! ${lasting(seconds)} beyond its limit`, "warn"]);
  if (disk) rows.push(["disk", `${bytes(disk.free)} of ${bytes(disk.size)} free (${percent(disk.free / disk.size)})`]);
  if (database) {
    rows.push(["database", `answers in ${(database.answer_seconds * 1000).toFixed(1)} ms, ${bytes(database.size)}`],
      ["connections", `${count(database.connections)} of ${count(database.most_connections)} open`],
      ["clock", `${Math.abs(database.skew) < 0.05 ? "as" : `${database.skew.toFixed(1)} s beside`} the database's`]);
  }
  if (log) rows.push(["prediction log", `oldest answer that isn't in the database: ${lasting(log.oldest_seconds)}`]);
  return rows;
}
