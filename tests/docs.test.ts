/** The programs of the guides run as they stand, and print what the guides say. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

setDefaultTimeout(60_000);

const root = join(import.meta.dir, "..");
const folder = mkdtempSync(join(tmpdir(), "memblast-docs-"));
afterAll(() => rmSync(folder, { recursive: true }));

function freePort(): number {
  using listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  return listener.port;
}

/** Ports of the guide are taken by whoever runs the tests at the same time. */
function withFreePorts(program: string): string {
  const ports = new Map<string, number>();
  return program.replace(/\b70\d\d\b/g, (port) => {
    if (!ports.has(port)) ports.set(port, freePort());
    return String(ports.get(port));
  });
}

/** What `console.log(...); // text` promises, without what depends on the width of a terminal. */
function promised(program: string): string[] {
  return [...program.matchAll(/console\.log\(.*\).*; ?\/\/ (.*)$|console\.log\(.*\), \/\/ (.*)$/gm)]
    .map(([, line, inside]) => bare(line ?? inside!))
    .toSorted();
}

function bare(text: string): string {
  return text.replace(/,?\s+(?=[\]}])|\s/g, "").replaceAll(",]", "]");
}

for (const guide of ["docs/network.md"]) {
  const text = readFileSync(join(root, guide), "utf8");
  const programs = [...text.matchAll(/^```ts\n([\s\S]*?)^```/gm)].map(([, program]) => program!);

  test.each(programs.map((program, i) => [i + 1, program] as const))(
    `program %i of ${guide}`,
    async (i, program) => {
      const file = join(folder, `${i}.ts`);
      const source = program.replace('from "memblast"', `from ${JSON.stringify(join(root, "src/index.ts"))}`);
      writeFileSync(file, withFreePorts(source));
      const child = Bun.spawn(["bun", file], { stdout: "pipe", stderr: "pipe", timeout: 50_000 });
      const [out, err] = await Promise.all([
        new Response(child.stdout).text(),
        new Response(child.stderr).text(),
      ]);
      expect(`${err}${await child.exited}`).toBe("0");
      const wanted = promised(program);
      expect(wanted.length).toBe(program.split("console.log").length - 1);
      expect(bare(out)).toHaveLength(wanted.join("").length);
      for (const line of wanted) expect(bare(out)).toContain(line);
    },
  );
}
