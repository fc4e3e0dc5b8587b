import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Address, parseAddress } from "../../src/transport/address.ts";
import { systemTransport } from "../../src/transport/endpoint.ts";
import { Places } from "../../src/transport/places.ts";
import { Random } from "./random.ts";
import { Recorder } from "./recorder.ts";

setDefaultTimeout(30_000);

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "memblast-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const { listen, connect } = systemTransport;
const anyPort: Address = { kind: "tcp", host: "127.0.0.1", port: 0 };
const fault = (attempt: Promise<unknown>) =>
  attempt.then(
    () => "no error",
    (error) => error,
  );

describe("a unix socket's file", () => {
  const address = (name: string) => ({ kind: "unix", path: join(folder, name) }) as const;

  test("belongs to its user alone, and goes with the listener", async () => {
    const listener = await listen(address("mode"), () => null);
    const { mode } = lstatSync(join(folder, "mode"));
    expect((mode & 0o777).toString(8)).toBe("600");
    listener.close();
    expect(existsSync(join(folder, "mode"))).toBe(false);
    expect(readdirSync(folder).filter((name) => name.startsWith("."))).toEqual([]);
  });

  test("is replaced when its process was killed", async () => {
    const path = join(folder, "stale");
    const child = Bun.spawn(
      [
        process.execPath,
        "-e",
        `
      Bun.listen({ unix: ${JSON.stringify(path)}, socket: { data() {} } });
      console.log("up");`,
      ],
      { stdout: "pipe" },
    );
    await child.stdout.getReader().read();
    expect(await fault(listen(address("stale"), () => null))).toMatchObject({ code: "ADDRESS_IN_USE" });
    child.kill("SIGKILL");
    await child.exited;
    expect(existsSync(path)).toBe(true);
    const listener = await listen(address("stale"), () => new Recorder());
    const near = new Recorder();
    const link = await connect(address("stale"), near);
    link.abort();
    listener.close();
  });

  test("is won by exactly one of many that find a dead one", async () => {
    const path = join(folder, "race");
    for (let round = 0; round < 5; round++) {
      const dead = Bun.listen({ unix: `${path}.old`, socket: { data() {} } });
      renameSync(`${path}.old`, path);
      dead.stop(true);
      const outcomes = await Promise.all(
        Array.from({ length: 6 }, () => listen(address("race"), () => null).catch((error) => error)),
      );
      const winners = outcomes.filter((outcome) => "connections" in outcome);
      expect(winners.length).toBe(1);
      for (const loser of outcomes) if (loser !== winners[0]) expect(loser.code).toBe("ADDRESS_IN_USE");
      winners[0].close();
    }
  });

  test("that is no socket is left alone", async () => {
    writeFileSync(join(folder, "notes"), "mine");
    expect(await fault(listen(address("notes"), () => null))).toMatchObject({ code: "ADDRESS_IN_USE" });
    expect(await Bun.file(join(folder, "notes")).text()).toBe("mine");
  });

  test("that has taken the place of ours is left alone", async () => {
    const listener = await listen(address("taken"), () => null);
    rmSync(join(folder, "taken"));
    writeFileSync(join(folder, "taken"), "another's");
    listener.close();
    expect(existsSync(join(folder, "taken"))).toBe(true);
  });

  test("of a relative path is where it was when the listener began, and known by that", async () => {
    const before = process.cwd();
    process.chdir(folder);
    try {
      const listener = await listen(parseAddress("unix:relative"), () => new Recorder());
      process.chdir("/");
      expect(listener.address).toEqual({ kind: "unix", path: join(folder, "relative") });
      const link = await connect(listener.address, new Recorder());
      link.abort();
      listener.close();
      expect(existsSync(join(folder, "relative"))).toBe(false);
    } finally {
      process.chdir(before);
    }
  });

  test("may be named by a short path from a folder that is too deep for a socket", async () => {
    const before = process.cwd();
    const deep = join(folder, "d".repeat(100));
    mkdirSync(deep);
    process.chdir(deep);
    try {
      const listener = await listen(parseAddress("unix:s"), () => new Recorder());
      expect(listener.address).toEqual({ kind: "unix", path: "s" });
      const link = await connect(listener.address, new Recorder());
      link.abort();
      process.chdir("/");
      listener.close();
      expect(readdirSync(deep)).toEqual([]);
    } finally {
      process.chdir(before);
    }
  });

  test("needs its folder, and a short name", async () => {
    expect(await fault(listen(address("no/such"), () => null))).toMatchObject({
      code: "INVALID_ADDRESS",
      details: { systemCode: "ENOENT" },
    });
    const deep = { kind: "unix", path: join(folder, "x".repeat(100)) } as const;
    expect(await fault(listen(deep, () => null))).toMatchObject({ code: "INVALID_ADDRESS" });
  });
});

