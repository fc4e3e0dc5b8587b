/** What is wrong with an HTTP message, and the status that says so to its sender. */
export class HttpFault extends Error {
  readonly status: number;

  constructor(status: number, text: string) {
    super(text);
    this.status = status;
  }
}

/** Who sent it does not speak HTTP at all. */
export class NotHttp extends HttpFault {
  constructor() {
    super(400, "This is not HTTP.");
  }
}

/** The head of an HTTP/1.1 message: its first line, and its fields by their names in lower case. */
export interface Head {
  readonly start: string;
  readonly fields: ReadonlyMap<string, string>;
}

/** A head is longer than this only if somebody wants to fill memory. */
export const headBytesMax = 8192;

/** Fields that mean nothing when they come twice. All others are joined by commas. */
const singleFields: ReadonlySet<string> = new Set([
  "host",
  "origin",
  "content-length",
  "sec-websocket-key",
  "sec-websocket-version",
  "sec-websocket-accept",
]);

const endMark = [13, 10, 13, 10];
const decoder = new TextDecoder("latin1");

/** Collects the bytes of one head, however they arrive (RFC 9112 sections 2 to 5, without line folding and bare LF). */
export class HeadReader {
  #bytes = new Uint8Array(512);
  #count = 0;
  /** What came behind the head; empty until it is complete. */
  rest: Uint8Array = new Uint8Array(0);

  /** The head once it is complete, null as long as it is not. Throws {@link HttpFault}: 400 or 431. */
  push(bytes: Uint8Array): Head | null {
    const before = this.#count;
    this.#append(bytes.subarray(0, headBytesMax - before));
    // Whoever speaks TLS or memblast's own frames here is told at once, not after a time-out.
    if (!this.#mayBeHttp()) throw new NotHttp();
    const end = this.#endAfter(Math.max(0, before - 3));
    if (end < 0) {
      if (this.#count === headBytesMax)
        throw new HttpFault(431, `The head is longer than ${headBytesMax} bytes.`);
      return null;
    }
    this.rest = bytes.subarray(end - before);
    return parseHead(decoder.decode(this.#bytes.subarray(0, end - endMark.length)));
  }

  /** A frame of memblast's begins with its length, of which at least one of four bytes is no text. */
  #mayBeHttp(): boolean {
    return (
      isLetter(this.#bytes[0]!) &&
      this.#bytes.subarray(0, Math.min(this.#count, 4)).every((byte) => byte >= 32)
    );
  }

  #append(bytes: Uint8Array): void {
    const needed = this.#count + bytes.byteLength;
    if (needed > this.#bytes.byteLength) {
      const grown = new Uint8Array(Math.min(headBytesMax, Math.max(needed, 2 * this.#bytes.byteLength)));
      grown.set(this.#bytes.subarray(0, this.#count));
      this.#bytes = grown;
    }
    this.#bytes.set(bytes, this.#count);
    this.#count = needed;
  }

  /** Where the head ends, its mark included; -1 if that has not arrived. */
  #endAfter(from: number): number {
    const bytes = this.#bytes;
    for (let at = from; at + endMark.length <= this.#count; at++)
      if (endMark.every((byte, i) => bytes[at + i] === byte)) return at + endMark.length;
    return -1;
  }
}

function parseHead(text: string): Head {
  const [start = "", ...lines] = text.split("\r\n");
  if (/\p{Cc}/u.test(text.replaceAll(/\r\n|\t/g, "")))
    throw new HttpFault(400, "A control character is in the head.");
  const fields = new Map<string, string>();
  for (const line of lines) {
    const match = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):(.*)$/.exec(line);
    if (!match) throw new HttpFault(400, "A line of the head is no field.");
    const name = match[1]!.toLowerCase();
    const value = match[2]!.trim(); // not by the pattern, which would try every blank as the last one
    const known = fields.get(name);
    if (known !== undefined && singleFields.has(name)) throw new HttpFault(400, `${name} comes twice.`);
    fields.set(name, known === undefined ? value : `${known}, ${value}`);
  }
  return { start, fields };
}

/** Whether a field that is a list of words holds this one. */
export function listHas(head: Head, name: string, word: string): boolean {
  const list = head.fields.get(name)?.toLowerCase().split(",") ?? [];
  return list.some((each) => each.trim() === word);
}

function isLetter(byte: number): boolean {
  return byte >= 65 && byte <= 90;
}
