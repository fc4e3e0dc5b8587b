import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

setDefaultTimeout(30_000);

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "memblast-program-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** Runs a program of this code; `signal` is sent when it says its first words. */
async function run(code: string, signal?: NodeJS.Signals) {
  const file = join(folder, `${Bun.randomUUIDv7()}.ts`);
  const examples = join(import.meta.dir, "../../examples");
  await Bun.write(
    file,
    `import { program } from ${JSON.stringify(`${examples}/program.ts`)};
     import { MemblastError } from ${JSON.stringify(`${examples}/../src/errors.ts`)};
     ${code}`,
  );
  const env = { ...process.env, NO_COLOR: "1", FORCE_COLOR: undefined };
  const child = Bun.spawn([process.execPath, file], { env, stdio: ["ignore", "pipe", "pipe"] });
  let out = "";
  for await (const bytes of child.stdout) {
    out += new TextDecoder().decode(bytes);
    if (signal) child.kill(signal);
  }
  return { out, err: await new Response(child.stderr).text(), status: await child.exited };
}

const fastCounter = (options: string) => `
  await program(${options}, async (self) => {
    let n = 0;
    self.ready([], () => 0);
    for (; n < 50; n++) {
      self.show({ lines: () => ["panel"], line: () => "line " + n, json: () => ({ n }) });
      await Bun.sleep(1);
    }
  });`;

describe("a program that is not run by the runner", () => {
  test("prints plain lines into a pipe, the first at once and then no more than one a second", async () => {
    const { out, status } = await run(fastCounter("{}"));
    expect(out.split("\n")[0]).toBe("line 0");
    expect(out).not.toContain("\x1b");
    expect(out.trim().split("\n").length).toBeLessThan(50);
    expect(status).toBe(0);
  });

  test("prints every view with --json", async () => {
    const { out } = await run(fastCounter("{ json: true }"));
    const lines = out.trim().split("\n");
    expect(lines.map((line) => JSON.parse(line).n)).toEqual(Array.from({ length: 50 }, (_, n) => n));
  });

  test("makes of an error a sentence with its code, and status 1", async () => {
    const code = `await program({}, async () => {
      throw new MemblastError("ADDRESS_IN_USE", "port 7010 is taken; choose another with --listen");
    });`;
    expect(await run(code)).toMatchObject({
      status: 1,
      out: "",
      err: "port 7010 is taken; choose another with --listen [ADDRESS_IN_USE]\n",
    });
  });

  test("an error from outside of main ends it too", async () => {
    const code = `await program({}, async (self) => {
      self.ready([], () => 0);
      setTimeout(() => self.fail(new Error("the query failed")), 1);
      await self.stopped;
    });`;
    expect(await run(code)).toMatchObject({ status: 1, err: "the query failed\n" });
  });

  test.each(["SIGINT", "SIGTERM", "SIGHUP"] as const)("%s lets main end, with status 0", async (signal) => {
    const code = `await program({}, async (self) => {
      self.ready([], () => 0);
      self.say("up");
      await self.stopped;
      await Bun.sleep(20);
      console.error("closed");
    });`;
    expect(await run(code, signal)).toMatchObject({ status: 0, out: "up\n", err: "closed\n" });
  });

  test("says what it waits for, and can be stopped while it waits", async () => {
    const code = `await program({}, async (self) => {
      self.waitsFor("10.0.0.5:7010");
      await new Promise(() => setInterval(() => {}, 1000));
    });`;
    const out = "waits for 10.0.0.5:7010; is the server running?\n";
    expect(await run(code, "SIGINT")).toMatchObject({ status: 0, out });
  });
});
