/* Moving regions: rows of a box into one buffer, received bytes to where they belong. Pieces are doubles, exact below 2^53. */
#include "segment.h"

#define COPY_CHUNK 4096

/* into = the bytes of `count` runs (offset, bytes) of `from`, one after the other. Returns how many bytes that were. */
MB_EXPORT int64_t mb_gather(uint8_t *into, uint64_t into_bytes, const uint8_t *from, uint64_t from_bytes, const double *runs,
                            uint64_t count) {
  uint64_t at = 0;
  for (uint64_t i = 0; i < count; i++) {
    uint64_t offset, bytes;
    if (!mb_whole(runs[2 * i], &offset) || !mb_whole(runs[2 * i + 1], &bytes)) return MB_E_RANGE;
    if (!mb_inside(offset, bytes, from_bytes) || !mb_inside(at, bytes, into_bytes)) return MB_E_RANGE;
    memcpy(into + at, from + offset, bytes);
    at += bytes;
  }
  return (int64_t)at;
}

/* Block by block: what differs is written and marked. The comparison is the commit's as well, which need not look at these again. */
static void scatter_blocks(mb_segment *s, uint64_t to, const uint8_t *from, uint64_t bytes) {
  const uint64_t block_bytes = mb_block_bytes(s);
  while (bytes) {
    uint64_t step = block_bytes - (to & (block_bytes - 1));
    if (step > bytes) step = bytes;
    if (mb_differ(s->working + to, from, step)) {
      if (step == 64) memcpy(s->working + to, from, 64); /* no call */
      else memcpy(s->working + to, from, step);
      mb_touch_changed(s, (uint32_t)(to >> s->block_shift));
    }
    to += step;
    from += step;
    bytes -= step;
  }
}

/* Inside a transaction: writes `count` pieces (image offset, offset in `from`, bytes) into the working image. Only what differs is
 * written and marked as touched, so that applying what is already there makes no version and costs no copy. */
MB_EXPORT int64_t mb_scatter(mb_segment *s, const uint8_t *from, uint64_t from_bytes, const double *pieces, uint64_t count) {
  if (!s->in_write) return MB_E_NOT_IN_WRITE;
  for (uint64_t i = 0; i < count; i++) {
    uint64_t to, at, bytes;
    if (!mb_whole(pieces[3 * i], &to) || !mb_whole(pieces[3 * i + 1], &at) || !mb_whole(pieces[3 * i + 2], &bytes))
      return MB_E_RANGE;
    if (!mb_inside(to, bytes, s->image_bytes) || !mb_inside(at, bytes, from_bytes)) return MB_E_RANGE;
    while (bytes) {
      uint64_t step = COPY_CHUNK - (to & (COPY_CHUNK - 1)); /* so that it is whole blocks */
      if (step > bytes) step = bytes;
      if (memcmp(s->working + to, from + at, step) != 0) scatter_blocks(s, to, from + at, step);
      to += step;
      at += step;
      bytes -= step;
    }
  }
  return mb_guard_hit(s->guard_slot) ? MB_E_TRUNCATED : 0;
}

/* The limits that the benchmarks hold the library against, reached through the same binding. */
MB_EXPORT int64_t mb_memcpy(uint8_t *into, const uint8_t *from, uint64_t bytes) {
  memcpy(into, from, bytes);
  return 0;
}
MB_EXPORT int64_t mb_memcmp(const uint8_t *a, const uint8_t *b, uint64_t bytes) { return memcmp(a, b, bytes) != 0; }
