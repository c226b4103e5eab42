// The map: a row for each key, a column for each step (or bin of steps), darker where the error is larger.

const ROW = 15;
const HEADER = 21;
const AXIS = 24;
const NARROWEST = 3; // pixels of a column; where steps would be narrower they share one

class WalkMap {
  constructor(box, walk, onSelect) {
    this.box = box;
    this.walk = walk;
    this.onSelect = onSelect;
    this.canvas = make("canvas", { tabindex: 0, role: "application", "aria-roledescription": "map", "aria-label":
      "Map of checkpoints. Arrow keys move, plus and minus zoom, Home and End go to the first and last step, Enter goes to the numbers." });
    this.space = make("div");
    this.tip = make("div", { class: "tip", hidden: "", "aria-hidden": "true" });
    box.append(this.canvas, this.space);
    document.body.append(this.tip);
    this.selected = -1;
    this.printing = false;
    this.from = this.bin(walk.low);
    this.to = this.bin(walk.high);
    this.refilter();
    box.addEventListener("scroll", () => this.draw());
    this.canvas.addEventListener("keydown", (event) => this.press(event));
    this.canvas.addEventListener("click", (event) => this.pick(event));
    this.canvas.addEventListener("pointermove", (event) => this.hover(event));
    this.canvas.addEventListener("pointerleave", () => (this.tip.hidden = true));
    new ResizeObserver(() => this.box.clientWidth !== this.outer && this.resize()).observe(box);
  }

  bin(step) {
    return Math.floor(step / this.walk.width);
  }

  refilter() {
    this.items = []; // headers and rows with their places
    let y = AXIS;
    let phase = null;
    for (const key of this.walk.rows) {
      if (this.walk.phases[key] !== phase) {
        phase = this.walk.phases[key];
        this.items.push({ phase, y, height: HEADER });
        y += HEADER;
      }
      this.items.push({ key, y, height: ROW });
      y += ROW;
    }
    this.height = y + 6;
    this.lines = this.items.filter((item) => item.key !== undefined);
    this.resize();
  }

  // The worst checkpoint of each cell.
  layOut() {
    const { walk } = this;
    this.outer = this.box.clientWidth;
    this.names = clamp(this.outer * 0.27, 104, 230);
    this.wide = this.outer - this.names - 12;
    const steps = this.to - this.from + 1;
    this.per = Math.max(1, Math.ceil(steps / Math.floor(this.wide / NARROWEST)));
    this.columns = Math.ceil(steps / this.per);
    this.cell = Math.min(this.wide / this.columns, 160);
    const most = Math.floor(this.cell / 5);
    this.parts = new Uint16Array(walk.batches.length).fill(1);
    walk.batches.forEach((batches, key) => (this.parts[key] = this.per === 1 && batches > 1 && batches <= most ? batches : 1));
    this.start = new Map();
    let size = 0;
    for (const { key } of this.lines) {
      this.start.set(key, size);
      size += this.columns * this.parts[key];
    }
    this.worst = new Int32Array(size).fill(-1);
    this.met = new Uint32Array(size);
    const starts = new Int32Array(walk.batches.length).fill(-1);
    this.start.forEach((at, key) => (starts[key] = at));
    for (const i of walk.shown) {
      const time = Math.floor(walk.step[i] / walk.width);
      if (time < this.from || time > this.to) continue;
      const at = this.cellOf(i, starts);
      this.met[at]++;
      if (this.worst[at] < 0 || walk.worse(i, this.worst[at])) this.worst[at] = i;
    }
    this.starts = starts;
  }

  cellOf(i, starts = this.starts) {
    const { walk } = this;
    const key = walk.key[i];
    const column = Math.floor((Math.floor(walk.step[i] / walk.width) - this.from) / this.per);
    const part = this.parts[key] > 1 ? walk.micro_batch[i] - 1 : 0;
    return starts[key] + column * this.parts[key] + part;
  }

  resize() {
    if (!this.box.clientWidth) return;
    this.layOut();
    this.draw();
  }

