// What is drawn into a chart around its lines: gaps, alarm bands, runs, limits, SIM.

import uPlot from "uplot";
import { plantDate, valueText } from "./text.js";
import { store } from "./store.js";

const probe = document.createElement("i");

/** Reads a colour of the style sheet in the theme that is on, as rgb(...). */
function colour(name) {
  if (!probe.isConnected) document.querySelector(".sprite").before(probe);
  probe.style.color = `var(${name})`;
  return getComputedStyle(probe).color;
}

/** A colour of that opacity. */
const faint = (rgb, alpha) => rgb.replace("rgb(", "rgba(").replace(")", `, ${alpha})`);

function hatch(ctx, stroke, size, down) {
  const c = document.createElement("canvas");
  c.width = c.height = size;
  const g = c.getContext("2d");
  g.strokeStyle = stroke;
  g.lineWidth = 1.2;
  g.beginPath();
  for (const o of [-size, 0, size]) {
    g.moveTo(o, down ? 0 : size);
    g.lineTo(o + size, down ? size : 0);
  }
  g.stroke();
  return ctx.createPattern(c, "repeat");
}

/** Draws behind the lines. marks() gives the chart's data: gaps, bands, runs, sim. */
function behind(marks) {
  return (u) => {
    const { ctx, bbox } = u;
    const m = marks();
    const x = (ms) => Math.min(Math.max(u.valToPos(ms / 1000, "x", true), bbox.left), bbox.left + bbox.width);
    const fill = (from, to, style) => {
      const a = x(from);
      const w = x(to) - a;
      if (w <= 0) return 0;
      ctx.fillStyle = style;
      ctx.fillRect(a, bbox.top, w, bbox.height);
      return w;
    };
    ctx.save();
    ctx.fillStyle = colour("--plot");
    ctx.fillRect(bbox.left, bbox.top, bbox.width, bbox.height);
    const scale = devicePixelRatio;
    if (m.sim) {
      ctx.fillStyle = hatch(ctx, colour("--sim-hatch"), Math.round(8 * scale), false);
      ctx.fillRect(bbox.left, bbox.top, bbox.width, bbox.height);
    }
    // Outside of its runs a unit is not on test: there is nothing to miss.
    const off = colour("--plot-off");
    let at = u.scales.x.min * 1000;
    for (const [from, to] of m.runs) {
      fill(at, from, off);
      at = Math.max(at, to);
    }
    const pattern = hatch(ctx, colour("--gap"), Math.round(6 * scale), true);
    ctx.font = `${11 * scale}px Inter, sans-serif`;
    ctx.textBaseline = "top";
    ctx.textAlign = "left";
    for (const [from, to] of m.gaps) {
      const w = fill(from, to, colour("--gap-ground"));
      fill(from, to, pattern);
      if (w > 70 * scale) label(ctx, "no data", x(from) + 6 * scale, bbox.top + bbox.height / 2 - 8 * scale, scale);
    }
    for (const b of m.bands) {
      ctx.globalAlpha = 0.16;
      fill(b.from, b.to, colour("--" + b.priority));
      ctx.globalAlpha = 1;
      ctx.fillStyle = colour("--" + b.priority);
      ctx.fillRect(x(b.from), bbox.top, Math.max(x(b.to) - x(b.from), 2 * scale), 3 * scale);
      ctx.fillRect(x(b.from), bbox.top, 1.5 * scale, bbox.height);
    }
    ctx.restore();
  };
}

function label(ctx, text, left, top, scale) {
  const w = ctx.measureText(text).width;
  ctx.fillStyle = colour("--plot");
  ctx.fillRect(left - 3 * scale, top - 2 * scale, w + 6 * scale, 15 * scale);
  ctx.fillStyle = colour("--text-2");
  ctx.fillText(text, left, top);
}

