import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { start } from "../../src/index.ts";
import { bundle } from "./chromium.ts";

setDefaultTimeout(30_000);

const bytesMax = 128 * 1024;

test("the browser's module is one file that knows neither Bun nor node, and is small", async () => {
  const code = await bundle();
  const size = `${code.length} bytes, ${Bun.gzipSync(code).length} in gzip`;
  console.log(`memblast/browser: ${size}`);
  expect(code.length, size).toBeLessThan(bytesMax);
  expect(code).not.toMatch(/\bimport\s*(?:[\w*{"']|\()|\brequire\s*\(/);
  expect(code).not.toMatch(/["'](?:node|bun):/);
  expect(code).not.toMatch(/\b(?:Bun|Buffer|process)\./);
});

test("it works alone, in an empty folder", async () => {
  const folder = await mkdtemp(join(tmpdir(), "memblast-browser-"));
  try {
    await Bun.write(join(folder, "memblast.js"), await bundle());
    await using node = await start("server", { listen: "ws://127.0.0.1:0/", shape: [4], dtype: "i32" });
    node.write((a) => a.assign([1, 2, 3, 4]));
    const script = `
      const { connect } = await import("./memblast.js");
      const client = connect(${JSON.stringify(node.addresses[0])}, { checkHash: true });
      await client.ready;
      console.log(JSON.stringify([...client.data()]), client.version);
      process.exit(0);`;
    const child = Bun.spawn([process.execPath, "-e", script], { cwd: folder, stderr: "inherit" });
    expect((await new Response(child.stdout).text()).trim()).toBe("[1,2,3,4] 1");
  } finally {
    await rm(folder, { recursive: true });
  }
});
