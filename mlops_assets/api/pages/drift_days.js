// Days of the calendar in UTC, and the words and signs for what a day or a column came to.

const DAY_MS = 86400000;
const short = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", timeZone: "UTC" });
const long = new Intl.DateTimeFormat("en-GB", { weekday: "long", day: "numeric", month: "long", year: "numeric", timeZone: "UTC" });
const month = new Intl.DateTimeFormat("en-GB", { month: "short", timeZone: "UTC" });

const at = (day) => new Date(`${day}T00:00:00Z`);

/** "30 Mar" */
export const shortDay = (day) => short.format(at(day));
/** "Monday, 30 March 2026" */
export const longDay = (day) => long.format(at(day));
export const monthOf = (day) => month.format(at(day));
export const dayOfMonth = (day) => at(day).getUTCDate();
export const isWeekend = (day) => [0, 6].includes(at(day).getUTCDay());

/** Every day from the first to the last, both included. */
export function calendar(first, last) {
  const count = Math.round((at(last) - at(first)) / DAY_MS) + 1;
  return Array.from({ length: count }, (_, n) => new Date(at(first).getTime() + n * DAY_MS).toISOString().slice(0, 10));
}

/** How many whole days lie between a day and today. */
export const daysAgo = (day, now = Date.now()) => Math.floor((now - at(day)) / DAY_MS);

export const WORDS = {
  ok: "no drift", drifted: "drifted", insufficient: "too few rows", no_reference: "no reference",
};
export const SIGNS = { ok: "·", drifted: "▲", insufficient: "–", no_reference: "?" };
export const TONES = { ok: "good", drifted: "bad", insufficient: "warn", no_reference: "warn" };

/** "2.6" for a strength, as short as a cell is. */
export const times = (strength) => (strength >= 10 ? "9+" : strength.toFixed(1));
