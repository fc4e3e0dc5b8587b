import { readFileSync, writeFileSync } from "node:fs";
import { crc32c } from "../../src/protocol/crc32c.ts";

/** Where the fields of a segment's header stand, and how many bytes they have: ffi/memblast.h says the same. */
export const headerFields = {
  magic: [0, 8],
  endian: [8, 4],
  major: [12, 2],
  minor: [14, 2],
  compat: [16, 8],
  roCompat: [24, 8],
  incompat: [32, 8],
  incarnation: [40, 16],
  fileBytes: [56, 8],
  headerBytes: [64, 8],
  imageBytes: [72, 8],
  metaOffset: [80, 8],
  hotOffset: [88, 8],
  redoOffset: [96, 8],
  tableOffset: [104, 8],
  tableBytes: [112, 8],
  workingOffset: [120, 8],
  committedOffset: [128, 8],
  blockBytes: [136, 4],
  blockCount: [140, 4],
  created: [144, 8],
  bootId: [152, 16],
  schemaOffset: [168, 4],
  schemaBytes: [172, 4],
  crc: [252, 4],
} as const;

export type HeaderField = keyof typeof headerFields;

/** A segment's file as bytes, to be changed and written back. */
export class Forgery {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly #view: DataView;

  constructor(original: Uint8Array) {
    this.bytes = new Uint8Array(original);
    this.#view = new DataView(this.bytes.buffer);
  }

  static of(path: string): Forgery {
    return new Forgery(readFileSync(path));
  }

  get(field: HeaderField): bigint {
    const [offset, bytes] = headerFields[field];
    let value = 0n;
    for (let i = Math.min(bytes, 8) - 1; i >= 0; i--) value = (value << 8n) | BigInt(this.bytes[offset + i]!);
    return value;
  }

  set(field: HeaderField, value: bigint): this {
    const [offset, bytes] = headerFields[field];
    for (let i = 0; i < Math.min(bytes, 8); i++)
      this.bytes[offset + i] = Number((value >> BigInt(8 * i)) & 0xffn);
    return this;
  }

  /** Replaces text in the schema by text as long. */
  replace(from: string, to: string): this {
    const at = Buffer.from(this.bytes.buffer).indexOf(from);
    if (at < 0 || from.length !== to.length) throw new Error(`cannot replace ${from} by ${to}`);
    this.bytes.set(Buffer.from(to), at);
    return this;
  }

  /** Makes the checksum right again. */
  seal(headerBytes = 4096): this {
    const [offset] = headerFields.crc;
    this.#view.setUint32(offset, 0, true);
    this.#view.setUint32(offset, crc32c(this.bytes.subarray(0, headerBytes)), true);
    return this;
  }

  write(path: string): void {
    writeFileSync(path, this.bytes, { mode: 0o600 });
  }
}
