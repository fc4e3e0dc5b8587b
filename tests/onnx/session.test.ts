/** With the real ONNX Runtime, always in a child: it has crashed at the end of a process under `bun test`. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";

setDefaultTimeout(60_000);

const child = (file: string, ...args: string[]) =>
  Bun.spawn([process.execPath, join(import.meta.dir, "children", file), ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });

describe("ONNX Runtime beside a process that commits without a pause", () => {
  const name = `onnx-whole-${process.pid}-${Math.random().toString(36).slice(2, 10)}`;
  let writer: ReturnType<typeof child>;
  let address = "";

  beforeAll(async () => {
    writer = child("writer.ts", name);
    const reader = writer.stdout.getReader();
    const { value } = await reader.read();
    reader.releaseLock();
    address = new TextDecoder().decode(value).trim();
  });
  afterAll(async () => {
    writer.kill("SIGTERM"); // lets it take its segment away
    await writer.exited;
  });

  const run = async (how: string, kind: string, runs: number) => {
    const one = child("whole.ts", how, kind, kind === "attach" ? name : address, `${runs}`);
    const out = await new Response(one.stdout).text();
    expect(await one.exited).toBe(0);
    return JSON.parse(out) as { torn: number; mislabelled: number; versions: number };
  };

  test.each([
    ["run", "follow"],
    ["runLive", "follow"],
    ["run", "attach"],
  ])("%s of a node that does %s never sees half of a version", async (how, kind) => {
    const { torn, mislabelled, versions } = await run(how, kind, 80);
    expect({ torn, mislabelled }).toEqual({ torn: 0, mislabelled: 0 });
    expect(versions).toBeGreaterThan(5);
  });

  test("without that care it does: this test can fail", async () => {
    let torn = 0;
    for (let i = 0; i < 20 && torn === 0; i++) torn = (await run("bare", "attach", 100)).torn;
    expect(torn).toBeGreaterThan(0);
  });
});
