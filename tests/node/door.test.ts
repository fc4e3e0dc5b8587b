import { describe, expect, setDefaultTimeout, test } from "bun:test";
import type { Socket } from "bun";
import { type MemblastError, type Node, start, type StartOptions } from "../../src/index.ts";
import {
  addressOf,
  Doorkeeper,
  failuresMax,
  holdMsMax,
  periodMs,
  type Stranger,
} from "../../src/node/doors/doorkeeper.ts";
import { Node as NodeOf } from "../../src/node/node.ts";
import { Secret } from "../../src/node/options/secrets.ts";
import { certificates } from "../transport/certificates.ts";
import { comingFrom } from "./abroad.ts";
import { codeOf, until } from "./until.ts";

setDefaultTimeout(30_000);

const secret = "correct horse battery staple";
const fast = { reconnect: { minMs: 5, maxMs: 50 } };

function follower(server: Node, options: Partial<StartOptions> = {}, name = "f"): Promise<Node> {
  return start(name, { server: server.addresses[0]!, shape: [8], ...fast, ...options });
}

function errorsOf(node: Node): MemblastError[] {
  const errors: MemblastError[] = [];
  node.on("error", (error) => errors.push(error));
  return errors;
}

describe("secrets", () => {
  test("who knows the secret follows; who knows another, another key or none is told so and gives up", async () => {
    await using server = await start("s", { listen: 0, shape: [8], secrets: { desk: { secret } } });
    const errors = errorsOf(server);
    server.write((a) => a.fill(1));
    await using right = await follower(server, { secret: { keyId: "desk", secret } });
    await right.ready;
    expect(right.ndarray().get(3)).toBe(1);
    expect(server.stats().links[0]).toMatchObject({ peer: "f", key: "desk" });

    const wrong = [
      { keyId: "desk", secret: `${secret}r` },
      { keyId: "desks", secret },
      { keyId: "__proto__", secret },
      undefined,
    ];
    for (const [i, proof] of wrong.entries()) {
      await using node = await follower(server, { ...(proof && { secret: proof }) }, `w${i}`);
      const told = errorsOf(node);
      expect(await codeOf(() => node.ready)).toBe("REFUSED");
      await until(() => told.length === 1, "the event");
      expect(told[0]!.details["reason"]).toBe("AUTH");
      if (!proof) expect(told[0]!.message).toEndWith("give the option secret: { keyId, secret }.");
    }
    await until(() => server.stats().door.faulty === 4, "the server to have seen them all");
    expect(new Set(errors.map((error) => error.details["reason"]))).toEqual(new Set(["AUTH"])); // not each is told
    expect(server.stats().door.failedProofs).toBe(3);
    server.write((a) => a.fill(2));
    await until(() => right.ndarray().get(3) === 2, "the honest follower, undisturbed");
  });

  test("a secret per server, bytes as well as text", async () => {
    const bytes = crypto.getRandomValues(new Uint8Array(32));
    await using a = await start("a", { listen: 0, shape: [2], secrets: { k: { secret } } });
    await using b = await start("b", { listen: 0, shape: [2], secrets: { k: { secret: bytes } } });
    const map = (name: string) => [[[0], [2], null, name]] as [number[], number[], null, string][];
    await using both = await start("c", {
      servers: [
        { address: a.addresses[0]!, maps: map("a") },
        { address: b.addresses[0]!, maps: map("b"), secret: { keyId: "k", secret: bytes } },
      ],
      secret: { keyId: "k", secret },
    });
    await both.ready;
    expect(both.stats().links.map((link) => link.key)).toEqual(["k", "k"]);
  });

  test("a secret is a copy of what was given, also of a Buffer", async () => {
    const bytes = Buffer.from(secret);
    await using server = await start("s", { listen: 0, shape: [8], secrets: { desk: { secret: bytes } } });
    bytes.fill(0);
    await using node = await follower(server, { secret: { keyId: "desk", secret } });
    await node.ready;
  });

  test("a secret does not show itself", async () => {
    const shown = [
      Bun.inspect(new Secret(secret), { depth: 9 }),
      JSON.stringify(new Secret(secret)),
      String(new Secret(secret)),
    ];
    await using server = await start("s", { listen: 0, shape: [8], secrets: { desk: { secret } } });
    await using node = await follower(server, { secret: { keyId: "desk", secret: `not ${secret}` } });
    const errors = [...errorsOf(server), ...errorsOf(node)];
    await codeOf(() => node.ready);
    shown.push(...errors.map((error) => Bun.inspect(error, { depth: 9 })));
    for (const each of [server, node]) shown.push(Bun.inspect(each, { depth: 9 }), Bun.inspect(each.stats()));
    const late = await start("x", { shape: [2], secrets: { [""]: { secret } } } as StartOptions).catch(
      (error: unknown) => Bun.inspect(error, { depth: 9 }),
    );
    shown.push(String(late));
    for (const text of shown) expect(text).not.toContain("horse");
    expect(shown.join("")).not.toContain(Buffer.from(secret).toString("hex"));
    expect(shown.join("")).not.toContain([...Buffer.from(secret)].slice(0, 5).join(","));
  });

  test("the secret does not travel: nothing of it is in what either side sends", async () => {
    await using server = await start("s", { listen: 0, shape: [8], secrets: { desk: { secret } } });
    let heard = "";
    const relay = Bun.listen<{ far: Socket | null; wait: Uint8Array[] }>({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        open: (near) => {
          near.data = { far: null, wait: [] };
          void Bun.connect({
            hostname: "127.0.0.1",
            port: Number(server.addresses[0]!.split(":")[1]),
            socket: {
              open: (far) => {
                near.data.far = far;
                for (const bytes of near.data.wait) far.write(bytes);
              },
              data: (_, bytes) => {
                heard += bytes.toString("latin1");
                near.write(bytes);
              },
              close: () => void near.end(),
            },
          });
        },
        data: (near, bytes) => {
          heard += bytes.toString("latin1");
          if (near.data.far) near.data.far.write(bytes);
          else near.data.wait.push(bytes.slice());
        },
        close: (near) => void near.data.far?.end(),
      },
    });
    try {
      await using node = await start("f", {
        server: relay.port,
        shape: [8],
        secret: { keyId: "desk", secret },
      });
      await node.ready;
      expect(heard).toContain("hmac-sha256");
      for (const part of [
        "correct horse",
        Buffer.from(secret).toString("hex"),
        Buffer.from(secret).toString("base64"),
      ])
        expect(heard).not.toContain(part);
    } finally {
      relay.stop(true);
    }
  });

  test.each([
    { secrets: {} },
    { secrets: { k: { secret: "short" } } },
    { secrets: { k: { secret: 5 } } },
    { secrets: { k: { secret, array: [] } } },
    { secret: { keyId: "k" } },
    { secret: { keyId: "a\nb", secret } },
  ])("%j is refused with INVALID_OPTION", async (options) => {
    expect(await codeOf(() => start("s", { listen: 0, shape: [2], ...options } as StartOptions))).toBe(
      "INVALID_OPTION",
    );
  });

  test("with secrets a node may listen beyond this machine", async () => {
    await using server = await start("s", { listen: "0.0.0.0:0", shape: [2], secrets: { k: { secret } } });
    expect(server.addresses[0]).toStartWith("0.0.0.0:");
  });
});

