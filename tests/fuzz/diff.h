/* Transactions against a table kept by hand: which blocks changed, in which version, and what a reader is told.
 *
 *   u8 size (0 mod 16: large) | u24 image bytes | steps: u8 what, u24 offset, u16 length, u8 value */
#include "fuzz.h"

typedef struct {
  mb_segment *s;
  uint8_t *working, *committed, *touched; /* bytes; a flag per block */
  uint64_t *stamp, *word, version; /* the version that last changed each block, each word; the newest */
} diff_model;

static uint64_t diff_block_start(const mb_segment *s, uint64_t block) { return block << s->block_shift; }

static uint64_t diff_block_end(const mb_segment *s, uint64_t block) {
  const uint64_t end = (block + 1) << s->block_shift;
  return end < s->image_bytes ? end : s->image_bytes;
}

static bool diff_differs(const diff_model *m, uint64_t block) {
  const uint64_t from = diff_block_start(m->s, block);
  return memcmp(m->working + from, m->committed + from, diff_block_end(m->s, block) - from) != 0;
}

/* The same bytes by scatter, which marks what it finds to differ by itself. */
static void diff_scatter(const diff_model *m, uint64_t at, uint64_t bytes) {
  uint8_t *from = fuzz_exact(bytes);
  const double piece[3] = {(double)at, 0, (double)bytes};
  memcpy(from, m->working + at, bytes);
  REQUIRE(mb_scatter(m->s, from, bytes, piece, 1) == 0);
  free(from);
}

static void diff_write(diff_model *m, uint64_t at, uint64_t bytes, uint8_t value, bool alternates, bool scatters) {
  for (uint64_t i = at; i < at + bytes; i++) m->working[i] = alternates && i % 128 < 64 ? m->committed[i] : value;
  if (scatters) {
    diff_scatter(m, at, bytes);
  } else {
    memcpy(m->s->working + at, m->working + at, bytes);
    mb_touch_range(m->s, at, bytes);
  }
  for (uint64_t i = at; i < at + bytes; i++) m->touched[i >> m->s->block_shift] = 1;
}

static void diff_commit(diff_model *m) {
  uint64_t changed = 0;
  for (uint64_t b = 0; b < m->s->block_count; b++) changed += m->touched[b] && diff_differs(m, b);
  REQUIRE(mb_commit(m->s) == (int64_t)changed);
  if (changed) m->version++;
  for (uint64_t b = 0; b < m->s->block_count; b++)
    if (m->touched[b] && diff_differs(m, b)) m->stamp[b] = m->version;
  for (uint64_t i = 0; i < m->s->image_bytes; i++)
    if (m->working[i] != m->committed[i]) m->word[i / 8] = m->version;
  memcpy(m->committed, m->working, m->s->image_bytes);
}

static void diff_end(diff_model *m, bool throws) {
  if (throws) {
    REQUIRE(mb_rollback(m->s) == 0);
    memcpy(m->working, m->committed, m->s->image_bytes);
  } else {
    diff_commit(m);
  }
  memset(m->touched, 0, m->s->block_count);
  REQUIRE(mb_version(m->s) == (int64_t)m->version);
  REQUIRE(memcmp(m->s->working, m->working, m->s->image_bytes) == 0);
  REQUIRE(memcmp(m->s->committed, m->committed, m->s->image_bytes) == 0);
  REQUIRE(mb_begin(m->s) == 0);
}

/* What has changed since, clipped to one stretch, byte by byte. */
static void diff_ask(diff_model *m, uint64_t since, uint64_t at, uint64_t bytes) {
  mb_segment *s = m->s;
  const double clip[2] = {(double)at, (double)bytes};
  const uint64_t capacity = s->block_count;
  double *runs = fuzz_exact(16 * capacity), info[1];
  const int64_t count = mb_changed_since(s, since, clip, 1, runs, capacity, info);
  REQUIRE(count >= 0 && count <= (int64_t)capacity && info[0] == (double)m->version);
  fuzz_runs_are_sound(runs, count, s->image_bytes);
  uint64_t i = 0;
  for (uint64_t b = at >> s->block_shift; b < s->block_count && diff_block_start(s, b) < at + bytes; b++) {
    const uint64_t low = diff_block_start(s, b), high = diff_block_end(s, b);
    const double from = (double)(low > at ? low : at), to = (double)(high < at + bytes ? high : at + bytes);
    while (i < (uint64_t)count && runs[2 * i] + runs[2 * i + 1] <= from) i++;
    const bool named = i < (uint64_t)count && runs[2 * i] < to;
    REQUIRE(named == (m->stamp[b] > since));
    if (named) REQUIRE(runs[2 * i] <= from && runs[2 * i] + runs[2 * i + 1] >= to);
  }
  free(runs);
}

