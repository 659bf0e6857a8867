// The plant as this page knows it, fed by one stream of server-sent events. Panels
// listen to topics: stamp, units, unit, cells, alarms. When the stream is lost the
// store says since when everything is frozen, and asks every few seconds until the
// stream is back.

const LOST_AFTER = 5000; // ms without an event; there is a heartbeat every 2 s
const POLL_EVERY = 5000;
const KEEP_CLOSED = 900000; // ms
const SPARK_STEP = 20000; // ms

/** Leads to the login, and back from there: the session is over. */
function logInAgain() {
  location.assign("/login?said=ended&back=" + encodeURIComponent(location.pathname + location.search));
}

/** Fetches JSON within a time limit. The error's message is for people. */
export async function getJSON(url, options = {}, limit = 8000) {
  let answer;
  try {
    answer = await fetch(url, { ...options, signal: AbortSignal.timeout(limit) });
  } catch (e) {
    throw new Error(e.name === "TimeoutError" ? `no answer within ${limit / 1000} s` : "the server cannot be reached");
  }
  if (answer.status === 401) logInAgain();
  const body = await answer.json().catch(() => null);
  if (!answer.ok) throw new Error(body?.error ?? `the server answered ${answer.status}`);
  return body;
}

class Store extends EventTarget {
  stamp = null;
  site = "";
  profiles = {};
  units = new Map(); // by key
  cells = new Map(); // by GROUP/NODE
  alarms = new Map(); // by id
  readings = 0;
  frozen = 0; // since when (ms), or 0
  polling = false; // the stream is lost, and asking works
  skew = 0; // server's clock minus ours, ms
  #heard = 0;
  #source = null;
  #delay = 500;
  #follow = "";

  /** The server's time, ms. */
  now() {
    return Date.now() + this.skew;
  }

  offset() {
    return this.stamp?.offset ?? -new Date().getTimezoneOffset();
  }

  on(topics, listener) {
    for (const t of topics) this.addEventListener(t, listener);
  }

  tell(...topics) {
    for (const t of topics) this.dispatchEvent(new Event(t));
  }

