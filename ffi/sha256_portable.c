/* SHA-256 as FIPS 180-4 defines it; the other kernels must equal this one. */
#include "platform.h"

#include "hash.h"

/* Section 4.1.2, equations 4.2 to 4.7. Macros, because TinyCC never inlines a function. */
#define SHA256_ROTR(x, n) ((x) >> (n) | (x) << (32 - (n)))
#define SHA256_CH(x, y, z) (((x) & (y)) ^ (~(x) & (z)))
#define SHA256_MAJ(x, y, z) (((x) & (y)) ^ ((x) & (z)) ^ ((y) & (z)))
#define SHA256_SUM0(x) (SHA256_ROTR(x, 2) ^ SHA256_ROTR(x, 13) ^ SHA256_ROTR(x, 22))
#define SHA256_SUM1(x) (SHA256_ROTR(x, 6) ^ SHA256_ROTR(x, 11) ^ SHA256_ROTR(x, 25))
#define SHA256_SIGMA0(x) (SHA256_ROTR(x, 7) ^ SHA256_ROTR(x, 18) ^ (x) >> 3)
#define SHA256_SIGMA1(x) (SHA256_ROTR(x, 17) ^ SHA256_ROTR(x, 19) ^ (x) >> 10)

/* Section 4.2.2. */
static const uint32_t sha256_portable_k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

/* Section 6.2.2, for one block. */
static void sha256_portable_block(uint32_t *state, const uint8_t *block) {
  uint32_t w[64]; /* step 1: the message schedule */
  for (int t = 0; t < 16; t++)
    w[t] = (uint32_t)block[4 * t] << 24 | (uint32_t)block[4 * t + 1] << 16 | (uint32_t)block[4 * t + 2] << 8 |
           (uint32_t)block[4 * t + 3];
  for (int t = 16; t < 64; t++)
    w[t] = SHA256_SIGMA1(w[t - 2]) + w[t - 7] + SHA256_SIGMA0(w[t - 15]) + w[t - 16];

  uint32_t a = state[0], b = state[1], c = state[2], d = state[3]; /* step 2 */
  uint32_t e = state[4], f = state[5], g = state[6], h = state[7];

  for (int t = 0; t < 64; t++) { /* step 3 */
    const uint32_t t1 = h + SHA256_SUM1(e) + SHA256_CH(e, f, g) + sha256_portable_k[t] + w[t];
    const uint32_t t2 = SHA256_SUM0(a) + SHA256_MAJ(a, b, c);
    h = g, g = f, f = e, e = d + t1;
    d = c, c = b, b = a, a = t1 + t2;
  }

  state[0] += a, state[1] += b, state[2] += c, state[3] += d; /* step 4 */
  state[4] += e, state[5] += f, state[6] += g, state[7] += h;
}

void sha256_blocks_portable(uint32_t *state, const uint8_t *data, size_t blocks) {
  for (; blocks > 0; blocks--, data += SHA256_BLOCK_BYTES) sha256_portable_block(state, data);
}

void sha256_many_portable(uint32_t *states, const uint8_t *const *data, size_t blocks) {
  sha256_blocks_portable(states, data[0], blocks);
}
