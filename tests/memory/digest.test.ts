import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { MemblastError } from "../../src/errors.ts";
import { leafBytes, MerkleTree, type LeafHasher } from "../../src/integrity/merkle.ts";
import {
  bunHasher,
  crc32c,
  hasher,
  hashRowName,
  libraryHasher,
  selftest,
  sha256,
  type Hasher,
} from "../../src/memory/digest.ts";
import { library } from "../../src/memory/library.ts";

setDefaultTimeout(30_000);

const chosenRow = library.hashRow();
afterEach(() => void library.hashUse(chosenRow));

/** Rows of kernels that this CPU can run. */
const rows = Array.from({ length: library.hashRows() }, (_, row) => row).filter(
  (row) => library.hashUse(row) >= 0,
);
library.hashUse(chosenRow);

/** The C library's hasher on a row of its own. */
function rowHasher(row: number): Hasher {
  const on = <T>(run: () => T): T => {
    library.hashUse(row);
    return run();
  };
  return {
    sha256: (data) => on(() => libraryHasher.sha256(data)),
    leaves: (data, bytes) => on(() => libraryHasher.leaves(data, bytes)),
    nodes: (children) => on(() => libraryHasher.nodes(children)),
  };
}

const hashers: [string, Hasher][] = [
  ...rows.map((row): [string, Hasher] => [`row ${hashRowName(row)}`, rowHasher(row)]),
  ["Bun", bunHasher],
  ["the one chosen", hasher],
];

function oracle(...parts: Uint8Array[]): string {
  const hash = new Bun.CryptoHasher("sha256");
  for (const part of parts) hash.update(part);
  return hash.digest("hex");
}

function oracleLeaves(data: Uint8Array, bytes: number): string {
  let all = "";
  for (let at = 0; at < data.length; at += bytes)
    all += oracle(new Uint8Array([0]), data.subarray(at, at + bytes));
  return all;
}

function oracleNodes(children: Uint8Array): string {
  let all = "";
  for (let at = 0; at < children.length; at += 64)
    all += oracle(new Uint8Array([1]), children.subarray(at, at + 64));
  return all;
}

/** A bit at a time, as RFC 3720 defines it. */
function oracleCrc32c(data: Uint8Array, seed = 0): number {
  let raw = ~seed;
  for (const byte of data) {
    raw ^= byte;
    for (let bit = 0; bit < 8; bit++) raw = raw & 1 ? (raw >>> 1) ^ 0x82f63b78 : raw >>> 1;
  }
  return ~raw >>> 0;
}

const pool = new Uint8Array(1 << 16);
for (let i = 0; i < pool.length; i++) pool[i] = Math.imul(i, 2654435761) >>> 24;

/** Bytes of any length at any alignment; short ones more often. */
const bytes = fc
  .tuple(fc.nat({ max: 70 }), fc.oneof(fc.nat({ max: 400 }), fc.nat({ max: 20_000 })))
  .map(([offset, length]) => pool.subarray(offset, offset + length));

function codeOf(run: () => unknown): string | undefined {
  try {
    run();
  } catch (error) {
    if (error instanceof MemblastError) return error.code;
    throw error;
  }
  return undefined;
}

interface Vector {
  readonly message: Uint8Array;
  readonly digest: string;
}

/** NIST's CAVS format. `Len` counts bits; `Len = 0` comes with a byte that is not part of the message. */
function readVectors(file: string): Vector[] {
  const vectors: Vector[] = [];
  const entry = /^Len = (\d+)\r?\nMsg = ([0-9a-f]*)\r?\nMD = ([0-9a-f]{64})/gm;
  for (const [, bits, message, digest] of readFileSync(file, "utf8").matchAll(entry))
    vectors.push({ message: Uint8Array.fromHex(message!).subarray(0, Number(bits) / 8), digest: digest! });
  return vectors;
}

const nistFile = join(import.meta.dir, "../../../shared/data/sha256/SHA256ShortMsg.rsp");
const haveNist = existsSync(nistFile);
if (!haveNist) console.warn(`skipped: NIST's SHA-256 vectors, ${nistFile} is not there`);

test("the C library's self-test passes on every row", () => {
  expect(library.hashSelftest()).toBe(0);
  expect(selftest()).toBeUndefined();
});

test("rows are named, run where they can, and an impossible one is refused", () => {
  expect(hashRowName(library.hashRows() - 1)).toBe("portable");
  expect(rows).toContain(library.hashRows() - 1);
  expect(rows[0]).toBe(chosenRow);
  expect(library.hashUse(library.hashRows())).toBeLessThan(0);
  expect(library.hashUse(-1)).toBeLessThan(0);
  expect(codeOf(() => hashRowName(99))).toBeDefined();
});

