/*
 * SHA-256 with the SHA extensions (Intel SDM volume 2B, SHA256RNDS2, SHA256MSG1, SHA256MSG2), one stream or two.
 *
 * A chain of SHA256RNDS2 is bound by that instruction's latency (four cycles for two rounds); a second, independent stream
 * uses what it leaves: 2.10 GB/s over 4 KiB leaves against 1.75 one after the other (Sapphire Rapids). Then the port of
 * SHA256RNDS2 and SHA256MSG1/2 is full. A third stream does not fit into sixteen registers.
 */
#include "platform.h"

#include "hash.h"

#if MB_HASH_X86

#include <immintrin.h>

#define SHANI_TARGET __attribute__((target("sha,sse4.1,ssse3")))
#define SHANI_INLINE static inline __attribute__((always_inline, target("sha,sse4.1,ssse3")))

/* FIPS 180-4 section 4.2.2, four to a register. */
static const uint32_t sha256_shani_k[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

/* SHA256RNDS2 keeps the eight working variables as two quadruples, high word first. */
typedef struct {
  __m128i abef, cdgh;
  __m128i w[4]; /* the last sixteen words of the message schedule */
} shani_lane;

SHANI_INLINE void shani_load_state(shani_lane *lane, const uint32_t *state) {
  const __m128i cdab = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)state), 0xb1);
  const __m128i efgh = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(state + 4)), 0x1b);
  lane->abef = _mm_alignr_epi8(cdab, efgh, 8);
  lane->cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);
}

SHANI_INLINE void shani_store_state(const shani_lane *lane, uint32_t *state) {
  const __m128i feba = _mm_shuffle_epi32(lane->abef, 0x1b);
  const __m128i dchg = _mm_shuffle_epi32(lane->cdgh, 0xb1);
  _mm_storeu_si128((__m128i *)state, _mm_blend_epi16(feba, dchg, 0xf0));
  _mm_storeu_si128((__m128i *)(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}

/* Rounds 4i to 4i + 3, and words 4i to 4i + 3 of the schedule: from the block, then from the words before. */
SHANI_INLINE void shani_rounds(shani_lane *lane, const uint8_t *block, int i) {
  const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
  __m128i *w = lane->w;
  if (i < 4) {
    w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(block + 16 * i)), big_endian);
  } else {
    const __m128i w7 = _mm_alignr_epi8(w[(i + 3) & 3], w[(i + 2) & 3], 4);
    const __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(w[i & 3], w[(i + 1) & 3]), w7);
    w[i & 3] = _mm_sha256msg2_epu32(sum, w[(i + 3) & 3]);
  }
  const __m128i wk = _mm_add_epi32(w[i & 3], _mm_load_si128((const __m128i *)(sha256_shani_k + 4 * i)));
  lane->cdgh = _mm_sha256rnds2_epu32(lane->cdgh, lane->abef, wk);
  lane->abef = _mm_sha256rnds2_epu32(lane->abef, lane->cdgh, _mm_shuffle_epi32(wk, 0x0e));
}

/* All sixty-four; written out, so that `i` is a constant at every optimization level and w[] stays in registers. */
#define SHANI_ALL(ROUNDS) \
  ROUNDS(0) ROUNDS(1) ROUNDS(2) ROUNDS(3) ROUNDS(4) ROUNDS(5) ROUNDS(6) ROUNDS(7) \
  ROUNDS(8) ROUNDS(9) ROUNDS(10) ROUNDS(11) ROUNDS(12) ROUNDS(13) ROUNDS(14) ROUNDS(15)

SHANI_TARGET void sha256_blocks_shani(uint32_t *state, const uint8_t *data, size_t blocks) {
  shani_lane lane;
  shani_load_state(&lane, state);
  for (; blocks > 0; blocks--, data += SHA256_BLOCK_BYTES) {
    const __m128i abef = lane.abef, cdgh = lane.cdgh;
#define SHANI_ONE(i) shani_rounds(&lane, data, i);
    SHANI_ALL(SHANI_ONE)
#undef SHANI_ONE
    lane.abef = _mm_add_epi32(lane.abef, abef);
    lane.cdgh = _mm_add_epi32(lane.cdgh, cdgh);
  }
  shani_store_state(&lane, state);
}

SHANI_TARGET void sha256_many_shani(uint32_t *states, const uint8_t *const *data, size_t blocks) {
  const uint8_t *data0 = data[0], *data1 = data[1];
  shani_lane lane0, lane1;
  shani_load_state(&lane0, states);
  shani_load_state(&lane1, states + 8);
  for (; blocks > 0; blocks--, data0 += SHA256_BLOCK_BYTES, data1 += SHA256_BLOCK_BYTES) {
    const __m128i abef0 = lane0.abef, cdgh0 = lane0.cdgh;
    const __m128i abef1 = lane1.abef, cdgh1 = lane1.cdgh;
#define SHANI_TWO(i) \
  shani_rounds(&lane0, data0, i); \
  shani_rounds(&lane1, data1, i);
    SHANI_ALL(SHANI_TWO)
#undef SHANI_TWO
    lane0.abef = _mm_add_epi32(lane0.abef, abef0);
    lane0.cdgh = _mm_add_epi32(lane0.cdgh, cdgh0);
    lane1.abef = _mm_add_epi32(lane1.abef, abef1);
    lane1.cdgh = _mm_add_epi32(lane1.cdgh, cdgh1);
  }
  shani_store_state(&lane0, states);
  shani_store_state(&lane1, states + 8);
}

#endif
