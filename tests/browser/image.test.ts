import { expect, setDefaultTimeout, test } from "bun:test";
import { makeSchema } from "../../src/array/schema.ts";
import { connect } from "../../src/browser/index.ts";
import { noRuns, normalise, totalBytes } from "../../src/delta/runs.ts";
import { Image } from "../../src/node/following/image.ts";
import { Listening } from "../../src/node/doors/listening.ts";
import { parseStartOptions } from "../../src/node/options/config.ts";
import type { Published } from "../../src/node/storage/shadow.ts";
import { realWorld } from "../../src/node/runtime/world.ts";
import { codeOf, until } from "../node/until.ts";
import { Random, seed } from "../transport/random.ts";

setDefaultTimeout(30_000);

test(`an image is what a plain copy would be, through commits and rollbacks (seed ${seed})`, () => {
  const random = new Random();
  const image = new Image(makeSchema([{ name: null, dtype: "u8", shape: [1000] }], 8));
  let oracle = new Uint8Array(image.buffer.byteLength);
  for (let round = 0; round < 500; round++) {
    const next = oracle.slice();
    const pairs: number[] = [];
    image.begin();
    for (let i = random.between(0, 4); i > 0; i--) {
      const length = random.between(1, 60);
      const offset = random.between(0, 999 - length);
      const data = random.bytes(length + 3);
      image.scatter(data, Float64Array.of(offset, 3, length));
      next.set(data.subarray(3), offset);
      pairs.push(offset, length);
    }
    const before = image.version;
    if (random.between(0, 2) === 0) {
      image.rollback();
      expect(image.version).toBe(before);
      expect(image.changedSince(before).runs).toHaveLength(0);
    } else {
      image.commit();
      oracle = next;
      expect(image.version).toBe(before + (pairs.length ? 1 : 0));
      expect(image.changedSince(before).runs).toEqual(normalise(pairs));
      if (image.version > 1)
        expect(totalBytes(image.changedSince(image.version - 2).runs)).toBe(oracle.length);
    }
    expect(new Uint8Array(image.buffer)).toEqual(oracle);
  }
});

test("metadata goes with the commit, and back with the rollback", () => {
  const image = new Image(makeSchema([{ name: null, dtype: "u8", shape: [1] }], 8));
  const text = (value: unknown) => new TextEncoder().encode(JSON.stringify(value));
  expect(image.meta).toBeUndefined();
  image.begin();
  image.setMetaJson(text({ a: 1 }));
  expect(image.commit()).toBe(1);
  expect(image.meta).toEqual({ a: 1 });
  image.begin();
  image.setMetaJson(text({ a: 2 }));
  image.rollback();
  expect(image.meta).toEqual({ a: 1 });
  image.begin();
  expect(() => image.setMetaJson(Uint8Array.of(123))).toThrow();
  image.rollback();
  image.begin();
  image.setMetaJson(new Uint8Array(0));
  image.commit();
  expect(image.meta).toBeUndefined();
});

/** Arrays for which no page has the memory. */
const vast = makeSchema(
  Array.from({ length: 100 }, (_, i) => ({ name: `a${i}`, dtype: "u8", shape: [2 ** 32 - 64] })),
);

test("what there is no memory for is an error that says so", () => {
  expect(() => new Image(vast)).toThrow(
    expect.objectContaining({ code: "NO_SPACE", details: { bytes: vast.imageBytes } }),
  );
});

test("and is not asked for again and again", async () => {
  const nothing: Published = {
    schema: vast,
    incarnation: "1".repeat(32),
    version: 0,
    isSole: true,
    beforeCommit: null,
    changedSince: () => ({ version: 0, runs: noRuns }),
    isMetaNewer: () => false,
    metaJson: () => new Uint8Array(0),
    gather() {},
    advance() {},
  };
  let links = 0;
  const owner = {
    onReport() {},
    onOverflow() {},
    onCrowded() {},
    onFaulty() {},
    onError() {},
    onClosed: () => void links++,
  };
  const config = parseStartOptions({ listen: "ws://127.0.0.1:0", shape: [1] });
  const listening = new Listening(nothing, { name: "s", id: "5".repeat(32) }, config, realWorld, owner);
  await listening.open();
  const client = connect(listening.addresses[0]!, { reconnect: { minMs: 1, maxMs: 2 } });
  expect(await codeOf(() => client.ready)).toBe("NO_SPACE");
  expect(client.state).toBe("closed");
  await until(() => listening.links.size === 0, "the end of the link");
  await Bun.sleep(20);
  expect(links).toBe(1);
  listening.shut();
});
