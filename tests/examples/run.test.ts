import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { examples } from "../../examples/registry.ts";

setDefaultTimeout(30_000);

const root = join(import.meta.dir, "../..");
let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "memblast-run-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function run(...args: string[]) {
  const { FORCE_COLOR: _, ...env } = process.env;
  const child = Bun.spawn([process.execPath, "examples/run.ts", ...args], {
    cwd: root,
    env: { ...env, NO_COLOR: "1" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [out, err, status] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { out, err, status };
}

describe("bun run examples", () => {
  test("--list names every example with a line", async () => {
    const { out, status } = await run("--list");
    expect(status).toBe(0);
    expect(out.trim().split("\n")).toHaveLength(examples.length);
    const width = Math.max(...examples.map(({ name }) => name.length));
    for (const { name, about } of examples) expect(out).toContain(`${name.padEnd(width)}  ${about}`);
  });

  test("--help shows the options and examples", async () => {
    const { out, status } = await run("--help");
    expect(status).toBe(0);
    for (const part of ["--seconds N", "--json FILE", "--list", "bun run examples tickers"])
      expect(out).toContain(part);
  });

  test("a name it does not know, or a wrong option, is status 2 and a sentence", async () => {
    expect(await run("life2")).toMatchObject({
      status: 2,
      err: expect.stringContaining('there is no "life2"'),
    });
    expect(await run("--seconds", "x")).toMatchObject({
      status: 2,
      err: expect.stringContaining("--seconds must be a number from 0 to 86400"),
    });
  });

  test("all pass: values equal on both sides, versions reached, plain lines, a JSON file", async () => {
    const file = join(folder, "out.json");
    const { out, err, status } = await run("--seconds", "1", "--json", file);
    expect(err).toBe("");
    const results = (await Bun.file(file).json()) as {
      name: string;
      passed: boolean;
      figure: string;
      seconds: number;
    }[];
    expect(results.filter(({ passed }) => !passed)).toEqual([]);
    expect(results.map(({ name }) => name)).toEqual(examples.map(({ name }) => name));
    for (const { name, figure, seconds } of results) {
      expect(figure).toMatch(/^version \d+ reached, \d+ arrays? bit-equal in \d+ programs/);
      expect(seconds).toBeGreaterThanOrEqual(1);
      expect(out).toMatch(new RegExp(`^passed  ${name} .*version \\d+ reached`, "m"));
    }
    expect(out).not.toContain("\x1b");
    expect(status).toBe(0);
  }, 300_000);
});
