import { cpus } from "node:os";
import { join } from "node:path";
import { start } from "../../src/index.ts";
import { type Bench, median } from "./measure.ts";

const bulkBytes = 64 * 2 ** 20;

interface Told {
  address?: string;
  arrived?: true;
}

/**
 * Binds a process's main thread to a core. Two ends that share a core have a round trip of 7 us, on two cores one of 66 us, and the
 * scheduler changes its mind between rounds: value and limit must be measured on the same cores.
 */
function pin(pid: number, core: number): void {
  if (cpus().length > 1 && Bun.which("taskset"))
    Bun.spawnSync(["taskset", "-cp", String(core), String(pid)], { stdout: "ignore", stderr: "ignore" });
}

/** The process at the other end, and what it tells. */
class Peer {
  readonly #child;
  readonly #told: Told[] = [];
  #waiting: ((told: Told) => void) | null = null;

  constructor(...args: string[]) {
    this.#child = Bun.spawn(["bun", join(import.meta.dir, "peer.ts"), ...args], {
      stdio: ["ignore", "inherit", "inherit"],
      ipc: (told: Told) => {
        if (this.#waiting) this.#waiting(told);
        else this.#told.push(told);
        this.#waiting = null;
      },
    });
    pin(process.pid, 0);
    pin(this.#child.pid, 1);
  }

  next(): Promise<Told> {
    const told = this.#told.shift();
    return told ? Promise.resolve(told) : new Promise((resolve) => (this.#waiting = resolve));
  }

  async close(): Promise<void> {
    this.#child.kill();
    await this.#child.exited;
  }
}

/** Sends as many bytes down a bare socket as fast as it takes them. */
async function rawSender(address: string): Promise<{ send(bytes: number): void; close(): void }> {
  const chunk = new Uint8Array(262_144).fill(7);
  let left = 0;
  const pump = (socket: Bun.Socket<undefined>) => {
    while (left > 0) {
      const written = socket.write(chunk, 0, Math.min(left, chunk.length));
      if (written <= 0) return;
      left -= written;
    }
  };
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port: Number(address.split(":")[1]),
    socket: { data() {}, drain: pump },
  });
  return {
    send(bytes) {
      left = bytes;
      pump(socket);
    },
    close: () => socket.terminate(),
  };
}

const bulk: Bench = {
  name: "bulk",
  unit: "GB/s",
  aim: 0.6,
  aimOf: "ratio",
  against: "raw Bun.listen and Bun.connect, 64 MiB to another process",
  async open() {
    const server = await start("bench-bulk", { listen: 0, shape: [bulkBytes / 8] });
    const follower = new Peer("bulk", server.addresses[0]!);
    await follower.next();
    const sink = new Peer("sink", String(bulkBytes));
    const raw = await rawSender((await sink.next()).address!);
    let fill = 0;
    return {
      async value() {
        server.write((a) => a.fill(++fill));
        const begun = Bun.nanoseconds(); // the commit itself is not replication
        await follower.next();
        return bulkBytes / (Bun.nanoseconds() - begun);
      },
      async limit() {
        const begun = Bun.nanoseconds();
        raw.send(bulkBytes);
        await sink.next();
        return bulkBytes / (Bun.nanoseconds() - begun);
      },
      async close() {
        raw.close();
        await Promise.all([sink.close(), follower.close()]);
        await server.close();
      },
    };
  },
};

/** One round trip of 64 bytes down a bare socket, ns. */
async function rawTrips(address: string): Promise<{ trip(): Promise<number>; close(): void }> {
  const message = new Uint8Array(64);
  let back = () => {};
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port: Number(address.split(":")[1]),
    socket: { open: (each) => void each.setNoDelay(true), data: () => back() },
  });
  return {
    async trip() {
      const arrived = new Promise<void>((resolve) => (back = resolve));
      const begun = Bun.nanoseconds();
      socket.write(message);
      await arrived;
      return Bun.nanoseconds() - begun;
    },
    close: () => socket.terminate(),
  };
}

const latency: Bench = {
  name: "latency",
  unit: "ns",
  aim: 1 / 1.5,
  aimOf: "ratio",
  isTime: true,
  against: "half a raw round trip of 64 bytes; value: half of commit, update, commit, update",
  async open(ms) {
    const server = await start("bench-latency", { listen: 0, shape: [64] });
    const pong = new Peer("pong", server.addresses[0]!);
    const answers = await start("bench-answers", { server: (await pong.next()).address! });
    await answers.ready;
    const echo = new Peer("echo");
    const raw = await rawTrips((await echo.next()).address!);
    let cell = 0;
    const rounds = async (one: () => Promise<number>) => {
      const times: number[] = [];
      for (const end = performance.now() + ms; performance.now() < end || times.length < 5;) {
        times.push(await one());
        await Bun.sleep(1); // both sides asleep again: what is measured is one message, not a stream
      }
      return median(times);
    };
    return {
      value: async () =>
        (await rounds(async () => {
          const back = Promise.withResolvers<void>();
          const off = answers.onUpdate(() => back.resolve());
          const begun = Bun.nanoseconds();
          server.write((a) => a.set(++cell % 64, cell));
          await back.promise;
          off();
          return Bun.nanoseconds() - begun;
        })) / 2,
      limit: async () => (await rounds(() => raw.trip())) / 2,
      async close() {
        raw.close();
        await Promise.all([echo.close(), pong.close(), answers.close(), server.close()]);
      },
    };
  },
};

export const networkBenches: readonly Bench[] = [bulk, latency];
