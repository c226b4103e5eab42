// The numbers of the selected checkpoint, and how its error went over the steps.

const describe = (box, walk, i, met) => {
  if (i < 0) {
    box.replaceChildren(make("p", { class: "small" }, "Choose a cell for its numbers: click it, or use "),
      make("p", { class: "small" }, make("kbd", {}, "←"), " ", make("kbd", {}, "→"), " ", make("kbd", {}, "↑"), " ", make("kbd", {}, "↓"),
        " to move, ", make("kbd", {}, "+"), " ", make("kbd", {}, "−"), " to zoom, ", make("kbd", {}, "Enter"), " to come here."));
    return;
  }
  const found = walk.details(i);
  const state = walk.state[i];
  const lines = [
    ["outcome", state ? `diverged, ${STATES[state]} error` : "agrees"],
    [walk.unit === "noise floors" ? "noise floors" : "of allowed", `${power(walk.multiple[i])} (honest: up to ${walk.limit})`],
    ["of the scale", power(walk.error[i])],
    ["elements", count(walk.record.elements[walk.key[i]])],
  ];
  if (found) {
    lines.push(["culprit", found.culprit]);
    if (found.kind) lines.push([found.kind, found.text]);
    else {
      lines.push(["actual", exact(found.actual)], ["expected", exact(found.expected)]);
      if (found.index?.length) lines.push(["at", `[${found.index.join(", ")}]`]);
      if (!found.nonfinite) lines.push(["difference", power(found.max_abs, 3)], ["in ulp", power(found.max_ulp)]);
    }
  }
  const list = make("dl", { class: "numbers" });
  for (const [name, words] of lines) list.append(make("div", {}, make("dt", {}, name), make("dd", {}, words)));
  const title = make("h5", {}, walk.where(i));
  box.replaceChildren(title, list);
  if (met > 1) title.after(make("p", { class: "small" }, `the worst of ${count(met)} checkpoints in this cell`));
  if (state && !found) box.append(make("p", { class: "small" }, "Values were kept of the first hundred divergences only."));
  const line = spark(walk, i);
  if (line) box.append(line);
};

// The error of one key over the steps on a scale of decades, with the limit.
const spark = (walk, chosen) => {
  const key = walk.key[chosen];
  const bins = Math.min(140, walk.high - walk.low + 1);
  if (bins < 2) return null;
  const worst = new Array(bins).fill(-1);
  for (let i = 0; i < walk.count; i++) {
    if (walk.key[i] !== key) continue;
    const bin = Math.floor(((walk.step[i] - walk.low) * (bins - 1)) / (walk.high - walk.low));
    if (worst[bin] < 0 || walk.worse(i, worst[bin])) worst[bin] = i;
  }
  const points = worst.map((i, bin) => [bin, i]).filter(([, i]) => i >= 0 && walk.multiple[i] > 0 && walk.multiple[i] < Infinity);
  if (points.length < 2) return null;
  const limit = Math.log10(walk.limit);
  const values = points.map(([, i]) => Math.log10(walk.multiple[i]));
  const low = Math.min(limit - 1, ...values);
  const high = Math.max(limit + 0.6, ...values);
  const x = (bin) => 4 + (bin / (bins - 1)) * 272;
  const y = (value) => 84 - ((value - low) / (high - low)) * 70;
  const style = { fill: "none", stroke: "var(--muted)", "stroke-width": 1.2 };
  const picture = make("svg:svg", { viewBox: "0 0 280 104", class: "spark", role: "img",
    "aria-label": `its error over steps ${walk.low} to ${walk.high}, from 10 to the ${low.toFixed(1)} to 10 to the ${high.toFixed(1)} ${walk.unit}` });
  picture.append(
    make("svg:line", { x1: 4, x2: 276, y1: y(limit), y2: y(limit), stroke: "var(--wrong)", "stroke-dasharray": "3 3" }),
    make("svg:path", { ...style, d: points.map(([bin], place) => `${place ? "L" : "M"}${x(bin).toFixed(1)} ${y(values[place]).toFixed(1)}`).join("") }),
  );
  points.forEach(([bin, i], place) => {
    if (bins <= 60 || walk.state[i]) {
      picture.append(make("svg:circle", { cx: x(bin), cy: y(values[place]), r: i === chosen ? 4 : 2, fill: walk.state[i] ? "var(--wrong)" : "var(--actual)" }));
    }
  });
  const words = (at, up, text, anchor = "start") => make("svg:text", { x: at, y: up, "font-size": 10.5, fill: "var(--muted)", "text-anchor": anchor }, text);
  picture.append(words(4, 100, `step ${walk.low}`), words(276, 100, `step ${walk.high}`, "end"),
    words(276, y(limit) - 4, `limit ${walk.limit}`, "end"), words(4, 10, power(10 ** high, 1)));
  return picture;
};
