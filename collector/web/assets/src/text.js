// Numbers and times for people; text.go on the server does the same.

export const MISSING = "–";

/** Writes a value of a signal. */
export function valueText(signal, v) {
  if (v === null || v === undefined || !Number.isFinite(v)) return MISSING;
  if (signal.boolean) return v ? "yes" : "no";
  let text = v.toFixed(signal.digits);
  if (/^-[0.]*$/.test(text)) text = text.slice(1);
  return text.replace("-", "−");
}

/** Writes a number with the digits that it has. */
export const plainText = (n) => String(n).replace("-", "−");

/** Writes how long ms milliseconds are. */
export function ageText(ms) {
  const s = Math.max(ms, 0) / 1000;
  if (s < 9.95) return s.toFixed(1) + " s";
  if (s < 60) return Math.floor(s) + " s";
  if (s < 3600) return `${Math.floor(s / 60)} min ${pad(Math.floor(s) % 60)} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${pad(Math.floor(s / 60) % 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor(s / 3600) % 24} h`;
}

const pad = (n) => String(n).padStart(2, "0");

/** Writes an offset of m minutes from UTC. */
export function offsetText(m) {
  if (m === 0) return "UTC";
  const sign = m < 0 ? "−" : "+";
  const a = Math.abs(m);
  return `UTC${sign}${Math.floor(a / 60)}${a % 60 ? ":" + pad(a % 60) : ""}`;
}

/** A Date whose UTC fields are the plant's local time. */
export const plantDate = (ms, offset) => new Date(ms + offset * 60000);

/** Writes the plant's time of day; of another day than now, with its date. */
export function clockText(ms, offset, now) {
  if (!ms) return "never";
  const d = plantDate(ms, offset).toISOString();
  return d.slice(0, 10) === plantDate(now, offset).toISOString().slice(0, 10) ? d.slice(11, 19) : d.slice(0, 16).replace("T", " ");
}

/** Writes the plant's date and time. */
export const dayText = (ms, offset) => (ms ? plantDate(ms, offset).toISOString().slice(0, 19).replace("T", " ") : "");

/** Writes a count with thin spaces between thousands. */
export const countText = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, "\u202f");

export const titleCase = (s) => s.charAt(0).toUpperCase() + s.slice(1);

/** Writes a number with four digits, as Go's %.4g. */
export function shortText(n) {
  const text = Number(n.toPrecision(4));
  return Math.abs(text) >= 1e4 || (text !== 0 && Math.abs(text) < 1e-4) ? text.toExponential() : String(text);
}
