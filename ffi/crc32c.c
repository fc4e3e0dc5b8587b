/*
 * CRC-32C (Castagnoli; RFC 3720 section 12.1, polynomial 0x1EDC6F41, reflected), slicing by eight:
 * Kounavis and Berry, "A Systematic Approach to Building High Performance, Software-Based, CRC Generators", 2005.
 */
#include "platform.h"

#include "hash.h"

/* A CRC table is linear: entry i is the xor of the entries of the bits of i. So eight numbers make a table of 256, at
 * compile time, with nothing to initialise and nothing for two threads to race on. */
#define CRC32C_2(x, a) (x), (x) ^ (a)
#define CRC32C_4(x, a, b) CRC32C_2(x, a), CRC32C_2((x) ^ (b), a)
#define CRC32C_8(x, a, b, c) CRC32C_4(x, a, b), CRC32C_4((x) ^ (c), a, b)
#define CRC32C_16(x, a, b, c, d) CRC32C_8(x, a, b, c), CRC32C_8((x) ^ (d), a, b, c)
#define CRC32C_32(x, a, b, c, d, e) CRC32C_16(x, a, b, c, d), CRC32C_16((x) ^ (e), a, b, c, d)
#define CRC32C_64(x, a, b, c, d, e, f) CRC32C_32(x, a, b, c, d, e), CRC32C_32((x) ^ (f), a, b, c, d, e)
#define CRC32C_128(x, a, b, c, d, e, f, g) CRC32C_64(x, a, b, c, d, e, f), CRC32C_64((x) ^ (g), a, b, c, d, e, f)
#define CRC32C_256(a, b, c, d, e, f, g, h) \
  { CRC32C_128(0u, a, b, c, d, e, f, g), CRC32C_128(h, a, b, c, d, e, f, g) }

/* Table k: the register after a byte and k zero bytes; the arguments are the bytes 1, 2, 4 .. 128. */
static const uint32_t crc32c_table[8][256] = {
    CRC32C_256(0xf26b8303, 0xe13b70f7, 0xc79a971f, 0x8ad958cf, 0x105ec76f, 0x20bd8ede, 0x417b1dbc, 0x82f63b78),
    CRC32C_256(0x13a29877, 0x274530ee, 0x4e8a61dc, 0x9d14c3b8, 0x3fc5f181, 0x7f8be302, 0xff17c604, 0xfbc3faf9),
    CRC32C_256(0xa541927e, 0x4f6f520d, 0x9edea41a, 0x38513ec5, 0x70a27d8a, 0xe144fb14, 0xc76580d9, 0x8b277743),
    CRC32C_256(0xdd45aab8, 0xbf672381, 0x7b2231f3, 0xf64463e6, 0xe964b13d, 0xd725148b, 0xaba65fe7, 0x52a0c93f),
    CRC32C_256(0x38116fac, 0x7022df58, 0xe045beb0, 0xc5670b91, 0x8f2261d3, 0x1ba8b557, 0x37516aae, 0x6ea2d55c),
    CRC32C_256(0xef306b19, 0xdb8ca0c3, 0xb2f53777, 0x6006181f, 0xc00c303e, 0x85f4168d, 0x0e045beb, 0x1c08b7d6),
    CRC32C_256(0x68032cc8, 0xd0065990, 0xa5e0c5d1, 0x4e2dfd53, 0x9c5bfaa6, 0x3d5b83bd, 0x7ab7077a, 0xf56e0ef4),
    CRC32C_256(0x493c7d27, 0x9278fa4e, 0x211d826d, 0x423b04da, 0x847609b4, 0x0d006599, 0x1a00cb32, 0x34019664),
};

uint32_t crc32c_portable(uint32_t raw, const uint8_t *data, size_t bytes) {
  for (; bytes >= 8; bytes -= 8, data += 8)
    raw = crc32c_table[7][data[0] ^ (raw & 0xff)] ^ crc32c_table[6][data[1] ^ (raw >> 8 & 0xff)] ^
          crc32c_table[5][data[2] ^ (raw >> 16 & 0xff)] ^ crc32c_table[4][data[3] ^ raw >> 24] ^
          crc32c_table[3][data[4]] ^ crc32c_table[2][data[5]] ^ crc32c_table[1][data[6]] ^ crc32c_table[0][data[7]];
  for (; bytes > 0; bytes--, data++) raw = raw >> 8 ^ crc32c_table[0][(raw ^ *data) & 0xff];
  return raw;
}

int64_t mb_crc32c(const uint8_t *data, uint64_t bytes, uint32_t seed) {
  if (data == NULL && bytes > 0) return -EINVAL;
  return (int64_t)(uint32_t)~hash_current()->crc32c(~seed, data, (size_t)bytes);
}