describe("rights", () => {
  const arrays = { open: { shape: [4] }, shut: { shape: [4] } };
  const secrets = {
    some: { secret, arrays: ["open"], regions: [{ start: [2, 0], shape: [2, 10] }] },
    none: { secret, arrays: [] },
    all: { secret },
  };
  const box = (array: string | null, start: number[], shape: number[]) => ({ array, start, shape });
  const landing = (map: ReturnType<typeof box>) => ({
    ...map,
    to: { array: "in", start: map.start.map(() => 0) },
  });

  test.each([
    ["some", box("open", [0], [4]), true],
    ["some", box("open", [1], [2]), true],
    ["some", box(null, [2, 3], [2, 4]), true],
    ["some", box(null, [1, 0], [2, 10]), false],
    ["some", box("shut", [0], [1]), false],
    ["none", box("open", [0], [1]), false],
    ["all", box("shut", [0], [4]), true],
  ] as const)("key %s, %j: %p", async (keyId, map, may) => {
    await using server = await start("s", { listen: 0, shape: [5, 10], arrays, secrets });
    server.write((a, tx) => {
      a.fill(1);
      for (const name of ["open", "shut"]) tx.array(name).fill(1);
    });
    await using node = await start("f", {
      server: server.addresses[0]!,
      secret: { keyId, secret },
      maps: [landing(map)],
    });
    const errors = errorsOf(node);
    expect(await codeOf(() => node.ready)).toBe(may ? "none" : "REFUSED");
    if (may)
      expect(new Set<unknown>(Array.from(node.ndarray("in").data as Float64Array))).toEqual(new Set([1]));
    else {
      expect(errors[0]!.details["reason"]).toBe("FORBIDDEN");
      expect(errors[0]!.message).toMatch(/key does not open \[.* from \[.* of .*: follow less, by maps\.$/);
    }
  });

  test("a right to what is not there is a mistake, said at the start", async () => {
    const wrong = { k: { secret, arrays: ["opne"] } };
    expect(await codeOf(() => start("s", { listen: 0, shape: [5, 10], arrays, secrets: wrong }))).toStartWith(
      "INVALID_",
    );
    const large = { k: { secret, regions: [{ start: [4, 0], shape: [2, 10] }] } };
    expect(await codeOf(() => start("s", { listen: 0, shape: [5, 10], arrays, secrets: large }))).toBe(
      "INVALID_REGION",
    );
  });
});

describe("the door", () => {
  function silent(server: Node, onClose: () => void, first?: Uint8Array): Promise<Socket> {
    const port = Number(server.addresses[0]!.split(":")[1]);
    return Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: {
        open: (socket) => void (first && socket.write(first)),
        data() {},
        close: onClose,
        error() {},
      },
    });
  }

  test("silent links are counted, gone within three seconds, and hold up nobody", async () => {
    await using server = await start("s", { listen: 0, shape: [8], secrets: { k: { secret } } });
    const errors = errorsOf(server);
    let gone = 0;
    const begun = performance.now();
    const sockets = await Promise.all(Array.from({ length: 300 }, () => silent(server, () => gone++)));
    await until(() => server.stats().door.evicted === 44, "those above 256 to be sent away");
    expect(server.stats().door.strangers).toBe(256);
    await using honest = await follower(server, { secret: { keyId: "k", secret } });
    await honest.ready;
    expect(performance.now() - begun).toBeLessThan(2400); // while all of them still stand there
    await until(() => gone === sockets.length, "all of them to be gone");
    await until(() => server.stats().links.length === 1, "the server to have forgotten them");
    expect(server.stats().door).toMatchObject({ strangers: 0, slow: 256 - 1 });
    expect(errors).toEqual([]);
    server.write((a) => a.fill(7));
    await until(() => honest.ndarray().get(0) === 7, "the honest follower");
  }, 20_000);

  test("where there is no place left, one who is sent away leaves his at once: nobody is turned away unseen", async () => {
    await using server = await start("s", { listen: 0, shape: [8], connectionsMax: 20 });
    for (let i = 0; i < 30; i++) await Promise.all(Array.from({ length: 5 }, () => silent(server, () => {}))); // 150 within less than 250 ms
    const { evicted, refused, strangers } = server.stats().door;
    expect(strangers).toBe(10);
    expect(evicted).toBeGreaterThan(100);
    expect(refused).toBeLessThan(10);
  });

  test.each(["tls", "wss"])(
    "silent links at a %s door do not keep an honest one out either",
    async (kind) => {
      const listen = kind === "tls" ? "tls:127.0.0.1:0" : "wss://127.0.0.1:0/";
      await using server = await start("s", { listen, shape: [8], tls: certificates.server });
      const address = server.addresses[0]!;
      const port = Number(/:(\d+)\/?$/.exec(address)![1]);
      let gone = 0;
      const count = 400;
      for (let i = 0; i < count; i++)
        void Bun.connect({
          hostname: "127.0.0.1",
          port,
          socket: { data() {}, close: () => void gone++, error() {} },
        }).catch(() => gone++);
      await until(() => server.stats().door.evicted === count - 256, "those above 256 to be sent away");
      expect(server.stats().door.strangers).toBe(256);
      await using honest = await follower(server, { tls: { ca: certificates.authority } });
      await honest.ready;
      expect(server.stats().door.strangers).toBeGreaterThan(200); // all the others still stand there
      await until(() => gone === count, "all of them to be gone");
      expect(server.stats().door).toMatchObject({ strangers: 0, refused: 0 });
      expect(server.stats().door.slow).toBeGreaterThanOrEqual(255); // the honest one may have taken a place, too
      expect(honest.stats().links[0]!.state).toBe("live");
    },
    20_000,
  );

  test("all handshakes of a link together have as long as one alone", async () => {
    await using server = await start("s", { listen: "ws://127.0.0.1:0/", shape: [8] });
    const port = new URL(server.addresses[0]!).port;
    const head =
      `GET / HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    const gone: string[] = [];
    const open = (name: string) =>
      silent({ addresses: [`:${port}`] } as unknown as Node, () => void gone.push(name));
    const late = await open("late");
    await Bun.sleep(1500);
    await open("early");
    late.write(head); // it says as little as it can, as late as it can
    await until(() => gone.length === 2, "both to be gone");
    expect(gone).toEqual(["late", "early"]);
    expect(server.stats().door.slow).toBe(2);
  }, 20_000);

  test("ten wrong proofs bar an address for a minute, whatever it then proves", async () => {
    let now = 0;
    const doorkeeper = new Doorkeeper(() => now);
    for (let i = 0; i < failuresMax; i++) {
      expect(doorkeeper.isBarred("a")).toBe(false);
      doorkeeper.failed("a");
      now += 1000;
    }
    expect([doorkeeper.isBarred("a"), doorkeeper.isBarred("b")]).toEqual([true, false]);
    now = periodMs - 1;
    expect(doorkeeper.isBarred("a")).toBe(true);
    now = periodMs;
    expect(doorkeeper.isBarred("a")).toBe(false);
    doorkeeper.failed("a");
    expect(doorkeeper.isBarred("a")).toBe(true);
    for (let i = 0; i < 10_000; i++) doorkeeper.failed(`other ${i}`);
    expect(doorkeeper.isBarred("a")).toBe(false); // forgotten: the memory for this has an end

    const options = { listen: 0, shape: [8], secrets: { k: { secret } } };
    await using server = await NodeOf.start("s", options, comingFrom("192.0.2.7:4000"));
    server.on("error", () => {});
    for (let i = 0; i < failuresMax; i++) {
      await using node = await follower(server, { secret: { keyId: "k", secret: `${secret} ${i}` } });
      node.on("error", () => {});
      expect(await codeOf(() => node.ready)).toBe("REFUSED");
    }
    await using node = await follower(server, { secret: { keyId: "k", secret } });
    const errors = errorsOf(node);
    await until(() => errors.length > 0, "being told to come back later");
    expect(errors[0]!.details["reason"]).toBe("LIMIT");
    expect(server.stats().door).toMatchObject({ failedProofs: failuresMax, held: 0 });
    expect(server.stats().door.turnedAway).toBeGreaterThan(0);
  });

  test("an address of this machine is never barred: after ten wrong proofs it waits, each link for a time of its own", () => {
    let now = 0;
    const doorkeeper = new Doorkeeper(() => now);
    const [here, file] = [addressOf("127.0.0.1:5"), addressOf("unix:/run/a")];
    for (let i = 0; i < failuresMax; i++) {
      expect(doorkeeper.holdMs(here, () => 1)).toBe(0);
      doorkeeper.failed(here);
    }
    expect([doorkeeper.isBarred(here), doorkeeper.isBarred(file)]).toEqual([false, false]);
    expect([1, 0.5, 0].map((random) => doorkeeper.holdMs(here, () => random))).toEqual([
      holdMsMax,
      holdMsMax / 2,
      0,
    ]);
    const elsewhere = [file, addressOf("192.0.2.7:4000")];
    expect(elsewhere.map((address) => doorkeeper.holdMs(address, () => 1))).toEqual([0, 0]);
    now = periodMs;
    expect(doorkeeper.holdMs(here, () => 1)).toBe(0);
  });

  test("room is made by the oldest of the most crowded address", () => {
    const doorkeeper = new Doorkeeper(() => 0, { strangersMax: 5, strangersPerAddressMax: 3 });
    const sent: string[] = [];
    const enter = (address: string, id: string): Stranger => {
      const stranger = { address, evict: () => void sent.push(id) };
      doorkeeper.enter(stranger);
      return stranger;
    };
    const first = enter("a", "a1");
    for (const id of ["a2", "a3", "a4"]) enter("a", id);
    expect(sent).toEqual(["a1"]);
    doorkeeper.leave(first); // twice is nothing
    enter("b", "b1");
    enter("c", "c1");
    enter("d", "d1");
    expect(sent).toEqual(["a1", "a2"]);
    expect([doorkeeper.strangers, doorkeeper.counters.evicted]).toEqual([5, 2]);
  });

  test.each([
    ["1.2.3.4:80", "1.2.3.4"],
    ["[2001:DB8::1]:80", "2001:db8:0:0::/64"],
    ["[2001:db8:0:0:1:2:3:4]:9", "2001:db8:0:0::/64"],
    ["[::1]:5", "this machine"],
    ["127.0.0.1:3", "this machine"],
    ["unix:/run/memblast.sock", "unix:/run/memblast.sock"],
    ["/run/memblast.sock", "this machine"],
    ["", "this machine"],
  ])("%s counts as %s", (remote, address) => expect(addressOf(remote)).toBe(address));

  test("with uniqueNames, a second node of the same name is refused while the first is there, and the first does not notice", async () => {
    await using server = await start("s", { listen: 0, shape: [8], uniqueNames: true });
    server.on("error", () => {});
    let disconnects = 0;
    server.on("disconnect", () => disconnects++);
    const first = await follower(server);
    await first.ready;
    await using second = await follower(server);
    const errors = errorsOf(second);
    await until(() => errors.length === 1, "the refusal");
    expect([errors[0]!.code, errors[0]!.details["reason"]]).toEqual(["REFUSED", "NAME_TAKEN"]);
    server.write((a) => a.fill(3));
    await until(() => first.ndarray().get(0) === 3, "the first");
    expect(disconnects).toBe(0);
    await first.close();
    await second.ready; // the name is free again
    expect(errors.length).toBe(1);
  });

  test("one node may follow the same server twice, and has the lower of both versions", async () => {
    await using server = await start("s", { listen: 0, shape: [800] });
    const address = server.addresses[0]!;
    await using node = await start("f", {
      servers: [
        { address, maps: [[[0], [400], null, "left"]] },
        { address, maps: [[[400], [400], null, "right"]] },
      ],
    });
    await node.ready;
    expect(server.stats().links.length).toBe(2);
    for (const [side, at] of [
      ["right", 700],
      ["left", 0],
    ] as const) {
      const before = node.version[address];
      server.write((a) => a.set(at, 1)); // nothing new to the other link
      await until(() => node.ndarray(side).get(at % 400) === 1, `the change on the ${side}`);
      expect(node.version[address]).toBe(side === "left" ? 1 : before!);
    }
  });

  test("what is committed before the end arrives before the goodbye", async () => {
    const server = await start("s", { listen: 0, shape: [2_000_000] });
    await using latest = await follower(server, { shape: [2_000_000] });
    await using every = await follower(server, { shape: [2_000_000], mode: "every" }, "g");
    await Promise.all([latest.ready, every.ready]);
    const versions: number[] = [];
    every.onUpdate(({ sourceVersion }) => versions.push(sourceVersion));
    for (let i = 1; i <= 3; i++) server.write((a) => a.set(0, i));
    server.write((a) => a.fill(9));
    await server.close();
    await until(() => versions.at(-1) === 4 && latest.ndarray().get(1_999_999) === 9, "the last commit");
    expect(versions).toEqual([1, 2, 3, 4]);
  });

  test("a server that is only restarted says when to come back", async () => {
    const server = await start("s", { listen: 0, shape: [8] });
    await using node = await follower(server);
    await node.ready;
    const reasons: string[] = [];
    node.on("disconnect", ({ reason }) => reasons.push(reason));
    const errors = errorsOf(node);
    expect(await codeOf(() => server.close({ retryAfterMs: -1 }))).toBe("INVALID_OPTION");
    const address = server.addresses[0]!;
    await server.close({ retryAfterMs: 300 });
    await using again = await start("s", { listen: address, shape: [8] });
    again.write((a) => a.fill(4));
    const begun = performance.now();
    await until(() => node.ndarray().get(0) === 4, "the new server's bytes");
    expect(performance.now() - begun).toBeGreaterThan(150);
    expect([reasons, errors]).toEqual([["the peer said goodbye: closing"], []]);
  });
});
