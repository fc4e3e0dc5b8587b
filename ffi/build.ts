/**
 * Builds the C library: `ffi/build/libmemblast.so` with the system's compiler, and `ffi/build/memblast.c`, the sources as one file,
 * which a compiled executable carries where there is no compiler to make the first.
 *
 *   bun ffi/build.ts                 fails without a compiler
 *   bun ffi/build.ts --if-possible   says so and leaves the work to TinyCC at load time
 *   bun ffi/build.ts --amalgamation  the one file only: the tarball has it, since Bun runs no script of a dependency that is not trusted
 *   bun ffi/build.ts --crash-points  a test build that can be killed at every step of the protocol
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const sources = import.meta.dir;
const output = join(sources, "build");

const flags = "-std=gnu11 -O3 -Wall -Wextra -Werror -shared -fPIC -fvisibility=hidden".split(" ");

/** Every `#include "file"` replaced by the file, once. */
export function amalgamate(file: string, seen = new Set<string>()): string {
  if (seen.has(file)) return "";
  seen.add(file);
  return readFileSync(join(sources, file), "utf8").replace(/^#include "(.+)"\n/gm, (_, name: string) =>
    amalgamate(name, seen),
  );
}

export function findCompiler(): string | null {
  for (const name of [process.env["CC"], "cc", "gcc", "clang"])
    if (name) {
      const path = Bun.which(name);
      if (path) return path;
    }
  return null;
}

/** Compiles to a temporary name and renames: a process that loads the library meanwhile sees the old one or the new one, whole. */
export function build(options: { crashPoints?: boolean } = {}): string {
  mkdirSync(output, { recursive: true });
  const name = options.crashPoints ? "libmemblast-crash.so" : "libmemblast.so";
  const temporary = join(output, `.${name}.${process.pid}`);
  const compiler = findCompiler();
  if (!compiler) throw new Error("no C compiler found: install gcc or clang, or set CC");
  const defines = options.crashPoints ? ["-DMB_CRASH_POINTS"] : [];
  const run = Bun.spawnSync(
    [compiler, ...flags, ...defines, "-o", temporary, join(sources, "library.c"), "-lpthread"],
    { stderr: "pipe" },
  );
  if (!run.success) {
    rmSync(temporary, { force: true });
    throw new Error(`${compiler} failed:\n${run.stderr.toString()}`);
  }
  renameSync(temporary, join(output, name));
  return join(output, name);
}

export function writeAmalgamation(): void {
  mkdirSync(output, { recursive: true });
  const temporary = join(output, `.memblast.c.${process.pid}`);
  writeFileSync(temporary, amalgamate("library.c"));
  renameSync(temporary, join(output, "memblast.c"));
}

/** Whether `name` in the output folder is missing or older than a source. */
export function isStale(name: string): boolean {
  const built = statSync(join(output, name), { throwIfNoEntry: false });
  if (!built) return true;
  return readdirSync(sources).some(
    (file) => /\.[ch]$/.test(file) && statSync(join(sources, file)).mtimeMs > built.mtimeMs,
  );
}

if (import.meta.main) {
  const { values } = (await import("node:util")).parseArgs({
    options: {
      "if-possible": { type: "boolean" },
      "crash-points": { type: "boolean" },
      amalgamation: { type: "boolean" },
    },
  });
  writeAmalgamation();
  if (values.amalgamation) process.exit(0);
  try {
    build({ crashPoints: values["crash-points"] ?? false });
  } catch (error) {
    if (!values["if-possible"]) throw error;
    rmSync(join(output, "libmemblast.so"), { force: true });
    console.log(
      `memblast: ${(error as Error).message.split("\n")[0]}; the C library will be compiled at load time`,
    );
  }
}
