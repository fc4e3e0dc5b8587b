import { describe, expect, test } from "bun:test";
import type { MemblastError } from "../../src/errors.ts";
import { Line, type LineOwner } from "../../src/node/line.ts";
import { crc32c } from "../../src/protocol/crc32c.ts";
import { newFollower } from "../../src/protocol/follower.ts";
import { defaultLimits } from "../../src/protocol/limits.ts";
import { parseAddress } from "../../src/transport/address.ts";
import { LoopbackNetwork } from "../../src/transport/loopback_network.ts";
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

  constructor() {
    const target = { address, key: "there", backoff: { minMs: 5, maxMs: 5 }, crc32c };
    this.line = new Line(target, virtualWorld(this.clock, new Random(1), this.network), this);
  }

  begin() {
    return newFollower({ node: this.name, nodeId: "f0".repeat(16), keyId: null, limits: defaultLimits });
  }

  perform(): void {}

  onEnd(): void {
    this.told.push("end");
  }

  onDisconnect(reason: string): void {
    this.told.push(`disconnect: ${reason}`);
  }

  onError({ code }: MemblastError): void {
    this.told.push(`error ${code}`);
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
  test("gives up where it cannot put into a frame what it has to say", async () => {
    const bench = new Bench();
    bench.name = "n".repeat(300_000);
    await bench.network.listen(address, () => ({ onBytes() {}, onClose() {} }));
    bench.line.connect();
    bench.run(1000);
    expect(bench.told).toEqual(["end", "hopeless TOO_LARGE"]);
  });
});
