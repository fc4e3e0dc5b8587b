import fc from "fast-check";
import { withCompanions } from "../../src/array/companion.ts";
import { makeSchema } from "../../src/array/schema.ts";
import { HybridClock, stampOf } from "../../src/delta/stamp.ts";
import { Staging } from "../../src/node/following/staging.ts";
import { Storage } from "../../src/node/storage/storage.ts";
import type { Mangle } from "./models.ts";

const operations = [
  "write",
  "write",
  "fill",
  "meta",
  "send",
  "send",
  "take",
  "take",
  "lose",
  "wait",
  "jump",
] as const;

type Operation = readonly [(typeof operations)[number], number];

export const meshSchedule = fc.array(fc.tuple(fc.constantFrom(...operations), fc.nat(9999)), {
  maxLength: 60,
  size: "max",
});

const nodes = 3;
/** All of them in one block, so that every delta brings its neighbours too. */
const cells = 20;
const schema = makeSchema(withCompanions([{ name: null, dtype: "u16", shape: [cells] }]), 256);

/** A write as everybody sees it: when, by whom, and what. */
interface Written {
  readonly clock: number;
  readonly tag: number;
  readonly value: number;
}

const never: Written = { clock: 0, tag: 0, value: 0 };

function isLater(a: Written, b: Written): boolean {
  if (a.clock !== b.clock) return a.clock > b.clock;
  if (a.tag !== b.tag) return a.tag > b.tag;
  return a.value > b.value;
}

/** The bytes of a delta, and the state of the model that it was made of. */
interface Message {
  readonly runs: Float64Array;
  readonly data: Uint8Array;
  readonly meta: Uint8Array;
  readonly to: number;
  readonly state: readonly Written[];
}

/** One node: what is built, and beside it a list of the latest write of each cell (the last is the metadata). */
class Twin {
  readonly storage: Storage;
  readonly stagings: readonly Staging[];
  readonly inbox: Message[][] = Array.from({ length: nodes }, () => []);
  /** The version of each other node that has been asked for last, and that has been taken. */
  readonly asked = new Float64Array(nodes);
  readonly taken = new Float64Array(nodes);
  state: Written[] = Array.from({ length: cells + 1 }, () => never);
  wallMs = 1000;
  readonly #tag: number;

  constructor(tag: number, mangle: Mangle) {
    this.#tag = tag;
    const clock = new HybridClock(() => this.wallMs, tag);
    if (!mangle({ kind: "overwrite" })) Object.defineProperty(clock, "ownLimit", { value: 0 });
    this.storage = Storage.createPrivate(schema, clock);
    this.stagings = Array.from({ length: nodes }, () => new Staging(this.storage));
  }

  write(values: ReadonlyMap<number, number>): void {
    const changes = [...values].filter(([cell, value]) => this.state[cell]!.value !== value);
    this.storage.write((a, tx) => {
      for (const [cell, value] of values)
        if (cell < cells) a.set(cell, value);
        else tx.meta = value;
    });
    const now = Math.floor(this.wallMs * 2048);
    for (const [cell, value] of changes) {
      const clock = Math.max(this.state[cell]!.clock + 1, now);
      this.state[cell] = { clock, tag: this.#tag, value };
    }
  }

  message(since: number): Message {
    const { version: to, runs } = this.storage.changedSince(since);
    const data = new Uint8Array(runs.reduce((sum, length, i) => sum + (i % 2 ? length : 0), 0));
    this.storage.gather(runs, data);
    return { runs, data, meta: this.storage.metaJson().slice(), to, state: [...this.state] };
  }

  take(from: number, { runs, data, meta, to, state }: Message): void {
    const before = this.storage.version;
    const staging = this.stagings[from]!;
    staging.begin();
    const triples = new Float64Array((runs.length / 2) * 3);
    for (let i = 0, at = 0, k = 0; i < runs.length; at += runs[i + 1]!, i += 2) {
      triples[k++] = runs[i]!;
      triples[k++] = at;
      triples[k++] = runs[i + 1]!;
    }
    staging.segment.scatter(data, triples);
    if (meta.byteLength > 0) staging.setMetaJson(meta);
    staging.commit();
    this.taken[from] = to;
    const isNews = this.#merge(state);
    if (this.storage.version !== before + (isNews ? 1 : 0))
      throw new Error(`a merge made ${this.storage.version - before} versions`);
  }

  #merge(theirs: readonly Written[]): boolean {
    let isNews = false;
    for (const [cell, written] of theirs.entries()) {
      if (!isLater(written, this.state[cell]!)) continue;
      this.state[cell] = written;
      isNews = true;
    }
    return isNews;
  }

