/** What a user gets: the tarball, in a project that has not trusted it, so that Bun runs none of its scripts. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findCompiler } from "../ffi/build.ts";

setDefaultTimeout(60_000);

const root = join(import.meta.dir, "..");
const folder = mkdtempSync(join(tmpdir(), "memblast-packing-"));
const project = join(folder, "project");
const library = join(project, "node_modules/memblast/ffi/build");
afterAll(() => rmSync(folder, { recursive: true }));

const program = `
import { libraryKind, start } from "memblast";
await using node = await start("packed", { shape: [2, 2] });
node.write((a) => a.set(1, 1, 7));
console.log(libraryKind, node.snapshot().array.get(1, 1));
`;

/** Standard output of a command that succeeds, and what it said besides. */
function run(command: string[], cwd: string, env: Record<string, string | undefined> = process.env) {
  const { stdout, stderr, exitCode } = Bun.spawnSync(command, { cwd, env, timeout: 50_000 });
  const said = stderr.toString();
  if (exitCode !== 0) throw new Error(`${command.join(" ")} ended with ${exitCode}: ${said}`);
  return { output: stdout.toString().trim(), said };
}

/** Without what the tests themselves are told about the library. */
function bare(): Record<string, string | undefined> {
  const { MEMBLAST_FFI: _, MEMBLAST_LIBRARY: __, ...env } = process.env;
  return env;
}

beforeAll(() => {
  run([process.execPath, "pm", "pack", "--quiet", "--destination", folder], root);
  const [tarball] = readdirSync(folder).filter((file) => file.endsWith(".tgz"));
  mkdirSync(project);
  // The one dependency comes from here, so that no registry is asked.
  const overrides = { zod: `file:${join(root, "node_modules/zod")}` };
  const dependencies = { memblast: `../${tarball}` };
  writeFileSync(join(project, "package.json"), JSON.stringify({ type: "module", dependencies, overrides }));
  writeFileSync(join(project, "program.ts"), program);
  run([process.execPath, "install"], project);
});

test("no script has run, and the sources are there as one file", () => {
  expect(readdirSync(library)).toEqual(["memblast.c"]);
});

test("an executable of a user's own runs alone in an empty folder, with an empty environment", () => {
  const alone = join(folder, "alone");
  mkdirSync(alone);
  const build = [process.execPath, "build", "--compile", "program.ts", "--outfile", join(alone, "program")];
  run(build, project);
  expect(run([join(alone, "program")], alone, {})).toEqual({ output: "tinycc 7", said: "" });
});

test("it says once that the library could be faster, where a compiler is there and nobody asked for it", () => {
  const { output, said } = run([process.execPath, "program.ts"], project, bare());
  expect(output).toBe("tinycc 7");
  expect(said.split("LIBRARY_SLOW").length - 1).toBe(findCompiler() ? 1 : 0);
  const asked = run([process.execPath, "program.ts"], project, { ...bare(), MEMBLAST_FFI: "tcc" });
  expect(asked).toEqual({ output: "tinycc 7", said: "" });
  const elsewhere = run([process.execPath, "program.ts"], project, { ...bare(), CC: "", PATH: folder });
  expect(elsewhere).toEqual({ output: "tinycc 7", said: "" });
});

test.skipIf(!findCompiler())("trusted, it is built", () => {
  run([process.execPath, "pm", "trust", "memblast"], project);
  expect(readdirSync(library)).toContain("libmemblast.so");
  expect(run([process.execPath, "program.ts"], project, bare())).toEqual({ output: "compiled 7", said: "" });
});
