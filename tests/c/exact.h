/* Changes to the word, against the obvious way to find them. */
#include "check.h"

enum { EXACT_KEPT = 24 };

typedef struct {
  mb_segment *s;
  uint8_t *images[EXACT_KEPT]; /* of the last versions */
  double *runs;
  uint64_t room;
} exact_case;

static exact_case exact_open(uint64_t image_bytes) {
  exact_case c = {check_create(NULL, image_bytes), {NULL}, NULL, image_bytes / 8 + 4};
  for (int i = 0; i < EXACT_KEPT; i++) c.images[i] = calloc(1, image_bytes);
  c.runs = calloc(c.room, 16);
  return c;
}

static void exact_shut(exact_case *c) {
  for (int i = 0; i < EXACT_KEPT; i++) free(c->images[i]);
  free(c->runs);
  mb_segment_close(c->s);
}

static void exact_commit_some(exact_case *c, uint64_t *random) {
  static const uint64_t most[] = {1, 5, 200, 3000};
  mb_segment *s = c->s;
  CHECK_IS(mb_begin(s), 0);
  const uint64_t stretches = 1 + check_below(random, most[check_below(random, 4)]);
  for (uint64_t i = 0; i < stretches; i++) {
    const uint64_t at = check_below(random, s->image_bytes), longest = check_below(random, 20) ? 9 : 5000;
    uint64_t bytes = 1 + check_below(random, longest);
    if (bytes > s->image_bytes - at) bytes = s->image_bytes - at;
    for (uint64_t b = at; b < at + bytes; b++) s->working[b] = (uint8_t)check_random(random);
    mb_touch_range(s, at, bytes);
  }
  s->working[0] = (uint8_t)(s->committed[0] + 1); /* so that there is a version */
  mb_touch_range(s, 0, 1);
  CHECK(mb_commit(s) > 0);
  memcpy(c->images[mb_version(s) % EXACT_KEPT], s->committed, s->image_bytes);
}

static uint64_t exact_cost(const double *runs, int64_t count) {
  uint64_t bytes = 16 * (uint64_t)count;
  for (int64_t i = 0; i < count; i++) bytes += (uint64_t)runs[2 * i + 1];
  return bytes;
}

/* Sorted, apart, inside of a clip; with the image of `since` they give the newest wherever the clips let them. */
static void exact_check(exact_case *c, uint64_t since, const double *clip, uint64_t clips, int64_t count) {
  mb_segment *s = c->s;
  uint8_t *patched = malloc(s->image_bytes), *allowed = calloc(1, s->image_bytes);
  uint64_t end = 0;
  memcpy(patched, c->images[since % EXACT_KEPT], s->image_bytes);
  for (uint64_t i = 0; i < clips; i++) memset(allowed + (uint64_t)clip[2 * i], 1, (uint64_t)clip[2 * i + 1]);
  for (int64_t i = 0; i < count; i++) {
    const uint64_t at = (uint64_t)c->runs[2 * i], bytes = (uint64_t)c->runs[2 * i + 1];
    CHECK(at >= end && bytes > 0 && at + bytes <= s->image_bytes);
    end = at + bytes;
    for (uint64_t b = at; b < end; b++) CHECK(!clip || allowed[b]);
    memcpy(patched + at, s->committed + at, bytes);
  }
  for (uint64_t b = 0; b < s->image_bytes; b++) CHECK(patched[b] == s->committed[b] || (clip && !allowed[b]));
  free(patched);
  free(allowed);
}

