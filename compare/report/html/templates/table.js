// All checkpoints as a table, of which only the lines in sight exist.

const LINE = 26;
const COLUMNS = [
  ["step", "right", (walk, i) => count(walk.step[i])],
  ["batch", "right", (walk, i) => (walk.micro_batch[i] ? String(walk.micro_batch[i]) : "")],
  ["phase", "", (walk, i) => walk.phases[walk.key[i]]],
  ["name", "", (walk, i) => walk.labels[walk.key[i]]],
  ["outcome", "", (walk, i) => STATES[walk.state[i]]],
  ["multiple", "right", (walk, i) => power(walk.multiple[i])],
  ["error", "right", (walk, i) => power(walk.error[i])],
];

class WalkTable {
  constructor(box, walk, onSelect) {
    this.walk = walk;
    this.onSelect = onSelect;
    this.worstFirst = false;
    this.sorter = make("button", { type: "button", class: "plain", "aria-pressed": "false", title: "sort by the error, worst first" }, "multiple");
    this.sorter.addEventListener("click", () => this.sort(!this.worstFirst));
    const head = make("div", { class: "head", role: "row" });
    for (const [name, side] of COLUMNS) {
      head.append(make("span", { class: side, role: "columnheader" }, name === "multiple" ? this.sorter : name));
    }
    this.body = make("div", { class: "body", role: "grid", tabindex: 0, "aria-label": "Checkpoints; arrow keys move, Enter shows the numbers" });
    this.space = make("div");
    this.body.append(this.space);
    box.append(head, this.body);
    this.active = 0;
    this.body.addEventListener("scroll", () => this.draw());
    this.body.addEventListener("keydown", (event) => this.press(event));
    this.body.addEventListener("click", (event) => {
      const line = event.target.closest(".line");
      if (line) this.go(Number(line.dataset.place), true);
    });
    this.refilter();
  }

  sort(worstFirst) {
    this.worstFirst = worstFirst;
    this.sorter.setAttribute("aria-pressed", String(worstFirst));
    this.sorter.textContent = worstFirst ? "multiple ▾" : "multiple";
    this.refilter();
  }

  refilter() {
    const { walk } = this;
    this.order = walk.shown.slice();
    if (this.worstFirst) this.order.sort((a, b) => walk.state[b] - walk.state[a] || walk.multiple[b] - walk.multiple[a] || a - b);
    this.active = 0;
    this.space.style.height = `${this.order.length * LINE}px`;
    this.body.setAttribute("aria-rowcount", this.order.length);
    this.body.scrollTop = 0;
    this.draw();
  }

  draw() {
    const top = Math.max(0, Math.floor(this.body.scrollTop / LINE) - 4);
    const end = Math.min(this.order.length, top + Math.ceil((this.body.clientHeight || 350) / LINE) + 8);
    const lines = [];
    for (let place = top; place < end; place++) {
      const i = this.order[place];
      const line = make("div", { class: "line", role: "row", "data-place": place, "aria-rowindex": place + 1, "aria-selected": String(place === this.active) });
      line.style.top = `${place * LINE}px`;
      for (const [, side, words] of COLUMNS) line.append(make("span", { class: side, role: "gridcell" }, words(this.walk, i)));
      if (this.walk.state[i]) line.children[4].classList.add("wrong");
      lines.push(line);
    }
    this.space.replaceChildren(...lines);
  }

  go(place, select) {
    if (!this.order.length) return;
    this.active = clamp(place, 0, this.order.length - 1);
    const at = this.active * LINE;
    const { body } = this;
    if (at < body.scrollTop) body.scrollTop = at;
    if (at + LINE > body.scrollTop + body.clientHeight) body.scrollTop = at + LINE - body.clientHeight;
    this.draw();
    if (select) this.onSelect(this.order[this.active]);
  }

  press(event) {
    const moves = { ArrowUp: -1, ArrowDown: 1, PageUp: -12, PageDown: 12, Home: -Infinity, End: Infinity };
    if (event.key in moves) this.go(this.active + moves[event.key], false);
    else if (event.key === "Enter") this.go(this.active, true);
    else return;
    event.preventDefault();
  }
}
