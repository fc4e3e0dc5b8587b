import type { Node } from "../../src/index.ts";

/**
 * What a version of a publisher holds, as a formula: whoever knows its number and salt, both in the metadata, knows every cell. So a
 * follower judges each state by itself, without having seen the ones before.
 */
export interface Picture {
  readonly salt: number;
  readonly version: number;
  readonly stride: number;
  /** When it was committed, by the clock that all processes of a machine share, ms. */
  readonly at: number;
}

/** Cells that change together: one block. */
const groupCells = 8;
/** A version changes every so manieth group. */
export const strideDefault = 8;

/** The newest version up to `version` that has written cell `i`; 0: none has. */
function writtenBy(i: number, version: number, stride: number): number {
  const group = Math.floor(i / groupCells) % stride;
  const back = (((version - group) % stride) + stride) % stride;
  return Math.max(0, version - back);
}

/** Cell `i` as version `by` wrote it; 0 where none has. */
function cellOf(salt: number, i: number, by: number): number {
  return by === 0 ? 0 : (Math.imul(i ^ Math.imul(by, 0x9e3779b1) ^ salt, 0x85ebca6b) >>> 0) + 1;
}

/** Commits the version after this one. */
export function paint(node: Node, salt: number, stride: number): number {
  return node.write((cells, tx) => {
    const version = node.version[node.name]! + 1;
    const data = cells.data as Float64Array;
    const bytes = tx.array("bytes");
    for (let i = (version % stride) * groupCells; i < data.length; i += stride * groupCells)
      for (let k = i; k < Math.min(i + groupCells, data.length); k++) data[k] = cellOf(salt, k, version);
    bytes.set(version % bytes.size, version & 0xff);
    tx.meta = { salt, version, stride, at: performance.timeOrigin + performance.now() };
  });
}

export interface Seen {
  readonly version: number;
  readonly salt: number;
  /** How long ago it was committed, ms. */
  readonly ageMs: number;
  /** Null: it is exactly one version of the publisher's. */
  readonly wrong: string | null;
}

/** What a node holds, held against the formula. */
export function look(node: Node): Seen {
  return node.read((cells, view) => {
    const ageMs = performance.timeOrigin + performance.now();
    const { salt, version, stride, at } = (view.meta ?? {
      salt: 0,
      version: 0,
      stride: 1,
      at: ageMs,
    }) as Picture;
    const data = cells.data as Float64Array;
    let wrong: string | null = null;
    for (let i = 0; i < data.length && !wrong; i++)
      if (data[i] !== cellOf(salt, i, writtenBy(i, version, stride)))
        wrong = `cell ${i} of version ${version} is ${data[i]}`;
    const bytes = view.array("bytes").data as Uint8Array;
    for (let i = 0; i < bytes.length && !wrong; i++) {
      const by = version - ((((version - i) % bytes.length) + bytes.length) % bytes.length);
      if (bytes[i] !== (by > 0 ? by & 0xff : 0)) wrong = `byte ${i} of version ${version} is ${bytes[i]}`;
    }
    return { version, salt, wrong, ageMs: ageMs - at };
  });
}

/** SHA-256 of everything that one version holds. */
export function digest(node: Node): { version: number; sha: string } {
  return node.read((cells, view) => {
    const hash = new Bun.CryptoHasher("sha256");
    for (const array of [cells, view.array("bytes")]) {
      const { buffer, byteOffset, byteLength } = array.data;
      hash.update(new Uint8Array(buffer, byteOffset, byteLength));
    }
    hash.update(JSON.stringify(view.meta ?? null));
    const { version = 0 } = (view.meta ?? {}) as Partial<Picture>;
    return { version, sha: hash.digest("hex") };
  });
}
