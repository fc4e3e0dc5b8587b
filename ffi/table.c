/* The version table: for every block the version that last changed it, and above the blocks a tree of maxima with fan-out 64, so
 * that "what changed since v" costs in proportion to what did change. */
#include "segment.h"

void mb_stamp(mb_segment *s, const mb_run *run, uint64_t version) {
  uint32_t first = run->block, last = run->block + run->count - 1;
  for (uint32_t n = 0; n < s->level_count; n++) {
    uint64_t *entry = s->level[n];
    for (uint32_t i = first; i <= last; i++) mb_store_relaxed(entry + i, version);
    first >>= MB_FANOUT_SHIFT;
    last >>= MB_FANOUT_SHIFT;
  }
}

/* The first block in [block, end) that changed after `version`, or end. Climbs while whole subtrees are older. */
uint32_t mb_next_changed(const mb_segment *s, uint32_t block, uint32_t end, uint64_t version) {
  uint32_t n = 0, i = block;
  for (;;) {
    if (i >= s->level_entries[n] || ((uint64_t)i << (n * MB_FANOUT_SHIFT)) >= end) return end;
    if (mb_load_relaxed(s->level[n] + i) > version) {
      if (n == 0) return i;
      n--;
      i <<= MB_FANOUT_SHIFT;
      if (n == 0 && i < block) i = block;
      continue;
    }
    i++;
    while (n + 1 < s->level_count && (i & 63) == 0) {
      i >>= MB_FANOUT_SHIFT;
      n++;
    }
  }
}
