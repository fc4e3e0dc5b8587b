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

static inline bool diff_block64(const uint8_t *a, const uint8_t *b) {
#ifdef MB_TCC
  return memcmp(a, b, 64) != 0;
#else
  uint64_t x[8], y[8];
  memcpy(x, a, 64);
  memcpy(y, b, 64);
  return ((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]) | (x[4] ^ y[4]) | (x[5] ^ y[5]) | (x[6] ^ y[6]) |
          (x[7] ^ y[7])) != 0;
#endif
}

static void diff_blocks(mb_segment *s, uint32_t block, uint32_t end) {
  for (; block < end; block++) {
    uint64_t at = (uint64_t)block << s->block_shift, bytes = mb_block_bytes(s);
    if (at + bytes > s->image_bytes) bytes = s->image_bytes - at;
    const uint8_t *w = s->working + at, *c = s->committed + at;
    if (!(bytes == 64 ? diff_block64(w, c) : memcmp(w, c, bytes) != 0)) continue;
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

void mb_collect_all(mb_segment *s) {
  s->run_count = 0;
  diff_range(s, 0, s->block_count);
}

/* Walks the touched bits in order, clears them, and diffs each unbroken stretch at once. */
void mb_collect_touched(mb_segment *s) {
  uint32_t from = 0, to = 0;
  s->run_count = 0;
  for (uint32_t i = 0; i < s->summary_words; i++) {
    uint32_t summary = s->touched_summary[i];
    if (i == s->summary_words - 1 && s->touched_words % 32) summary &= (1u << (s->touched_words % 32)) - 1;
    if (!summary) continue;
    s->touched_summary[i] = 0;
    for (; summary; summary &= summary - 1) {
      uint32_t n = i * 32 + mb_lowest_bit(summary), bits = s->touched[n];
      s->touched[n] = 0;
      if (bits == 0xffffffffu) {
        if (to != n * 32) {
          diff_range(s, from, to);
          from = n * 32;
        }
        to = n * 32 + 32;
        continue;
      }
      for (; bits; bits &= bits - 1) {
        uint32_t block = n * 32 + mb_lowest_bit(bits);
        if (to != block) {
          diff_range(s, from, to);
          from = block;
        }
        to = block + 1;
      }
    }
  }
  diff_range(s, from, to);
}

void mb_touch_range(mb_segment *s, uint64_t offset, uint64_t bytes) {
  if (bytes == 0) return;
  uint32_t first = (uint32_t)(offset >> s->block_shift), last = (uint32_t)((offset + bytes - 1) >> s->block_shift);
  for (uint32_t n = first >> 5; n <= last >> 5; n++) {
    uint32_t low = n == first >> 5 ? first & 31 : 0, high = n == last >> 5 ? last & 31 : 31;
    s->touched[n] |= (0xffffffffu >> (31 - high)) & (0xffffffffu << low);
    s->touched_summary[n >> 5] |= 1u << (n & 31);
  }
}
