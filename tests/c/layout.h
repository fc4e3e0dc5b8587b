/* Where everything lies, and a header that says otherwise. */
#include "check.h"

static void layout_of(uint64_t image_bytes, uint64_t schema_bytes) {
  mb_header h;
  memset(&h, 0, sizeof h);
  CHECK_IS(mb_layout(&h, image_bytes, schema_bytes), 0);
  CHECK(h.block_bytes >= MB_BLOCK_MIN && (h.block_bytes & (h.block_bytes - 1)) == 0);
  CHECK(h.block_count >= 1 && h.block_count <= MB_BLOCKS_MAX);
  CHECK((uint64_t)h.block_count * h.block_bytes >= image_bytes);
  CHECK((uint64_t)(h.block_count - 1) * h.block_bytes < image_bytes);
  CHECK(h.schema_offset + schema_bytes <= h.header_bytes);
  const uint64_t starts[] = {0, h.hot_offset, h.redo_offset, h.table_offset, h.working_offset, h.committed_offset, h.file_bytes};
  const uint64_t sizes[] = {h.header_bytes, sizeof(mb_hot), sizeof(mb_redo), h.table_bytes, image_bytes, image_bytes, 0};
  for (int i = 0; i < 6; i++) {
    CHECK_IS(starts[i] % MB_PAGE, 0);
    CHECK(starts[i] + sizes[i] <= starts[i + 1]);
  }
  uint64_t entries = h.block_count, table = entries, levels = 1;
  for (; entries > 1; levels++) table += entries = (entries + 63) / 64;
  CHECK(table * 8 <= h.table_bytes && levels <= MB_LEVELS_MAX);
  CHECK_IS(mb_segment_bytes(image_bytes, schema_bytes), h.file_bytes);
}

static void test_layout(void) {
  const uint64_t images[] = {1, 63, 64, 65, 4095, 4096, 4097, 64ull << 20, (64ull << 20) + 1, 1ull << 32, MB_IMAGE_MAX};
  const uint64_t schemas[] = {1, 2, MB_PAGE - sizeof(mb_header), MB_PAGE - sizeof(mb_header) + 1, MB_SCHEMA_MAX};
  for (size_t i = 0; i < sizeof images / sizeof *images; i++)
    for (size_t j = 0; j < sizeof schemas / sizeof *schemas; j++) layout_of(images[i], schemas[j]);
  uint64_t random = check_seed;
  for (int i = 0; i < 2000; i++) layout_of(1 + check_random(&random) % (1ull << check_below(&random, 48)), 1 + check_below(&random, 9000));
  CHECK_IS(mb_segment_bytes(0, 1), MB_E_LIMIT);
  CHECK_IS(mb_segment_bytes(1, 0), MB_E_LIMIT);
  CHECK_IS(mb_segment_bytes(MB_IMAGE_MAX + 1, 1), MB_E_LIMIT);
  CHECK_IS(mb_segment_bytes(UINT64_MAX, 1), MB_E_LIMIT);
  CHECK_IS(mb_segment_bytes(1, MB_SCHEMA_MAX + 1), MB_E_LIMIT);
  CHECK_IS(mb_segment_bytes(1, UINT64_MAX), MB_E_LIMIT);
}

static uint8_t *header_of(uint64_t image_bytes, mb_header *h) {
  mb_segment *s = check_create(NULL, image_bytes);
  memcpy(h, s->base, sizeof *h);
  uint8_t *copy = malloc(h->header_bytes);
  memcpy(copy, s->base, h->header_bytes);
  mb_segment_close(s);
  return copy;
}

static void test_header_flips(void) {
  mb_header h;
  uint8_t *copy = header_of(1000, &h);
  CHECK_IS(mb_check_header(copy, h.header_bytes, h.file_bytes), 0);
  for (uint64_t at = 0; at < h.header_bytes; at++)
    for (int bit = 0; bit < 9; bit++) {
      const uint8_t flip = bit < 8 ? (uint8_t)(1 << bit) : 0xff;
      copy[at] ^= flip;
      CHECK(mb_check_header(copy, h.header_bytes, h.file_bytes) != 0);
      copy[at] ^= flip;
    }
  CHECK_IS(mb_check_header(copy, h.header_bytes, h.file_bytes), 0);
  free(copy);
}

