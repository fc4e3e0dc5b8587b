/* Elements with the time at which they were written, against a loop over all of them. */
#include "check.h"

typedef struct {
  mb_segment *s;
  uint64_t values, width, stamps, count;
  uint8_t *before, *wanted; /* images */
} merge_case;

static merge_case merge_open(uint64_t width, uint64_t count, bool stamps_first) {
  const uint64_t value_bytes = (count * width + 63) / 64 * 64, stamp_bytes = (count * 8 + 63) / 64 * 64;
  merge_case c = {check_create(NULL, value_bytes + stamp_bytes + 128), 64, width, 64 + value_bytes, count, NULL, NULL};
  if (stamps_first) {
    c.stamps = 64;
    c.values = 64 + stamp_bytes;
  }
  c.before = malloc(c.s->image_bytes);
  c.wanted = malloc(c.s->image_bytes);
  return c;
}

static void merge_shut(merge_case *c) {
  mb_segment_close(c->s);
  free(c->before);
  free(c->wanted);
}

static uint64_t merge_stamp(const merge_case *c, const uint8_t *image, uint64_t i) {
  uint64_t stamp;
  memcpy(&stamp, image + c->stamps + 8 * i, 8);
  return stamp;
}

static void merge_set(const merge_case *c, uint8_t *image, uint64_t i, uint64_t stamp, uint64_t value) {
  memcpy(image + c->values + i * c->width, &value, c->width);
  memcpy(image + c->stamps + 8 * i, &stamp, 8);
}

static uint64_t merge_value(const merge_case *c, const uint8_t *image, uint64_t i) {
  uint64_t value = 0;
  memcpy(&value, image + c->values + i * c->width, c->width);
  return value;
}

/* A few stamps, so that many are equal; now and then one beyond what JavaScript can hold. */
static uint64_t merge_any_stamp(uint64_t *random) {
  return check_below(random, 50) ? check_below(random, 6) << MB_STAMP_TAG_BITS | check_below(random, 2) : check_random(random);
}

static void merge_fill(const merge_case *c, uint8_t *image, uint64_t *random) {
  for (uint64_t i = 0; i < c->count; i++) merge_set(c, image, i, merge_any_stamp(random), check_below(random, 3) << 7);
}

static uint64_t merge_clock(uint64_t stamp) { return stamp >> 11; }

static const double *merge_place(const merge_case *c) {
  static double place[4];
  place[0] = (double)c->values;
  place[1] = (double)c->width;
  place[2] = (double)c->stamps;
  place[3] = (double)c->count;
  return place;
}

static uint64_t merge_any_limit(uint64_t *random) { return check_below(random, 2) ? check_below(random, 7) : check_below(random, 1ull << 53); }

static void merge_begin(merge_case *c, uint64_t *random) {
  merge_fill(c, c->s->working, random);
  memcpy(c->s->committed, c->s->working, c->s->image_bytes);
  CHECK_IS(mb_begin(c->s), 0);
}

static void merge_end(merge_case *c) {
  CHECK_IS(memcmp(c->s->working, c->wanted, c->s->image_bytes), 0);
  CHECK(mb_commit(c->s) >= 0);
  CHECK_IS(memcmp(c->s->committed, c->wanted, c->s->image_bytes), 0); /* so all of it was touched */
}

static void merge_try_stamping(merge_case *c, uint64_t *random) {
  mb_segment *s = c->s;
  const uint64_t now = merge_any_limit(random), tag = check_below(random, 4096);
  const uint64_t limit = merge_any_limit(random);
  uint64_t changed = 0;
  merge_begin(c, random);
  for (uint64_t n = check_below(random, 20); n > 0; n--) {
    const uint64_t i = check_below(random, c->count), most = check_below(random, 5) ? 3 : c->count - i;
    const uint64_t length = 1 + check_below(random, most < c->count - i ? most : c->count - i);
    for (uint64_t k = i; k < i + length; k++)
      if (check_below(random, 2)) s->working[c->values + k * c->width] ^= 1;
    mb_touch_range(s, c->values + i * c->width, length * c->width);
  }
  memcpy(c->wanted, s->working, s->image_bytes);
  for (uint64_t i = 0; i < c->count; i++) {
    if (merge_value(c, s->working, i) == merge_value(c, s->committed, i)) continue;
    const uint64_t old = merge_clock(merge_stamp(c, s->working, i));
    const uint64_t clock = old >= now && old <= limit ? old + 1 : now;
    merge_set(c, c->wanted, i, clock << 11 | (tag & 2047), merge_value(c, s->working, i));
    changed++;
  }
  CHECK_IS(mb_cells_stamp(s, merge_place(c), 1, now, limit, tag), changed);
  merge_end(c);
}

static bool merge_in_runs(const double *runs, uint64_t count, uint64_t from, uint64_t bytes) {
  for (uint64_t k = 0; k < count; k++)
    if (runs[2 * k + 1] > 0 && runs[2 * k] < (double)(from + bytes) && runs[2 * k] + runs[2 * k + 1] > (double)from) return true;
  return false;
}

