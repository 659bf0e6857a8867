// The history of a unit: live charts of the last minutes, or any range from the
// database; and the same as a table.

import { html, nothing, render } from "lit-html";
import { Panel, define } from "./panel.js";
import { badges } from "./header.js";
import { sim } from "./parts.js";
import { store } from "./store.js";
import { ageText, dayText, valueText } from "./text.js";
import { makeChart } from "./chart.js";

const WINDOW = 15 * 60000; // of the live chart, ms
const RANGES = [["15m", "15 min"], ["1h", "1 h"], ["8h", "8 h"], ["24h", "24 h"], ["7d", "7 d"]];
const TABLE_ROWS = 500;
const REFRESH = 60000;

define(
  "andon-history",
  class extends Panel {
    topics = ["unit", "theme", "tick"];
    #charts = [];
    #asked = 0;
    #table = false;
    #drawnAt = 0;

    start() {
      const { range, from, to, signals } = this.dataset;
      this.query = { range, from, to, signals: signals ? signals.split(",") : [] };
      store.on(["theme"], () => this.#rebuild());
      new ResizeObserver(() => this.#fit()).observe(this);
      setInterval(() => (this.live() || this.query.range) && !document.hidden && this.load(), REFRESH);
    }

    live() {
      return this.query.range === "15m" && !this.query.from;
    }

    #params() {
      const p = new URLSearchParams();
      if (this.query.from) {
        p.set("from", this.query.from);
        p.set("to", this.query.to || String(Math.round(store.now())));
      } else p.set("range", this.query.range || "15m");
      if (this.query.signals.length) p.set("signals", this.query.signals.join(","));
      return p;
    }

    url() {
      const p = this.#params();
      p.set("points", String(Math.min(Math.max(Math.round(this.clientWidth || 900), 300), 2000)));
      return `/api/v1/units/${encodeURIComponent(this.dataset.group)}/${encodeURIComponent(this.dataset.unit)}/series?${p}`;
    }

    async load() {
      const asked = ++this.#asked;
      this.loading = true;
      await super.load();
      if (asked === this.#asked) this.loading = false;
    }

    take(data) {
      super.take(data);
      this.data = data;
      this.#rebuild();
    }

    /** Changes the question, and the page's address with it. */
    ask(change) {
      Object.assign(this.query, change);
      history.replaceState(null, "", "?" + this.#params());
      this.load();
    }

    view() {
      const d = this.data;
      if (!d?.profile) return null;
      const chosen = new Set(d.signals.map((s) => s.name));
      const csv = this.url().replace(/points=\d+/, "points=4000") + "&format=csv";
      return html`<h2>
          History ${badges(d)}${d.sim && d.source !== "simulated" ? html` ${sim}` : nothing}
          <span class="tools"><button aria-pressed=${this.#table} @click=${() => this.#toggle()}>Table</button><a class="button" href=${csv} download>CSV</a></span>
        </h2>
        ${d.source === "memory" && d.reason ? html`<p class="note">${d.reason}</p>` : nothing}
        <p class="ranges">
          ${RANGES.map(([v, t]) => html`<a href="?range=${v}" aria-current=${!this.query.from && this.query.range === v ? "true" : nothing} @click=${(e) => this.#range(e, v)}>${t}</a>`)}
          <span class="exact">${this.#exact()}</span>
        </p>
        <fieldset class="chips">
          <legend class="hidden-text">Signals</legend>
          ${d.profile.signals.map((s) => html`<label><input type="checkbox" name=${s.name} .checked=${chosen.has(s.name)} @change=${() => this.#choose()} />${s.label}</label>`)}
        </fieldset>
        <p class="dim chart-about">${this.#about()}</p>
        <div class="charts" ?hidden=${this.#table}></div>
        ${this.#table ? this.#rows() : nothing}`;
    }

    #about() {
      const d = this.data;
      const step = d.step_ms === 0 ? "every reading" : `steps of ${ageText(d.step_ms).replace(".0", "")}, with their least and greatest`;
      const parts = [this.live() ? "live" : `${dayText(d.from, store.offset())} to ${dayText(d.to, store.offset())}`, step];
      if (d.gaps.length) parts.push(`${d.gaps.length} gap${d.gaps.length > 1 ? "s" : ""} (hatched)`);
      if (d.bands.length) parts.push(`${d.bands.length} alarm${d.bands.length > 1 ? "s" : ""} (shaded)`);
      return parts.join(" · ");
    }

    #exact() {
      const local = (ms) => dayText(ms, store.offset()).replace(" ", "T").slice(0, 16);
      const apply = (e) => {
        e.preventDefault();
        const f = new FormData(e.target);
        const ms = (name) => String(Date.parse(f.get(name) + ":00Z") - store.offset() * 60000);
        if (f.get("from") && f.get("to")) this.ask({ from: ms("from"), to: ms("to"), range: "" });
      };
      return html`<form @submit=${apply}>
        <label>From <input type="datetime-local" name="from" value=${local(this.data.from)} required /></label>
        <label>to <input type="datetime-local" name="to" value=${local(this.data.to)} required /></label>
        <button>Show</button>
      </form>`;
    }

    #range(e, range) {
      e.preventDefault();
      this.ask({ range, from: "", to: "" });
    }

    #choose() {
      const names = [...this.querySelectorAll(".chips input:checked")].map((i) => i.name);
      if (names.length) this.ask({ signals: names });
      else this.update();
    }

    #toggle() {
      this.#table = !this.#table;
      this.update();
    }

    #rows() {
      const d = this.data;
      const n = d.t?.length ?? 0;
      const first = Math.max(0, n - TABLE_ROWS);
      const signals = d.signals.map((l) => d.profile.signals.find((s) => s.name === l.name));
      const gaps = new Map(d.gaps.map((g) => [g[1], g]));
      const rows = [];
      for (let i = n - 1; i >= first; i--) {
        rows.push(html`<tr><th scope="row">${dayText(d.t[i], store.offset())}</th>${d.signals.map((l, k) => html`<td class="r">${valueText(signals[k], l.avg[i])}</td>`)}</tr>`);
        const gap = gaps.get(d.t[i]);
        if (gap) rows.push(html`<tr class="gap"><td colspan=${signals.length + 1}>no data for ${ageText(gap[1] - gap[0])}</td></tr>`);
      }
      return html`${first > 0 ? html`<p class="dim">The newest ${TABLE_ROWS} of ${n}; all are in the CSV.</p>` : nothing}
        <div class="scroll" tabindex="0" role="region" aria-label="Table of the history">
          <table class="series${d.sim ? " is-sim" : ""}">
            <thead><tr><th scope="col">Time</th>${signals.map((s) => html`<th scope="col" class="r">${s.label} <span class="dim">${s.unit ?? ""}</span></th>`)}</tr></thead>
            <tbody>${rows}</tbody>
          </table>
        </div>`;
    }

    // The charts are uPlot's own; they live in the div that view leaves empty.
    drawn() {
      if (this.#table || !this.data) return;
      if (this.#charts.length === 0) this.#build();
      else if (this.live()) this.#follow();
    }

    #rebuild() {
      for (const c of this.#charts) c.plot.destroy();
      this.#charts = [];
      this.update();
    }

    #build() {
      const d = this.data;
      const target = this.querySelector(".charts");
      if (!target || !d.t?.length) {
        if (target && !target.childElementCount) target.textContent = "No readings in this range.";
        return;
      }
      target.textContent = "";
      const groups = new Map();
      for (const line of d.signals) {
        const signal = d.profile.signals.find((s) => s.name === line.name);
        const key = signal.unit || signal.name;
        if (!groups.has(key)) groups.set(key, []);
        groups.get(key).push({ signal, line });
      }
      const t = d.t.map((ms) => ms / 1000);
      let n = 0;
      for (const [unit, lines] of groups) {
        n++;
        const extremes = lines.some((l) => l.line.low);
        const data = [t.slice()];
        for (const { line } of lines) data.push(line.avg.slice(), ...(extremes ? [(line.low ?? line.avg).slice(), (line.high ?? line.avg).slice()] : []));
        breakAtGaps(data, d.gap_ms / 1000);
        const box = document.createElement("figure");
        box.className = lines.length === 1 ? "single" : "several";
        const title = document.createElement("figcaption");
        const names = lines.map((l) => l.signal.label).join(", ") + (unit && lines[0].signal.unit ? ` in ${unit}` : "");
        render(html`${names} ${d.sim ? sim : nothing}`, title);
        box.append(title);
        target.append(box);
        const plot = makeChart(box, {
          signals: lines.map((l) => l.signal), extremes, data, width: target.clientWidth, height: (groups.size > 3 ? 124 : 164) + (n === groups.size ? 32 : 0),
          live: this.live(), sync: "history", first: n === 1, last: n === groups.size, marks: () => this.#marks(),
        });
        this.#charts.push({ plot, lines, extremes });
      }
      this.#span();
    }

    /** What is drawn around the lines, at this moment. */
    #marks() {
      const d = this.data;
      if (!this.live()) return d;
      const now = store.frozen ? store.frozen + store.skew : store.now();
      const newest = this.#newest();
      const runs = d.runs.map((r, i) => (i === d.runs.length - 1 && r[1] >= d.to - 1000 ? [r[0], now] : r));
      const gaps = d.gaps.filter((g) => g[1] < d.to - 1000);
      const onTest = runs.some((r) => r[1] >= now);
      if (onTest && now - newest > d.gap_ms) gaps.push([newest, now]);
      const bands = d.bands.map((b) => {
        const a = store.alarms.get(b.id);
        return a && a.condition === "normal" ? { ...b, to: Date.parse(a.cleared_at) } : { ...b, to: a ? now : b.to };
      });
      for (const a of store.alarms.values()) {
        if (a.group !== this.dataset.group || a.unit !== this.dataset.unit || bands.some((b) => b.id === a.id)) continue;
        bands.push({ from: Date.parse(a.raised_at), to: a.condition === "active" ? now : Date.parse(a.cleared_at), id: a.id, rule: a.rule, priority: a.priority, state: a.state });
      }
      return { runs, gaps, bands, sim: d.sim };
    }

    #newest() {
      const t = this.#charts[0]?.plot.data[0];
      return t?.length ? t[t.length - 1] * 1000 : this.data.to;
    }

    #span() {
      const to = this.live() ? (store.frozen ? store.frozen + store.skew : store.now()) : this.data.to;
      const from = this.live() ? to - WINDOW : this.data.from;
      for (const c of this.#charts) c.plot.setScale("x", { min: from / 1000, max: to / 1000 });
    }

    /** Appends the newest reading and moves the window, once a second. */
    #follow() {
      const now = Date.now();
      if (now - this.#drawnAt < 900 || store.frozen) return;
      this.#drawnAt = now;
      const detail = store.detail;
      // The chart may be in the order of the installed profile, which the unit's need not have.
      const order = store.profiles[store.units.get(detail?.k)?.profile]?.signals.map((s) => s.name) ?? [];
      for (const c of this.#charts) {
        const data = c.plot.data;
        const t = data[0];
        if (detail?.at && detail.at / 1000 > (t[t.length - 1] ?? 0) + 0.5) {
          t.push(detail.at / 1000);
          let k = 1;
          for (const l of c.lines) {
            const v = detail.v[order.indexOf(l.line.name)] ?? null;
            for (let n = c.extremes ? 3 : 1; n > 0; n--) data[k++].push(v);
          }
          while (t[0] * 1000 < store.now() - WINDOW - 5000) for (const column of data) column.shift();
          c.plot.setData(data, false);
        }
      }
      this.#span();
    }

    #fit() {
      const target = this.querySelector(".charts");
      if (!target?.clientWidth) return;
      for (const c of this.#charts) if (c.plot.width !== target.clientWidth) c.plot.setSize({ width: target.clientWidth, height: c.plot.height });
    }
  },
);

/** Puts a point without values where readings are more than limit s apart, so that no line crosses. */
function breakAtGaps(data, limit) {
  const t = data[0];
  for (let i = t.length - 1; i > 0; i--) {
    if (t[i] - t[i - 1] <= limit) continue;
    t.splice(i, 0, t[i - 1] + limit / 2);
    for (const column of data.slice(1)) column.splice(i, 0, null);
  }
}
