// The checkpoints of one walk, unpacked into typed arrays, and which of them a filter lets pass.

const TYPES = { u1: Uint8Array, u2: Uint16Array, u4: Uint32Array, f4: Float32Array };

class Walk {
  static async read(source) {
    const record = JSON.parse(source.textContent);
    const packed = Uint8Array.from(atob(record.columns), (sign) => sign.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Walk(record, await new Response(stream).arrayBuffer());
  }

  constructor(record, bytes) {
    this.record = record;
    this.count = record.count;
    this.limit = record.limit;
    this.unit = record.unit;
    this.width = Math.max(1, record.width); // steps a bin, of which the worst was kept
    let at = 0;
    for (const [name, type] of record.layout) {
      const size = TYPES[type].BYTES_PER_ELEMENT * record.count;
      this[name] = new TYPES[type](bytes.slice(at, at + size)); // a copy begins where its type may begin
      at += size;
    }
    this.labels = record.keys.map(labelOf);
    this.searched = this.labels.map((label) => label.toLowerCase());
    this.phases = record.keys.map(([phase]) => phase);
    this.batches = new Uint16Array(record.keys.length); // micro-batches that a key has
    this.low = Infinity;
    this.high = 0;
    for (let i = 0; i < this.count; i++) {
      const step = this.step[i];
      if (step < this.low) this.low = step;
      if (step > this.high) this.high = step;
      if (this.micro_batch[i] > this.batches[this.key[i]]) this.batches[this.key[i]] = this.micro_batch[i];
    }
    if (!this.count) this.low = this.high = 0;
    this.detailed = new Map();
    for (const one of record.divergences) {
      const key = this.place(one);
      if (key >= 0) this.detailed.set(`${key},${one.step},${one.micro_batch ?? 0}`, one);
    }
    this.first = record.first ? this.find(this.place(record.first), record.first.step, record.first.micro_batch ?? 0) : -1;
    this.filter({ name: "", phase: "", state: "" });
  }

  place({ phase, name, call, output }) {
    return this.record.keys.findIndex((key) => key[0] === phase && key[1] === name && key[2] === call && key[3] === output);
  }

  find(key, step, batch) {
    for (let i = 0; i < this.count; i++) {
      if (this.key[i] === key && this.step[i] === step && this.micro_batch[i] === batch) return i;
    }
    return -1;
  }

  // Which keys and states are shown; states: "" all, "3" diverged, else one of them.
  filter({ name, phase, state }) {
    const wanted = name.trim().toLowerCase();
    this.passingState = state === "" ? [1, 1, 1] : state === "3" ? [0, 1, 1] : [0, 1, 2].map((one) => Number(one === Number(state)));
    const named = this.searched.map((label, key) => (!wanted || label.includes(wanted)) && (!phase || this.phases[key] === phase));
    const shown = new Uint32Array(this.count);
    const met = new Uint8Array(named.length);
    let total = 0;
    for (let i = 0; i < this.count; i++) {
      if (named[this.key[i]] && this.passingState[this.state[i]]) {
        shown[total++] = i;
        met[this.key[i]] = 1;
      }
    }
    this.shown = shown.subarray(0, total);
    this.rows = [];
    named.forEach((passes, key) => passes && met[key] && this.rows.push(key));
    this.rows.sort((a, b) => order(this.phases[a]) - order(this.phases[b]) || a - b);
  }

  worse(one, other) {
    return this.state[one] !== this.state[other] ? this.state[one] > this.state[other] : this.multiple[one] > this.multiple[other];
  }

  where(i) {
    const batch = this.micro_batch[i] ? `, micro-batch ${this.micro_batch[i]}` : "";
    return `step ${this.step[i]}${batch}, ${this.phases[this.key[i]]}, ${this.labels[this.key[i]]}`;
  }

  details(i) {
    return this.detailed.get(`${this.key[i]},${this.step[i]},${this.micro_batch[i]}`);
  }
}

const PHASES = ["init", "forward", "loss", "backward", "deposit", "accumulated", "clip", "slots", "update", "parameter", "buffer", "schedule"];
const order = (phase) => PHASES.indexOf(phase);
