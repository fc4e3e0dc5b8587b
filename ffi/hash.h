/*
 * SHA-256 (FIPS 180-4), Merkle leaves and nodes (RFC 6962 section 2.1) and CRC-32C (RFC 3720 section 12.1).
 *
 *   sha256.c   padding, streaming, leaves, nodes     crc32c.c        portable: slicing by eight
 *     |  sha256_portable.c   the definition          crc32c_sse42.c  crc32 instruction, three streams
 *     |  sha256_shani.c      one stream or two
 *   cpu.c      what the CPU and the OS allow  ->  dispatch.c   rows of kernels, one chosen once
 *                                                 selftest.c   known answers x every row
 *
 * The kernels know blocks, states and rows; everything about messages is in sha256.c and the same for every row.
 */
#ifndef MB_HASH_H
#define MB_HASH_H

#include "platform.h"

#if defined(__x86_64__) && !defined(MB_TCC)
#define MB_HASH_X86 1
#else
#define MB_HASH_X86 0
#endif

/* ---- the CPU (cpu.c) ------------------------------------------------------------------------------------------ */

enum {
  MB_CPU_SSSE3 = 1 << 0,
  MB_CPU_SSE41 = 1 << 1,
  MB_CPU_SSE42 = 1 << 2,
  MB_CPU_PCLMUL = 1 << 3,
  MB_CPU_SHA = 1 << 4,
  MB_CPU_AVX2 = 1 << 5, /* only where the OS saves the ymm registers */
};

/* MB_CPU_* bits that may be used here and now; 0 where the CPU is not x86-64 or the compiler has no such kernels. */
uint32_t mb_cpu_features(void);

/* ---- a row of kernels (dispatch.c) ---------------------------------------------------------------------------- */

#define SHA256_BLOCK_BYTES 64
#define SHA256_DIGEST_BYTES 32
#define SHA256_LANES_MAX 2

typedef struct {
  const char *name;
  uint32_t needs; /* MB_CPU_* */
  uint32_t lanes; /* states that `sha256_many` advances at once, 1..SHA256_LANES_MAX */

  /* Takes `blocks` blocks of 64 bytes, at any alignment, into one state of eight host-order words. */
  void (*sha256_blocks)(uint32_t *state, const uint8_t *data, size_t blocks);

  /* The same for `lanes` independent states (`lanes` times eight words); data[l] is the input of lane l. */
  void (*sha256_many)(uint32_t *states, const uint8_t *const *data, size_t blocks);

  /* Takes `bytes` bytes into the raw register: inverted by the caller before the first and after the last. */
  uint32_t (*crc32c)(uint32_t raw, const uint8_t *data, size_t bytes);
} hash_row;

/* The row in force. */
const hash_row *hash_current(void);

/* Row `index` whether or not it is in force; NULL past the end, and where this CPU cannot run it. */
const hash_row *hash_runnable(int64_t index);

/* ---- kernels -------------------------------------------------------------------------------------------------- */

void sha256_blocks_portable(uint32_t *state, const uint8_t *data, size_t blocks);
void sha256_many_portable(uint32_t *states, const uint8_t *const *data, size_t blocks);
uint32_t crc32c_portable(uint32_t raw, const uint8_t *data, size_t bytes);

#if MB_HASH_X86
void sha256_blocks_shani(uint32_t *state, const uint8_t *data, size_t blocks);
void sha256_many_shani(uint32_t *states, const uint8_t *const *data, size_t blocks);
uint32_t crc32c_sse42(uint32_t raw, const uint8_t *data, size_t bytes);
#endif

/* ---- messages on a given row (sha256.c); selftest.c runs them on every row -------------------------------------- */

/*
 *  0        32       40                104      108   112
 *  | state  | bytes  | partial block   | filled | 0   |      held by the caller, 8-byte aligned, no pointers inside
 */
