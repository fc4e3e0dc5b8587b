import type { StartOptions } from "../../src/index.ts";
import type { Node } from "../../src/node/node.ts";
import type { Weather } from "./weather.ts";

/** A region of a server's array, and where in this node's array of the same name it lands. */
export interface Box {
  readonly array: string | null;
  readonly start: readonly number[];
  readonly shape: readonly number[];
  readonly to: readonly number[];
}

/** A server that a member follows, by its number. */
export interface Parent {
  readonly index: number;
  /** Null: everything. */
  readonly boxes: readonly Box[] | null;
  readonly mode: "latest" | "every";
  readonly maxRate: number | null;
}

/** What a member is in all its lives. */
export interface Plan {
  /** Nobody: it is a source. */
  readonly parents: readonly Parent[];
  /** The cells of the main array that it writes itself: first, and how many. */
  readonly writes: { readonly first: number; readonly count: number } | null;
  readonly writesTable: boolean;
  readonly writesMeta: boolean;
  readonly checkHash: boolean;
  /** What it asks of its followers, and they prove; null: nothing. */
  readonly secret: string | null;
  /** It is in a named segment, and may come back with it. */
  readonly keeps: boolean;
  readonly mesh: boolean;
  readonly listens: boolean;
}

/** One participant through all its lives. */
export interface Member {
  readonly index: number;
  readonly name: string;
  readonly address: string;
  readonly plan: Plan;
  node: Node | null;
  /** Its committed bytes, live. */
  views: Views;
  life: number;
  /** Of its time of day. */
  wallOffsetMs: number;
  /** What it had when it died, if it keeps it. */
  left: { readonly version: number; readonly incarnation: string; readonly sum: number } | null;
}

export interface Views {
  readonly main: Uint8Array;
  readonly table: Uint8Array;
  /** Of a mesh: when each element, and the metadata, were written. */
  readonly stamps: readonly Uint8Array[];
}

export const tableShape = [3, 40] as const;
export const mainItemBytes = 8;
const tableItemBytes = 2;

export function viewsOf(node: Node, isMesh: boolean): Views {
  const view = (name: string | null) => bytesOf(node.ndarray(name).data);
  const stamps = isMesh ? ["@stamps", "table@stamps", "@meta"].map(view) : [];
  return { main: view(null), table: view("table"), stamps };
}

function bytesOf({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array {
  return new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);
}

/** Of everything, or of what lies in boxes, by their places in the server (`start`) or in the follower (`to`). */
export function checksum(
  views: Views,
  boxes: readonly Box[] | null = null,
  side: "start" | "to" = "start",
): number {
  if (boxes === null) {
    const { main, table, stamps } = views;
    let sum = Bun.hash.xxHash32(table, Bun.hash.xxHash32(main));
    for (const bytes of stamps) sum = Bun.hash.xxHash32(bytes, sum);
    return sum;
  }
  let sum = 0;
  for (const { array, shape, ...box } of boxes) {
    const start = box[side];
    if (array === null) sum = piece(views.main, start[0]! * mainItemBytes, shape[0]! * mainItemBytes, sum);
    else
      for (let row = 0; row < shape[0]!; row++) {
        const first = (start[0]! + row) * tableShape[1] + start[1]!;
        sum = piece(views.table, first * tableItemBytes, shape[1]! * tableItemBytes, sum);
      }
  }
  return sum;
}

function piece(bytes: Uint8Array, offset: number, length: number, seed: number): number {
  return Bun.hash.xxHash32(bytes.subarray(offset, offset + length), seed);
}

/** How to start its next life. */
export function startOptions(
  { address, plan }: Member,
  members: readonly Member[],
  { odds: { cells, queueBytes }, isCalm }: Pick<Weather, "odds" | "isCalm">,
): StartOptions {
  return {
    ...(plan.listens && { listen: address, queueBytesMax: queueBytes }),
    shape: [cells],
    arrays: { table: { shape: tableShape, dtype: "i16" } },
    checkHash: plan.checkHash && plan.parents.length > 0,
    heartbeatMs: 500,
    reconnect: { minMs: 20, maxMs: 500 },
    ...(plan.mesh && { mesh: true }),
    ...(plan.keeps && { share: true, persist: true }),
    ...(plan.secret && { secrets: { key: { secret: plan.secret } } }),
    servers: plan.parents.map(({ index, boxes, mode, maxRate }) => {
      const server = members[index]!;
      return {
        address: server.address,
        mode,
        maxRate: isCalm ? null : maxRate,
        ...(boxes && {
          maps: boxes.map(({ array, start, shape, to }) => ({
            array,
            start: [...start],
            shape: [...shape],
            to: { array, start: [...to] },
          })),
        }),
        ...(server.plan.secret && { secret: { keyId: "key", secret: server.plan.secret } }),
      };
    }),
  };
}
