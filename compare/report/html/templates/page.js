// Wiring: the theme, the experiments' filter, and a map, a table and a filter for each walk when it is first opened.

const root = document.documentElement;
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const maps = [];

const repaint = () => {
  readColours();
  for (const map of maps) map.draw();
  paintMarks(document);
};

const paintMarks = (part) => {
  part.querySelectorAll("canvas.strip").forEach(drawStrip);
  part.querySelectorAll(".chip[data-decades]").forEach((chip) => {
    const state = Number(chip.dataset.state);
    const colour = tint(Number(chip.dataset.decades), state, Number(chip.dataset.limit));
    chip.style.background = state === 1 ? `repeating-linear-gradient(135deg, ${colour} 0 2px, ${css("card")} 2px 4px)` : colour;
  });
  part.querySelectorAll(".legend i[data-decades]").forEach((block) => {
    block.style.background = tint(Number(block.dataset.decades), Number(block.dataset.state), Number(block.dataset.limit));
  });
  part.querySelectorAll("canvas.sample").forEach(drawSample);
};

const drawStrip = (canvas) => {
  const cells = canvas.dataset.strip.split(",");
  const wide = 96; // not asked of the layout, which would be made anew for every strip
  const context = sharpen(canvas, wide, 14);
  const hatch = hatching(context);
  cells.forEach((cell, place) => {
    if (!cell) return;
    const mark = cell.slice(-1);
    const diverged = mark === "o" || mark === "i";
    const left = Math.round((place / cells.length) * wide);
    const right = Math.max(left + 1, Math.round(((place + 1) / cells.length) * wide));
    context.fillStyle = tint(parseFloat(cell), diverged, Number(canvas.dataset.limit));
    context.fillRect(left, 0, right - left, 14);
    if (mark === "i") {
      context.fillStyle = hatch;
      context.fillRect(left, 0, right - left, 14);
    }
  });
};

const drawSample = (canvas) => {
  const context = sharpen(canvas, 22, 13);
  context.fillStyle = tint(8, true, 5);
  if (canvas.dataset.kind === "first") {
    context.fillRect(6, 2, 10, 9);
    context.strokeStyle = css("wrong");
    context.lineWidth = 2;
    context.strokeRect(4, 1, 14, 11);
    return;
  }
  context.fillRect(0, 0, 22, 13);
  context.fillStyle = canvas.dataset.kind === "inherited" ? hatching(context) : css("card");
  if (canvas.dataset.kind === "inherited") context.fillRect(0, 0, 22, 13);
  else {
    context.arc(11, 6.5, 2.6, 0, 7);
    context.fill();
  }
};

const legend = (box, walk, map) => {
  const scale = make("div", { class: "scale", role: "img", "aria-label": `colours from no difference over the limit of ${walk.limit} to the largest, in ${walk.unit}` });
  const block = (multiple, state, words) =>
    scale.append(make("span", {}, make("i", { "data-decades": decadesOf(multiple), "data-state": state, "data-limit": walk.limit }), words));
  block(0, 0, "0");
  for (const share of [0.002, 0.02, 0.2, 1]) block(share * walk.limit, 0, power(share * walk.limit, 1));
  const diverged = walk.state.some((state) => state);
  if (diverged) for (const decades of [2, 5, 8, 11, 14]) block(10 ** decades, 2, power(10 ** decades, 1).replace("1 × ", ""));
  box.append(scale, make("span", {}, walk.unit));
  for (const [kind, words] of diverged ? [["own", "own error"], ["inherited", "inherited"], ["first", "first divergence"]] : []) {
    box.append(make("span", { class: "key" }, make("canvas", { class: "sample", "data-kind": kind }), words));
  }
  if (walk.record.width) box.append(make("span", {}, `${count(walk.record.seen)} checkpoints met, the worst of each ${walk.record.width > 1 ? `${walk.record.width} steps` : "step"} kept`));
  const zoom = make("span", { class: "zoom" });
  for (const [sign, words, act] of [["−", "zoom out", () => map.zoom(0.5)], ["+", "zoom in", () => map.zoom(2)], ["all", "all steps", () => map.view(-Infinity, Infinity)]]) {
    const button = make("button", { type: "button", "aria-label": words }, sign);
    button.addEventListener("click", act);
    zoom.append(button);
  }
  if (walk.high - walk.low > 3) box.append(zoom);
};

