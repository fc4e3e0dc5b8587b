import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { webSocketTransport } from "../../src/browser/link.ts";
import { systemTransport } from "../../src/transport/endpoint.ts";
import type { Link, Listener } from "../../src/transport/link.ts";
import { Random } from "../transport/random.ts";
import { Recorder } from "../transport/recorder.ts";

setDefaultTimeout(30_000);

// What a browser's WebSocket can keep of the contract of a link, with Bun's in its place.

const listeners: Listener[] = [];
afterAll(() => {
  for (const listener of listeners) listener.close();
});

async function pair(near = new Recorder(), far = new Recorder()) {
  const listener = await systemTransport.listen(
    { kind: "ws", host: "127.0.0.1", port: 0, path: "/" },
    () => far,
  );
  listeners.push(listener);
  const nearLink = await webSocketTransport.connect(listener.address, near);
  const farLink = await far.opened.promise;
  return { near, far, nearLink, farLink, listener };
}

const checked = ({ faults }: Recorder) => expect(faults).toEqual([]);

describe("a browser's link", () => {
  test("carries bytes both ways, from inside any event, and is open before its promise", async () => {
    const answer = (link: Link, bytes: Uint8Array) => {
      if (bytes[0]! < 5) link.write([Uint8Array.of(bytes[0]! + 1)]);
    };
    const near = new Recorder({ onOpen: (link) => void link.write([Uint8Array.of(0)]), onBytes: answer });
    const far = new Recorder({ onBytes: answer });
    const { nearLink } = await pair(near, far);
    expect(near.link).toBe(nearLink);
    expect(nearLink.description).toMatch(/^ws to 127\.0\.0\.1:\d+$/);
    await near.until(() => near.receivedBytes === 3);
    expect(far.receivedBytes).toBe(3);
    checked(near);
  });

  test("says stop where the network does not take it, and tells when all is gone", async () => {
    const { near, far, nearLink, farLink } = await pair();
    farLink.pause();
    const part = new Random().bytes(1024 * 1024);
    let written = 0;
    for (let i = 0; i < 64; i++) {
      written += part.length;
      if (!nearLink.write([part.subarray(0, 10), part.subarray(10)])) break;
    }
    expect(written).toBeLessThan(64 * part.length);
    expect(nearLink.queuedBytes).toBeGreaterThan(0);
    expect(nearLink.write([])).toBe(false);
    expect(near.drains).toBe(0);
    farLink.resume();
    await near.until(() => near.drains === 1);
    await far.until(() => far.receivedBytes === written);
    expect(Bun.hash(far.received())).toBe(Bun.hash(Buffer.concat(Array(written / part.length).fill(part))));
    checked(near);
  });

  test("holds what comes while it is paused", async () => {
    const { near, far, nearLink, farLink } = await pair();
    nearLink.pause();
    farLink.write([Uint8Array.of(1)]);
    farLink.write([Uint8Array.of(2)]);
    await Bun.sleep(20);
    expect(near.receivedBytes).toBe(0);
    nearLink.resume();
    await near.until(() => near.receivedBytes === 2);
    expect([...near.received()]).toEqual([1, 2]);
    checked(near);
    checked(far);
  });

  test("ends in good order, whoever begins", async () => {
    for (const first of ["near", "far"] as const) {
      const all = await pair();
      all.nearLink.write([Uint8Array.of(7)]);
      await all.far.until(() => all.far.receivedBytes === 1);
      all[`${first}Link`].close();
      expect(await all.near.closed.promise).toBeUndefined();
      expect(await all.far.closed.promise).toBeUndefined();
      expect(all.nearLink.write([Uint8Array.of(1)])).toBe(false);
      all.nearLink.close();
      all.nearLink.abort();
      checked(all.near);
    }
  });

  test("a cut, an abort and a handler's error are told as such", async () => {
    const cut = await pair();
    cut.farLink.abort();
    expect(await cut.near.closed.promise).toMatchObject({
      code: "LINK_CLOSED",
      details: { closeCode: 1006 },
    });

    const aborted = await pair();
    aborted.nearLink.abort();
    expect(await aborted.near.closed.promise).toMatchObject({ code: "LINK_CLOSED" });
    await aborted.far.closed.promise;

    const error = new Error("thrown");
    const failing = await pair(
      new Recorder({
        onBytes() {
          throw error;
        },
      }),
    );
    failing.farLink.write([Uint8Array.of(1)]);
    expect(await failing.near.closed.promise).toBe(error);
  });

  test("an attempt that fails, takes too long or is called off ends with CONNECT_FAILED and no event", async () => {
    const near = new Recorder();
    const mute = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    const address = { kind: "ws", host: "127.0.0.1", port: mute.port, path: "/" } as const;
    const failed = (attempt: Promise<unknown>) => attempt.catch((error) => error);
    expect(await failed(webSocketTransport.connect(address, near, { timeoutMs: 30 }))).toMatchObject({
      code: "CONNECT_FAILED",
    });
    const controller = new AbortController();
    const attempt = failed(webSocketTransport.connect(address, near, { signal: controller.signal }));
    controller.abort();
    expect(await attempt).toMatchObject({ code: "CONNECT_FAILED" });
    expect(
      await failed(webSocketTransport.connect(address, near, { signal: AbortSignal.abort() })),
    ).toMatchObject({
      code: "CONNECT_FAILED",
    });
    mute.stop(true);
    expect(await failed(webSocketTransport.connect(address, near))).toMatchObject({ code: "CONNECT_FAILED" });
    expect(near.events).toEqual([]);
    expect(await failed(webSocketTransport.listen(address, () => null))).toMatchObject({
      code: "INVALID_ADDRESS",
    });
  });
});
