import { refuse } from "./fault.ts";

const highMax = 0x200000; // a u64 below 2^53 has less than this in its upper half

/** Reads little-endian fields from untrusted bytes, in order; running out of them is a BAD_MESSAGE, never an exception of the runtime. */
export class Reader {
  readonly bytes: Uint8Array;
  readonly #name: string;
  readonly #view: DataView;
  #at = 0;

  /** `name` is what the sentence calls the message. */
  constructor(bytes: Uint8Array, name: string) {
    this.bytes = bytes;
    this.#name = name;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get bytesLeft(): number {
    return this.bytes.byteLength - this.#at;
  }

  u32(): number {
    return this.#view.getUint32(this.#skip(4), true);
  }

  /** A u64 that must be a safe integer. */
  u64(): number {
    const at = this.#skip(8);
    const high = this.#view.getUint32(at + 4, true);
    if (high >= highMax) this.refuse("a 64-bit number is above 2^53 - 1");
    return high * 4294967296 + this.#view.getUint32(at, true);
  }

  /** As many u64 as asked for. */
  u64s(count: number): Float64Array {
    const at = this.#skip(count * 8);
    const view = this.#view;
    const values = new Float64Array(count);
    let highest = 0;
    for (let index = 0; index < count; index++) {
      const high = view.getUint32(at + index * 8 + 4, true);
      if (high > highest) highest = high;
      values[index] = high * 4294967296 + view.getUint32(at + index * 8, true);
    }
    if (highest >= highMax) this.refuse("a 64-bit number is above 2^53 - 1");
    return values;
  }

  f64(): number {
    return this.#view.getFloat64(this.#skip(8), true);
  }

  /** The next bytes, as a view of the same memory. */
  take(byteLength: number): Uint8Array {
    const at = this.#skip(byteLength);
    return this.bytes.subarray(at, at + byteLength);
  }

  zeros(byteLength: number): void {
    const at = this.#skip(byteLength);
    for (let index = at; index < at + byteLength; index++) {
      if (this.bytes[index] !== 0) this.refuse("a byte that must be zero is not");
    }
  }

  end(): void {
    if (this.bytesLeft > 0) this.refuse(`${this.bytesLeft} bytes too many`);
  }

  refuse(what: string): never {
    return refuse("BAD_MESSAGE", `${this.#name}: ${what}.`);
  }

  #skip(byteLength: number): number {
    const at = this.#at;
    if (byteLength > this.bytes.byteLength - at) this.refuse("it ends too early");
    this.#at = at + byteLength;
    return at;
  }
}

/** Writes what {@link Reader} reads, into a buffer of exactly the right size. */
export class Writer {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  #at: number;

  constructor(byteLength: number, at = 0) {
    const buffer = new ArrayBuffer(byteLength); // asking a short array for its buffer costs more than making one
    this.bytes = new Uint8Array(buffer);
    this.#view = new DataView(buffer);
    this.#at = at;
  }

  u32(value: number): this {
    this.#view.setUint32(this.#at, value, true);
    this.#at += 4;
    return this;
  }

  u64(value: number): this {
    const low = value >>> 0; // modulo 2^32, for any safe integer
    this.#view.setUint32(this.#at, low, true);
    this.#view.setUint32(this.#at + 4, (value - low) / 4294967296, true);
    this.#at += 8;
    return this;
  }

  u64s(values: Float64Array): this {
    const view = this.#view;
    let at = this.#at;
    for (const value of values) {
      const low = value >>> 0;
      view.setUint32(at, low, true);
      view.setUint32(at + 4, (value - low) / 4294967296, true);
      at += 8;
    }
    this.#at = at;
    return this;
  }

  f64(value: number): this {
    this.#view.setFloat64(this.#at, value, true);
    this.#at += 8;
    return this;
  }

  put(bytes: Uint8Array): this {
    this.bytes.set(bytes, this.#at);
    this.#at += bytes.byteLength;
    return this;
  }

  /** Leaves zeros. */
  skip(byteLength: number): this {
    this.#at += byteLength;
    return this;
  }
}

/** Bytes of zeros that bring a length to a multiple of 8. */
export function paddingOf(byteLength: number): number {
  return -byteLength & 7;
}

export function hexOf(bytes: Uint8Array): string {
  return bytes.toHex();
}

/** The bytes of a text that is known to be lower-case hex of even length. */
export function bytesOfHex(text: string): Uint8Array {
  return Uint8Array.fromHex(text);
}
