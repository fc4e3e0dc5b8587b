import { cc, dlopen, ptr, toArrayBuffer, type Pointer } from "bun:ffi";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fail, MemblastError } from "../errors.ts";

/** Rises with every change of a signature below; the C side says the same in memblast.h. */
const abi = 5;

// Plain i64 and u64 become BigInt: 19 ns a call against 9. Narrower integers are read wrongly by functions that cc() compiled, where
// JavaScript holds the number as a double; so C's int32_t and uint32_t parameters are passed as 64 bits, which both calling
// conventions allow.
const i64 = "i64_fast" as const;
const u64 = "u64_fast" as const;
const pointer = "ptr" as const;

const symbols = {
  mb_abi: { args: [], returns: i64 },
  mb_segment_bytes: { args: [u64, u64], returns: i64 },
  mb_segment_create: {
    args: [pointer, pointer, pointer, u64, u64, u64, pointer, u64, pointer],
    returns: i64,
  },
  mb_segment_attach: { args: [pointer, i64, pointer], returns: i64 },
  mb_segment_recover: { args: [pointer], returns: i64 },
  mb_segment_renew: { args: [pointer, i64, u64], returns: i64 },
  mb_segment_field: { args: [pointer, i64], returns: i64 },
  mb_segment_sign: { args: [pointer], returns: i64 },
  mb_segment_lost: { args: [pointer], returns: i64 },
  mb_segment_keep_mapped: { args: [pointer], returns: i64 },
  mb_segment_overlay: { args: [pointer], returns: i64 },
  mb_segment_close: { args: [pointer], returns: i64 },
  mb_begin: { args: [pointer], returns: i64 },
  mb_commit: { args: [pointer], returns: i64 },
  mb_rollback: { args: [pointer], returns: i64 },
  mb_ring: { args: [pointer], returns: i64 },
  mb_version: { args: [pointer], returns: i64 },
  mb_snapshot: { args: [pointer, pointer, u64, u64], returns: i64 },
  mb_refresh: { args: [pointer, pointer, u64], returns: i64 },
  mb_verify: { args: [pointer, i64, pointer, u64, pointer], returns: i64 },
  mb_changed_since: { args: [pointer, u64, pointer, u64, pointer, u64, pointer], returns: i64 },
  mb_changed_exactly: { args: [pointer, u64, pointer, u64, pointer, u64, pointer], returns: i64 },
  mb_refresh_pieces: { args: [pointer, pointer, u64, u64, pointer, u64], returns: i64 },
  mb_gather: { args: [pointer, u64, pointer, u64, pointer, u64], returns: i64 },
  mb_scatter: { args: [pointer, pointer, u64, pointer, u64], returns: i64 },
  mb_cells_stamp: { args: [pointer, pointer, u64, u64, u64, u64], returns: i64 },
  mb_cells_merge: { args: [pointer, pointer, u64, pointer, u64, pointer, u64, u64], returns: i64 },
  mb_changed_within: { args: [pointer, pointer, u64], returns: i64 },
  mb_held_new: { args: [u64, pointer], returns: i64 },
  mb_held_holders: { args: [pointer], returns: i64 },
  mb_held_release: { args: [pointer], returns: i64 },
  mb_duckdb_open: { args: [pointer], returns: i64 },
  mb_duckdb_adopt: { args: [pointer], returns: i64 },
  mb_duckdb_begin: { args: [pointer, pointer, pointer, u64], returns: i64 },
  mb_memcpy: { args: [pointer, pointer, u64], returns: i64 },
  mb_memcmp: { args: [pointer, pointer, u64], returns: i64 },
  mb_lock_open: { args: [pointer, i64], returns: i64 },
  mb_lock_close: { args: [i64], returns: i64 },
  mb_lock_take: { args: [i64, i64, i64], returns: i64 },
  mb_lock_drop: { args: [i64, i64], returns: i64 },
  mb_lock_held: { args: [i64, i64], returns: i64 },
  mb_lock_claim: { args: [i64, u64, u64, i64], returns: i64 },
  mb_lock_claimed: { args: [i64, u64, u64, pointer], returns: i64 },
  mb_lock_is: { args: [i64, pointer], returns: i64 },
  mb_turn_join: { args: [i64], returns: i64 },
  mb_turn_take: { args: [pointer, i64, i64, u64], returns: i64 },
  mb_turn_give: { args: [pointer, i64, i64], returns: i64 },
  mb_doorbell_open: { args: [pointer, pointer], returns: i64 },
  mb_doorbell_watch: { args: [pointer, i64], returns: i64 },
  mb_doorbell_close: { args: [pointer], returns: i64 },
  mb_sha256: { args: [pointer, u64, pointer], returns: i64 },
  mb_sha256_state_bytes: { args: [], returns: i64 },
  mb_sha256_init: { args: [pointer], returns: i64 },
  mb_sha256_update: { args: [pointer, pointer, u64], returns: i64 },
  mb_sha256_final: { args: [pointer, pointer], returns: i64 },
  mb_sha256_leaves: { args: [pointer, u64, u64, pointer], returns: i64 },
  mb_sha256_nodes: { args: [pointer, u64, pointer], returns: i64 },
  mb_crc32c: { args: [pointer, u64, u64], returns: i64 },
  mb_hash_rows: { args: [], returns: i64 },
  mb_hash_row_name: { args: [i64, pointer], returns: i64 },
  mb_hash_row: { args: [], returns: i64 },
  mb_hash_use: { args: [i64], returns: i64 },
  mb_hash_selftest: { args: [], returns: i64 },
} as const;

