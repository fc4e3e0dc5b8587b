/* Whether a write changed what it may not: bytes that somebody else writes. */
#include "segment.h"

/* Between `from` and `to`: 1 + the offset of the first byte of the runs in which working and committed differ, or 0. */
static int64_t within_block(const mb_segment *s, const double *runs, uint64_t count, uint64_t from, uint64_t to) {
  if (memcmp(s->working + from, s->committed + from, to - from) == 0) return 0;
  for (uint64_t k = mb_first_run(runs, count, from); k < count && runs[2 * k] < (double)to; k++) {
    uint64_t offset, bytes;
    if (!mb_whole(runs[2 * k], &offset) || !mb_whole(runs[2 * k + 1], &bytes) || !mb_inside(offset, bytes, s->image_bytes)) return MB_E_RANGE;
    uint64_t at = offset > from ? offset : from, end = offset + bytes < to ? offset + bytes : to;
    for (; at < end; at++)
      if (s->working[at] != s->committed[at]) return (int64_t)at + 1;
  }
  return 0;
}

/* Inside a transaction: 1 + the offset of a byte of `runs` that it changed so far; 0 if it changed none. */
MB_EXPORT int64_t mb_changed_within(mb_segment *s, const double *runs, uint64_t count) {
  if (!s->in_write) return MB_E_NOT_IN_WRITE;
  for (uint32_t word = 0; word < s->touched_words; word++) {
    if (word % 32 == 0 && s->touched_summary[word >> 5] == 0) { word |= 31; continue; }
    for (uint32_t bits = s->touched[word]; bits; bits &= bits - 1) {
      uint32_t block = word * 32 + mb_lowest_bit(bits);
      if (block >= s->block_count) break;
      uint64_t from = (uint64_t)block << s->block_shift, to = from + mb_block_bytes(s);
      int64_t found = within_block(s, runs, count, from, to < s->image_bytes ? to : s->image_bytes);
      if (found != 0) return found;
    }
  }
  return 0;
}