static void test_exact_changes(void) {
  static const uint64_t images[] = {1, 7, 64, 65, 4097, 64 * 1000 + 13, (64ull << 20) + 64};
  uint64_t random = check_seed;
  for (size_t n = 0; n < sizeof images / sizeof *images; n++) {
    exact_case c = exact_open(images[n]);
    double info[1] = {0};
    CHECK_IS(mb_changed_exactly(c.s, 0, NULL, 0, c.runs, c.room, info), 0);
    const int rounds = images[n] > 1 << 20 ? 2 : 60;
    for (int round = 0; round < rounds; round++) {
      exact_commit_some(&c, &random);
      const uint64_t version = (uint64_t)mb_version(c.s), oldest = version < EXACT_KEPT ? 0 : version - EXACT_KEPT + 1;
      for (int asks = 0; asks < 6; asks++) {
        const uint64_t since = asks == 0 ? version - 1 : oldest + check_below(&random, version - oldest + 1);
        double clip[6];
        uint64_t clips = asks < 3 ? 0 : 1 + check_below(&random, 3), from = 0;
        for (uint64_t i = 0; i < clips; i++) {
          clip[2 * i] = (double)(from += check_below(&random, images[n] - from + 1));
          clip[2 * i + 1] = (double)check_below(&random, images[n] - from + 1);
          from += (uint64_t)clip[2 * i + 1];
        }
        const double *given = clips ? clip : NULL;
        const int64_t blocks = mb_changed_since(c.s, since, given, clips, c.runs, c.room, info);
        CHECK(blocks >= 0 && blocks <= (int64_t)c.room);
        const uint64_t cost = exact_cost(c.runs, blocks);
        const int64_t count = mb_changed_exactly(c.s, since, given, clips, c.runs, c.room, info);
        CHECK_IS(info[0], version);
        CHECK(count >= 0 && count <= (int64_t)c.room);
        exact_check(&c, since, given, clips, count);
        if (since + 1 == version && !clips) CHECK(exact_cost(c.runs, count) <= cost);
        CHECK(mb_changed_exactly(c.s, since, given, clips, NULL, 0, info) >= count); /* says how much room is needed */
      }
    }
    exact_shut(&c);
  }
}

/* One byte is one word, whatever the block; a few versions behind as well. */
static void test_exact_is_small(void) {
  exact_case c = exact_open((256ull << 20) + 64); /* blocks of 512 bytes */
  double info[1];
  CHECK(mb_changed_exactly(c.s, 0, NULL, 0, c.runs, c.room, info) >= 0);
  for (uint64_t v = 1; v <= 10; v++) {
    CHECK_IS(mb_begin(c.s), 0);
    for (uint64_t i = 0; i < 1000; i++) check_write(c.s, i * 4096 + 8 * v + 100000 * (v % 2), (uint8_t)v);
    CHECK_IS(mb_commit(c.s), 1000);
    CHECK_IS(mb_changed_exactly(c.s, v - 1, NULL, 0, c.runs, c.room, info), 1000);
    CHECK_IS(exact_cost(c.runs, 1000), 24000);
    CHECK_IS(info[0], v);
  }
  CHECK(mb_changed_exactly(c.s, 4, NULL, 0, c.runs, c.room, info) <= 2000);
  CHECK(exact_cost(c.runs, 2000) <= 2000 * (16 + 8 * 6));
  exact_shut(&c);
}

static void exact_one(mb_segment *s, uint64_t at) {
  CHECK_IS(mb_begin(s), 0);
  check_write(s, at, (uint8_t)(s->working[at] + 1));
  CHECK_IS(mb_commit(s), 1);
}

