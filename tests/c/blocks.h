/* Diff, version table, gather and scatter, each against the obvious way to do it. */
#include "check.h"

static const uint64_t blocks_images[] = {1, 63, 64, 65, 320, 2048, 4096, 4097, 64 * 33, 64 * 1024, 64 * 1024 + 1, 64 * 5000 + 17};

static void blocks_bytes(uint8_t *into, uint64_t bytes, uint64_t *random) {
  for (uint64_t i = 0; i < bytes; i++) into[i] = (uint8_t)check_random(random);
}

/* Whether the collected runs are sorted, apart, inside, and name exactly the wanted blocks. */
static void blocks_collected(const mb_segment *s, const uint8_t *wanted) {
  uint32_t end = 0, expected = 0, named = 0;
  for (uint32_t i = 0; i < s->run_count; i++) {
    const mb_run *run = s->runs + i;
    CHECK(run->count > 0 && (i == 0 || run->block > end));
    for (uint32_t b = run->block; b < run->block + run->count; b++) CHECK(b < s->block_count && wanted[b]);
    end = run->block + run->count;
    named += run->count;
  }
  for (uint32_t b = 0; b < s->block_count; b++) expected += wanted[b];
  CHECK_IS(named, expected);
}

static void test_diff(void) {
  uint64_t random = check_seed;
  for (size_t n = 0; n < sizeof blocks_images / sizeof *blocks_images; n++)
    for (int round = 0; round < 40; round++) {
      mb_segment *s = check_create(NULL, blocks_images[n]);
      uint8_t *touched = calloc(s->block_count, 1), *differs = calloc(s->block_count, 1), *both = calloc(s->block_count, 1);
      blocks_bytes(s->committed, s->image_bytes, &random);
      memcpy(s->working, s->committed, s->image_bytes);
      const uint64_t changes = check_below(&random, 2 + s->block_count), ranges = check_below(&random, 12);
      for (uint64_t i = 0; i < changes; i++) {
        const uint64_t at = check_below(&random, s->image_bytes);
        s->working[at] ^= (uint8_t)(1 + check_below(&random, 255));
      }
      for (uint64_t i = 0; i < ranges; i++) {
        const uint64_t at = check_below(&random, s->image_bytes), most = check_below(&random, 4) ? 200 : s->image_bytes;
        const uint64_t bytes = check_below(&random, (s->image_bytes - at < most ? s->image_bytes - at : most) + 1);
        mb_touch_range(s, at, bytes);
        for (uint64_t b = at; b < at + bytes; b++) touched[b >> s->block_shift] = 1;
      }
      for (uint64_t b = 0; b < s->image_bytes; b++) differs[b >> s->block_shift] |= s->working[b] != s->committed[b];
      for (uint32_t b = 0; b < s->block_count; b++) both[b] = touched[b] & differs[b];
      mb_collect_all(s);
      blocks_collected(s, differs);
      mb_collect_touched(s);
      blocks_collected(s, both);
      mb_collect_touched(s); /* the notes are cleared */
      CHECK_IS(s->run_count, 0);
      free(touched);
      free(differs);
      free(both);
      mb_segment_close(s);
    }
}

/* JavaScript writes these notes itself: bits for blocks that do not exist must do no harm. */
static void test_touched_beyond(void) {
  for (size_t n = 0; n < sizeof blocks_images / sizeof *blocks_images; n++) {
    mb_segment *s = check_create(NULL, blocks_images[n]);
    CHECK_IS(mb_begin(s), 0);
    s->working[s->image_bytes - 1] ^= 1;
    for (uint32_t i = 0; i < s->touched_words; i++) s->touched[i] = i % 2 ? 0xaaaaaaaau : 0x55555555u;
    s->touched[(s->block_count - 1) >> 5] |= 1u << ((s->block_count - 1) & 31);
    memset(s->touched_summary, 0xff, s->summary_words * sizeof *s->touched_summary);
    CHECK_IS(mb_commit(s), 1);
    CHECK(check_images_equal(s));
    mb_segment_close(s);
  }
}

static void test_table(void) {
  uint64_t random = check_seed;
  for (size_t n = 0; n < sizeof blocks_images / sizeof *blocks_images; n++) {
    mb_segment *s = check_create(NULL, blocks_images[n]);
    uint64_t *stamps = calloc(s->block_count, sizeof *stamps);
    for (uint64_t version = 1; version <= 60; version++) {
      mb_run run = {(uint32_t)check_below(&random, s->block_count), 1};
      run.count += (uint32_t)check_below(&random, check_below(&random, 3) ? 1 : s->block_count - run.block);
      mb_stamp(s, &run, version);
      for (uint32_t b = run.block; b < run.block + run.count; b++) stamps[b] = version;
      for (int i = 0; i < 20; i++) {
        const uint64_t since = check_below(&random, version + 2);
        const uint32_t end = 1 + (uint32_t)check_below(&random, s->block_count), from = (uint32_t)check_below(&random, end + 1);
        uint32_t wanted = from;
        while (wanted < end && stamps[wanted] <= since) wanted++;
        CHECK_IS(mb_next_changed(s, from, end, since), wanted);
      }
    }
    free(stamps);
    mb_segment_close(s);
  }
}

/* Numbers that are no offset or length of anything. */
static const double blocks_strange[] = {-1, -0.5, -1e300, 1e300, 9007199254740992.0, 1.8446744073709552e19, 9.3e18, 4294967296.0,
                                        __builtin_nan(""), __builtin_inf(), -__builtin_inf()};
#define BLOCKS_STRANGE (sizeof blocks_strange / sizeof *blocks_strange)

