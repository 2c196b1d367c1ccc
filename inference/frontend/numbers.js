// Numbers as people write them: Indian grouping and crore for lakh of rupees, plain grouping for anything else.

const LAKH = 100000;
const LAKH_PER_CRORE = 100;
const indian = (digits) => new Intl.NumberFormat("en-IN", { maximumFractionDigits: digits, minimumFractionDigits: digits });
const plain = new Intl.NumberFormat("en", { maximumSignificantDigits: 6 });

const isLakh = (unit) => /^lakh\b/i.test(unit ?? "");

/** "₹ 69.84 lakh", "₹ 1.25 crore" or "220 coins"; text stays text. */
export function amount(value, unit) {
  if (typeof value !== "number") return String(value);
  if (!isLakh(unit)) return [plain.format(value), unit].filter(Boolean).join(" ");
  const crore = Math.abs(value) >= LAKH_PER_CRORE;
  return `₹\u00a0${indian(2).format(crore ? value / LAKH_PER_CRORE : value)}\u00a0${crore ? "crore" : "lakh"}`;
}

/** The whole amount in rupees, "₹ 69,84,000"; null where the unit isn't lakh. */
export function rupees(value, unit) {
  return typeof value === "number" && isLakh(unit) ? `₹\u00a0${indian(0).format(value * LAKH)}` : null;
}

/** What a person who types an amount should know about its unit. */
export const unitHint = (unit) => (isLakh(unit) ? "in lakh rupees; 1 crore is 100 lakh" : unit ? `in ${unit}` : "");

/** The number a person typed, with blanks and grouping commas; NaN if it is none. */
export function typed(text) {
  const bare = text.replace(/[\s\u00a0,]/g, "");
  return /^[+-]?(\d+\.?\d*|\.\d+)$/.test(bare) ? Number(bare) : Number.NaN;
}
