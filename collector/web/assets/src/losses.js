// Losses: what was lost on the way, of which cell, and why.

import { html } from "lit-html";
import { Panel, define } from "./panel.js";
import { countText } from "./text.js";

const EVERY = 60000; // ms between two questions

define(
  "andon-losses",
  class extends Panel {
    url() {
      return "/api/v1/losses";
    }
    start() {
      setInterval(() => this.load(), EVERY);
    }
    take(data) {
      super.take(data);
      this.hours = data.hours;
      this.list = data.losses;
    }
    view() {
      if (!this.list) return null;
      if (this.list.length === 0) return html`<h2>Losses</h2><p class="empty">No loss was told in the last ${this.hours} hours</p>`;
      return html`<h2>Losses</h2>
        <table class="losses">
          <thead>
            <tr><th scope="col">Cell</th><th scope="col">Reason</th><th scope="col" class="r">Records</th></tr>
          </thead>
          <tbody>
            ${this.list.map((l) => html`<tr>
              <th scope="row">${l.node} <span class="dim">${l.group}</span></th>
              <td><b>${l.reason}</b> <span class="dim">${l.meaning ?? ""}</span></td>
              <td class="r">${countText(l.records)}</td>
            </tr>`)}
          </tbody>
        </table>`;
    }
  },
);