type Camel<S extends string> = S extends `${infer A}_${infer B}${infer C}`
  ? `${A}${Uppercase<B>}${Camel<C>}`
  : S;
type Unprefixed<S> = S extends `mb_${infer Rest}` ? Camel<Rest> : never;
/** An address, a view whose first byte is meant, or null. */
export type Address = number | ArrayBufferView | null;
type Argument<T> = T extends "ptr" ? Address : number;
type Arguments<T extends readonly unknown[]> = { [I in keyof T]: Argument<T[I]> };

/** The functions of the C library, without their `mb_` prefix. Negative results are errors: see failure.ts. */
export type Library = {
  [S in keyof typeof symbols as Unprefixed<S>]: (...args: Arguments<(typeof symbols)[S]["args"]>) => number;
};

/** How the C library came into this process: built by the system's compiler, or by TinyCC when it was loaded, which makes it several times slower. */
export type LibraryKind = "compiled" | "tinycc";

/** Beside the sources; inside an executable there is none. */
const buildScript = join(import.meta.dir, "../../ffi/build.ts");
const trustHint = "bun pm trust memblast, where it is a dependency, or bun run build:ffi in its folder";

function camel(name: string): string {
  return name.replace(/^mb_/, "").replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
}

function bind(bound: Record<string, unknown>): Library {
  const library = Object.fromEntries(
    Object.keys(symbols).map((name) => [camel(name), bound[name]]),
  ) as unknown as Library;
  if (library.abi() !== abi)
    fail("LIBRARY", `The C library is of another release (${library.abi()}, not ${abi}): ${trustHint}`);
  return library;
}

/** The shared object as a path that dlopen can take, also inside a `bun build --compile` executable; null where none was built. */
async function builtLibrary(): Promise<string | null> {
  if (process.env["MEMBLAST_LIBRARY"]) return process.env["MEMBLAST_LIBRARY"];
  try {
    // @ts-ignore: made by ffi/build.ts
    const file: { default: string } = await import("../../ffi/build/libmemblast.so", {
      with: { type: "file" },
    });
    return file.default;
  } catch {
    return null;
  }
}