  draw() {
    if (!this.worst) return;
    const height = this.printing ? this.height : Math.min(this.height, 528);
    const context = sharpen(this.canvas, this.outer, height);
    this.space.style.height = `${this.height - height}px`;
    const top = this.printing ? 0 : this.box.scrollTop;
    const { walk, names, cell } = this;
    const font = getComputedStyle(document.body).fontFamily;
    const hatch = hatching(context);
    context.fillStyle = css("card");
    context.fillRect(0, 0, this.outer, height);
    context.textBaseline = "middle";
    const active = this.selected >= 0 ? walk.key[this.selected] : -1;
    for (const item of this.items) {
      const y = item.y - top;
      if (y + item.height < AXIS || y > height) continue;
      if (item.phase) {
        context.font = `600 11.5px ${font}`;
        context.fillStyle = css("muted");
        context.fillText(item.phase, 8, y + HEADER - 8);
        continue;
      }
      context.font = `${item.key === active ? "600 " : ""}11.5px ${font}`;
      context.fillStyle = css("text", item.key === active ? 1 : 0.88);
      context.fillText(shorten(context, walk.labels[item.key], names - 24), 16, y + ROW / 2);
      const parts = this.parts[item.key];
      const wide = cell / parts;
      const gap = wide > 6 ? 1 : 0;
      const start = this.starts[item.key];
      for (let place = 0; place < this.columns * parts; place++) {
        const i = this.worst[start + place];
        if (i < 0) continue;
        const x = names + place * wide;
        const left = Math.round(x);
        const right = Math.max(left + 1, Math.round(x + wide) - gap);
        context.fillStyle = tint(decadesOf(walk.multiple[i]), walk.state[i], walk.limit);
        context.fillRect(left, y, right - left, ROW - 1);
        if (walk.state[i] === 1) {
          context.fillStyle = hatch;
          context.fillRect(left, y, right - left, ROW - 1);
        } else if (walk.state[i] === 2 && right - left > 6) {
          context.fillStyle = css("card");
          context.beginPath();
          context.arc((left + right) / 2, y + (ROW - 1) / 2, 2.6, 0, 7);
          context.fill();
        }
      }
    }
    this.ring(context, walk.first, top, "wrong", 2);
    if (this.selected >= 0) this.ring(context, this.selected, top, "text", 2);
    this.axis(context);
  }

  box4(i) {
    const { walk } = this;
    const key = walk.key[i];
    const time = this.bin(walk.step[i]);
    const line = this.lines.find((item) => item.key === key);
    if (!line || time < this.from || time > this.to) return null;
    const parts = this.parts[key];
    const wide = this.cell / parts;
    return { x: this.names + (this.cellOf(i) - this.starts[key]) * wide, y: line.y, wide };
  }

  ring(context, i, top, colour, width) {
    const at = i >= 0 ? this.box4(i) : null;
    if (!at || at.y - top < AXIS - ROW) return;
    const wide = Math.max(7, at.wide);
    const x = at.x + at.wide / 2 - wide / 2;
    context.lineWidth = width + 2;
    context.strokeStyle = css("card");
    context.strokeRect(x - 1.5, at.y - top - 1.5, wide + 2, ROW + 2);
    context.lineWidth = width;
    context.strokeStyle = css(colour);
    context.strokeRect(x - 1.5, at.y - top - 1.5, wide + 2, ROW + 2);
  }

  axis(context) {
    context.fillStyle = css("card");
    context.fillRect(0, 0, this.outer, AXIS - 3);
    context.fillStyle = css("muted");
    context.font = `11px ${getComputedStyle(document.body).fontFamily}`;
    context.fillText(this.per * this.walk.width > 1 ? `step (${this.per * this.walk.width} a column)` : "step", 8, AXIS / 2);
    const every = nice((46 / this.cell) * this.per);
    context.textAlign = "center";
    for (let time = this.from; time <= this.to; time++) {
      if (time % every && !(every === 1)) continue;
      const x = this.names + (Math.floor((time - this.from) / this.per) + 0.5) * this.cell;
      context.fillText(String(time * this.walk.width), Math.min(x, this.outer - 14), AXIS / 2);
    }
    context.textAlign = "left";
    context.fillStyle = css("rule");
    context.fillRect(0, AXIS - 4, this.outer, 1);
  }

  at(event) {
    const bounds = this.canvas.getBoundingClientRect();
    const x = event.clientX - bounds.left - this.names;
    const y = event.clientY - bounds.top;
    if (x < 0 || y < AXIS) return -1;
    const line = this.lines.find((item) => item.y <= y + this.box.scrollTop && y + this.box.scrollTop < item.y + ROW);
    if (!line) return -1;
    const parts = this.parts[line.key];
    const place = Math.floor(x / (this.cell / parts));
    return place < this.columns * parts ? this.worst[this.starts[line.key] + place] : -1;
  }

  pick(event) {
    const i = this.at(event);
    if (i >= 0) this.select(i);
  }

  hover(event) {
    const i = this.at(event);
    this.tip.hidden = i < 0;
    this.canvas.style.cursor = i < 0 ? "default" : "pointer";
    if (i < 0) return;
    const { walk } = this;
    const others = this.met[this.cellOf(i)];
    this.tip.replaceChildren(
      make("strong", {}, walk.where(i)), make("br"),
      `${power(walk.multiple[i])} ${walk.unit} · ${STATES[walk.state[i]]}${others > 1 ? ` · the worst of ${others}` : ""}`,
    );
    const wide = this.tip.offsetWidth;
    this.tip.style.left = `${clamp(event.clientX + 14, 4, window.innerWidth - wide - 8)}px`;
    this.tip.style.top = `${event.clientY + 18}px`;
  }

