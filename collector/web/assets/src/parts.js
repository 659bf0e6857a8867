// The pieces that panels are made of; templates/parts.html on the server has the same.

import { html, nothing, svg } from "lit-html";
import { clockText, valueText, titleCase } from "./text.js";
import { store } from "./store.js";

const SIMULATED = 8; // of a reading's quality

export const isSim = (u) => (u.q & SIMULATED) !== 0;

export const icon = (name) => html`<svg class="icon i-${name}" aria-hidden="true" focusable="false"><use href="#i-${name}"></use></svg>`;

export const sim = html`<span class="sim" title="simulated: not plant data">SIM</span>`;

const percent = (f) => (100 * f).toFixed(2) + "%";

/** Says what is abnormal about a value: "", limit or implausible. */
export function valueClass(s, v) {
  if (v === null || v === undefined) return "";
  if (v > (s.max ?? Infinity) || v < (s.min ?? -Infinity)) return "limit";
  if (v > (s.plausible_max ?? Infinity) || v < (s.plausible_min ?? -Infinity)) return "implausible";
  return "";
}

export function bar(s, v) {
  if (s.low === undefined || s.boolean) return nothing;
  const part = (x) => Math.min(Math.max((x - s.low) / (s.high - s.low), 0), 1);
  const edge = (x) => svg`<rect class="edge" x=${percent(x)} y="1" width="1" height="8"></rect>`;
  const zone = (from, to, at) => svg`<rect class="zone" x=${percent(from)} y="3" width=${percent(to - from)} height="4"></rect>${edge(at)}`;
  return html`<svg class="bar" aria-hidden="true" focusable="false"><rect class="track" y="3" width="100%" height="4"></rect>${
    s.min === undefined ? nothing : zone(0, part(s.min), part(s.min))
  }${s.max === undefined ? nothing : zone(part(s.max), 1, part(s.max))}${s.low < 0 && s.high > 0 ? edge(part(0)) : nothing}${
    v === null || v === undefined ? nothing : svg`<rect class="mark" x=${percent(part(v))} width="3" height="10" transform="translate(-1.5)"></rect>`
  }</svg>`;
}

function sparkPoints(s, line) {
  let low = Infinity;
  let high = -Infinity;
  for (const v of line ?? []) {
    if (v === null) continue;
    low = Math.min(low, v);
    high = Math.max(high, v);
  }
  if (low > high) return "";
  let least = high - low;
  if (s.low !== undefined) least = Math.max(least, (s.high - s.low) / 10);
  least ||= 1;
  const bottom = (low + high) / 2 - least / 2;
  let points = "";
  line.forEach((v, i) => {
    if (v !== null) points += `${((100 * i) / (line.length - 1)).toFixed(1)},${(19 - (18 * (v - bottom)) / least).toFixed(1)} `;
  });
  return points;
}

export const spark = (s, line) =>
  html`<svg class="spark" viewBox="0 0 100 20" preserveAspectRatio="none" aria-hidden="true" focusable="false"><polyline points=${sparkPoints(s, line)}></polyline></svg>`;

export const value = (s, v, line) => html`<span class="num ${valueClass(s, v)}">${valueText(s, v)}</span>${spark(s, line)}${bar(s, v)}`;

export const alarmMark = (a) =>
  html`<span class="mark-alarm p-${a.priority} ${a.state === "unacknowledged" ? "unacked" : "acked"}">${icon(a.priority)}<b>${a.priority}</b> ${a.rule}</span>`;

export const state = (s) => html`<span class="st st-${s}">${icon(s)}${s === "stale" ? html`<b>STALE</b>` : titleCase(s)}</span>`;

export const unitURL = (group, unit) => `/unit/${encodeURIComponent(group)}/${encodeURIComponent(unit)}`;

/** Since when nobody tells of alarms any more, or nothing. */
export const alarmsAsOf = () => store.stamp?.alarms_as_of && clockText(Date.parse(store.stamp.alarms_as_of), store.offset(), store.now());

// Ranks, worst last; rowview.go has the same.
const PRIORITY = { low: 1, medium: 2, high: 3, critical: 4 };
const STALE = 4;
export const NOTICED = 3; // an alarm that returned and nobody acknowledged, or a value beyond a limit

export function rank(unitState, a) {
  if (a?.condition === "active") return STALE + 2 * PRIORITY[a.priority] + (a.state === "unacknowledged" ? 1 : 0);
  if (unitState === "stale") return STALE;
  if (unitState === "stopped") return 0;
  if (a) return NOTICED;
  return unitState === "idle" ? 1 : 2;
}

const ORDER = { unacknowledged: 0, "returned-unacknowledged": 1, acknowledged: 2, closed: 3 };

/** Alarms in the order of their urgency. */
export const byUrgency = (a, b) =>
  ORDER[a.state] - ORDER[b.state] || PRIORITY[b.priority] - PRIORITY[a.priority] || Date.parse(b.active_at) - Date.parse(a.active_at) || (a.id < b.id ? -1 : 1);

/** The worst open alarm of each unit, by GROUP/UNIT. */
export function worstAlarms() {
  const out = new Map();
  for (const a of store.alarms.values()) {
    if (a.state === "closed" || !a.unit) continue;
    const key = a.group + "/" + a.unit;
    const have = out.get(key);
    if (!have || rank("", a) > rank("", have)) out.set(key, a);
  }
  return out;
}

/** Classes of a unit's row or tile. */
export const unitClass = (u, a) => `st-${u.state}${isSim(u) ? " is-sim" : ""}${a ? ` in-alarm p-${a.priority} a-${a.state}` : ""}`;