/** Draws over the lines: limits, and in the first of several charts the names of the alarms. */
function above(marks, signals, first) {
  return (u) => {
    const { ctx, bbox } = u;
    const m = marks();
    const scale = devicePixelRatio;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    ctx.font = `${11 * scale}px Inter, sans-serif`;
    ctx.textBaseline = "top";
    ctx.textAlign = "left";
    for (const s of signals) {
      for (const [name, v] of [["min", s.min], ["max", s.max]]) {
        if (v === undefined || v < u.scales.y.min || v > u.scales.y.max) continue;
        const y = u.valToPos(v, "y", true);
        ctx.strokeStyle = colour("--text-2");
        ctx.lineWidth = scale;
        ctx.setLineDash([6 * scale, 4 * scale]);
        ctx.beginPath();
        ctx.moveTo(bbox.left, y);
        ctx.lineTo(bbox.left + bbox.width, y);
        ctx.stroke();
        ctx.setLineDash([]);
        label(ctx, `${name} ${v}`, bbox.left + 6 * scale, y + (y - bbox.top > 20 * scale ? -17 : 4) * scale, scale);
      }
    }
    let free = -Infinity;
    for (const b of first ? m.bands : []) {
      const text = `${b.priority}: ${b.rule}`;
      const width = ctx.measureText(text).width;
      const from = Math.max(u.valToPos(b.from / 1000, "x", true), bbox.left);
      let left = from + 7 * scale;
      // Of an alarm that has just begun the name stands before it.
      if (left + width > bbox.left + bbox.width) left = from - width - 7 * scale;
      if (left < free || b.to / 1000 < u.scales.x.min) continue;
      label(ctx, text, left, bbox.top + 6 * scale, scale);
      free = left + width + 12 * scale;
    }
    ctx.restore();
  };
}

/** Without a cursor the legend shows the newest values. */
function newest(u) {
  if (u.cursor.idx === null || u.cursor.left < 0) u.setLegend({ idx: u.data[0].length - 1 }, false);
}

/** Times of day on the axis, with the date where a day begins. */
function timeLabels(u, splits, axis, space, step) {
  let before = "";
  return splits.map((t) => {
    const iso = plantDate(t * 1000, store.offset()).toISOString();
    const day = iso.slice(5, 10);
    const time = step >= 86400 ? "" : iso.slice(11, step >= 60 ? 16 : 19);
    const label = day === before ? time : [time, day].filter(Boolean).join("\n");
    before = day;
    return label;
  });
}

const FONT = "11px Inter, sans-serif";
const DASHES = [[], [7, 4], [2, 3], [10, 3, 2, 3]];

/**
 * Makes a chart of signals of one engineering unit. data is [t, then for each signal
 * its line, and where there are extremes its low and high].
 */
export function makeChart(target, { signals, extremes, data, marks, width, height, live, sync, first, last }) {
  const ink = [colour("--line-1"), colour("--line-2"), colour("--line-3"), colour("--line-4")];
  const text = colour("--text-2");
  const grid = { stroke: colour("--grid"), width: 1 };
  const series = [{ label: "Time", value: (u, t) => (t === null ? "–" : plantDate(t * 1000, store.offset()).toISOString().slice(11, 19)) }];
  const bands = [];
  signals.forEach((s, i) => {
    const show = (u, v) => valueText(s, v);
    series.push({ label: s.label, stroke: ink[i % 4], width: 1.6, dash: DASHES[i % 4], value: show, points: { show: false }, spanGaps: false });
    if (extremes) {
      const at = series.length;
      const edge = { stroke: faint(ink[i % 4], 0.4), width: 0.5, points: { show: false }, value: show };
      series.push({ ...edge, label: "min" }, { ...edge, label: "max" });
      bands.push({ series: [at + 1, at], fill: faint(ink[i % 4], 0.18) });
    }
  });
  return new uPlot(
    {
      width,
      height,
      series,
      bands,
      tzDate: (t) => {
        const d = plantDate(t * 1000, store.offset());
        return new Date(d.getTime() + d.getTimezoneOffset() * 60000);
      },
      scales: {
        x: { time: true },
        y: {
          range: (u, low, high) => {
            if (low === null) return [0, 1];
            const [a, b] = uPlot.rangeNum(low, high, 0.1, false);
            // Noise must not look like an event: a tenth of the bar's span at least.
            const s = signals[0];
            const least = s.low === undefined ? 0 : (s.high - s.low) / 10;
            const short = Math.max(0, least - (b - a)) / 2;
            return [a - short, b + short];
          },
        },
      },
      axes: [
        { stroke: text, grid, ticks: grid, size: last ? 46 : 14, values: last ? timeLabels : (u, splits) => splits.map(() => ""), font: FONT, space: 74 },
        { stroke: text, grid, ticks: grid, size: 54, font: FONT, values: (u, splits) => splits.map((v) => String(+v.toPrecision(6)).replace("-", "−")) },
      ],
      cursor: { sync: { key: sync }, drag: { x: !live, y: false }, points: { size: 6 } },
      padding: [8, 10, 0, 0],
      hooks: {
        drawClear: [behind(marks)],
        draw: [above(marks, signals, first)],
        setCursor: [newest],
        setData: [newest],
      },
    },
    data,
    target,
  );
}
