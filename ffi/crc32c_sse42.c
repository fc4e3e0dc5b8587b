/*
 * CRC-32C with the crc32 instruction. It takes eight bytes in three cycles but a new one can start every cycle, so
 * three streams run side by side and are then joined: Gopal et al., "Fast CRC Computation for iSCSI Polynomial Using
 * CRC32 Instruction", Intel, 2011.
 *
 *   | stream a: lane bytes | stream b: lane bytes | stream c: lane bytes |     crc = a x^(16 lane) + b x^(8 lane) + c
 *
 * Joining multiplies by a constant without carry; the crc32 instruction itself reduces the product. On reflected
 * operands it multiplies by x^32 and the product is short of one more x, so the constants are x^(8n - 33) mod P.
 */
#include "platform.h"

#include "hash.h"

#if MB_HASH_X86

#include <immintrin.h>

#define CRC32C_TARGET __attribute__((target("sse4.2,pclmul")))
#define CRC32C_INLINE static inline __attribute__((always_inline, target("sse4.2,pclmul")))

typedef struct {
  size_t lane;           /* bytes of a stream, a multiple of 8 */
  uint32_t shift_one;    /* x^(8 lane - 33) mod P, reflected */
  uint32_t shift_two;    /* x^(16 lane - 33) mod P, reflected */
} crc32c_split;

/* Three long lanes are all but 64 bytes of a 4 KiB page; the short ones are for what is left of a frame. */
static const crc32c_split crc32c_long = {1344, 0xc9c8b782, 0x889774e1};
static const crc32c_split crc32c_short = {96, 0x0715ce53, 0xab7aff2a};

CRC32C_INLINE uint64_t crc32c_load(const uint8_t *data) {
  uint64_t word;
  memcpy(&word, data, 8);
  return word;
}

CRC32C_INLINE uint64_t crc32c_multiply(uint64_t raw, uint32_t by) {
  return (uint64_t)_mm_cvtsi128_si64(
      _mm_clmulepi64_si128(_mm_cvtsi64_si128((int64_t)raw), _mm_cvtsi32_si128((int32_t)by), 0));
}

CRC32C_INLINE uint64_t crc32c_three(uint64_t a, const uint8_t *data, const crc32c_split *split) {
  uint64_t b = 0, c = 0;
  const size_t lane = split->lane;
  for (const uint8_t *end = data + lane; data < end; data += 8) {
    a = _mm_crc32_u64(a, crc32c_load(data));
    b = _mm_crc32_u64(b, crc32c_load(data + lane));
    c = _mm_crc32_u64(c, crc32c_load(data + 2 * lane));
  }
  return _mm_crc32_u64(0, crc32c_multiply(a, split->shift_two) ^ crc32c_multiply(b, split->shift_one)) ^ c;
}

CRC32C_TARGET uint32_t crc32c_sse42(uint32_t raw, const uint8_t *data, size_t bytes) {
  uint64_t crc = raw;
  for (; bytes >= 3 * crc32c_long.lane; bytes -= 3 * crc32c_long.lane, data += 3 * crc32c_long.lane)
    crc = crc32c_three(crc, data, &crc32c_long);
  for (; bytes >= 3 * crc32c_short.lane; bytes -= 3 * crc32c_short.lane, data += 3 * crc32c_short.lane)
    crc = crc32c_three(crc, data, &crc32c_short);
  for (; bytes >= 8; bytes -= 8, data += 8) crc = _mm_crc32_u64(crc, crc32c_load(data));
  for (; bytes > 0; bytes--, data++) crc = _mm_crc32_u8((uint32_t)crc, *data);
  return (uint32_t)crc;
}

#endif