  select(i) {
    this.selected = i;
    const time = this.bin(this.walk.step[i]);
    if (time < this.from || time > this.to) {
      const half = Math.floor((this.to - this.from) / 2);
      this.view(time - half, time - half + (this.to - this.from));
    }
    const at = this.box4(i);
    if (at) {
      const high = Math.min(this.height, 528);
      const top = this.box.scrollTop;
      if (at.y < top + AXIS + HEADER || at.y + ROW > top + high) this.box.scrollTop = at.y - high / 2; // into the middle
    }
    this.draw();
    this.onSelect(i, at ? this.met[this.cellOf(i)] : 1);
  }

  view(from, to) {
    const low = this.bin(this.walk.low);
    const high = this.bin(this.walk.high);
    const span = clamp(to - from, 0, high - low);
    this.from = clamp(from, low, high - span);
    this.to = this.from + span;
    this.resize();
  }

  zoom(factor) {
    const middle = this.selected >= 0 ? this.bin(this.walk.step[this.selected]) : (this.from + this.to) / 2;
    const span = Math.max(3, Math.round((this.to - this.from + 1) / factor)) - 1;
    this.view(Math.round(middle - span / 2), Math.round(middle - span / 2) + span);
  }

  // The nearest cell with a checkpoint in a direction.
  step(rows, places) {
    if (!this.lines.length) return;
    if (this.selected < 0 || !this.lines.some((item) => item.key === this.walk.key[this.selected])) {
      const first = this.walk.shown.indexOf(this.walk.first) >= 0 ? this.walk.first : this.walk.shown[0];
      this.select(first);
      return;
    }
    const key = this.walk.key[this.selected];
    let row = this.lines.findIndex((item) => item.key === key);
    const parts = this.parts[key];
    let place = this.cellOf(this.selected) - this.starts[key];
    if (rows) {
      const share = (place + 0.5) / (this.columns * parts);
      for (row += rows; this.lines[row]; row += Math.sign(rows)) {
        const other = this.lines[row].key;
        const cells = this.columns * this.parts[other];
        const found = this.nearest(other, Math.floor(share * cells));
        if (found >= 0) return void this.select(found);
      }
      return;
    }
    const cells = this.columns * parts;
    for (place += places; place >= 0 && place < cells; place += Math.sign(places)) {
      const found = this.worst[this.starts[key] + place];
      if (found >= 0) return void this.select(found);
    }
    const edge = places < 0 ? this.bin(this.walk.low) < this.from : this.bin(this.walk.high) > this.to;
    if (edge) {
      const by = Math.sign(places) * Math.max(1, Math.ceil((this.to - this.from) / 4));
      this.view(this.from + by, this.to + by);
      this.step(rows, Math.sign(places));
    }
  }

  nearest(key, place) {
    const cells = this.columns * this.parts[key];
    for (let away = 0; away < cells; away++) {
      for (const other of [place - away, place + away]) {
        if (other >= 0 && other < cells && this.worst[this.starts[key] + other] >= 0) return this.worst[this.starts[key] + other];
      }
    }
    return -1;
  }

  press(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.round(this.columns / 8));
    const moves = {
      ArrowUp: () => this.step(-1, 0),
      ArrowDown: () => this.step(1, 0),
      ArrowLeft: () => this.step(0, -1),
      ArrowRight: () => this.step(0, 1),
      PageUp: () => this.step(0, -page),
      PageDown: () => this.step(0, page),
      Home: () => this.ends(0),
      End: () => this.ends(1),
      "+": () => this.zoom(2),
      "=": () => this.zoom(2),
      "-": () => this.zoom(0.5),
      0: () => this.view(-Infinity, Infinity),
      Enter: () => this.selected >= 0 && this.onSelect(this.selected, this.met[this.cellOf(this.selected)], true),
    };
    if (!moves[event.key]) return;
    event.preventDefault();
    moves[event.key]();
  }

  ends(last) {
    const key = this.selected >= 0 ? this.walk.key[this.selected] : this.lines[0]?.key;
    if (key === undefined || this.starts[key] < 0) return;
    const found = this.nearest(key, last ? this.columns * this.parts[key] - 1 : 0);
    if (found >= 0) this.select(found);
  }
}

const nice = (least) => {
  for (let decade = 1; ; decade *= 10) {
    for (const unit of [1, 2, 5]) if (unit * decade >= least) return unit * decade;
  }
};

const shorten = (context, text, room) => {
  if (context.measureText(text).width <= room) return text;
  let kept = text;
  while (kept.length > 1 && context.measureText(`…${kept}`).width > room) kept = kept.slice(1);
  return `…${kept}`;
};