  /** Opens the stream; follow is GROUP/UNIT of the unit whose signals are all wanted. */
  start(follow) {
    this.#follow = follow;
    this.#heard = Date.now();
    this.#open();
    setInterval(() => this.#watch(), 1000);
    setInterval(() => this.frozen && this.#poll(), POLL_EVERY);
  }

  #open() {
    const url = "/api/v1/events" + (this.#follow ? "?unit=" + encodeURIComponent(this.#follow) : "");
    const source = (this.#source = new EventSource(url));
    const take = (name, f) =>
      source.addEventListener(name, (e) => {
        if (this.#source !== source) return;
        this.#hear();
        f(JSON.parse(e.data));
      });
    take("snapshot", (d) => this.load(d));
    take("change", (d) => this.#change(d));
    take("unit", (d) => {
      this.detail = d;
      this.tell("unit");
    });
    take("heartbeat", (d) => this.setStamp(d));
    take("ended", logInAgain);
    source.onerror = () => {
      if (this.#source === source) this.#lose();
    };
  }

  #hear() {
    this.#heard = Date.now();
    this.#delay = 500;
    if (this.frozen || this.polling) {
      this.frozen = 0;
      this.polling = false;
      this.tell("stamp", "units", "cells", "alarms");
    }
  }

  #lose() {
    this.#source?.close();
    this.#source = null;
    if (!this.frozen && !this.polling) {
      this.frozen = this.#heard;
      this.tell("stamp", "units", "cells", "alarms");
    }
    setTimeout(() => !this.#source && this.#open(), this.#delay * (0.5 + Math.random()));
    this.#delay = Math.min(this.#delay * 2, 10000);
  }

  /** Closed alarms are kept as long as a chart or a count may need them. */
  #prune() {
    for (const a of this.alarms.values()) {
      const over = Math.max(Date.parse(a.cleared_at) || 0, Date.parse(a.acked_at) || 0);
      if (a.state === "closed" && this.now() - over > KEEP_CLOSED) this.alarms.delete(a.id);
    }
  }

  #watch() {
    this.#prune();
    if (this.#source && Date.now() - this.#heard > LOST_AFTER) this.#lose();
    this.tell("tick");
  }

  async #poll() {
    try {
      const data = await getJSON("/api/v1/fleet");
      if (this.#source?.readyState === EventSource.OPEN) return;
      this.load(data);
      this.#heard = Date.now();
      this.frozen = 0;
      this.polling = true;
    } catch {
      if (this.polling) this.frozen = this.#heard;
      this.polling = false;
    }
    this.tell("stamp");
    if (this.polling) setTimeout(() => this.polling && this.#poll(), POLL_EVERY);
  }

  setStamp(d) {
    this.stamp = { source: d.source, as_of: d.as_of, since: d.since, reason: d.reason, lost: d.lost ?? [], alarms_as_of: d.alarms_as_of, simulated: d.simulated, active: d.active, now: d.now, offset: d.offset };
    this.skew = Date.parse(d.now) - Date.now();
    this.tell("stamp");
  }

  load(d) {
    renew(d.app);
    this.detail = null;
    this.site = d.site ?? "";
    this.profiles = d.profiles;
    this.units = new Map(d.units.map((u) => [u.k, u]));
    this.cells = new Map(d.cells.map((c) => [c.group + "/" + c.node, c]));
    this.alarms = new Map(d.alarms.map((a) => [a.id, a]));
    this.readings = d.readings;
    this.loaded = true;
    this.setStamp(d);
    this.tell("units", "cells", "alarms");
  }

  #change(d) {
    Object.assign(this.profiles, d.profiles);
    for (const u of d.units ?? []) this.units.set(u.k, u);
    for (const k of d.gone ?? []) this.units.delete(k);
    for (const c of d.changes ?? []) this.#columns(c);
    for (const c of d.cells ?? []) this.cells.set(c.group + "/" + c.node, c);
    for (const a of d.alarms ?? []) this.alarms.set(a.id, a);
    this.readings = d.readings;
    this.setStamp(d);
    if (d.units || d.gone || d.changes) this.tell("units");
    if (d.cells) this.tell("cells");
    if (d.alarms) this.tell("alarms");
  }

  #columns(c) {
    c.k.forEach((k, i) => {
      const u = this.units.get(k);
      if (!u) return;
      u.state = c.state[i];
      u.since = c.since[i];
      u.t = c.t[i];
      u.heard = c.heard[i];
      u.q = c.q[i];
      u.v = c.v.map((column) => column[i]);
      if (u.at !== c.at[i]) {
        u.at = c.at[i];
        advance(u, u.v);
      }
    });
  }
}

/** Loads the page again, once, when the server has newer code for it. */
function renew(app) {
  const mine = document.querySelector("script[src]")?.getAttribute("src");
  if (!app || !mine || app === mine) return;
  try {
    if (sessionStorage.getItem("andon.app") === app) return;
    sessionStorage.setItem("andon.app", app);
  } catch {
    return; // without storage it could go on for ever
  }
  location.reload();
}

/** Brings the sparklines of a unit up to its newest values. */
export function advance(u, values) {
  const at = Math.floor(u.at / SPARK_STEP) * SPARK_STEP;
  if (!u.spark || !u.spark_at) return;
  let steps = Math.min((at - u.spark_at) / SPARK_STEP, u.spark[0]?.length ?? 0);
  if (steps < 0) return;
  u.spark_at = at;
  for (; steps > 0; steps--)
    for (const line of u.spark) {
      line.shift();
      line.push(null);
    }
  u.spark.forEach((line, i) => (line[line.length - 1] = values[i]));
}

export const store = new Store();