/* The notes end with those who ask, and where somebody else has committed. */
static void test_exact_ends(void) {
  const char *path = check_path("exact");
  mb_segment *a = check_create(path, 6400), *b = check_attach(path, true), *r = check_attach(path, false);
  double runs[200], info[1];
  CHECK(a->exact == NULL);
  exact_one(a, 100);
  CHECK_IS(mb_changed_exactly(a, 0, NULL, 0, runs, 100, info), 1);
  CHECK(runs[0] == 64 && runs[1] == 64 && info[0] == 1); /* the first who asks gets blocks */
  exact_one(a, 100);
  CHECK_IS(mb_changed_exactly(a, 1, NULL, 0, runs, 100, info), 1);
  CHECK(runs[0] == 96 && runs[1] == 8 && info[0] == 2);
  CHECK_IS(mb_changed_exactly(a, 0, NULL, 0, runs, 100, info), 1);
  CHECK(runs[0] == 64 && runs[1] == 64); /* from before the notes */
  exact_one(b, 3000);
  CHECK_IS(mb_changed_exactly(a, 1, NULL, 0, runs, 100, info), 2);
  CHECK(runs[0] == 64 && runs[2] == 2944 && info[0] == 3);
  exact_one(a, 200);
  CHECK_IS(mb_changed_exactly(a, 1, NULL, 0, runs, 100, info), 3);
  CHECK_IS(mb_changed_exactly(a, 3, NULL, 0, runs, 100, info), 1);
  CHECK(runs[0] == 200 && runs[1] == 8 && info[0] == 4);
  CHECK_IS(mb_changed_exactly(r, 3, NULL, 0, runs, 100, info), 1);
  CHECK(runs[0] == 192 && runs[1] == 64); /* who only reads has no notes */
  CHECK(r->exact == NULL);
  const double clips[2][2] = {{6401, 1}, {-1, 5}};
  for (int i = 0; i < 2; i++) CHECK_IS(mb_changed_exactly(a, 3, clips[i], 1, runs, 100, info), MB_E_RANGE);
  for (int i = 0; i < 64; i++) exact_one(a, 200);
  CHECK(a->exact != NULL);
  exact_one(a, 200);
  CHECK(a->exact == NULL);
  mb_segment_close(a);
  mb_segment_close(b);
  mb_segment_close(r);
  unlink(path);
}

/* A rollback makes a diff too, also right after a commit whose notes were too many to keep their buffer. */
static void test_exact_rolled_back(void) {
  enum { RUNS = 70000 };
  exact_case c = exact_open(128 * RUNS);
  double info[1];
  CHECK(mb_changed_exactly(c.s, 0, NULL, 0, c.runs, c.room, info) >= 0);
  CHECK_IS(mb_begin(c.s), 0);
  for (uint64_t i = 0; i < RUNS; i++) check_write(c.s, 128 * i, 1);
  CHECK_IS(mb_commit(c.s), RUNS);
  CHECK(c.s->exact != NULL);
  for (int i = 0; i < 3; i++) {
    CHECK_IS(mb_begin(c.s), 0);
    for (uint64_t k = 0; k < 100; k++) check_write(c.s, 128 * k + 8, 2);
    CHECK_IS(mb_rollback(c.s), 0);
    CHECK(check_images_equal(c.s));
  }
  CHECK_IS(mb_changed_exactly(c.s, 0, NULL, 0, c.runs, c.room, info), RUNS);
  CHECK_IS(exact_cost(c.runs, RUNS), RUNS * 24);
  exact_shut(&c);
}

/* Without memory for them there are blocks. */
static void test_exact_without_memory(void) {
  double runs[2 * 4000], info[1];
  for (uint64_t n = 1; n < 12; n++) {
    mb_segment *s = check_create(NULL, 64 * 8000);
    check_allocation_fails = n == 11 ? 1 : 0;
    mb_changed_exactly(s, 0, NULL, 0, runs, 4000, info);
    check_allocation_fails = 0;
    for (int v = 0; v < 3; v++) {
      CHECK_IS(mb_begin(s), 0);
      for (uint64_t b = 0; b < 4000; b++) check_write(s, 128 * b, (uint8_t)(v + 1));
      check_allocation_fails = n;
      CHECK(mb_commit(s) >= 4000);
      check_allocation_fails = 0;
      const int64_t count = mb_changed_exactly(s, (uint64_t)v, NULL, 0, runs, 4000, info);
      CHECK(count > 0 && count <= 4000);
      for (uint64_t b = 0, i = 0; b < 4000; b++) {
        while (i < (uint64_t)count && runs[2 * i] + runs[2 * i + 1] <= 128.0 * (double)b) i++;
        CHECK(i < (uint64_t)count && runs[2 * i] <= 128.0 * (double)b);
      }
    }
    mb_segment_close(s);
  }
}
