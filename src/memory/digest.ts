import { fail } from "../errors.ts";
import { check } from "./failure.ts";
import { library } from "./library.ts";

const digestBytes = 32;
const pairBytes = 2 * digestBytes;

/** SHA-256 of whole messages and of Merkle leaves and nodes (RFC 6962 section 2.1); see LeafHasher in integrity/merkle.ts. */
export interface Hasher {
  /** The 32 bytes of SHA-256 of `data`. */
  sha256(data: Uint8Array): Uint8Array;
  /** SHA-256(0x00 || leaf) of every `leafBytes` of `data`, 32 bytes each; the last leaf may be short. */
  leaves(data: Uint8Array, leafBytes: number): Uint8Array;
  /** SHA-256(0x01 || left || right) of every 64 bytes of `children`, 32 bytes each. */
  nodes(children: Uint8Array): Uint8Array;
}

function leafCountOf(data: Uint8Array, leafBytes: number): number {
  if (!Number.isSafeInteger(leafBytes) || leafBytes < 1)
    fail("INVALID_OPTION", "A leaf is a whole number of bytes, 1 or more", { leafBytes });
  return Math.ceil(data.length / leafBytes);
}

function pairCountOf(children: Uint8Array): number {
  if (children.length % pairBytes !== 0)
    fail("INVALID_OPTION", `Children come in pairs of ${pairBytes} bytes`, { bytes: children.length });
  return children.length / pairBytes;
}

/** The C library's kernels. */
export const libraryHasher: Hasher = {
  sha256(data) {
    const digest = new Uint8Array(digestBytes);
    check(library.sha256(data, data.length, digest), "hash");
    return digest;
  },
  leaves(data, leafBytes) {
    const hashes = new Uint8Array(leafCountOf(data, leafBytes) * digestBytes);
    check(library.sha256Leaves(data, data.length, leafBytes, hashes), "hash leaves");
    return hashes;
  },
  nodes(children) {
    const pairs = pairCountOf(children);
    const hashes = new Uint8Array(pairs * digestBytes);
    check(library.sha256Nodes(children, pairs, hashes), "hash nodes");
    return hashes;
  },
};

/** Hashes `count` messages of up to `bytes` bytes behind a prefix byte, which has to stand before them in one buffer. */
function prefixed(prefix: number, data: Uint8Array, bytes: number, count: number): Uint8Array {
  const hashes = new Uint8Array(count * digestBytes);
  const message = new Uint8Array(1 + Math.min(bytes, data.length));
  message[0] = prefix;
  for (let i = 0; i < count; i++) {
    const part = data.subarray(i * bytes, (i + 1) * bytes);
    message.set(part, 1);
    const out = hashes.subarray(i * digestBytes, (i + 1) * digestBytes);
    Bun.SHA256.hash(message.subarray(0, 1 + part.length), out);
  }
  return hashes;
}

/** Bun's own BoringSSL, which has kernels for CPUs that the library has none for. */
export const bunHasher: Hasher = {
  sha256: (data) => Bun.SHA256.hash(data, new Uint8Array(digestBytes)) as Uint8Array,
  leaves: (data, leafBytes) => prefixed(0x00, data, leafBytes, leafCountOf(data, leafBytes)),
  nodes: (children) => prefixed(0x01, children, pairBytes, pairCountOf(children)),
};

/** The name of a row of kernels, by default of the one in force: "shani", "sse42", "portable". */
export function hashRowName(row: number = library.hashRow()): string {
  const text = new Uint8Array(16);
  return new TextDecoder().decode(text.subarray(0, check(library.hashRowName(row, text), "name a hash row")));
}

/** Rows without SHA-256 kernels of their own. */
const portableRows = ["sse42", "portable"];

/**
 * The faster of the two here: the library where it has kernels for this CPU. Its portable one, all there is where TinyCC compiled it,
 * reaches 0.09 GB/s (TinyCC) or 0.29 GB/s (gcc) where BoringSSL reaches 1.7.
 */
export const hasher: Hasher = portableRows.includes(hashRowName()) ? bunHasher : libraryHasher;

/** The 32 bytes of SHA-256 of `data`. */
export function sha256(data: Uint8Array): Uint8Array {
  return hasher.sha256(data);
}

/** CRC-32C of `data`, 0 to 2^32 - 1; `seed` is the result for the bytes that come before it. */
export function crc32c(data: Uint8Array, seed = 0): number {
  // A cc() call reads a u32 that JavaScript happens to keep as a double wrongly, and returns 2^31 as a negative number.
  return library.crc32c(data, data.length, seed | 0) >>> 0;
}

/** Known answers on every row of kernels that this CPU can run; throws LIBRARY with the row and the check that failed. */
export function selftest(): void {
  const result = library.hashSelftest();
  if (result === 0) return;
  const failed = -result - 20000;
  if (failed < 0) check(result, "run the self-test");
  const row = hashRowName(Math.floor(failed / 100));
  fail(
    "LIBRARY",
    `Check ${failed % 100} of the self-test failed on the ${row} kernels: rebuild the library`,
    {
      row,
      check: failed % 100,
    },
  );
}
