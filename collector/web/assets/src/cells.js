// Cells: their links and what they still hold.

import { html, nothing } from "lit-html";
import { repeat } from "lit-html/directives/repeat.js";
import { Panel, define } from "./panel.js";
import { icon } from "./parts.js";
import { store } from "./store.js";
import { ageText, countText, MISSING } from "./text.js";

const BEHIND = 10000; // ms: age of the oldest buffered reading that is worth a look
const ORDER = { offline: 0, silent: 1, online: 2 };

// How long the backlog takes to come home, where there is one.
const catchUp = (c) => (c.catch_up_ms ? html` <span class="dim">${c.catch_up_ms < 0 ? "falling behind" : `${ageText(c.catch_up_ms)} to catch up`}</span>` : nothing);

define(
  "andon-cells",
  class extends Panel {
    topics = ["cells", "tick"];
    url() {
      return "/api/v1/cells";
    }
    take(data) {
      if (store.loaded) return;
      for (const c of data.cells) store.cells.set(c.group + "/" + c.node, c);
      store.setStamp(data);
      this.own = true;
    }
    view() {
      if (!store.loaded && !this.own) return null;
      const list = [...store.cells.values()].sort((a, b) => ORDER[a.link] - ORDER[b.link] || (a.group + a.node < b.group + b.node ? -1 : 1));
      if (list.length === 0) return html`<h2>Cells</h2><p class="empty">No cell has been heard yet</p>`;
      return html`<h2>Cells</h2>
        <table class="cells">
          <thead>
            <tr><th scope="col">Cell</th><th scope="col">Link</th><th scope="col" class="r">Units</th><th scope="col" class="r">Buffered</th><th scope="col" class="r">Oldest</th><th scope="col" class="r">Lag</th></tr>
          </thead>
          <tbody>
            ${repeat(list, (c) => c.group + "/" + c.node, (c) => html`<tr class="link-${c.link}${c.oldest_ms > BEHIND ? " behind" : ""}">
              <th scope="row">${c.node} <span class="dim">${c.group}</span></th>
              <td>${icon(c.link)}${c.link === "online" ? html`online${catchUp(c)}` : html`<b>${c.link}</b> <span class="dim">${ageText(store.now() - c.since)}</span>`}</td>
              <td class="r">${c.units}</td>
              <td class="r said rows">${c.beaten ? (c.reckoned ? "≈ " : "") + countText(c.rows) : MISSING}</td>
              <td class="r said">${c.beaten && c.rows ? ageText(c.oldest_ms) : MISSING}</td>
              <td class="r said">${ageText(c.lag_ms)}</td>
            </tr>`)}
          </tbody>
        </table>`;
    }
  },
);