  compare(name: number): void {
    const values = this.storage.live(null).data;
    const stamps = this.storage.live("@stamps").data;
    for (const [cell, { clock, tag, value }] of this.state.entries()) {
      const [actual, stamp] =
        cell < cells
          ? [values[cell], stamps[cell]]
          : [this.storage.meta ?? 0, this.storage.live("@meta").data[0]];
      if (actual !== value || stamp !== stampOf(clock, tag))
        throw new Error(
          `node ${name}, cell ${cell}: ${actual} of ${stamp}, not ${value} of ${stampOf(clock, tag)}`,
        );
    }
  }
}

/** Last writer wins by the book: the greatest of (clock, tag, value), however often and in whatever order it comes. */
export function checkMesh(schedule: readonly Operation[], mangle: Mangle): void {
  const isAlike = schedule.length % 3 === 0;
  const twins = Array.from({ length: nodes }, (_, i) => new Twin(isAlike ? 7 : i + 1, mangle));
  try {
    for (const [operation, number] of schedule) {
      const name = number % nodes;
      perform(twins, operation, name, Math.floor(number / nodes), mangle);
      twins[name]!.compare(name);
    }
    finish(twins);
  } finally {
    for (const { storage } of twins) storage.close();
  }
}

function perform(
  twins: readonly Twin[],
  operation: Operation[0],
  name: number,
  number: number,
  mangle: Mangle,
): void {
  const twin = twins[name]!;
  const other = (name + 1 + (number % (nodes - 1))) % nodes;
  const inbox = twin.inbox[other]!;
  switch (operation) {
    case "write":
      return twin.write(new Map([[number % cells, number % 7]]));
    case "fill":
      return twin.write(new Map(Array.from({ length: cells }, (_, cell) => [cell, number % 5])));
    case "meta":
      return twin.write(new Map([[cells, 1 + (number % 9)]]));
    case "send": {
      const message = twins[other]!.message(twin.asked[other]!);
      twin.asked[other] = message.to;
      if (mangle({ kind: "message" })) inbox.push(message);
      return;
    }
    case "take": {
      const message = inbox.shift();
      if (message) twin.take(other, message);
      return;
    }
    case "lose":
      inbox.length = 0;
      twin.asked[other] = twin.taken[other]!;
      return;
    case "wait":
      for (const each of twins) each.wallMs += number / 1000;
      return;
    case "jump":
      twin.wallMs = 1000 + (number % 1000);
  }
}

/** Everybody hears of everything, and then has it. */
function finish(twins: readonly Twin[]): void {
  for (let round = 0; round < 2; round++)
    for (const [name, twin] of twins.entries())
      for (const [other, source] of twins.entries()) {
        if (other === name) continue;
        for (const message of twin.inbox[other]!.splice(0)) twin.take(other, message);
        twin.take(other, source.message(twin.taken[other]!));
      }
  for (const [name, twin] of twins.entries()) {
    twin.compare(name);
    if (twin.state.some((written, cell) => isLater(written, twins[0]!.state[cell]!)))
      throw new Error(`node ${name} ends with more than node 0`);
  }
}
