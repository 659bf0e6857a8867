// The fleet page: counts, and every unit by line.

import { html, nothing } from "lit-html";
import { repeat } from "lit-html/directives/repeat.js";
import { Panel, define } from "./panel.js";
import { alarmMark, alarmsAsOf, bar, icon, isSim, NOTICED, rank, sim, state, unitClass, unitURL, value, valueClass, worstAlarms } from "./parts.js";
import { store } from "./store.js";
import { countText, valueText } from "./text.js";
import { tally } from "./header.js";

const FLOOD = 10; // alarms in ten minutes
// A line with more units than ROWS_ALL shows ROWS_SOME of them as rows (on a wall
// none), the rest as tiles.
const ROWS_ALL = 16;
const ROWS_SOME = 8;
const STATES = ["running", "idle", "stopped", "stale"];

const wall = () => document.documentElement.classList.contains("wall");

/** Units by line, the worst first. */
function lines() {
  const alarms = worstAlarms();
  const out = new Map();
  for (const u of store.units.values()) {
    const profile = store.profiles[u.profile];
    const key = u.group + " " + profile.line;
    if (!out.has(key)) out.set(key, { key, group: u.group, profile, rows: [], counts: { running: 0, idle: 0, stopped: 0, stale: 0 } });
    const line = out.get(key);
    const alarm = alarms.get(u.group + "/" + u.unit);
    line.counts[u.state]++;
    const signals = profile.fleet.map((i) => profile.signals[i]);
    const beyond = u.state !== "stopped" && u.v.some((v, i) => valueClass(signals[i], v) === "limit");
    line.rows.push({ u, alarm, signals, rank: Math.max(rank(u.state, alarm), beyond ? NOTICED : 0) });
  }
  const list = [...out.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
  for (const l of list) l.rows.sort((a, b) => b.rank - a.rank || (a.u.unit < b.u.unit ? -1 : 1));
  return list;
}

define(
  "andon-counts",
  class extends Panel {
    topics = ["units", "alarms", "stamp"];
    view() {
      if (!store.loaded) return null;
      const n = { running: 0, idle: 0, stopped: 0, stale: 0 };
      for (const u of store.units.values()) n[u.state]++;
      const recent = tally().recent;
      const flood = recent > FLOOD;
      return html`<dl>
          ${STATES.map((s) => html`<div class=${s === "stale" && n.stale ? "st-stale" : ""}><dt>${icon(s)}${s.charAt(0).toUpperCase() + s.slice(1)}</dt><dd>${countText(n[s])}</dd></div>`)}
          <div class=${flood ? "flood" : ""}><dt>Alarms / 10 min</dt><dd>${recent}${flood ? html` <small>flood</small>` : nothing}</dd></div>
        </dl>
        <p class="worst">${this.#worst()}</p>`;
    }
    #worst() {
      let worst = null;
      for (const l of lines()) if (l.rows[0].rank > 4 && l.rows[0].rank > (worst?.rank ?? 0)) worst = l.rows[0];
      const asOf = alarmsAsOf();
      if (!worst) return asOf ? html`${icon("warn")}No alarm of a unit was known at ${asOf}` : html`${icon("ok")}No unit in alarm`;
      // The value that says most: the first beyond a limit, else the first.
      const i = Math.max(worst.signals.findIndex((s, i) => valueClass(s, worst.u.v[i]) === "limit"), 0);
      const s = worst.signals[i];
      return html`Worst <a href=${unitURL(worst.u.group, worst.u.unit)}>${worst.u.unit}</a> ${alarmMark(worst.alarm)}${
        s ? html` ${s.label} <b>${valueText(s, worst.u.v[i])}</b> ${s.unit ?? ""}` : nothing
      }`;
    }
  },
);

define(
  "andon-fleet",
  class extends Panel {
    topics = ["units", "alarms"];
    url() {
      return "/api/v1/fleet";
    }
    take(data) {
      if (!store.loaded) store.load(data);
    }
    view() {
      if (!store.loaded) return null;
      const list = lines();
      if (list.length === 0) {
        return html`<section class="panel"><p class="empty">No unit is on test: none has been born since this collector started, or no cell is connected.</p></section>`;
      }
      return html`${repeat(list, (l) => l.key, (l) => this.#line(l))}`;
    }
    #line(l) {
      const view = this.dataset.view;
      let keep = l.rows.length;
      if (view === "tiles") keep = 0;
      else if (view !== "rows" && keep > ROWS_ALL) keep = wall() ? 0 : ROWS_SOME;
      const c = l.counts;
      return html`<section class="line panel">
        <h2>
          ${l.group}
          <small>${l.profile.name} · ${l.rows.length} units${STATES.map((s) => (!c[s] ? nothing : html` · ${s === "stale" ? html`<b>${c[s]} stale</b>` : `${c[s]} ${s}`}`))}</small>
        </h2>
        ${keep ? this.#table(l, l.rows.slice(0, keep)) : nothing}
        ${keep < l.rows.length ? html`<ul class="tiles">${repeat(l.rows.slice(keep), (r) => r.u.k, (r) => this.#tile(r))}</ul>` : nothing}
      </section>`;
    }
    #table(l, rows) {
      const signals = l.profile.fleet.map((i) => l.profile.signals[i]);
      return html`<table class="units">
        <thead>
          <tr>
            <th scope="col">Unit</th>
            <th scope="col">State</th>
            ${signals.map((s) => html`<th scope="col" class="v"><span class="head">${s.label} <span class="dim">${s.unit ?? ""}</span></span>${s.max === undefined ? nothing : html` <span class="head dim">max ${s.max}</span>`}</th>`)}
          </tr>
        </thead>
        <tbody>
          ${repeat(rows, (r) => r.u.k, (r) => html`<tr class="unit ${unitClass(r.u, r.alarm)}">
            <th scope="row"><a href=${unitURL(r.u.group, r.u.unit)}>${r.u.unit}</a>${isSim(r.u) ? html` ${sim}` : nothing}</th>
            <td class="state">${state(r.u.state)}${r.alarm ? alarmMark(r.alarm) : nothing}</td>
            ${r.signals.map((s, i) => html`<td class="v" data-label=${s.unit ? s.label + " " + s.unit : s.label}>${value(s, r.u.v[i], r.u.spark?.[i])}</td>`)}
          </tr>`)}
        </tbody>
      </table>`;
    }
    #tile(r) {
      const s = r.signals[0];
      const v = r.u.v[0];
      return html`<li class="tile ${unitClass(r.u, r.alarm)}"><a href=${unitURL(r.u.group, r.u.unit)}><span class="name">${icon(r.alarm ? r.alarm.priority : r.u.state)}${r.u.unit}<span class="hidden-text"> ${r.u.state}${
        r.alarm ? `, ${r.alarm.priority} alarm ${r.alarm.rule}` : nothing
      }</span></span>${isSim(r.u) ? sim : nothing}${s ? html`<span class="num ${valueClass(s, v)}">${valueText(s, v)} <span class="dim">${s.unit ?? ""}</span></span>${bar(s, v)}` : nothing}</a></li>`;
    }
  },
);