const start = async (section) => {
  if (section.dataset.started) return;
  section.dataset.started = "yes";
  const find = (selector) => section.querySelector(selector);
  const walk = await Walk.read(find("script[type='application/json']"));
  const detail = find(".detail");
  detail.tabIndex = -1;
  const map = new WalkMap(find(".map"), walk, (i, met, enter) => {
    describe(detail, walk, i, met);
    if (enter) detail.focus();
  });
  detail.addEventListener("keydown", (event) => event.key === "Escape" && map.canvas.focus());
  maps.push(map);
  legend(find(".legend"), walk, map);
  describe(detail, walk, -1, 0);
  const form = find(".filter");
  const shown = form.querySelector("output");
  let table = null;
  const apply = () => {
    walk.filter({ name: form.elements.name.value, phase: form.elements.phase.value, state: form.elements.state.value });
    shown.textContent = walk.shown.length === walk.count ? count(walk.count) : `${count(walk.shown.length)} of ${count(walk.count)}`;
    map.refilter();
    table?.refilter();
  };
  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  find("details.all").addEventListener("toggle", () => {
    table ??= new WalkTable(find(".table"), walk, (i) => map.select(i));
    table.draw();
  });
  section.closest("details.walk").addEventListener("click", (event) => {
    const button = event.target.closest(".tree button");
    if (!button) return;
    const phases = { loss: "loss", accumulation: "accumulated", clip: "clip", optimizer: "update", scheduler: "schedule" };
    const part = button.dataset.kind === "part";
    form.elements.name.value = part && phases[button.dataset.path] ? "" : button.dataset.path;
    form.elements.phase.value = part ? (phases[button.dataset.path] ?? "") : "";
    form.elements.state.value = "";
    apply();
    section.scrollIntoView({ block: "start" });
    map.canvas.focus({ preventScroll: true });
  });
  apply();
  paintMarks(section);
  if (walk.first >= 0) map.select(walk.first);
  section.dataset.ready = "yes";
};

const startVisible = () => {
  for (const section of document.querySelectorAll(".mapped:not([data-started])")) {
    if (!section.closest("details:not([open])")) start(section);
  }
};

const reveal = (identity) => {
  const target = identity && document.getElementById(identity);
  if (!target || target.tagName !== "DETAILS") return;
  target.open = true;
  if (target.classList.contains("experiment") && !target.querySelector("details.walk[open]")) {
    const walk = target.querySelector("details.walk");
    if (walk) walk.open = true;
  }
  target.scrollIntoView({ block: "start" });
};

document.addEventListener("toggle", startVisible, true);
window.addEventListener("hashchange", () => reveal(location.hash.slice(1)));
document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href^='#e']");
  if (link) reveal(link.getAttribute("href").slice(1));
});

const finder = document.getElementById("find");
if (finder) {
  const wanted = document.getElementById("outcome");
  const apply = () => {
    const words = finder.value.trim().toLowerCase();
    let shown = 0;
    const rows = document.querySelectorAll("[data-names]");
    for (const one of rows) {
      one.hidden = !(one.dataset.names.includes(words) && (!wanted.value || one.dataset.outcome === wanted.value));
      if (!one.hidden && one.tagName === "TR") shown++;
    }
    document.getElementById("found").textContent = `${shown} of ${rows.length / 2}`;
  };
  finder.closest("form").addEventListener("input", apply);
  finder.closest("form").addEventListener("submit", (event) => event.preventDefault());
  apply();
}

const theme = document.getElementById("theme");
const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
const setTheme = (name) => {
  if (name) root.dataset.theme = name;
  else delete root.dataset.theme;
  theme.textContent = isDark() ? "Light" : "Dark";
  theme.setAttribute("aria-label", `switch to ${isDark() ? "light" : "dark"}`);
  repaint();
};
theme.hidden = false;
theme.addEventListener("click", () => setTheme(isDark() ? "light" : "dark"));
dark.addEventListener("change", () => setTheme(root.dataset.theme));

let before = "";
window.addEventListener("beforeprint", () => {
  before = root.dataset.theme ?? "";
  for (const map of maps) map.printing = true;
  setTheme("light");
});
window.addEventListener("afterprint", () => {
  for (const map of maps) map.printing = false;
  setTheme(before);
});

setTheme("");
if (location.hash) reveal(location.hash.slice(1));
startVisible();
