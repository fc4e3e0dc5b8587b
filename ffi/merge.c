/* The arrays of a mesh: beside every element, a u64 that says when it was written. All of it inside a transaction. */
#include "segment.h"

#define MB_STAMP_TAG_BITS 11 /* a stamp: a clock of 53 bits, which a double holds, then who wrote */

typedef struct {
  uint64_t values, width, stamps, count; /* where the elements are, their bytes (1, 2, 4 or 8), where their stamps are */
} mb_cells;

static inline uint64_t cell_load(const uint8_t *at, uint64_t width) {
  uint16_t two;
  uint32_t four;
  uint64_t eight;
  switch (width) {
    case 1: return *at;
    case 2: memcpy(&two, at, 2); return two;
    case 4: memcpy(&four, at, 4); return four;
    default: memcpy(&eight, at, 8); return eight;
  }
}

/* The k-th of the arrays: four numbers each. False where they cannot be. */
static bool cells_at(const mb_segment *s, const double *places, uint64_t k, mb_cells *c) {
  const double *place = places + 4 * k;
  if (!mb_whole(place[0], &c->values) || !mb_whole(place[1], &c->width) || !mb_whole(place[2], &c->stamps) || !mb_whole(place[3], &c->count))
    return false;
  if (c->width != 1 && c->width != 2 && c->width != 4 && c->width != 8) return false;
  if (c->count == 0 || c->count > s->image_bytes || (c->values | c->stamps) % 8) return false;
  return mb_inside(c->values, c->count * c->width, s->image_bytes) && mb_inside(c->stamps, c->count * 8, s->image_bytes);
}

/* The last clock with which JavaScript can still count. */
#define MB_CLOCK_MAX 9007199254740990ull

static inline uint64_t stamp_clock(uint64_t stamp) { return stamp >> MB_STAMP_TAG_BITS; }

/* When a write happened, and by whom. */
typedef struct {
  uint64_t now, limit, tag;
} mb_writing;

/* The stamp of a write over one of `before`: after it, unless that is of a future that nobody believes. */
static inline uint64_t stamp_over(uint64_t before, const mb_writing *w) {
  uint64_t clock = stamp_clock(before);
  clock = clock < w->now || clock > w->limit ? w->now : clock + 1;
  return clock << MB_STAMP_TAG_BITS | w->tag;
}

/* Stamps the elements that the transaction changed so far; returns how many. Arrays begin at multiples of 64: no element lies across
 * two blocks. */
static uint64_t cells_stamp(mb_segment *s, const mb_cells *c, const mb_writing *w) {
  uint64_t written = 0, end = c->values + c->count * c->width;
  for (uint64_t block = c->values >> s->block_shift; block << s->block_shift < end; block++) {
    if (block % 1024 == 0 && s->touched_summary[block >> 10] == 0) { block |= 1023; continue; }
    if (block % 32 == 0 && s->touched[block >> 5] == 0) { block |= 31; continue; }
    if ((s->touched[block >> 5] >> (block & 31) & 1) == 0) continue;
    uint64_t from = block << s->block_shift, to = from + mb_block_bytes(s);
    if (from < c->values) from = c->values;
    if (to > end) to = end;
    if (memcmp(s->working + from, s->committed + from, to - from) == 0) continue;
    mb_touch_range(s, c->stamps + (from - c->values) / c->width * 8, (to - from) / c->width * 8);
    for (uint64_t at = from; at < to; at += c->width) {
      if (cell_load(s->working + at, c->width) == cell_load(s->committed + at, c->width)) continue;
      uint8_t *place = s->working + c->stamps + (at - c->values) / c->width * 8;
      uint64_t stamp = stamp_over(cell_load(place, 8), w);
      memcpy(place, &stamp, 8);
      written++;
    }
  }
  return written;
}

/* Stamps the elements that the transaction changed with the clock `now`, or just after what they overwrite where that is later, but not
 * after `limit`. Returns how many. */
MB_EXPORT int64_t mb_cells_stamp(mb_segment *s, const double *places, uint64_t count, uint64_t now, uint64_t limit, uint64_t tag) {
  mb_writing w = {now, limit, tag & ((1 << MB_STAMP_TAG_BITS) - 1)};
  uint64_t written = 0;
  mb_cells c;
  if (!s->in_write) return MB_E_NOT_IN_WRITE;
  if (now > MB_CLOCK_MAX || limit > MB_CLOCK_MAX) return MB_E_RANGE;
  for (uint64_t k = 0; k < count; k++) {
    if (!cells_at(s, places, k, &c)) return MB_E_RANGE;
    written += cells_stamp(s, &c, &w);
  }
  return (int64_t)written;
}

