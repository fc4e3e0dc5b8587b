import { beforeEach, expect, setDefaultTimeout, test } from "bun:test";
import { type LiveCopy, type LiveNode, Snapshots } from "../../src/duckdb/snapshot.ts";

setDefaultTimeout(30_000);

/** A copy whose readers in DuckDB come and go as the test says. */
class FakeCopy {
  version: number;
  isClosed = false;
  readonly held = { isShared: false };
  readonly meta = undefined;

  constructor() {
    this.version = newest;
  }

  get isNewest(): boolean {
    return this.version === newest;
  }

  refresh(): boolean {
    if (this.held.isShared || this.isClosed) throw new Error("refreshed under a reader, or closed");
    const isOther = this.version !== newest;
    this.version = newest;
    return isOther;
  }

  close(): void {
    if (this.held.isShared) throw new Error("closed under a reader");
    this.isClosed = true;
  }
}

let newest: number;
let made: FakeCopy[];
let snapshots: Snapshots;

beforeEach(() => {
  newest = 1;
  made = [];
  const node = {
    copy: () => {
      made.push(new FakeCopy());
      return made.at(-1) as unknown as LiveCopy;
    },
  } as unknown as LiveNode;
  snapshots = new Snapshots(node);
  snapshots.enter(null);
});

test("one copy is enough as long as nobody reads the version before", () => {
  const ids = new Set<number>();
  for (newest = 1; newest <= 5; newest++) {
    const snapshot = snapshots.take(String(newest));
    expect(snapshot.version).toBe(newest);
    expect(snapshots.take(String(newest))).toBe(snapshot);
    expect(snapshots.take(`${newest} again`)).toBe(snapshot); // another transaction, but nothing was committed
    ids.add(snapshot.id);
  }
  expect([made.length, ids.size]).toEqual([1, 5]);
});

test("a copy that is read stays as it is, and is used again afterwards", () => {
  const first = snapshots.take("1");
  made[0]!.held.isShared = true;
  expect(snapshots.take("2")).toBe(first);
  newest = 2;
  expect(snapshots.take("2")).toBe(first); // what a transaction saw first
  expect(snapshots.take("3").version).toBe(2);
  expect(made.map(({ version }) => version)).toEqual([1, 2]);
  made[1]!.held.isShared = true;
  made[0]!.held.isShared = false;
  newest = 3;
  expect(snapshots.take("4").version).toBe(3);
  expect(made.map(({ version }) => version)).toEqual([3, 2]);
});

test("readers in JavaScript count too, until they end or are collected", () => {
  const first = snapshots.take("1");
  let reading: object | undefined = {};
  first.readers.add({ deref: () => reading });
  newest = 2;
  expect(snapshots.take("2").copy).not.toBe(first.copy);
  reading = undefined;
  snapshots.take("2").readers.add({ deref: () => ({}) });
  newest = 3;
  expect(snapshots.take("3").copy).toBe(first.copy);
});

test("there is one idle copy at most, and none after the last table", () => {
  for (newest = 1; newest <= 4; newest++) {
    snapshots.take(String(newest));
    made.at(-1)!.held.isShared = true;
  }
  expect(made.length).toBe(4);
  for (const copy of made.slice(0, 3)) copy.held.isShared = false;
  snapshots.take("5");
  expect(made.filter(({ isClosed }) => isClosed).length).toBe(2);
  snapshots.leave(null);
  expect(made.filter(({ isClosed }) => !isClosed)).toEqual([made[3]!]); // DuckDB's: it ends with the scan
});

test("a node that refuses is asked again, and old versions are forgotten in the end", () => {
  const first = snapshots.take("1");
  expect(snapshots.seen(first.id)).toBe(first);
  const { refresh } = FakeCopy.prototype;
  made[0]!.refresh = () => {
    throw new Error("closed");
  };
  expect(() => snapshots.take("2")).toThrow("closed");
  expect(() => snapshots.take("2")).toThrow("closed");
  made[0]!.refresh = refresh;
  for (newest = 2; newest <= 300; newest++) snapshots.take(String(newest));
  expect(snapshots.seen(first.id)).toBeUndefined();
  expect(snapshots.seen(200)?.version).toBe(200);
});