async function embeddedSource(): Promise<string> {
  try {
    // @ts-ignore: made by ffi/build.ts
    const file: { default: string } = await import("../../ffi/build/memblast.c", { with: { type: "text" } });
    return file.default;
  } catch (cause) {
    return fail(
      "LIBRARY",
      `The C sources are not in this executable. Before bun build: ${trustHint}`,
      {},
      cause,
    );
  }
}

async function compileWithTinyCC(): Promise<Library> {
  const source = join(import.meta.dir, "../../ffi/library.c");
  if (existsSync(source)) return bind(cc({ source, symbols: symbols as never }).symbols);
  return bind(compileText(await embeddedSource(), symbols));
}

/** Inside an executable the sources are not files, and TinyCC reads nothing else. */
function compileText(text: string, symbols: object): Record<string, unknown> {
  const folder = mkdtempSync(join(tmpdir(), "memblast-"));
  try {
    const source = join(folder, "memblast.c");
    writeFileSync(source, text);
    return cc({ source, symbols: symbols as never }).symbols;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/**
 * Bun runs no script of a dependency that is not trusted, so that a machine that could build the library has not, and nobody has seen it. Told
 * only where one command mends it: not without a compiler, not in an executable, not where TinyCC was asked for.
 */
function warnOfSlowness(): void {
  const compilers = [process.env["CC"], "cc", "gcc", "clang"];
  const isAvoidable = existsSync(buildScript) && compilers.some((name) => name && Bun.which(name));
  if (!isAvoidable || !Bun.isMainThread) return;
  process.emitWarning(
    `memblast runs with a C library several times slower than the one that this machine's compiler makes: bun pm trust memblast, or bun ${buildScript}. ` +
      "MEMBLAST_FFI=tcc keeps it and says no more.",
    { code: "LIBRARY_SLOW" },
  );
}

async function load(): Promise<{ library: Library; kind: LibraryKind }> {
  const isTinyCCWanted = process.env["MEMBLAST_FFI"] === "tcc";
  const built = isTinyCCWanted ? null : await builtLibrary();
  try {
    if (built) return { library: bind(dlopen(built, symbols as never).symbols), kind: "compiled" };
  } catch (error) {
    if (error instanceof MemblastError || process.env["MEMBLAST_LIBRARY"]) throw error;
    // built for another machine: compile it for this one
  }
  try {
    const library = await compileWithTinyCC();
    if (!isTinyCCWanted) warnOfSlowness();
    return { library, kind: "tinycc" };
  } catch (cause) {
    if (cause instanceof MemblastError) throw cause;
    return fail("LIBRARY", `The C library could neither be loaded nor compiled: ${trustHint}`, {}, cause);
  }
}

export const { library, kind: libraryKind } = await load();

/** The address of a view's first byte. Valid while the view is alive and not detached. */
export function addressOf(view: ArrayBufferView): number {
  return ptr(view as never);
}

/** `bytes` bytes of memory at `address`, live. Detach it with `transfer(0)` before the memory goes away. */
export function bufferAt(address: number, bytes: number): ArrayBuffer {
  return toArrayBuffer(address as Pointer, 0, bytes);
}

/** A path as C wants it. */
export function cString(text: string): Uint8Array {
  return new TextEncoder().encode(`${text}\0`);
}

/** The pointer inside an External of another add-on; null where `value` is none, or one without this type tag of 16 bytes. */
export type ExternalReader = (value: unknown, tag: BigUint64Array) => number | null;

/** Compiles ffi/napi.c, on every machine with TinyCC; throws where that cannot be. */
export async function externalReader(): Promise<ExternalReader> {
  // @ts-ignore: TypeScript knows no C
  const file: { default: string } = await import("../../ffi/napi.c", { with: { type: "text" } });
  const args = ["napi_env", "napi_value", pointer];
  const symbols = compileText(file.default, { mb_external: { args, returns: pointer } });
  const read = symbols["mb_external"] as (env: null, value: object, tag: BigUint64Array) => number | null;
  return (value, tag) => (typeof value === "object" && value !== null ? read(null, value, tag) : null);
}