/* Whether theirs was written later than ours; of one moment the greater bytes count, so that all who merge end with the same. */
static inline bool cell_later(const mb_segment *s, const mb_cells *c, const uint8_t *theirs, uint64_t i) {
  uint64_t a = cell_load(theirs + c->stamps + 8 * i, 8), b = cell_load(s->working + c->stamps + 8 * i, 8);
  if (a != b) return a > b;
  uint64_t at = c->values + i * c->width;
  return cell_load(theirs + at, c->width) > cell_load(s->working + at, c->width);
}

static void cells_take(mb_segment *s, const mb_cells *c, const uint8_t *theirs, uint64_t first, uint64_t count) {
  uint64_t at = c->values + first * c->width, place = c->stamps + first * 8;
  memcpy(s->working + at, theirs + at, count * c->width);
  memcpy(s->working + place, theirs + place, count * 8);
  mb_touch_range(s, at, count * c->width);
  mb_touch_range(s, place, count * 8);
}

/* Takes what was written later there, and not after `limit`, of the elements that have a byte between `from` and `to` in their array of
 * `width` bytes each at `start`. Returns how many it left because of the limit. */
static uint64_t cells_merge_run(mb_segment *s, const mb_cells *c, const uint8_t *theirs, uint64_t from, uint64_t to, uint64_t start,
                                uint64_t width, uint64_t limit) {
  uint64_t left = 0, past = start + width * c->count;
  if (from < start) from = start;
  if (to > past) to = past;
  if (from >= to) return 0;
  uint64_t i = (from - start) / width, end = (to - start + width - 1) / width;
  while (i < end) {
    uint64_t first = i;
    while (i < end && cell_later(s, c, theirs, i) && stamp_clock(cell_load(theirs + c->stamps + 8 * i, 8)) <= limit) i++;
    if (i > first) {
      cells_take(s, c, theirs, first, i - first);
      continue;
    }
    if (cell_later(s, c, theirs, i)) left++;
    i++;
  }
  return left;
}

/* The same for all runs that meet that array. */
static uint64_t cells_merge_runs(mb_segment *s, const mb_cells *c, const uint8_t *theirs, const double *runs, uint64_t count,
                                 uint64_t start, uint64_t width, uint64_t limit) {
  uint64_t left = 0, past = start + width * c->count;
  for (uint64_t k = mb_first_run(runs, count, start); k < count && runs[2 * k] < (double)past; k++) {
    uint64_t from = (uint64_t)(int64_t)runs[2 * k], bytes = (uint64_t)(int64_t)runs[2 * k + 1];
    left += cells_merge_run(s, c, theirs, from, from + bytes, start, width, limit);
  }
  return left;
}

static bool cells_runs_fit(const mb_segment *s, const double *runs, uint64_t count) {
  uint64_t end = 0;
  for (uint64_t k = 0; k < count; k++) {
    uint64_t from, bytes;
    if (!mb_whole(runs[2 * k], &from) || !mb_whole(runs[2 * k + 1], &bytes)) return false;
    if (from < end || !mb_inside(from, bytes, s->image_bytes)) return false;
    end = from + bytes;
  }
  return true;
}

/* Takes from `theirs`, an image of the same layout, the elements that were written later there, but not after `limit`, as far as a byte
 * of them or of their stamps is in `runs` (offset, bytes; sorted, disjoint): of two writes at one moment only the value tells. Returns how
 * many it left because of the limit, some perhaps counted twice. */
MB_EXPORT int64_t mb_cells_merge(mb_segment *s, const double *places, uint64_t count, const uint8_t *theirs, uint64_t theirs_bytes,
                                 const double *runs, uint64_t run_count, uint64_t limit) {
  uint64_t left = 0;
  mb_cells c;
  if (!s->in_write) return MB_E_NOT_IN_WRITE;
  if (theirs_bytes < s->image_bytes || limit > MB_CLOCK_MAX || !cells_runs_fit(s, runs, run_count)) return MB_E_RANGE;
  for (uint64_t k = 0; k < count; k++) {
    if (!cells_at(s, places, k, &c)) return MB_E_RANGE;
    left += cells_merge_runs(s, &c, theirs, runs, run_count, c.stamps, 8, limit);
    left += cells_merge_runs(s, &c, theirs, runs, run_count, c.values, c.width, limit);
  }
  return (int64_t)left;
}