static void test_gather(void) {
  enum { BYTES = 1000 };
  uint64_t random = check_seed;
  uint8_t *from = malloc(BYTES), *into = malloc(BYTES);
  blocks_bytes(from, BYTES, &random);
  for (int round = 0; round < 5000; round++) {
    double runs[8];
    uint64_t count = check_below(&random, 5), total = 0, fails = 0;
    const uint64_t room = check_below(&random, BYTES + 1);
    for (uint64_t i = 0; i < count; i++) {
      runs[2 * i] = (double)check_below(&random, BYTES + 50);
      runs[2 * i + 1] = (double)check_below(&random, 400);
      if (check_below(&random, 20) == 0) runs[2 * i + check_below(&random, 2)] = blocks_strange[check_below(&random, BLOCKS_STRANGE)];
      const bool inside = runs[2 * i] >= 0 && runs[2 * i + 1] >= 0 && runs[2 * i] <= BYTES && runs[2 * i + 1] <= BYTES - runs[2 * i];
      fails |= !inside || runs[2 * i + 1] > (double)(room - total);
      if (!fails) total += (uint64_t)runs[2 * i + 1];
    }
    uint8_t *exact = malloc(room ? room : 1);
    const int64_t got = mb_gather(exact, room, from, BYTES, runs, count);
    CHECK_IS(got, fails ? MB_E_RANGE : (int64_t)total);
    for (uint64_t i = 0, at = 0; !fails && i < count; at += (uint64_t)runs[2 * i + 1], i++)
      CHECK_IS(memcmp(exact + at, from + (uint64_t)runs[2 * i], (uint64_t)runs[2 * i + 1]), 0);
    free(exact);
  }
  free(from);
  free(into);
}

static void test_scatter(void) {
  enum { BYTES = 300 };
  uint64_t random = check_seed;
  uint8_t *from = malloc(BYTES);
  const double none[3] = {0, 0, 1};
  for (size_t n = 0; n < sizeof blocks_images / sizeof *blocks_images; n++) {
    mb_segment *s = check_create(NULL, blocks_images[n]);
    uint8_t *wanted = calloc(1, s->image_bytes);
    CHECK_IS(mb_scatter(s, from, BYTES, none, 1), MB_E_NOT_IN_WRITE);
    for (int round = 0; round < 400; round++) {
      double pieces[9];
      bool fails = false;
      blocks_bytes(from, BYTES, &random);
      CHECK_IS(mb_begin(s), 0);
      for (int i = 0; i < 3; i++) {
        double *p = pieces + 3 * i;
        p[0] = (double)check_below(&random, s->image_bytes);
        p[1] = (double)check_below(&random, BYTES);
        const uint64_t room = s->image_bytes - (uint64_t)p[0] < BYTES - (uint64_t)p[1] ? s->image_bytes - (uint64_t)p[0] : BYTES - (uint64_t)p[1];
        p[2] = (double)check_below(&random, room + 1 + (check_below(&random, 30) == 0));
        if (check_below(&random, 40) == 0) p[check_below(&random, 3)] = blocks_strange[check_below(&random, BLOCKS_STRANGE)];
        const bool inside = p[0] >= 0 && p[1] >= 0 && p[2] >= 0 && p[0] <= (double)s->image_bytes && p[1] <= BYTES &&
                            p[2] <= (double)s->image_bytes - p[0] && p[2] <= BYTES - p[1];
        fails |= !inside;
      }
      CHECK_IS(mb_scatter(s, from, BYTES, pieces, 3), fails ? MB_E_RANGE : 0);
      if (fails) {
        CHECK_IS(mb_rollback(s), 0);
      } else {
        for (int i = 0; i < 3; i++)
          memcpy(wanted + (uint64_t)pieces[3 * i], from + (uint64_t)pieces[3 * i + 1], (uint64_t)pieces[3 * i + 2]);
        CHECK(mb_commit(s) >= 0);
      }
      CHECK_IS(memcmp(s->committed, wanted, s->image_bytes), 0);
      CHECK(check_images_equal(s));
    }
    free(wanted);
    mb_segment_close(s);
  }
  free(from);
}

static void test_clips(void) {
  double runs[64], info[1];
  mb_segment *s = check_create(NULL, 64 * 40);
  CHECK_IS(mb_begin(s), 0);
  for (uint64_t b = 0; b < 40; b += 2) check_write(s, 64 * b + 3, 1);
  CHECK_IS(mb_commit(s), 20);
  for (size_t i = 0; i < BLOCKS_STRANGE; i++)
    for (int which = 0; which < 2; which++) {
      double clip[4] = {0, 64, 64, 64};
      clip[2 + which] = blocks_strange[i];
      if (clip[2] >= 0 && clip[2] <= 64 * 40 && clip[3] >= 0 && clip[3] <= 64 * 40 - clip[2]) continue;
      CHECK_IS(mb_changed_since(s, 0, clip, 2, runs, 32, info), MB_E_RANGE);
    }
  CHECK_IS(mb_changed_since(s, 0, NULL, 0, runs, 3, info), 20); /* says how many there are, and writes no more than fit */
  CHECK_IS(mb_changed_since(s, 0, NULL, 0, NULL, 0, info), 20);
  CHECK_IS(mb_changed_since(s, UINT64_MAX, NULL, 0, runs, 32, info), 0);
  const double bytes[2] = {3, 64 * 4};
  CHECK_IS(mb_changed_since(s, 0, bytes, 1, runs, 32, info), 3);
  CHECK(runs[0] == 3 && runs[1] == 61 && runs[4] == 64 * 4 && runs[5] == 3);
  mb_segment_close(s);
}
