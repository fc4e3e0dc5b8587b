/*
 * Known answers on every row of kernels that this CPU can run, not only on the one in force.
 *
 * Single answers are the published ones. The sweeps over lengths end in one number each, made with Python's hashlib and with
 * a bit-by-bit CRC; they reach every way in which a message can be cut into head, body and tail.
 */
#include "platform.h"

#include "hash.h"

#define SELFTEST_PATTERN_BYTES 20000
#define SELFTEST_FAILED 20000 /* below every errno and every mb_error */

/* Bytes without a short period: the top byte of i times the golden ratio. */
static void selftest_fill(uint8_t *pattern) {
  for (uint32_t i = 0; i < SELFTEST_PATTERN_BYTES; i++) pattern[i] = (uint8_t)(i * 2654435761u >> 24);
}

static uint8_t selftest_nibble(char c) { return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10); }

static bool selftest_is(const uint8_t *digest, const char *hex) {
  for (int i = 0; i < SHA256_DIGEST_BYTES; i++)
    if (digest[i] != (uint8_t)(selftest_nibble(hex[2 * i]) << 4 | selftest_nibble(hex[2 * i + 1]))) return false;
  return true;
}

static bool selftest_digest(const hash_row *row, const char *message, size_t bytes, const char *hex) {
  uint8_t digest[SHA256_DIGEST_BYTES];
  sha256_stream stream;
  sha256_start(&stream);
  sha256_absorb(row, &stream, (const uint8_t *)message, bytes);
  sha256_finish(row, &stream, digest);
  return selftest_is(digest, hex);
}

/* NIST's examples for FIPS 180-4: no byte, one block, two blocks, two blocks and a tail. */
static bool selftest_sha256_examples(const hash_row *row, const uint8_t *pattern) {
  (void)pattern;
  return selftest_digest(row, "", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855") &&
         selftest_digest(row, "abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad") &&
         selftest_digest(row, "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
                         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1") &&
         selftest_digest(row,
                         "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqr"
                         "lmnopqrsmnopqrstnopqrstu",
                         112, "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
}

/* The fourth of them, a million times "a", in pieces of 1, 2, 3 .. bytes. */
static bool selftest_sha256_pieces(const hash_row *row, const uint8_t *pattern) {
  (void)pattern;
  uint8_t letters[1500], digest[SHA256_DIGEST_BYTES];
  memset(letters, 'a', sizeof letters);
  sha256_stream stream;
  sha256_start(&stream);
  size_t piece = 1;
  for (size_t left = 1000000; left > 0; left -= piece, piece++) {
    if (piece > left) piece = left;
    sha256_absorb(row, &stream, letters, piece);
  }
  sha256_finish(row, &stream, digest);
  return selftest_is(digest, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

/* RFC 6962: the roots of one and of two leaves of Certificate Transparency's reference tree, "" and 00. */
static bool selftest_merkle_examples(const hash_row *row, const uint8_t *pattern) {
  const uint8_t zero = 0;
  uint8_t leaves[2 * SHA256_DIGEST_BYTES], root[SHA256_DIGEST_BYTES];
  sha256_prefixed(row, SHA256_LEAF_PREFIX, pattern, 0, 1, leaves);
  sha256_prefixed(row, SHA256_LEAF_PREFIX, &zero, 1, 1, leaves + SHA256_DIGEST_BYTES);
  sha256_nodes(row, leaves, 1, root);
  return selftest_is(leaves, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d") &&
         selftest_is(root, "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125");
}

/* Four leaves and a half of each length from 1 to 200, then seven nodes: an odd number, whatever the lanes. */
static bool selftest_merkle_sweep(const hash_row *row, const uint8_t *pattern) {
  uint8_t hashes[7 * SHA256_DIGEST_BYTES], digest[SHA256_DIGEST_BYTES];
  sha256_stream stream;
  sha256_start(&stream);
  for (size_t leaf = 1; leaf <= 200; leaf++) {
    const size_t count = sha256_leaves(row, pattern, 4 * leaf + leaf / 2, leaf, hashes);
    sha256_absorb(row, &stream, hashes, count * SHA256_DIGEST_BYTES);
  }
  sha256_finish(row, &stream, digest);
  if (!selftest_is(digest, "2b9c50b71df6a0016c008d98d2fd4a2e1751b3f556b2177dc3506bea69c4010c")) return false;

  sha256_nodes(row, pattern, 7, hashes);
  return selftest_digest(row, (const char *)hashes, sizeof hashes,
                         "f5261040bd56b24583421036f60e601ea5fc82acda751b47dfb015ed0eb5651a");
}

static uint32_t selftest_crc(const hash_row *row, uint32_t seed, const uint8_t *data, size_t bytes) {
  return ~row->crc32c(~seed, data, bytes);
}

/* RFC 3720 appendix B.4. */
static bool selftest_crc32c_examples(const hash_row *row, const uint8_t *pattern) {
  (void)pattern;
  static const uint8_t read_pdu[48] = {0x01, 0xc0, [16] = 0x14, [22] = 0x04, [27] = 0x14, [31] = 0x18, [32] = 0x28,
                                       [40] = 0x02};
  uint8_t zeros[32], ones[32], up[32], down[32];
  memset(zeros, 0, 32);
  memset(ones, 0xff, 32);
  for (int i = 0; i < 32; i++) up[i] = (uint8_t)i, down[i] = (uint8_t)(31 - i);
  return selftest_crc(row, 0, zeros, 32) == 0x8a9136aa && selftest_crc(row, 0, ones, 32) == 0x62a8ab43 &&
         selftest_crc(row, 0, up, 32) == 0x46dd794e && selftest_crc(row, 0, down, 32) == 0x113fdb5c &&
         selftest_crc(row, 0, read_pdu, 48) == 0xd9963a56;
}

/* Long enough for every stretch of the kernels, and the same in two parts wherever it is cut. */
static bool selftest_crc32c_sweep(const hash_row *row, const uint8_t *pattern) {
  const uint32_t whole = 0x07134655;
  if (selftest_crc(row, 0, pattern, SELFTEST_PATTERN_BYTES) != whole) return false;
  for (size_t cut = 0; cut <= SELFTEST_PATTERN_BYTES; cut += 97) {
    const uint32_t before = selftest_crc(row, 0, pattern, cut);
    if (selftest_crc(row, before, pattern + cut, SELFTEST_PATTERN_BYTES - cut) != whole) return false;
  }
  return true;
}

typedef bool (*selftest_check)(const hash_row *row, const uint8_t *pattern);

static const selftest_check selftest_checks[] = {
    selftest_sha256_examples, selftest_sha256_pieces,   selftest_merkle_examples,
    selftest_merkle_sweep,    selftest_crc32c_examples, selftest_crc32c_sweep,
};

int64_t mb_hash_selftest(void) {
  const int64_t checks = sizeof selftest_checks / sizeof selftest_checks[0];
  uint8_t *pattern = malloc(SELFTEST_PATTERN_BYTES);
  if (pattern == NULL) return -ENOMEM;
  selftest_fill(pattern);
  int64_t failed = 0;
  for (int64_t index = 0; index < mb_hash_rows() && failed == 0; index++) {
    const hash_row *row = hash_runnable(index);
    for (int64_t check = 0; row != NULL && check < checks && failed == 0; check++)
      if (!selftest_checks[check](row, pattern)) failed = -(SELFTEST_FAILED + 100 * index + check + 1);
  }
  free(pattern);
  return failed;
}