describe("addresses that do not serve", () => {
  test.each<[string, string]>([
    ["unknown host", "no.such.host.invalid:7010"],
    ["refused", "unix:/no/such/folder/socket"],
  ])("connect: %s", async (reason, text) => {
    const near = new Recorder();
    const error = await fault(connect(parseAddress(text), near));
    expect(error).toMatchObject({ code: "CONNECT_FAILED", details: { reason, address: text } });
    expect(near.events).toEqual([]);
  });

  test("listen: not of this machine, and a port that is taken", async () => {
    // 192.0.2.0/24 is for documentation: nobody has it
    expect(await fault(listen(parseAddress("192.0.2.7:0"), () => null))).toMatchObject({
      code: "INVALID_ADDRESS",
    });
    const taken = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    const error = await fault(listen({ ...anyPort, port: taken.port }, () => null));
    expect(error).toMatchObject({ code: "ADDRESS_IN_USE", details: { port: taken.port } });
    expect(error.message).toContain(String(taken.port));
    taken.stop(true);
  });

  test("port 0 is no port to connect to", async () => {
    expect(await fault(connect(anyPort, new Recorder()))).toMatchObject({ code: "INVALID_ADDRESS" });
  });
});

describe("streams", () => {
  test("what the system has taken arrives even if the reader looks after the close has given up", async () => {
    const far = new Recorder({ onOpen: (link) => link.pause() });
    const listener = await listen(anyPort, () => far);
    const near = new Recorder();
    const link = await connect(listener.address, near, { closeTimeoutMs: 20 });
    await far.opened.promise;
    const bytes = new Random().bytes(50_000);
    expect(link.write([bytes])).toBe(true);
    expect(link.queuedBytes).toBe(0);
    link.close();
    expect(await near.closed.promise).toMatchObject({ code: "LINK_CLOSED", details: {} });
    far.link!.resume();
    expect(await far.closed.promise).toBeUndefined();
    expect(far.received()).toEqual(bytes);
    listener.close();
  });

  test("a process that is killed in mid-stream gives one onClose, and nothing after it", async () => {
    const far = new Recorder();
    const listener = await listen(anyPort, () => far);
    const { port } = listener.address as { port: number };
    const child = Bun.spawn([
      process.execPath,
      "-e",
      `
      const flood = (socket) => { while (socket.write(new Uint8Array(65536)) > 0); };
      await Bun.connect({ hostname: "127.0.0.1", port: ${port}, socket: { data() {}, open: flood, drain: flood } });`,
    ]);
    await far.until(() => far.receivedBytes > 1_000_000);
    child.kill("SIGKILL");
    await far.closed.promise;
    await Bun.sleep(10);
    expect(far.closes).toBe(1);
    expect(far.faults).toEqual([]);
    listener.close();
  });

  test("links that were reset before they were accepted take no place", async () => {
    const arrived: Recorder[] = [];
    const accept = () => arrived[arrived.push(new Recorder()) - 1]!;
    const places = new Places(64);
    const listener = await listen(anyPort, accept, { places });
    const { port } = listener.address as { port: number };
    const script = `
      import { connect } from "node:net";
      for (let i = 0; i < 40; i++)
        await new Promise((resolve) => {
          const socket = connect(${port}, "127.0.0.1", () => socket.resetAndDestroy());
          socket.on("close", resolve);
        });`;
    // nothing is accepted here until all of them have gone
    expect(Bun.spawnSync([process.execPath, "-e", script]).exitCode).toBe(0);
    const near = new Recorder();
    const link = await connect(listener.address, near);
    link.write([Uint8Array.of(1)]);
    while (!arrived.some(({ receivedBytes }) => receivedBytes === 1)) await Bun.sleep(1);
    while (places.taken > 1) await Bun.sleep(1);
    expect(listener.connections).toBe(1);
    link.abort();
    listener.close();
  });

  test("a listener stays below the limit on open files, and serves those it has", async () => {
    const script = `
      const { systemTransport } = await import(${JSON.stringify(import.meta.resolve("../../src/transport/endpoint.ts"))});
      const listener = await systemTransport.listen({ kind: "tcp", host: "127.0.0.1", port: 0 }, () => ({
        onBytes: (link, bytes) => link.write([bytes]),
        onClose() {},
      }));
      console.log(listener.address.port);
      process.stdin.on("data", () => console.log(listener.connections, listener.refused));`;
    const child = Bun.spawn(["sh", "-c", `ulimit -n 96; exec "${process.execPath}" -e '${script}'`], {
      stdin: "pipe",
      stdout: "pipe",
    });
    const output = child.stdout.getReader();
    const read = async () => new TextDecoder().decode((await output.read()).value).trim();
    const address: Address = { kind: "tcp", host: "127.0.0.1", port: Number(await read()) };
    const ends = Array.from({ length: 80 }, () => new Recorder());
    await Promise.all(ends.map((end) => connect(address, end).catch(() => {})));
    const standing = () => ends.filter((end) => end.link && end.closes === 0);
    while (standing().length > 32) await Bun.sleep(1);
    child.stdin.write("?");
    await child.stdin.flush();
    expect(await read()).toBe("32 48");
    const [first] = standing();
    first!.link!.write([Uint8Array.of(1)]);
    await first!.until(() => first!.receivedBytes === 1);
    for (const end of standing()) end.link!.abort();
    child.kill();
  });
});
