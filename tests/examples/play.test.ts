import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { play, type Stage } from "../../examples/play.ts";
import type { Example } from "../../examples/registry.ts";

setDefaultTimeout(30_000);

/** Programs of a toy example: a counter that "serves" its number in a file, and one that reads it. */
const programs = {
  "server.ts": `await program({}, async (self) => {
    let version = 0;
    const write = () => require("fs").writeFileSync(import.meta.dir + "/count", String(++version));
    write();
    self.every(5, write);
    self.reports(() => ({ versions: {}, digests: { count: String(version) }, values: { half: version / 2 }, problems: [] }));
    self.ready(["toy:1"], () => version);
    self.show({ lines: () => ["server at " + version], line: () => "at " + version });
    await self.stopped;
  });`,
  "client.ts": `await program({}, async (self) => {
    const read = () => Number(require("fs").readFileSync(import.meta.dir + "/count", "utf8"));
    self.reports(async (goal) => {
      await caughtUp(goal, process.argv[2], read);
      return { versions: { [process.argv[2]]: read() }, digests: { count: String(read()) }, values: { half: read() / 2 }, problems: [] };
    });
    self.ready([], () => 0);
    await self.stopped;
  });`,
  "liar.ts": `await program({}, async (self) => {
    self.reports((goal) => ({ versions: goal, digests: { count: "wrong" }, values: {}, problems: [] }));
    self.ready([], () => 0);
    await self.stopped;
  });`,
  "thrower.ts": `await program({}, async () => { throw new Error("port 7010 is taken"); });`,
  "crasher.ts": `console.error("cannot go on"); process.exit(3);`,
  "deaf.ts": `process.on("SIGTERM", () => {}); process.send({ kind: "ready", addresses: [] });
    process.on("message", (m) => process.send(m.kind === "quiet" ? { kind: "quiet", version: 0 }
      : { kind: "report", report: { versions: {} } }));`,
  "stranger.ts": `process.send({ kind: "hello" }); setInterval(() => {}, 1000);`,
  "room.ts": `await program({}, async (self) => {
    self.ready([], () => 0);
    self.say(process.env.COLUMNS + "x" + process.env.LINES);
    await self.stopped;
  });`,
  "pid.ts": `await program({}, async (self) => {
    require("fs").writeFileSync(import.meta.dir + "/" + process.argv[2], String(process.pid));
    self.ready([], () => 0);
    await self.stopped;
  });`,
};

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "memblast-play-"));
  const helpers = join(import.meta.dir, "../../examples/program.ts");
  for (const [file, code] of Object.entries(programs)) {
    await Bun.write(
      join(folder, file),
      `import { program, caughtUp } from ${JSON.stringify(helpers)};\n${code}`,
    );
  }
});

afterAll(() => rm(folder, { recursive: true }));

function stage(changes: Partial<Stage> = {}): Stage & { heard: string[] } {
  const heard: string[] = [];
  return {
    folder,
    enough: () => Bun.sleep(100),
    view: "lines",
    colour: false,
    panel: (label, lines) => heard.push(`${label}| ${lines.join("/")}`),
    line: (label, line) => heard.push(`${label}: ${line}`),
    heard,
    ...changes,
  };
}

function example(...files: string[]): Example {
  const program = (file: string) => ({
    label: file,
    file: `${file}.ts`,
    args: (servers: readonly string[]) => servers,
  });
  return { name: "toy", about: "", versionsMin: 3, programs: files.map(program) };
}

describe("play", () => {
  test("passes when server and client end with the same", async () => {
    const result = await play(example("server", "client"), stage());
    expect(result).toMatchObject({ name: "toy", passed: true });
    expect(result.figure).toMatch(
      /^version \d+ reached, 1 array bit-equal in 2 programs, 1 computed values equal/,
    );
    expect(result.seconds).toBeGreaterThan(0.09);
  });

  test("shows lines, or panels, of its programs", async () => {
    const lines = stage();
    await play(example("server", "client"), lines);
    expect(lines.heard).toEqual(["server: at 1"]);
    const panels = stage({ view: "panel" });
    await play(example("server", "client"), panels);
    expect(panels.heard).toEqual(["server| server at 1"]);
  });

  test("tells its programs how much of the terminal is theirs", async () => {
    const one = stage({ size: { columns: 90, lines: 40 } });
    await play(example("room"), one);
    expect(one.heard).toEqual(["room: 90x34"]);
    const three = stage({ size: { columns: 90, lines: 40 } });
    await play(example("room", "room", "room"), three);
    // The first one's title and head, then twice a title with its block.
    expect(three.heard[0]).toBe("room: 90x16");
    expect(4 + 2 * (2 + 16)).toBeLessThanOrEqual(40);
  });

  test.each([
    [["server", "liar"], /^count is \d+ in server but wrong in liar/],
    [["server", "thrower"], /^thrower: port 7010 is taken$/],
    [["server", "crasher"], /^crasher ended by itself \(3\): cannot go on$/],
    [["server", "stranger"], /^stranger sent the runner something it does not know$/],
    [["server"], /only 0 of at least 3 versions reached; no two programs/],
  ])("fails for %j with a sentence", async (files, sentence) => {
    const result = await play(example(...files), stage());
    expect(result.passed).toBe(false);
    expect(result.figure).toMatch(sentence);
  });

  test("a program that does not stop is killed, and that is a failure", async () => {
    const result = await play(example("server", "client", "deaf"), stage({ graceMs: 100 }));
    expect(result).toMatchObject({ passed: false, figure: "deaf did not stop within 0.1 s" });
  });

  test("a program that dies in the middle fails the example at once", async () => {
    const slow = stage({ enough: () => new Promise(() => {}) });
    const playing = play(example("server", "pid"), { ...slow });
    const pid = await pidIn("toy:1");
    process.kill(pid, "SIGKILL");
    expect((await playing).figure).toMatch(/^pid ended by itself \(SIGKILL\)/);
  });

  test("children do not outlive a runner that is killed", async () => {
    const runner = `
      import { play } from ${JSON.stringify(join(import.meta.dir, "../../examples/play.ts"))};
      const row = (name) => ({ label: name, file: "pid.ts", args: () => [name] });
      await play({ name: "x", about: "", versionsMin: 0, programs: [row("one"), row("two")] },
        { folder: ${JSON.stringify(folder)}, enough: () => new Promise(() => {}), view: "lines", panel() {}, line() {} });`;
    await Bun.write(join(folder, "runner.ts"), runner);
    const process_ = Bun.spawn([process.execPath, join(folder, "runner.ts")], {
      stdio: ["ignore", "ignore", "ignore"],
    });
    const pids = [await pidIn("one"), await pidIn("two")];
    expect(pids.every(alive)).toBe(true);
    process_.kill("SIGKILL");
    await process_.exited;
    for (let i = 0; i < 500 && pids.some(alive); i++) await Bun.sleep(10);
    expect(pids.filter(alive)).toEqual([]);
  });
});

async function pidIn(file: string): Promise<number> {
  for (let i = 0; i < 1000; i++) {
    const text = await readFile(join(folder, file), "utf8").catch(() => "");
    if (text) return Number(text);
    await Bun.sleep(10);
  }
  throw new Error(`${file} was never written`);
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
