// What stands above every page: where the data is from, alarms, time, what is lost.

import { html, nothing } from "lit-html";
import { Panel, define } from "./panel.js";
import { icon } from "./parts.js";
import { store } from "./store.js";
import { ageText, clockText, offsetText, plantDate } from "./text.js";

/** The badges of an answer: drawn from its stamp and nothing else. */
export function badges(s) {
  return html`<span class="badge src-${s.source}" title=${s.reason ?? ""}>${icon(s.source)}<b>${s.source}</b></span>${
    s.simulated && s.source !== "simulated"
      ? html`<span class="badge src-simulated" title="${s.simulated} of ${s.active} units are simulated">${icon("simulated")}<b>SIM</b> ${s.simulated}/${s.active}</span>`
      : nothing
  }`;
}

define(
  "andon-source",
  class extends Panel {
    topics = ["stamp", "tick"];
    view() {
      if (!store.stamp) return null;
      document.documentElement.classList.toggle("frozen", store.frozen !== 0);
      if (store.frozen) {
        return html`<span class="badge src-frozen">${icon("frozen")}<b>frozen</b></span><span class="asof">since ${clockText(store.frozen + store.skew, store.offset(), store.now())}</span>`;
      }
      return html`${badges(store.stamp)}<span class="asof">${ageText(store.now() - Date.parse(store.stamp.as_of))} old${store.polling ? ", asked every 5 s" : ""}</span>`;
    }
  },
);

define(
  "andon-lost",
  class extends Panel {
    topics = ["stamp"];
    view() {
      if (!store.stamp) return null;
      const lines = [...store.stamp.lost];
      if (store.frozen) {
        lines.unshift(`CONNECTION LOST since ${clockText(store.frozen + store.skew, store.offset(), store.now())}: everything below is frozen and may have changed; trying again`);
      }
      return html`${lines.map((l) => html`<p>${icon("warn")}${l}</p>`)}`;
    }
  },
);

const PRIORITIES = ["critical", "high", "medium", "low"];

export function tally() {
  const t = { critical: 0, high: 0, medium: 0, low: 0, unacked: 0, recent: 0 };
  for (const a of store.alarms.values()) {
    if (store.now() - Date.parse(a.active_at) <= 600000) t.recent++;
    if (a.state === "closed") continue;
    t[a.priority]++;
    if (a.state !== "acknowledged") t.unacked++;
  }
  return t;
}

define(
  "andon-tally",
  class extends Panel {
    topics = ["alarms"];
    view() {
      if (!store.loaded) return null;
      const t = tally();
      return html`${PRIORITIES.map(
        (p) => html`<span class="n ${t[p] ? "p-" + p : ""}" title="${p} alarms">${icon(p)}${t[p]}<span class="hidden-text"> ${p}</span></span>`,
      )}<a class="unseen ${t.unacked ? "some" : ""}" href="/#alarms">${t.unacked} unacknowledged</a>`;
    }
  },
);

define(
  "andon-clock",
  class extends Panel {
    topics = ["tick", "stamp"];
    view() {
      if (!store.stamp) return null;
      return html`<time>${plantDate(store.now(), store.offset()).toISOString().slice(11, 19)}</time> ${offsetText(store.offset())}`;
    }
  },
);

define(
  "andon-theme",
  class extends Panel {
    dark() {
      const set = document.documentElement.dataset.theme;
      return set ? set === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    }
    toggle = () => {
      const theme = this.dark() ? "light" : "dark";
      document.documentElement.dataset.theme = theme;
      document.cookie = `theme=${theme}; path=/; max-age=31536000; samesite=strict`;
      store.tell("theme");
      this.update();
    };
    view() {
      return html`<button @click=${this.toggle}>${this.dark() ? "Light" : "Dark"}</button>`;
    }
  },
);

// The one live region: it speaks new critical alarms, and nothing else.
define(
  "andon-speak",
  class extends Panel {
    topics = ["alarms"];
    #known = null;
    view() {
      if (!store.loaded) return null;
      const critical = [...store.alarms.values()].filter((a) => a.priority === "critical" && a.state === "unacknowledged");
      const fresh = this.#known ? critical.filter((a) => !this.#known.has(a.id)) : [];
      this.#known = new Set(critical.map((a) => a.id));
      if (fresh.length === 0) return this.said ?? html``;
      return (this.said = html`${fresh.map((a) => `Critical alarm: ${a.rule}, ${a.unit || a.node}. ${a.response ?? ""} `)}`);
    }
  },
);
