import { join } from "node:path";
import { build, findCompiler, isStale } from "../../ffi/build.ts";

/** Whether a library that dies at a given step of the protocol can be had: TinyCC makes none. */
export const canCrash = findCompiler() !== null;

/** The environment of a child that runs with it. */
export function crashEnvironment(): Record<string, string> {
  const name = "libmemblast-crash.so";
  if (isStale(name)) build({ crashPoints: true });
  return { MEMBLAST_LIBRARY: join(import.meta.dir, "../../ffi/build", name), MEMBLAST_FFI: "" };
}