typedef struct {
  uint32_t state[8];                   /* H(0)..H(7), host order */
  uint64_t bytes;                      /* message bytes so far */
  uint8_t partial[SHA256_BLOCK_BYTES]; /* the first `filled` bytes of the next block */
  uint32_t filled;                     /* 0..63 */
  uint32_t zero;
} sha256_stream;

_Static_assert(sizeof(sha256_stream) == 112, "sha256_stream");
_Static_assert(offsetof(sha256_stream, bytes) == 32, "sha256_stream");
_Static_assert(offsetof(sha256_stream, partial) == 40, "sha256_stream");
_Static_assert(offsetof(sha256_stream, filled) == 104, "sha256_stream");

void sha256_start(sha256_stream *stream);
void sha256_absorb(const hash_row *row, sha256_stream *stream, const uint8_t *data, size_t bytes);
void sha256_finish(const hash_row *row, sha256_stream *stream, uint8_t *out);

/* RFC 6962 section 2.1: what keeps a leaf from passing for a node. */
#define SHA256_LEAF_PREFIX 0x00
#define SHA256_NODE_PREFIX 0x01

/* out[i] = SHA-256(prefix || data[i * bytes .. (i + 1) * bytes)) for `count` messages that lie back to back. */
void sha256_prefixed(const hash_row *row, uint8_t prefix, const uint8_t *data, size_t bytes, size_t count,
                     uint8_t *out);

/* The bodies of mb_sha256_leaves and mb_sha256_nodes, below. */
size_t sha256_leaves(const hash_row *row, const uint8_t *data, size_t bytes, size_t leaf_bytes, uint8_t *out);
void sha256_nodes(const hash_row *row, const uint8_t *children, size_t pairs, uint8_t *out);

/* ---- exported --------------------------------------------------------------------------------------------------
 * Every result is >= 0 on success; -EINVAL is a programmer's mistake. No function keeps a pointer.
 */

/* SHA-256 of `bytes` bytes, 32 bytes to `out`. Returns 0. */
MB_EXPORT int64_t mb_sha256(const uint8_t *data, uint64_t bytes, uint8_t *out);

/* The same in pieces. The state is the caller's: mb_sha256_state_bytes() bytes, 8-byte aligned; final clears it. */
MB_EXPORT int64_t mb_sha256_state_bytes(void);
MB_EXPORT int64_t mb_sha256_init(uint8_t *state);
MB_EXPORT int64_t mb_sha256_update(uint8_t *state, const uint8_t *data, uint64_t bytes);
MB_EXPORT int64_t mb_sha256_final(uint8_t *state, uint8_t *out);

/* SHA-256(0x00 || leaf) of each `leaf_bytes` of `data`; the last leaf may be short, no data is no leaf.
 * Returns the number of leaves; 32 bytes of `out` for each. */
MB_EXPORT int64_t mb_sha256_leaves(const uint8_t *data, uint64_t bytes, uint64_t leaf_bytes, uint8_t *out);

/* SHA-256(0x01 || left || right) of each 64 bytes of `children`. Returns `pairs`; 32 bytes of `out` for each. */
MB_EXPORT int64_t mb_sha256_nodes(const uint8_t *children, uint64_t pairs, uint8_t *out);

/* CRC-32C, 0..2^32-1. `seed` is 0, or the result for the bytes that come before. */
MB_EXPORT int64_t mb_crc32c(const uint8_t *data, uint64_t bytes, uint32_t seed);

/* Rows, best first: how many, the name of one as zero-terminated ASCII (into 16 bytes; returns its length), the index
 * in force, and a way to force one (tests and measurements; process-wide). -EINVAL for a row that this CPU cannot run. */
MB_EXPORT int64_t mb_hash_rows(void);
MB_EXPORT int64_t mb_hash_row_name(int64_t index, uint8_t *out16);
MB_EXPORT int64_t mb_hash_row(void);
MB_EXPORT int64_t mb_hash_use(int64_t index);

/* Known answers on every row this CPU can run. 0, or -(20000 + 100 * row + check), rows from 0, checks from 1. */
MB_EXPORT int64_t mb_hash_selftest(void);

#endif
