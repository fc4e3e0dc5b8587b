// Before any test: a library built from older sources would test something else.
import { setDefaultTimeout } from "bun:test";
import { build, findCompiler, isStale, writeAmalgamation } from "../ffi/build.ts";

if (isStale("memblast.c")) writeAmalgamation();
if (
  process.env.MEMBLAST_FFI !== "tcc" &&
  !process.env.MEMBLAST_LIBRARY &&
  isStale("libmemblast.so") &&
  findCompiler()
)
  build();

// A loaded machine is slow, and a test that hangs must still end.
setDefaultTimeout(30_000);