describe.each(hashers)("SHA-256, %s", (_, subject) => {
  test.skipIf(!haveNist)("NIST's short messages", () => {
    const vectors = readVectors(nistFile);
    expect(vectors.length).toBe(65);
    for (const { message, digest } of vectors) expect(subject.sha256(message).toHex()).toBe(digest);
  });

  test("equals Bun.CryptoHasher on any bytes at any alignment", () => {
    fc.assert(fc.property(bytes, (data) => expect(subject.sha256(data).toHex()).toBe(oracle(data))));
  });

  test("leaves carry their prefix, whatever their length and number", () => {
    fc.assert(
      fc.property(bytes, fc.oneof(fc.integer({ min: 1, max: 300 }), fc.constant(4096)), (data, leaf) => {
        const part = data.subarray(0, leaf * 20);
        expect(subject.leaves(part, leaf).toHex()).toBe(oracleLeaves(part, leaf));
      }),
    );
  });

  test("nodes carry theirs", () => {
    for (let pairs = 0; pairs < 12; pairs++)
      for (const offset of [0, 1, 63]) {
        const children = pool.subarray(offset, offset + 64 * pairs);
        expect(subject.nodes(children).toHex()).toBe(oracleNodes(children));
      }
  });

  test("refuses what makes no leaves and no pairs", () => {
    for (const leaf of [0, -1, 1.5, Number.NaN])
      expect(codeOf(() => subject.leaves(pool, leaf))).toBe("INVALID_OPTION");
    expect(codeOf(() => subject.nodes(pool.subarray(0, 63)))).toBe("INVALID_OPTION");
  });

  test("serves a Merkle tree", () => {
    const merkle: LeafHasher = subject;
    const tree = new MerkleTree(5 * leafBytes + 100, merkle);
    const data = pool.subarray(3, 3 + tree.bytes);
    tree.update(0, tree.leafCount, data);
    const [a, b, c, d, e, f] = Array.from({ length: 6 }, (_, leaf) =>
      Uint8Array.fromHex(
        oracle(new Uint8Array([0]), data.subarray(leaf * leafBytes, (leaf + 1) * leafBytes)),
      ),
    );
    const node = (l: Uint8Array, r: Uint8Array) => Uint8Array.fromHex(oracle(new Uint8Array([1]), l, r));
    expect(tree.root()).toEqual(node(node(node(a!, b!), node(c!, d!)), node(e!, f!)));
  });
});

describe.each(rows)("row %i of the library", (row) => {
  test("SHA-256 in pieces equals SHA-256 in one", () => {
    fc.assert(
      fc.property(fc.array(bytes, { maxLength: 8 }), (pieces) => {
        library.hashUse(row);
        const state = new BigUint64Array(library.sha256StateBytes() / 8);
        const digest = new Uint8Array(32);
        expect(library.sha256Init(state)).toBe(0);
        for (const piece of pieces) expect(library.sha256Update(state, piece, piece.length)).toBe(0);
        expect(library.sha256Final(state, digest)).toBe(0);
        expect(digest.toHex()).toBe(oracle(...pieces));
        expect(state.every((word) => word === 0n)).toBe(true);
      }),
    );
  });

  test("CRC-32C equals its definition, and goes on from a seed", () => {
    fc.assert(
      fc.property(bytes, fc.double({ min: 0, max: 1, noNaN: true }), (data, cut) => {
        library.hashUse(row);
        const at = Math.floor(cut * data.length);
        const expected = oracleCrc32c(data);
        expect(crc32c(data)).toBe(expected);
        expect(crc32c(data.subarray(at), crc32c(data.subarray(0, at)))).toBe(expected);
      }),
    );
  });

  test("CRC-32C above and at 2^31 survives the way in and out, however JavaScript keeps the number", () => {
    library.hashUse(row);
    expect(crc32c(Uint8Array.fromHex("d54df04d"))).toBe(2 ** 31);
    for (const seed of new Float64Array([0, 1, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1]))
      expect(crc32c(pool.subarray(0, 9), seed)).toBe(oracleCrc32c(pool.subarray(0, 9), seed));
  });

  test("CRC-32C of RFC 3720, appendix B.4", () => {
    library.hashUse(row);
    const up = Uint8Array.from({ length: 32 }, (_, i) => i);
    expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa);
    expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43);
    expect(crc32c(up)).toBe(0x46dd794e);
    expect(crc32c(up.toReversed())).toBe(0x113fdb5c);
    expect(crc32c(new Uint8Array(), 0x8a9136aa)).toBe(0x8a9136aa);
  });
});

test("sha256 is the digest of the hasher chosen", () => {
  expect(sha256(new Uint8Array()).toHex()).toBe(
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
  );
  expect(sha256(pool).toHex()).toBe(oracle(pool));
});

test("missing memory is refused, not read", () => {
  const out = new Uint8Array(32);
  expect(library.sha256(null, 1, out)).toBeLessThan(0);
  expect(library.sha256(pool, 1, null)).toBeLessThan(0);
  expect(library.sha256Leaves(pool, 10, 0, out)).toBeLessThan(0);
  expect(library.sha256Nodes(null, 1, out)).toBeLessThan(0);
  expect(library.crc32c(null, 1, 0)).toBeLessThan(0);
});
