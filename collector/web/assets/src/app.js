// The page's code. Each part defines its own custom elements and stands alone; what
// the server rendered stays where one is missing.

import { report } from "./panel.js";
import { store } from "./store.js";
import "./header.js";
import "./fleet.js";
import "./alarms.js";
import "./cells.js";
import "./losses.js";
import "./unit.js";
import "./history.js";

addEventListener("error", (e) => report("page", e.error ?? e.message));
addEventListener("unhandledrejection", (e) => report("page", e.reason));

const unit = document.querySelector("[data-unit]");
store.start(unit ? unit.dataset.group + "/" + unit.dataset.unit : "");
