// A panel stands alone: it has its own question to the server, with a time limit, and
// when it throws, it says so, is reported, and leaves the others working.

import { html, render } from "lit-html";
import { getJSON, store } from "./store.js";

let reported = 0;
const MOST_REPORTS = 5; // of one page

/** Tells the server that something failed here. */
export function report(panel, error) {
  console.error(panel, error);
  if (reported++ >= MOST_REPORTS) return;
  const body = JSON.stringify({ panel, message: String(error?.stack ?? error).slice(0, 2000), page: location.pathname });
  fetch("/api/v1/report", { method: "POST", headers: { "Content-Type": "application/json" }, body, keepalive: true }).catch(() => {});
}

export class Panel extends HTMLElement {
  /** Topics of the store at which the panel is drawn again. */
  topics = [];
  #root = null;
  #due = false;
  #fault = "";
  #broken = false;

  connectedCallback() {
    store.on(this.topics, () => this.update());
    this.start?.();
    this.load();
  }

  /** The panel's own question, or nothing: it lives on the stream alone. */
  url() {
    return "";
  }

  /** Takes the answer. */
  take(data) {
    if (!store.loaded) store.setStamp(data);
  }

  /** What the panel shows; null leaves it as the server made it. */
  view() {
    return null;
  }

  async load() {
    const url = this.url();
    try {
      if (url) this.take(await getJSON(url));
      this.#fault = "";
    } catch (e) {
      this.#fault = e.message;
    }
    this.update();
  }

  retry = () => {
    this.#broken = false;
    this.#fault = "";
    this.load();
  };

  /** Draws soon, at most once a frame. */
  update() {
    if (this.#due) return;
    this.#due = true;
    // A tab in the background gets no frames; it is drawn when it is looked at.
    requestAnimationFrame(() => {
      this.#due = false;
      this.#draw();
    });
  }

  #draw() {
    if (this.#broken) return;
    try {
      const view = this.view();
      if (view === null) {
        this.#note();
        return;
      }
      if (!this.#root) {
        this.#root = document.createElement("div");
        this.#root.className = "root";
        this.replaceChildren(this.#root);
      }
      render(view, this.#root);
      this.drawn?.();
      this.#note();
    } catch (e) {
      this.#broken = true;
      report(this.localName, e);
      this.#root = document.createElement("div");
      this.#root.className = "root";
      render(html`<p class="fault">This panel failed; the fault was reported. <button @click=${this.retry}>Retry</button></p>`, this.#root);
      this.replaceChildren(this.#root);
      this.#root = null;
    }
  }

  /** Shows why the last question failed, above what is known. */
  #note() {
    let note = this.querySelector(":scope > .fault");
    if (!this.#fault) {
      note?.remove();
      return;
    }
    if (!note) {
      note = document.createElement("p");
      note.className = "fault";
      this.prepend(note);
    }
    render(html`Not refreshed: ${this.#fault}. <button @click=${this.retry}>Retry</button>`, note);
  }
}

/** Defines a custom element; one that cannot be defined leaves what the server made. */
export function define(name, element) {
  try {
    customElements.define(name, element);
  } catch (e) {
    report(name, e);
  }
}
