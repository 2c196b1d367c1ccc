// Numbers, times and names as people read them.

const MINUTE = 60, HOUR = 3600, DAY = 86400;
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const seconds = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const zone = new Intl.DateTimeFormat("en-GB", { timeZoneName: "short" });
const rough = new Intl.NumberFormat("en", { maximumSignificantDigits: 2 });
const whole = new Intl.NumberFormat("en");
const some = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });

export const count = (value) => whole.format(value);
export const number = (value) => (value === null || value === undefined ? "–" : some.format(value));
export const percent = (share) => {
  const value = share * 100;
  return `${value > 0 && value < 1 ? rough.format(value) : Math.round(value * 10) / 10}\u00a0%`;
};
/** A difference in stars with its sign: "+0.12". */
export const signed = (value, digits = 2) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(digits)}`;

/** "14:05" today, else "19 Nov, 14:05". */
export function moment(iso, precise = false) {
  if (!iso) return "–";
  const at = new Date(iso);
  const time = (precise ? seconds : clock).format(at);
  return at.toDateString() === new Date().toDateString() ? time : `${day.format(at)}, ${time}`;
}

/** The name of the time zone that times are shown in. */
export const timeZone = () => zone.formatToParts(new Date()).find(({ type }) => type === "timeZoneName").value;

/** "in 20 min" or "5 h ago". */
export function distance(iso, now = Date.now()) {
  if (!iso) return "";
  const apart = (new Date(iso).getTime() - now) / 1000;
  const size = Math.abs(apart);
  const words =
    size < 90 ? `${Math.round(size)} s` : size < 90 * MINUTE ? `${Math.round(size / MINUTE)} min`
      : size < 48 * HOUR ? `${Math.round(size / HOUR)} h` : `${Math.round(size / DAY)} days`;
  if (size < 1) return "now";
  return apart > 0 ? `in ${words}` : `${words} ago`;
}

/** "median_ape" as "median ape"; known short forms in capitals. */
export const metric = (name) => name.replaceAll("_", " ").replace(/\b(mae|rmse|mape|ape|r2|auc|f1)\b/g, (word) => word.toUpperCase());

const EVENTS = {
  first_release: "First release", candidate: "New candidate", started: "First users", advanced: "Share raised", look: "Look",
  promoted: "Promoted", watching: "Watch begins", settled: "Settled", rolled_back: "Rolled back", expired: "Expired",
  paused: "Paused", resumed: "Resumed", share: "Share by hand", blocked: "Drift block", unblocked: "Drift over",
};
export const event = (name) => EVENTS[name] ?? name;

const PHASES = {
  shadow: "Loading", ramp: "Ramp", hold: "Hold", promoting: "Promoting", watch: "Watch", done: "Settled",
  rolled_back: "Rolled back", expired: "Expired",
};
export const phase = (name) => PHASES[name] ?? name;
/** The phases that a rollout goes through when all goes well. */
export const COURSE = ["shadow", "ramp", "hold", "promoting", "watch", "done"];
