// The page of one unit: its head, its values, its runs.

import { html, nothing } from "lit-html";
import { Panel, define } from "./panel.js";
import { alarmMark, bar, icon, isSim, sim, spark, state, valueClass, worstAlarms } from "./parts.js";
import { advance, store } from "./store.js";
import { ageText, clockText, countText, dayText, MISSING, plainText, valueText } from "./text.js";

/** The unit of this page on the stream, or nothing. */
export const followed = (e) => [...store.units.values()].find((u) => u.group === e.dataset.group && u.unit === e.dataset.unit);

const unitAPI = (e) => `/api/v1/units/${encodeURIComponent(e.dataset.group)}/${encodeURIComponent(e.dataset.unit)}`;

define(
  "andon-unit-head",
  class extends Panel {
    topics = ["units", "alarms", "tick"];
    view() {
      if (!store.loaded) return null;
      const u = followed(this);
      if (!u) return null;
      const alarm = worstAlarms().get(u.group + "/" + u.unit);
      const clock = (ms) => clockText(ms, store.offset(), store.now());
      return html`<h1>${u.unit}${isSim(u) ? html` ${sim}` : nothing}</h1>
        ${state(u.state)}<span class="for">for ${ageText(store.now() - u.since)}</span>${alarm ? alarmMark(alarm) : nothing}
        <dl class="facts">
          <div><dt>Line</dt><dd>${u.group}</dd></div>
          <div><dt>Cell</dt><dd>${u.node}</dd></div>
          <div><dt>Profile</dt><dd>${store.profiles[u.profile].name}</dd></div>
          <div><dt>On test since</dt><dd>${clock(u.born)}</dd></div>
          ${u.died ? html`<div><dt>Ended</dt><dd>${clock(u.died)}</dd></div>` : nothing}
          <div><dt>Last reading</dt><dd>${ageText(store.now() - u.heard)} ago</dd></div>
          ${u.skewed ? html`<div class="skewed"><dt>Clock</dt><dd>off by more than a minute: charted by time of arrival</dd></div>` : nothing}
        </dl>`;
    }
  },
);

define(
  "andon-values",
  class extends Panel {
    topics = ["unit", "units"];
    url() {
      return unitAPI(this);
    }
    take(data) {
      super.take(data);
      this.unit = data.unit;
      this.profile = data.unit && data.profiles[data.unit.profile];
    }
    view() {
      const u = this.unit;
      if (!u) return null;
      const now = followed(this);
      if (now && now.k === u.k && now.profile !== u.profile) {
        this.unit = null;
        this.load();
        return null;
      }
      if (store.detail?.k === u.k && store.detail.at !== u.at) {
        u.at = store.detail.at;
        u.v = store.detail.v;
        advance(u, u.v);
      }
      return html`<h2>Values</h2>
        <table class="values st-${now?.state ?? u.state}${isSim(u) ? " is-sim" : ""}">
          <thead>
            <tr><th scope="col">Signal</th><th scope="col" class="r">Value</th><th scope="col">Range</th><th scope="col">15 min</th></tr>
          </thead>
          <tbody>
            ${this.profile.signals.map((s, i) => html`<tr>
              <th scope="row" title=${s.description ?? ""}>${s.label}</th>
              <td class="r"><span class="num ${valueClass(s, u.v[i])}">${valueText(s, u.v[i])}</span> <span class="dim">${s.unit ?? ""}</span></td>
              <td class="range">${bar(s, u.v[i])}<span class="ends">${s.low === undefined ? nothing : html`<span>${plainText(s.low)}</span>${s.max === undefined ? nothing : html`<span class="max">max ${plainText(s.max)}</span>`}<span>${plainText(s.high)}</span>`}</span></td>
              <td>${spark(s, u.spark?.[i])}</td>
            </tr>`)}
          </tbody>
        </table>`;
    }
  },
);

define(
  "andon-runs",
  class extends Panel {
    topics = ["theme"];
    url() {
      return unitAPI(this);
    }
    start() {
      setInterval(() => this.load(), 30000);
    }
    take(data) {
      super.take(data);
      this.data = data;
    }
    view() {
      if (!this.data) return null;
      const runs = this.data.runs ?? [];
      const day = (ms) => dayText(ms, store.offset());
      return html`<h2>Runs</h2>
        ${this.data.runs_from === "memory" ? html`<p class="note">${icon("memory")}The database is away: only the run under way is known.</p>` : nothing}
        ${runs.length === 0
          ? html`<p class="empty">No run is known</p>`
          : html`<div class="scroll" tabindex="0" role="region" aria-label="Table of the runs"><table class="runs">
              <thead><tr><th scope="col">Began</th><th scope="col">Ended</th><th scope="col">Reason</th><th scope="col">Cell</th><th scope="col" class="r">Readings</th><th scope="col" class="r">Missing</th></tr></thead>
              <tbody>
                ${runs.map((r) => html`<tr>
                  <th scope="row"><a href="?from=${r.born}&to=${r.died || Math.round(store.now())}">${day(r.born)}</a></th>
                  <td>${r.died ? day(r.died) : "on test"}</td>
                  <td>${r.reason ?? ""}</td>
                  <td>${r.node}</td>
                  <td class="r">${r.expected ? countText(r.stored) : MISSING}</td>
                  <td class="r ${r.died && r.expected > r.stored ? "limit" : ""}">${r.expected ? countText(Math.max(r.expected - r.stored, 0)) : MISSING}</td>
                </tr>`)}
              </tbody>
            </table></div>`}`;
    }
  },
);
