/* Where everything in a segment lies: computed when it is created, checked against the same computation when it is attached. */
#include "segment.h"

static uint64_t layout_pages(uint64_t bytes) { return (bytes + MB_PAGE - 1) & ~(uint64_t)(MB_PAGE - 1); }

static uint64_t layout_table_bytes(uint64_t block_count) {
  uint64_t entries = block_count, bytes = 0;
  for (;;) {
    bytes += entries * 8;
    if (entries == 1) return bytes;
    entries = (entries + 63) >> MB_FANOUT_SHIFT;
  }
}

int64_t mb_layout(mb_header *h, uint64_t image_bytes, uint64_t schema_bytes) {
  if (image_bytes == 0 || image_bytes > MB_IMAGE_MAX || schema_bytes == 0 || schema_bytes > MB_SCHEMA_MAX) return MB_E_LIMIT;
  uint64_t block = MB_BLOCK_MIN;
  while ((image_bytes + block - 1) / block > MB_BLOCKS_MAX) block *= 2;
  if (block > (1ull << 31)) return MB_E_LIMIT;
  h->block_bytes = (uint32_t)block;
  h->block_count = (uint32_t)((image_bytes + block - 1) / block);
  h->image_bytes = image_bytes;
  h->schema_offset = sizeof(mb_header);
  h->schema_bytes = (uint32_t)schema_bytes;
  h->header_bytes = layout_pages(sizeof(mb_header) + schema_bytes);
  h->hot_offset = h->header_bytes;
  h->redo_offset = h->hot_offset + MB_PAGE;
  h->table_offset = h->redo_offset + MB_PAGE;
  h->table_bytes = layout_pages(layout_table_bytes(h->block_count));
  h->working_offset = h->table_offset + h->table_bytes;
  h->committed_offset = h->working_offset + layout_pages(image_bytes);
  h->file_bytes = h->committed_offset + layout_pages(image_bytes);
  return 0;
}

uint32_t mb_header_crc(const uint8_t *bytes, uint64_t header_bytes) {
  static const uint8_t zero[4];
  const uint64_t at = offsetof(mb_header, crc);
  uint32_t crc = (uint32_t)mb_crc32c(bytes, at, 0);
  crc = (uint32_t)mb_crc32c(zero, 4, crc);
  return (uint32_t)mb_crc32c(bytes + at + 4, header_bytes - at - 4, crc);
}

/* `copy` is private memory: whoever can write to the file can no longer change what was checked. Only the first page may be there
 * yet; the CRC needs all of header_bytes, so a caller that gets MB_E_LIMIT reads as much as header_bytes says and asks again. */
int64_t mb_check_header(const uint8_t *copy, uint64_t copy_bytes, uint64_t file_bytes) {
  mb_header h, want;
  if (copy_bytes < sizeof h) return MB_E_MAGIC;
  memcpy(&h, copy, sizeof h);
  if (memcmp(h.magic, MB_MAGIC, 8) != 0) return MB_E_MAGIC;
  if (h.endian != MB_ENDIAN) return MB_E_ENDIAN;
  if (h.major != MB_MAJOR || h.feature_incompat != 0) return MB_E_VERSION; /* ro_compat concerns those who write */
  memset(&want, 0, sizeof want);
  if (mb_layout(&want, h.image_bytes, h.schema_bytes) != 0) return MB_E_LAYOUT;
  if (h.header_bytes != want.header_bytes || h.hot_offset != want.hot_offset || h.redo_offset != want.redo_offset ||
      h.table_offset != want.table_offset || h.table_bytes != want.table_bytes || h.working_offset != want.working_offset ||
      h.committed_offset != want.committed_offset || h.file_bytes != want.file_bytes || h.block_bytes != want.block_bytes ||
      h.block_count != want.block_count || h.schema_offset != want.schema_offset || h.meta_offset >= h.image_bytes)
    return MB_E_LAYOUT;
  if (file_bytes < h.file_bytes) return MB_E_TRUNCATED;
  if (copy_bytes < h.header_bytes) return MB_E_LIMIT;
  if (mb_header_crc(copy, h.header_bytes) != h.crc) return MB_E_HEADER_CRC;
  return 0;
}