static uint64_t diff_cost(const double *runs, int64_t count) {
  uint64_t bytes = 0;
  for (int64_t i = 0; i < count; i++) bytes += 16 + (uint64_t)runs[2 * i + 1];
  return bytes;
}

/* The same by words: none that changed is left out, and of the newest commit it is never more than by blocks. */
static void diff_ask_exactly(diff_model *m, uint64_t since, uint64_t at, uint64_t bytes) {
  mb_segment *s = m->s;
  const double clip[2] = {(double)at, (double)bytes};
  const uint64_t capacity = s->image_bytes / 8 + 2;
  double *blocks = fuzz_exact(16 * capacity), *runs = fuzz_exact(16 * capacity), info[1];
  const int64_t block_count = mb_changed_since(s, since, clip, 1, blocks, capacity, info);
  const int64_t count = mb_changed_exactly(s, since, clip, 1, runs, capacity, info);
  REQUIRE(block_count >= 0 && block_count <= (int64_t)capacity);
  REQUIRE(count >= 0 && count <= (int64_t)capacity && info[0] == (double)m->version);
  fuzz_runs_are_sound(runs, count, s->image_bytes);
  REQUIRE(count == 0 || (runs[0] >= clip[0] && runs[2 * count - 2] + runs[2 * count - 1] <= clip[0] + clip[1]));
  for (uint64_t i = at, n = 0; i < at + bytes; i++) {
    while (n < (uint64_t)count && runs[2 * n] + runs[2 * n + 1] <= (double)i) n++;
    REQUIRE(m->word[i / 8] <= since || (n < (uint64_t)count && runs[2 * n] <= (double)i));
  }
  if (since + 1 == m->version && bytes == s->image_bytes) REQUIRE(diff_cost(runs, count) <= diff_cost(blocks, block_count));
  free(blocks);
  free(runs);
}

static void diff_copy(diff_model *m, uint64_t at, uint64_t bytes) {
  uint8_t *copy = fuzz_exact(bytes);
  REQUIRE(mb_snapshot(m->s, copy, at, bytes) == (int64_t)m->version);
  REQUIRE(memcmp(copy, m->committed + at, bytes) == 0);
  free(copy);
}

int fuzz_diff(const uint8_t *data, size_t bytes) {
  fuzz_input in = {data, bytes};
  const uint64_t most = fuzz_number(&in, 1) % 16 == 0 ? 300000 : 6000;
  diff_model m = {fuzz_private(1 + fuzz_number(&in, 3) % most), NULL, NULL, NULL, NULL, NULL, 0};
  m.working = fuzz_exact(m.s->image_bytes);
  m.committed = fuzz_exact(m.s->image_bytes);
  m.touched = fuzz_exact(m.s->block_count);
  m.stamp = fuzz_exact(8 * (uint64_t)m.s->block_count);
  m.word = fuzz_exact(m.s->image_bytes + 8);
  REQUIRE(mb_begin(m.s) == 0);
  for (int step = 0; step < 200 && in.left; step++) {
    const uint64_t what = fuzz_number(&in, 1), at = fuzz_number(&in, 3) % m.s->image_bytes;
    const uint64_t room = m.s->image_bytes - at, length = 1 + fuzz_number(&in, 2) % room;
    if (what % 8 < 4) diff_write(&m, at, length, (uint8_t)fuzz_number(&in, 1), what & 16, what & 32);
    else if (what % 8 < 6) diff_end(&m, what % 8 == 5 && what & 16);
    else if (what % 8 == 6) diff_ask(&m, what / 8 % (m.version + 2), at, length);
    else if (what & 8) diff_ask_exactly(&m, m.version - what / 16 % (m.version + 1), at, length);
    else diff_copy(&m, at, length);
  }
  diff_end(&m, false);
  diff_ask(&m, 0, 0, m.s->image_bytes);
  diff_ask_exactly(&m, m.version ? m.version - 1 : 0, 0, m.s->image_bytes);
  mb_segment_close(m.s);
  free(m.working);
  free(m.committed);
  free(m.touched);
  free(m.stamp);
  free(m.word);
  return 0;
}
