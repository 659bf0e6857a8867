// Active alarms, with acknowledgement.

import { html, nothing } from "lit-html";
import { repeat } from "lit-html/directives/repeat.js";
import { Panel, define } from "./panel.js";
import { alarmsAsOf, byUrgency, icon, sim, unitURL } from "./parts.js";
import { getJSON, store } from "./store.js";
import { ageText, clockText, shortText } from "./text.js";

const MOST = 100; // alarms listed
const CONFIRM_WITHIN = 6000; // ms from sending to the alarm's new state

const nameKey = "andon.name";
const remembered = () => {
  try {
    return localStorage.getItem(nameKey) ?? "";
  } catch {
    return ""; // storage is forbidden here
  }
};

define(
  "andon-alarms",
  class extends Panel {
    topics = ["alarms", "tick"];
    #sent = new Map(); // id: {at} or {error}

    url() {
      return "/api/v1/alarms";
    }
    take(data) {
      if (store.loaded) return;
      for (const a of data.alarms) store.alarms.set(a.id, a);
      store.setStamp(data);
      this.own = true;
    }
    view() {
      if (!store.loaded && !this.own) return null;
      const { group, unit } = this.dataset;
      const all = [...store.alarms.values()].filter((a) => !unit || (a.group === group && a.unit === unit));
      const asOf = alarmsAsOf();
      const open = all.filter((a) => a.state !== "closed").sort(byUrgency);
      return html`<h2>Alarms <small>${open.length} open${all.length > open.length ? `, ${all.length - open.length} closed lately` : nothing}${asOf ? html` · <b>as of ${asOf}</b>` : nothing}</small></h2>
        <ul class="alarms">${repeat(open.slice(0, MOST), (a) => a.id, (a) => this.#alarm(a))}</ul>
        ${open.length > MOST ? html`<p class="empty">and ${open.length - MOST} more</p>` : nothing}
        ${open.length > 0 ? nothing : html`<p class="empty">${asOf ? html`${icon("warn")}No alarm was known at ${asOf}` : html`${icon("ok")}No active alarm`}</p>`}`;
    }
    #alarm(a) {
      return html`<li class="alarm p-${a.priority} a-${a.state}" data-id=${a.id}>
        <div class="head">${icon(a.priority)}<b class="prio">${a.priority}</b><span class="rule">${a.rule}</span><time>${ageText(store.now() - Date.parse(a.active_at))}</time></div>
        <div class="about">
          ${a.unit ? html`<a href=${unitURL(a.group, a.unit)}>${a.unit}</a> <span class="dim">${a.group} · ${a.node}</span>` : html`<b>${a.node}</b> <span class="dim">${a.group}</span>`}${a.quality === "simulated" ? html` ${sim}` : nothing}${
            a.quality === "stale" ? html` <b class="stale-mark">STALE</b>` : nothing
          }
        </div>
        ${a.figures?.length ? html`<div class="why">${a.figures.map((f) => html`<span>${f.name} <b>${shortText(f.value)}</b>${f.unit ? ` ${f.unit}` : nothing}</span> `)}</div>` : nothing}
        ${a.response ? html`<div class="response">${a.response}</div>` : nothing} ${this.#acknowledgement(a)}
      </li>`;
    }
    #acknowledgement(a) {
      const at = (t) => clockText(Date.parse(t), store.offset(), store.now());
      if (a.state === "acknowledged") {
        this.#sent.delete(a.id);
        return html`<div class="acked">${icon("ok")}${a.acked_by}, ${at(a.acked_at)}${a.note ? ": " + a.note : nothing}</div>`;
      }
      const returned = a.state === "returned-unacknowledged" ? html`<div class="returned">normal again since ${at(a.cleared_at)}, not acknowledged</div>` : nothing;
      const { user, looks } = document.body.dataset; // who is logged in, and whether they only look
      if (looks !== undefined || document.documentElement.classList.contains("wall")) return returned;
      const sent = this.#sent.get(a.id);
      const waiting = sent?.at && Date.now() - sent.at < CONFIRM_WITHIN;
      let said = nothing;
      if (waiting) said = html`<div class="said">sent; waiting for the sentinel to confirm</div>`;
      else if (sent?.at) said = html`<div class="said bad">not confirmed: the sentinel may be away. Send it again, or look at the cell</div>`;
      else if (sent?.error) said = html`<div class="said bad">${sent.error}</div>`;
      return html`${returned}${said}
        <details class="ack">
          <summary>Acknowledge</summary>
          <form @submit=${(e) => this.#send(e, a)}>
            ${user ? nothing : html`<label>Name <input name="by" required maxlength="64" autocomplete="username" value=${remembered()} /></label>`}
            <label>Note <input name="note" maxlength="500" autocomplete="off" /></label>
            <button ?disabled=${waiting}>Acknowledge</button>
          </form>
        </details>`;
    }
    async #send(e, a) {
      e.preventDefault();
      const form = e.target;
      const data = Object.fromEntries(new FormData(form));
      try {
        if (data.by) localStorage.setItem(nameKey, data.by);
      } catch {
        // storage is forbidden here; the name is asked again
      }
      this.#sent.set(a.id, { at: Date.now() });
      this.update();
      try {
        await getJSON(`/api/v1/alarms/${encodeURIComponent(a.id)}/ack`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(data) });
        form.closest("details").open = false;
      } catch (error) {
        this.#sent.set(a.id, { error: error.message });
      }
      this.update();
    }
  },
);
