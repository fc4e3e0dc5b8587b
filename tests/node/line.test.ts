import { describe, expect, test } from "bun:test";
import type { MemblastError } from "../../src/errors.ts";
import { Line, type LineOwner } from "../../src/node/following/line.ts";
import { crc32c } from "../../src/protocol/crc32c.ts";
import { newFollower } from "../../src/protocol/follower.ts";
import { defaultLimits } from "../../src/protocol/limits.ts";
import { encodeMessage } from "../../src/protocol/encode.ts";
import type { Message } from "../../src/protocol/messages.ts";
import { parseAddress } from "../../src/transport/address.ts";
import { type ConnectReason, connectFailed } from "../../src/transport/failure.ts";
import type { Link, Transport } from "../../src/transport/link.ts";
import { LoopbackNetwork } from "../../src/transport/loopback_network.ts";
import { publisherConfig, publisherNonce } from "../protocol/talk.ts";
import { Clock } from "../sim/clock.ts";
import { Random } from "../sim/random.ts";
import { virtualWorld } from "../sim/virtual_world.ts";

const address = parseAddress("10.0.0.1:1");

/** A line, and what it told. */
class Bench implements LineOwner {
  readonly clock = new Clock();
  readonly network = new LoopbackNetwork({ scheduler: this.clock });
  readonly told: string[] = [];
  readonly line: Line;
  name = "f";
  /** How the next attempts fail before there is a link. */
  reasons: ConnectReason[] = [];
  attempts = 0;

  constructor() {
    const target = { address, key: "there", backoff: { minMs: 5, maxMs: 5 }, crc32c };
    const connect = (...all: Parameters<Transport["connect"]>): Promise<Link> => {
      this.attempts++;
      const reason = this.reasons.shift();
      return reason ? Promise.reject(connectFailed(address, reason)) : this.network.connect(...all);
    };
    const transport: Transport = { connect, listen: (...all) => this.network.listen(...all) };
    this.line = new Line(target, virtualWorld(this.clock, new Random(1), transport), this);
  }

  /** Somebody who takes links, says hello and welcome, and ends them a while later by this. */
  async welcome(end: (link: Link) => void): Promise<void> {
    const { auth: _, ...about } = publisherConfig;
    const challenge: Message = {
      type: "CHALLENGE",
      ...about,
      protocol: [1, 0],
      auth: "none",
      nonce: publisherNonce,
      features: [],
    };
    const welcome: Message = {
      type: "WELCOME",
      ...about,
      version: 1,
      heartbeatMs: 5000,
      limits: defaultLimits,
    };
    await this.network.listen(address, () => ({
      onOpen: (link) => {
        for (const message of [challenge, welcome]) link.write(encodeMessage(crc32c, message));
        this.clock.schedule(20, () => end(link));
      },
      onBytes() {},
      onClose() {},
    }));
  }

  begin() {
    return newFollower({ node: this.name, nodeId: "f0".repeat(16), keyId: null, limits: defaultLimits });
  }

  perform({ kind }: { readonly kind: string }): void {
    if (kind === "welcome") this.line.welcomed();
  }

  onEnd(): void {
    this.told.push("end");
  }

  onDisconnect(reason: string): void {
    expect(this.line.outage).toBe(reason);
    this.told.push("disconnect");
  }

  onError({ code, details }: MemblastError): void {
    this.told.push(`error ${code} ${String(details.reason)}`);
  }

  onHopeless({ code }: MemblastError): void {
    this.told.push(`hopeless ${code}`);
    this.line.close();
  }

  run(ms: number): void {
    this.clock.runUntil(this.clock.now + ms);
  }
}

describe("a line", () => {
  test("tells each reason of an outage once, and knows the newest", () => {
    const bench = new Bench();
    bench.reasons = ["refused", "refused", "tls", "refused", "tls", "timeout"];
    bench.line.connect();
    expect(bench.line.outage).toBe(null);
    bench.run(1000);
    expect(bench.attempts).toBeGreaterThan(10);
    expect(bench.told).toEqual([
      "error CONNECT_FAILED refused",
      "error CONNECT_FAILED tls",
      "error CONNECT_FAILED timeout",
    ]);
    expect(bench.line.outage).toContain("nothing listens there");
    bench.line.succeeded();
    expect(bench.line.outage).toBe(null);
    bench.run(100);
    expect(bench.told.slice(3)).toEqual(["error CONNECT_FAILED refused"]);
  });

  test("says no more that nobody is there where it has told that the link ended, but anything else", async () => {
    const bench = new Bench();
    await bench.welcome((link) => link.abort());
    bench.line.connect();
    bench.run(15);
    bench.reasons = ["refused", "timeout", "unreachable", "tls", "tls"];
    bench.run(85);
    expect(bench.told.slice(0, 3)).toEqual(["end", "disconnect", "error CONNECT_FAILED tls"]);
  });

  test("that is closed by who hears of its error does not try again", () => {
    const bench = new Bench();
    bench.reasons = ["refused"];
    bench.onError = () => bench.line.close();
    bench.line.connect();
    bench.run(1000);
    expect([bench.attempts, bench.clock.waiting]).toEqual([1, 0]);
  });

  test("gives up where it cannot put into a frame what it has to say", async () => {
    const bench = new Bench();
    bench.name = "n".repeat(300_000);
    await bench.network.listen(address, () => ({ onBytes() {}, onClose() {} }));
    bench.line.connect();
    bench.run(1000);
    expect(bench.told).toEqual(["end", "hopeless TOO_LARGE"]);
  });
});