static void merge_try_merging(merge_case *c, uint64_t *random) {
  mb_segment *s = c->s;
  uint8_t *theirs = malloc(s->image_bytes); /* exact, so that a read past it shows */
  double runs[10];
  const uint64_t count = check_below(random, 6), limit = merge_any_limit(random);
  int64_t refused = 0;
  memset(theirs, 0xee, s->image_bytes);
  merge_fill(c, theirs, random);
  merge_begin(c, random);
  for (uint64_t k = 0, end = 0; k < count; k++) {
    const uint64_t from = end + check_below(random, (s->image_bytes - end) / (check_below(random, 3) + 1) + 1);
    const uint64_t bytes = check_below(random, check_below(random, 3) ? 40 : s->image_bytes);
    end = from + (bytes < s->image_bytes - from ? bytes : s->image_bytes - from);
    runs[2 * k] = (double)from;
    runs[2 * k + 1] = (double)(end - from);
  }
  memcpy(c->wanted, s->working, s->image_bytes);
  for (uint64_t i = 0; i < c->count; i++) {
    const uint64_t a = merge_stamp(c, theirs, i), b = merge_stamp(c, s->working, i);
    const bool later = a > b || (a == b && merge_value(c, theirs, i) > merge_value(c, s->working, i));
    if (!later || !(merge_in_runs(runs, count, c->values + i * c->width, c->width) || merge_in_runs(runs, count, c->stamps + 8 * i, 8)))
      continue;
    if (merge_clock(a) > limit) {
      refused++;
      continue;
    }
    merge_set(c, c->wanted, i, a, merge_value(c, theirs, i));
  }
  const int64_t left = mb_cells_merge(s, merge_place(c), 1, theirs, s->image_bytes, runs, count, limit);
  CHECK((left == 0) == (refused == 0) && left >= refused); /* more than one run may come by the same element */
  merge_end(c);
  free(theirs);
}

static void test_merge(void) {
  static const uint64_t counts[] = {1, 2, 7, 64, 65, 1000, 40000};
  uint64_t random = check_seed;
  for (uint64_t width = 1; width <= 8; width *= 2)
    for (size_t n = 0; n < sizeof counts / sizeof *counts; n++) {
      merge_case c = merge_open(width, counts[n], n % 2);
      for (int round = 0; round < (counts[n] > 10000 ? 6 : 60); round++) {
        merge_try_stamping(&c, &random);
        merge_try_merging(&c, &random);
      }
      merge_shut(&c);
    }
}

static void test_merge_refuses(void) {
  static const double good[4] = {64, 4, 128, 10};
  static const double bad[4][8] = {{65, 4, 640, 281474976710656.0, 9007199254740991.0, 1e300, 608, -8},
                                   {0, 3, 5, 16, 4294967296.0, 1e300, -1, __builtin_nan("")},
                                   {129, 132, 640, 1e18, 9007199254740984.0, __builtin_inf(), 568, -64},
                                   {0, 65, 641, 4294967296.0, 2305843009213693952.0, 1e300, -1, __builtin_nan("")}};
  static const double strange[] = {-1, 1e300, 641, 9007199254740992.0, __builtin_nan(""), __builtin_inf()};
  mb_segment *s = check_create(NULL, 640);
  uint8_t *theirs = calloc(1, 640);
  double runs[2] = {64, 40};
  CHECK_IS(mb_cells_merge(s, good, 1, theirs, 640, runs, 1, 9), MB_E_NOT_IN_WRITE);
  CHECK_IS(mb_cells_stamp(s, good, 1, 1, 9, 1), MB_E_NOT_IN_WRITE);
  CHECK_IS(mb_begin(s), 0);
  CHECK_IS(mb_cells_merge(s, good, 1, theirs, 640, runs, 1, 9), 0);
  CHECK_IS(mb_cells_merge(s, good, 1, theirs, 639, runs, 1, 9), MB_E_RANGE);
  for (int which = 0; which < 4; which++)
    for (int i = 0; i < 8; i++) {
      double places[8];
      memcpy(places, good, sizeof good);
      memcpy(places + 4, good, sizeof good);
      places[4 + which] = bad[which][i];
      CHECK_IS(mb_cells_stamp(s, places, 2, 1, 9, 1), MB_E_RANGE);
      CHECK_IS(mb_cells_merge(s, places, 2, theirs, 640, runs, 1, 9), MB_E_RANGE);
    }
  for (size_t i = 0; i < sizeof strange / sizeof *strange; i++)
    for (int which = 0; which < 2; which++) {
      double pair[2] = {64, 40};
      pair[which] = strange[i];
      CHECK_IS(mb_cells_merge(s, good, 1, theirs, 640, pair, 1, 9), MB_E_RANGE);
    }
  double unsorted[4] = {104, 8, 64, 41};
  CHECK_IS(mb_cells_merge(s, good, 1, theirs, 640, unsorted, 2, 9), MB_E_RANGE);
  CHECK_IS(mb_cells_merge(s, good, 1, theirs, 640, unsorted + 2, 1, 9), 0);
  CHECK_IS(mb_rollback(s), 0);
  free(theirs);
  mb_segment_close(s);
}
