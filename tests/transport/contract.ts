import { afterEach, describe, expect, test } from "bun:test";
import { MemblastError } from "../../src/errors.ts";
import type { Address } from "../../src/transport/address.ts";
import type {
  Accept,
  ConnectOptions,
  Link,
  LinkHandler,
  Listener,
  ListenOptions,
  Transport,
} from "../../src/transport/link.ts";
import { Random, seed } from "./random.ts";
import { Recorder } from "./recorder.ts";

/** What a transport brings to be held to the contract. */
export interface Subject {
  readonly transport: Transport;
  /** Where a test may listen; asked for once per test. */
  address(): Address;
  readonly listenOptions?: ListenOptions;
  readonly connectOptions?: ConnectOptions;
  /** How much the long transfers move. */
  readonly bulkBytes: number;
  /** More than the transport takes in before it says stop. */
  readonly floodBytes: number;
  /** Whether a side can tell that the other one aborted; on a unix socket it looks like an orderly end. */
  readonly tellsAborts: boolean;
}

/** Every promise that link.ts makes, as one suite that all transports pass. */
export function linkContract(name: string, subject: Subject): void {
  describe(`${name} keeps the contract of a link`, () => {
    const opened: { listener: Listener; recorders: Recorder[] }[] = [];

    afterEach(async () => {
      for (const { listener, recorders } of opened.splice(0)) {
        listener.close();
        for (const recorder of recorders) recorder.link?.abort();
        await Promise.all(recorders.filter((r) => r.link).map((r) => r.closed.promise));
        for (const { faults, closes, link } of recorders) {
          expect(faults).toEqual([]);
          expect(closes).toBe(link ? 1 : 0);
        }
      }
    });

    async function listen(accept: Accept, options: ListenOptions = {}): Promise<Listener> {
      const listener = await subject.transport.listen(subject.address(), accept, {
        ...subject.listenOptions,
        ...options,
      });
      opened.push({ listener, recorders: [] });
      return listener;
    }

    function connect(listener: Listener, handler: LinkHandler, options: ConnectOptions = {}): Promise<Link> {
      if (handler instanceof Recorder) opened.at(-1)!.recorders.push(handler);
      return subject.transport.connect(listener.address, handler, { ...subject.connectOptions, ...options });
    }

    function expectBroken(cause: Error | undefined): void {
      if (subject.tellsAborts || cause) expect(cause).toMatchObject({ code: "LINK_CLOSED" });
    }

    /** Two ends of one link; `near` dialled. */
    async function pair(
      nearHooks: Partial<LinkHandler> = {},
      farHooks: Partial<LinkHandler> = {},
      options: { closeTimeoutMs?: number } = {},
    ) {
      const near = new Recorder(nearHooks);
      const far = new Recorder(farHooks);
      const listener = await listen(() => far, options);
      opened.at(-1)!.recorders.push(far);
      const nearLink = await connect(listener, near, options);
      const farLink = await far.opened.promise;
      return { listener, near, far, nearLink, farLink };
    }

    test("a link is open on both sides, and the dialler's event comes before its promise", async () => {
      const { near, far, nearLink, farLink, listener } = await pair();
      expect(near.link).toBe(nearLink);
      expect(near.events).toEqual(["open"]);
      expect(far.events).toEqual(["open"]);
      for (const link of [nearLink, farLink]) {
        expect(link.state).toBe("open");
        expect(link.queuedBytes).toBe(0);
        expect(link.description).not.toBe("");
        expect(link.remote).not.toBe("");
      }
      expect(listener.connections).toBe(1);
    });

    test("bytes go both ways, from inside any event", async () => {
      const answer = (link: Link, bytes: Uint8Array) => {
        if (bytes[0]! < 5) link.write([Uint8Array.of(bytes[0]! + 1)]);
      };
      const { near, far } = await pair(
        { onOpen: (link) => link.write([Uint8Array.of(0)]), onBytes: answer },
        { onBytes: answer },
      );
      await near.until(() => near.receivedBytes === 3);
      expect(far.receivedBytes).toBe(3);
    });

    test(`a long transfer in random parts to a reader that pauses arrives whole (seed ${seed})`, async () => {
      const random = new Random();
      const source = random.bytes(1 << 20);
      const sentHash = new Bun.CryptoHasher("sha256");
      const gotHash = new Bun.CryptoHasher("sha256");
      const pauses = new Random(seed ^ 0x5a5a);
      const kept: { bytes: Uint8Array; hash: bigint }[] = [];
      const usedTo = new WeakMap<ArrayBufferLike, number>();
      let usedTwice = 0;
      let nextPause = 0;
      let isPaused = false;
      let arrivedPaused = 0;
      const { near, far, nearLink } = await pair(
        { onDrain: () => pump() },
        {
          onBytes(link, bytes) {
            if (isPaused) arrivedPaused++;
            gotHash.update(bytes);
            if (kept.length < 64) kept.push({ bytes, hash: BigInt(Bun.hash(bytes)) });
            if (bytes.byteOffset < (usedTo.get(bytes.buffer) ?? 0)) usedTwice++;
            usedTo.set(bytes.buffer, bytes.byteOffset + bytes.byteLength);
            if (far.receivedBytes < nextPause) return;
            nextPause = far.receivedBytes + pauses.between(1, subject.bulkBytes / 4);
            isPaused = true;
            link.pause();
            setTimeout(
              () => {
                isPaused = false;
                link.resume();
              },
              pauses.between(0, 3),
            );
          },
        },
      );
      let sent = 0;
      let queuedMax = 0;
      let writtenMax = 0;
      function pump(): void {
        let more = true;
        while (more && sent < subject.bulkBytes) {
          const parts: Uint8Array[] = [];
          let written = 0;
          for (let i = random.between(1, 5); i > 0 && sent < subject.bulkBytes; i--) {
            const small = random.between(0, 1) === 0;
            const length = Math.min(random.between(0, small ? 600 : 200_000), subject.bulkBytes - sent);
            const start = random.between(0, source.length - length);
            const part = source.subarray(start, start + length);
            parts.push(part);
            sentHash.update(part);
            sent += length;
            written += length;
          }
          writtenMax = Math.max(writtenMax, written);
          more = near.verb(() => nearLink.write(parts));
          queuedMax = Math.max(queuedMax, nearLink.queuedBytes);
        }
      }
      pump();
      await far.until(() => far.receivedBytes >= subject.bulkBytes);
      expect(far.receivedBytes).toBe(subject.bulkBytes);
      expect(gotHash.digest("hex")).toBe(sentHash.digest("hex"));
      expect(arrivedPaused).toBe(0);
      // The last write and what its turn had gathered: a writer that stops when told needs no more memory than this.
      expect(queuedMax).toBeLessThanOrEqual(writtenMax + 64 * 1024);
      for (const { bytes, hash } of kept) expect(BigInt(Bun.hash(bytes))).toBe(hash);
      expect(usedTwice).toBe(0);
    });

    test("many small writes of one turn arrive in order", async () => {
      const { far, nearLink } = await pair();
      const count = 3000;
      for (let i = 0; i < count; i++) nearLink.write([new Uint8Array(Uint32Array.of(i, i ^ 0xffff).buffer)]);
      await far.until(() => far.receivedBytes === count * 8);
      const words = new Uint32Array(far.received().buffer);
      for (let i = 0; i < count; i++) expect(words[2 * i]).toBe(i);
    });

    test("what was handed over may change, once nothing is queued", async () => {
      const { near, far, nearLink } = await pair();
      const small = new Uint8Array(100).fill(1);
      const large = new Uint8Array(20_000).fill(2);
      if (!nearLink.write([small, large, small])) await near.until(() => near.drains === 1);
      expect(nearLink.queuedBytes).toBe(0);
      small.fill(9);
      large.fill(9);
      await far.until(() => far.receivedBytes === 200 + large.length);
      const got = far.received();
      expect(got.subarray(0, 100).every((byte) => byte === 1)).toBe(true);
      expect(got.subarray(100, -100).every((byte) => byte === 2)).toBe(true);
      expect(got.subarray(-100).every((byte) => byte === 1)).toBe(true);
    });

    test("empty writes are nothing", async () => {
      const { near, far, nearLink } = await pair();
      expect(nearLink.write([])).toBe(true);
      expect(nearLink.write([new Uint8Array(0)])).toBe(true);
      expect(nearLink.queuedBytes).toBe(0);
      nearLink.write([Uint8Array.of(7)]);
      await far.until(() => far.receivedBytes === 1);
      expect(near.drains).toBe(0);
    });

    test("a paused reader stops the writer, whose onDrain comes once, when all is gone", async () => {
      const { near, far, nearLink, farLink } = await pair();
      farLink.pause();
      farLink.pause();
      const part = new Random().bytes(subject.floodBytes / 8);
      let written = 0;
      while (written < subject.floodBytes * 4) {
        written += part.length;
        if (!nearLink.write([part])) break;
      }
      expect(written).toBeLessThan(subject.floodBytes * 4);
      expect(nearLink.queuedBytes).toBeGreaterThan(0);
      expect(nearLink.write([part])).toBe(false);
      written += part.length;
      await Bun.sleep(20);
      expect(far.receivedBytes).toBe(0);
      expect(near.drains).toBe(0);
      expect(nearLink.queuedBytes).toBeGreaterThan(0);
      farLink.resume();
      farLink.resume();
      await near.until(() => near.drains === 1);
      expect(nearLink.queuedBytes).toBe(0);
      await far.until(() => far.receivedBytes === written);
      expect(near.drains).toBe(1);
      expect(Bun.hash(far.received())).toBe(Bun.hash(Buffer.concat(Array(written / part.length).fill(part))));
    });

    test("close sends all that is queued, then ends in good order on both sides", async () => {
      const { near, far, nearLink, listener } = await pair();
      const bytes = new Random().bytes(subject.floodBytes * 2);
      expect(nearLink.write([bytes])).toBe(false);
      near.verb(() => nearLink.close());
      expect(nearLink.state).toBe("closing");
      expect(nearLink.write([bytes])).toBe(false);
      nearLink.close();
      expect(await far.closed.promise).toBeUndefined();
      expect(await near.closed.promise).toBeUndefined();
      expect(far.receivedBytes).toBe(bytes.length);
      expect(Bun.hash(far.received())).toBe(Bun.hash(bytes));
      expect(near.drains).toBe(0);
      expect(listener.connections).toBe(0);
    });

    test("close in the turn of a small write sends it", async () => {
      const { near, far, nearLink } = await pair();
      for (let i = 0; i < 10; i++) nearLink.write([Uint8Array.of(i)]);
      nearLink.close();
      await near.closed.promise;
      await far.closed.promise;
      expect([...far.received()]).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    });

    test("a closing link lets go of a pause and throws away what arrives", async () => {
      const { near, far, nearLink, farLink } = await pair();
      nearLink.pause();
      farLink.write([new Random().bytes(subject.floodBytes * 2)]);
      nearLink.close();
      await near.closed.promise;
      await far.closed.promise;
      expect(near.receivedBytes).toBe(0);
    });

    test("both sides may close at once", async () => {
      const { near, far, nearLink, farLink } = await pair();
      nearLink.close();
      farLink.close();
      expect(await near.closed.promise).toBeUndefined();
      expect(await far.closed.promise).toBeUndefined();
    });

    test("one side closes while the other floods", async () => {
      const flood = new Random().bytes(64 * 1024);
      const pump = (link: Link) => {
        while (link.write([flood]));
      };
      const { near, far, nearLink } = await pair(
        { onBytes: () => near.receivedBytes > subject.floodBytes && nearLink.close() },
        { onOpen: pump, onDrain: pump },
      );
      await near.closed.promise;
      const cause = (await far.closed.promise) as MemblastError | undefined;
      if (cause) expect(cause.code).toBe("LINK_CLOSED");
      const { receivedBytes } = near;
      await Bun.sleep(5);
      expect(near.receivedBytes).toBe(receivedBytes);
      expect(far.link!.write([flood])).toBe(false);
      expect(far.link!.queuedBytes).toBe(0);
    });

    test("abort in mid-stream: one onClose each, nothing after it, a prefix has arrived", async () => {
      const cause = new Error("enough");
      const bytes = new Random().bytes(subject.floodBytes * 4);
      let sent = 0;
      const pump = (link: Link) => {
        while (sent < bytes.length) {
          const part = bytes.subarray(sent, sent + 10_000);
          sent += part.length;
          if (!link.write([part])) return;
        }
      };
      const { near, far, nearLink } = await pair(
        { onOpen: pump, onDrain: pump },
        { onBytes: (_, chunk) => (far.chunks.push(chunk), far.receivedBytes > 1000 && stop()) },
      );
      const stop = () => near.verb(() => nearLink.abort(cause));
      expect(await near.closed.promise).toBe(cause);
      expectBroken(await far.closed.promise);
      expect(nearLink.state).toBe("closed");
      expect(far.received()).toEqual(bytes.slice(0, far.receivedBytes));
    });

    test("abort without a cause still names one; close and abort may be repeated", async () => {
      const { near, far, nearLink } = await pair();
      nearLink.close();
      nearLink.abort();
      nearLink.abort(new Error("too late"));
      nearLink.close();
      nearLink.pause();
      nearLink.resume();
      expect(((await near.closed.promise) as MemblastError).code).toBe("LINK_CLOSED");
      await far.closed.promise;
      nearLink.abort();
      nearLink.close();
    });

    test("close ends in bounded time although the other side reads nothing", async () => {
      const { near, far, nearLink, farLink } = await pair({}, {}, { closeTimeoutMs: 40 });
      farLink.pause();
      nearLink.write([new Uint8Array(subject.floodBytes * 4)]);
      nearLink.close();
      const cause = (await near.closed.promise) as MemblastError;
      expect(cause.code).toBe("LINK_CLOSED");
      expect(cause.details["unsentBytes"]).toBeGreaterThan(0);
      farLink.resume();
      expectBroken(await far.closed.promise);
    });

    for (const event of ["onOpen", "onBytes", "onDrain"] as const) {
      test(`an error thrown in ${event} ends that link alone, with the error as cause`, async () => {
        const error = new Error(`thrown in ${event}`);
        const fails = () => {
          throw error;
        };
        const flood = (link: Link) => link.write([new Uint8Array(subject.floodBytes * 2)]);
        const far = new Recorder(
          event === "onDrain" ? { onOpen: flood, onDrain: fails } : { [event]: fails },
        );
        const healthy = new Recorder();
        const handlers = [healthy, far];
        const listener = await listen(() => handlers.shift()!);
        opened.at(-1)!.recorders.push(healthy, far);
        const other = await connect(listener, new Recorder());
        await healthy.opened.promise;
        const near = new Recorder(
          event === "onBytes" ? { onOpen: (link) => link.write([Uint8Array.of(1)]) } : {},
        );
        const refused = await connect(listener, near).then(
          () => null,
          (thrown: MemblastError) => thrown,
        );
        expect(await far.closed.promise).toBe(error);
        if (refused) expect(refused.details["reason"]).toBe("closed");
        else expectBroken(await near.closed.promise);
        other.write([Uint8Array.of(1)]);
        await healthy.until(() => healthy.receivedBytes === 1);
        expect(healthy.closes).toBe(0);
      });
    }

    test("a listener that closes leaves its links alone, and may be closed twice", async () => {
      const { listener, near, far, nearLink } = await pair();
      listener.close();
      listener.close();
      nearLink.write([Uint8Array.of(1)]);
      await far.until(() => far.receivedBytes === 1);
      expect(near.closes).toBe(0);
      const failed = subject.transport.connect(listener.address, new Recorder(), subject.connectOptions);
      expect(await failed.catch((error) => error)).toMatchObject({
        code: "CONNECT_FAILED",
        details: { reason: "refused" },
      });
    });

    test("a taken address is ADDRESS_IN_USE, and free again after close", async () => {
      const listener = await listen(() => null);
      const again = () =>
        subject.transport.listen(listener.address, () => null, { ...subject.listenOptions });
      const error = await again().catch((thrown) => thrown);
      expect(error).toBeInstanceOf(MemblastError);
      expect(error.code).toBe("ADDRESS_IN_USE");
      listener.close();
      const second = await again();
      expect(second.address).toEqual(listener.address);
      second.close();
    });

    test("links above connectionsMax are turned away, until one ends", async () => {
      const farEnds = [new Recorder(), new Recorder(), new Recorder()];
      let accepted = 0;
      const listener = await listen(() => farEnds[accepted++]!, { connectionsMax: 2 });
      const enter = async () => {
        const near = new Recorder();
        await connect(listener, near).catch((error) => expect(error.code).toBe("CONNECT_FAILED"));
        return near;
      };
      const first = await enter();
      await farEnds[0]!.opened.promise;
      await enter();
      await farEnds[1]!.opened.promise;
      const third = await enter();
      if (third.link) expectBroken(await third.closed.promise);
      expect(listener.connections).toBe(2);
      expect(listener.refused).toBe(1);
      first.link!.close();
      await first.closed.promise;
      await farEnds[0]!.closed.promise;
      await enter();
      await farEnds[2]!.opened.promise;
      expect(listener.refused).toBe(1);
    });

    test("an accept function that says null closes the link at once", async () => {
      const listener = await listen(() => null);
      const near = new Recorder();
      await connect(listener, near).catch(() => {});
      if (near.link) expectBroken(await near.closed.promise);
      expect(listener.connections).toBe(0);
    });

    test("an attempt that was called off calls no handler", async () => {
      const listener = await listen(() => new Recorder());
      const near = new Recorder();
      const early = await connect(listener, near, { signal: AbortSignal.abort("no") }).catch(
        (error) => error,
      );
      expect(early).toMatchObject({ code: "CONNECT_FAILED", details: { reason: "aborted" } });
      const controller = new AbortController();
      const attempt = connect(listener, near, { signal: controller.signal }).catch((error) => error);
      controller.abort();
      expect(await attempt).toMatchObject({ code: "CONNECT_FAILED", details: { reason: "aborted" } });
      await Bun.sleep(5);
      expect(near.events).toEqual([]);
      // a connection that came about nevertheless is not left standing
      while (listener.connections > 0) await Bun.sleep(1);
    });
  });
}
