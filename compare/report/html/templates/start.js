"use strict";
// Small helpers, and numbers and addresses as the rest of the page writes them.

const make = (tag, attributes = {}, ...children) => {
  const element = tag.startsWith("svg:")
    ? document.createElementNS("http://www.w3.org/2000/svg", tag.slice(4))
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
};

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const STATES = ["agrees", "inherited", "own"];
const RAISED = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };

const count = (number) => String(number).replace(/\B(?=(\d{3})+$)/g, "\u202f");

const power = (number, digits = 2) => {
  if (number === null || number === undefined) return "";
  if (typeof number === "string") return { inf: "∞", "-inf": "−∞", nan: "NaN" }[number] ?? number;
  if (number === Infinity) return "∞";
  if (!number) return "0";
  const size = Math.abs(number);
  if (Number.isInteger(number) && size < 100000) return count(number);
  if (size >= 0.01 && size < 1000) return String(Number(number.toPrecision(size >= 100 ? 3 : digits))).replace("-", "−");
  const [mantissa, exponent] = number.toExponential(digits - 1).split("e");
  return `${mantissa.replace("-", "−")} × 10${[...String(Number(exponent))].map((sign) => RAISED[sign]).join("")}`;
};

const exact = (number) =>
  typeof number === "number" ? String(number).replace(/^-/, "−") : power(number);

const labelOf = ([phase, name, call, output]) =>
  (name || "(model)") + (call ? ` [call ${call}]` : "") +
  (output && !(phase === "forward" && output === "output") ? ` (${output})` : "");

// Colours are those of the style sheet, in whichever of the two schemes is in force.
const COLOURS = ["text", "muted", "rule", "card", "field", "focus", "wrong", "calm-0", "calm-1", "calm-2", "loud-0", "loud-1", "loud-2"];
const probe = make("span", { hidden: "" }, ...COLOURS.map(() => make("span")));
COLOURS.forEach((name, place) => (probe.children[place].style.color = `var(--${name})`));
document.body.append(probe);
const painter = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
let colours = {};

const readColours = () => {
  colours = {};
  tile = null;
  COLOURS.forEach((name, place) => {
    painter.clearRect(0, 0, 1, 1);
    painter.fillStyle = getComputedStyle(probe.children[place]).color;
    painter.fillRect(0, 0, 1, 1);
    colours[name] = [...painter.getImageData(0, 0, 1, 1).data].slice(0, 3);
  });
};

const css = (name, alpha = 1) => `rgb(${colours[name].join(" ")} / ${alpha})`;
const blend = (low, high, share) =>
  `rgb(${low.map((value, place) => Math.round(value + (high[place] - value) * share)).join(" ")})`;

// What agrees goes from nothing to the limit over four decades, what diverges from the limit up over fourteen.
const tint = (decades, diverged, limit) => {
  const above = decades - Math.log10(limit);
  if (!diverged) {
    return decades <= -90 ? css("calm-0") : blend(colours["calm-1"], colours["calm-2"], clamp((above + 4) / 4, 0, 1));
  }
  const share = clamp(above / 14, 0, 1) * 2;
  return share < 1
    ? blend(colours["loud-0"], colours["loud-1"], share)
    : blend(colours["loud-1"], colours["loud-2"], share - 1);
};

const decadesOf = (multiple) => (multiple > 0 ? (multiple === Infinity ? 99 : Math.log10(multiple)) : -99);

const sharpen = (canvas, width, height) => {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return context;
};

// Inherited errors are hatched, so that they are told from own ones without colour.
let tile = null;
const hatching = (context) => {
  tile ??= hatched();
  return context.createPattern(tile, "repeat");
};

const hatched = () => {
  const tile = make("canvas", { width: 6, height: 6 });
  const pen = tile.getContext("2d");
  pen.strokeStyle = css("card", 0.85);
  pen.lineWidth = 1.7;
  for (const offset of [-6, 0, 6]) {
    pen.beginPath();
    pen.moveTo(offset - 1, 7);
    pen.lineTo(offset + 7, -1);
    pen.stroke();
  }
  return tile;
};
