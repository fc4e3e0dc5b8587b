/* Which blocks a transaction really changed: working against committed, by bits, within what was handed out for writing. */
#include "segment.h"

#define DIFF_CHUNK 4096 /* one memcmp over this much first: equal stretches run at the speed of memcmp */

/* Out of memory for the list: the last run grows instead. A block reported without need costs bytes on the wire, no more. */
static void diff_push(mb_segment *s, uint32_t block, uint32_t count) {
  mb_run *last = s->run_count ? s->runs + s->run_count - 1 : NULL;
  if (last && last->block + last->count == block) {
    last->count += count;
    return;
  }
  if (s->run_count == s->run_capacity) {
    uint32_t capacity = s->run_capacity * 2;
    mb_run *grown = realloc(s->runs, (size_t)capacity * sizeof(mb_run));
    if (!grown) {
      last->count = block + count - last->block;
      return;
    }
    s->runs = grown;
    s->run_capacity = capacity;
  }
  s->runs[s->run_count].block = block;
  s->runs[s->run_count++].count = count;
}

static void diff_blocks(mb_segment *s, uint32_t block, uint32_t end) {
  for (; block < end; block++) {
    uint64_t at = (uint64_t)block << s->block_shift, bytes = mb_block_bytes(s);
    if (at + bytes > s->image_bytes) bytes = s->image_bytes - at;
    if (!mb_differ(s->working + at, s->committed + at, bytes)) continue;
    diff_push(s, block, 1);
    if (s->exact) mb_exact_add(s, at, bytes);
  }
}

static void diff_range(mb_segment *s, uint32_t block, uint32_t end) {
  if (end > s->block_count) end = s->block_count; /* the notes are JavaScript's */
  uint32_t step = s->block_shift < 12 ? DIFF_CHUNK >> s->block_shift : 1;
  while (block < end) {
    uint32_t stop = end - block > step ? block + step : end;
    uint64_t at = (uint64_t)block << s->block_shift, to = (uint64_t)stop << s->block_shift;
    if (to > s->image_bytes) to = s->image_bytes;
    if (stop - block == 1 || memcmp(s->working + at, s->committed + at, to - at) != 0) diff_blocks(s, block, stop);
    block = stop;
  }
}

static void diff_begin(mb_segment *s) {
  s->run_count = 0;
  mb_exact_begin(s);
}

void mb_collect_all(mb_segment *s) {
  diff_begin(s);
  diff_range(s, 0, s->block_count);
}

/* Nothing is left to find out: whoever wrote these blocks compared them. */
static void diff_known(mb_segment *s, uint32_t block, uint32_t end) {
  diff_push(s, block, end - block);
  if (!s->exact) return;
  uint64_t at = (uint64_t)block << s->block_shift, to = (uint64_t)end << s->block_shift;
  for (uint64_t bytes = mb_block_bytes(s); at < to; at += bytes)
    mb_exact_add(s, at, at + bytes > s->image_bytes ? s->image_bytes - at : bytes);
}

/* Touched blocks side by side that are all known to differ, or all to be compared. */
typedef struct { uint32_t from, to; bool known; } diff_stretch;

static void diff_end_stretch(mb_segment *s, const diff_stretch *stretch) {
  if (stretch->from == stretch->to) return;
  if (stretch->known) diff_known(s, stretch->from, stretch->to);
  else diff_range(s, stretch->from, stretch->to);
}

static void diff_stretch_over(mb_segment *s, diff_stretch *stretch, uint32_t block, uint32_t count, bool known) {
  if (stretch->to != block || stretch->known != known) {
    diff_end_stretch(s, stretch);
    stretch->from = block;
    stretch->known = known;
  }
  stretch->to = block + count;
}

/* Walks the touched bits in order, clears them, and takes each unbroken stretch at once. */
void mb_collect_touched(mb_segment *s) {
  diff_stretch stretch = {0, 0, false};
  diff_begin(s);
  for (uint32_t i = 0; i < s->summary_words; i++) {
    uint32_t summary = s->touched_summary[i];
    if (i == s->summary_words - 1 && s->touched_words % 32) summary &= (1u << (s->touched_words % 32)) - 1;
    if (!summary) continue;
    s->touched_summary[i] = 0;
    for (; summary; summary &= summary - 1) {
      uint32_t n = i * 32 + mb_lowest_bit(summary), bits = s->touched[n], known = s->differing[n];
      s->touched[n] = s->differing[n] = 0;
      if (bits == 0xffffffffu && (known == 0 || known == bits)) {
        diff_stretch_over(s, &stretch, n * 32, 32, known != 0);
        continue;
      }
      for (; bits; bits &= bits - 1) {
        unsigned bit = mb_lowest_bit(bits);
        diff_stretch_over(s, &stretch, n * 32 + bit, 1, known >> bit & 1);
      }
    }
  }
  diff_end_stretch(s, &stretch);
}

/* This block has just become other than it was. If nobody had touched it in this transaction, it differs from the committed one now;
 * else this may have undone what made it differ. */
void mb_touch_changed(mb_segment *s, uint32_t block) {
  uint32_t n = block >> 5, bit = 1u << (block & 31);
  if (s->touched[n] & bit) s->differing[n] &= ~bit;
  else s->differing[n] |= bit;
  s->touched[n] |= bit;
  s->touched_summary[n >> 5] |= 1u << (n & 31);
}

/* Whoever wrote these bytes has not looked whether they differ. */
void mb_touch_range(mb_segment *s, uint64_t offset, uint64_t bytes) {
  if (bytes == 0) return;
  uint32_t first = (uint32_t)(offset >> s->block_shift), last = (uint32_t)((offset + bytes - 1) >> s->block_shift);
  for (uint32_t n = first >> 5; n <= last >> 5; n++) {
    uint32_t low = n == first >> 5 ? first & 31 : 0, high = n == last >> 5 ? last & 31 : 31;
    uint32_t bits = (0xffffffffu >> (31 - high)) & (0xffffffffu << low);
    s->touched[n] |= bits;
    s->differing[n] &= ~bits;
    s->touched_summary[n >> 5] |= 1u << (n & 31);
  }
}