static void test_header_lengths(void) {
  mb_header h;
  uint8_t *copy = header_of(1000, &h);
  for (uint64_t bytes = 0; bytes < h.header_bytes; bytes++) {
    uint8_t *exact = malloc(bytes ? bytes : 1); /* so that a read past its end shows */
    memcpy(exact, copy, bytes);
    CHECK_IS(mb_check_header(exact, bytes, h.file_bytes), bytes < sizeof h ? MB_E_MAGIC : MB_E_LIMIT);
    free(exact);
  }
  CHECK_IS(mb_check_header(copy, h.header_bytes, h.file_bytes - 1), MB_E_TRUNCATED);
  CHECK_IS(mb_check_header(copy, h.header_bytes, 0), MB_E_TRUNCATED);
  free(copy);
}

/* One field forged, and the CRC made right again. */
static int64_t header_forged(uint64_t offset, const void *value, uint64_t bytes) {
  mb_header h;
  uint8_t *copy = header_of(100000, &h);
  memcpy(copy + offset, value, bytes);
  h.crc = mb_header_crc(copy, h.header_bytes);
  memcpy(copy + offsetof(mb_header, crc), &h.crc, sizeof h.crc);
  const int64_t result = mb_check_header(copy, h.header_bytes, UINT64_MAX);
  free(copy);
  return result;
}

static void test_header_forged(void) {
  const uint64_t values[] = {0, 1, 63, 4095, 4096, 8192, 1ull << 20, 1ull << 31, 1ull << 32, 1ull << 48, 1ull << 63, UINT64_MAX};
  static const uint64_t offsets[] = {
      offsetof(mb_header, file_bytes),   offsetof(mb_header, header_bytes), offsetof(mb_header, image_bytes),
      offsetof(mb_header, hot_offset),   offsetof(mb_header, redo_offset),  offsetof(mb_header, table_offset),
      offsetof(mb_header, table_bytes),  offsetof(mb_header, working_offset), offsetof(mb_header, committed_offset)};
  mb_header h;
  free(header_of(100000, &h));
  for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++)
    for (size_t j = 0; j < sizeof values / sizeof *values; j++)
      if (memcmp((uint8_t *)&h + offsets[i], &values[j], 8) != 0)
        CHECK_IS(header_forged(offsets[i], &values[j], 8), MB_E_LAYOUT);
  const uint32_t words[] = {0, 1, 63, 65, 128, 1u << 20, 1u << 31, UINT32_MAX};
  for (size_t j = 0; j < sizeof words / sizeof *words; j++) {
    CHECK_IS(header_forged(offsetof(mb_header, block_bytes), &words[j], 4), MB_E_LAYOUT);
    CHECK_IS(header_forged(offsetof(mb_header, block_count), &words[j], 4), MB_E_LAYOUT);
    CHECK_IS(header_forged(offsetof(mb_header, schema_offset), &words[j], 4), MB_E_LAYOUT);
  }
  const uint64_t image = 100000, one = 1;
  const uint32_t endian = 0x04030201;
  const uint16_t major = MB_MAJOR + 1, minor = MB_MINOR + 1;
  CHECK_IS(header_forged(offsetof(mb_header, meta_offset), &image, 8), MB_E_LAYOUT);
  CHECK_IS(header_forged(offsetof(mb_header, endian), &endian, 4), MB_E_ENDIAN);
  CHECK_IS(header_forged(offsetof(mb_header, major), &major, 2), MB_E_VERSION);
  CHECK_IS(header_forged(offsetof(mb_header, minor), &minor, 2), 0);
  CHECK_IS(header_forged(offsetof(mb_header, feature_incompat), &one, 8), MB_E_VERSION);
  CHECK_IS(header_forged(offsetof(mb_header, feature_compat), &one, 8), 0);
}
