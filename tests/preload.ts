// Before any test: a library built from older sources would test something else.
import { build, findCompiler, isStale, writeAmalgamation } from "../ffi/build.ts";

if (isStale("memblast.c")) writeAmalgamation();
if (
  process.env["MEMBLAST_FFI"] !== "tcc" &&
  !process.env["MEMBLAST_LIBRARY"] &&
  isStale("libmemblast.so") &&
  findCompiler()
)
  build();
