/** Sockets that behave as no follower does. */
import { readFileSync } from "node:fs";
import type { Socket } from "bun";

export interface StrangerOptions {
  readonly tls?: boolean;
  /** Said at once. */
  readonly first?: Uint8Array | string;
  /** Then a byte of this every so often, for as long as it lasts. */
  readonly trickle?: { readonly bytes: Uint8Array; readonly everyMs: number };
}

/** A connection that is held open, and what came of it. */
export class Stranger implements Disposable {
  /** Everything that was said to it. */
  heard: Uint8Array = new Uint8Array(0);
  /** From its opening to its end by the other side, ms; null: it still stands. */
  stoodMs: number | null = null;
  readonly ended = Promise.withResolvers<void>();
  #socket: Socket | null = null;
  #timer: ReturnType<typeof setInterval> | null = null;

  static async open(port: number, options: StrangerOptions = {}): Promise<Stranger> {
    const stranger = new Stranger();
    const begun = performance.now();
    const gone = () => {
      stranger.stoodMs ??= performance.now() - begun;
      stranger.#quiet();
      stranger.ended.resolve();
    };
    try {
      stranger.#socket = await Bun.connect({
        hostname: "127.0.0.1",
        port,
        ...(options.tls && { tls: { rejectUnauthorized: false } }),
        socket: {
          open: (socket) => {
            if (options.first !== undefined) socket.write(options.first);
            if (options.trickle) stranger.#trickle(socket, options.trickle);
          },
          data: (_, bytes) => void (stranger.heard = new Uint8Array([...stranger.heard, ...bytes])),
          close: gone,
          error: gone,
          connectError() {},
        },
      });
    } catch {
      gone(); // refused, or reset before it was there
    }
    return stranger;
  }

  #trickle(socket: Socket, { bytes, everyMs }: NonNullable<StrangerOptions["trickle"]>): void {
    let at = 0;
    this.#timer = setInterval(
      () => socket.write(bytes.subarray(at % bytes.length, (at++ % bytes.length) + 1)),
      everyMs,
    );
  }

  #quiet(): void {
    if (this.#timer) clearInterval(this.#timer);
  }

  write(bytes: Uint8Array | string): void {
    this.#socket?.write(bytes);
  }

  [Symbol.dispose](): void {
    this.#quiet();
    this.#socket?.terminate();
  }
}

export function closeAll(strangers: readonly Stranger[]): void {
  for (const stranger of strangers) stranger[Symbol.dispose]();
}

/** Resolves when `action` has, at the latest after `ms`. */
export async function within(action: Promise<unknown>, limitMs: number): Promise<boolean> {
  return Promise.race([action.then(() => true), Bun.sleep(limitMs).then(() => false)]);
}

/** What the system says of a process, without asking it: bytes in memory, processor time. */
export function processOf(pid: number): { rss: number; cpuMs: number } {
  const pages = Number(readFileSync(`/proc/${pid}/statm`, "utf8").split(" ")[1]);
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]!.split(" ");
  return { rss: pages * 4096, cpuMs: 10 * (Number(fields[11]) + Number(fields[12])) };
}
