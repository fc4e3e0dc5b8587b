/* Files whose words no writer would leave, and callers who ask for what cannot be. */
#include "check.h"

uint64_t check_yields;

int __real_sched_yield(void);
int __wrap_sched_yield(void);
int __wrap_sched_yield(void) {
  check_yields++;
  return __real_sched_yield();
}

static void hostile_words(mb_segment *s, uint64_t seq, uint64_t begin) {
  s->hot->seq = seq;
  s->hot->begin = begin;
}

static bool hostile_untouched(const uint8_t *bytes, uint64_t count) {
  for (uint64_t i = 0; i < count; i++)
    if (bytes[i] != 0x5a) return false;
  return true;
}

/* A begin that has passed an odd seq makes every copy of working invalid, for ever: so none is made, and soon nobody tries. */
static void test_begin_past_an_odd_seq(void) {
  enum { BYTES = 64 * 1000 };
  const uint64_t pairs[][2] = {{1, 2}, {1, 3}, {7, UINT64_MAX}, {(1ull << 53) + 1, 1ull << 54}, {UINT64_MAX - 2, UINT64_MAX}};
  const double pieces[] = {0, 0, 64, 640, 64, 640};
  const char *path = check_path("past");
  uint8_t *copy = malloc(BYTES);
  double runs[20], info[1];
  memset(copy, 0x5a, BYTES);
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
    mb_segment *w = check_create(path, BYTES), *r = check_attach(path, false);
    hostile_words(w, pairs[i][0], pairs[i][1]);
    check_yields = 0;
    CHECK_IS(mb_snapshot(r, copy, 0, BYTES), MB_E_BUSY);
    CHECK_IS(mb_snapshot(r, copy, 100, 1000), MB_E_BUSY);
    CHECK_IS(mb_refresh(r, copy, 0), MB_E_BUSY);
    CHECK_IS(mb_refresh_pieces(r, copy, BYTES, 0, pieces, 2), MB_E_BUSY);
    CHECK_IS(mb_changed_since(r, 0, NULL, 0, runs, 10, info), MB_E_BUSY);
    CHECK(hostile_untouched(copy, BYTES));
    CHECK_IS(check_yields, 5 * READ_HOPELESS);
    mb_segment_close(w);
    mb_segment_close(r);
    unlink(path);
  }
  free(copy);
}

/* A redo page that does not fit an odd seq: who asks for changes looks a while, for a recovery may be writing it, and gives up. */
static void test_redo_page_of_no_use(void) {
  const char *path = check_path("useless");
  double runs[20], info[1];
  mb_segment *w = check_create(path, 64 * 100), *r = check_attach(path, false);
  hostile_words(w, 5, 5);
  for (int i = 0; i < 3; i++) {
    memset(w->redo, i == 1 ? 0xff : 0, sizeof *w->redo);
    if (i == 2) w->redo->seq = 5;
    check_yields = 0;
    CHECK_IS(mb_changed_since(r, 0, NULL, 0, runs, 10, info), MB_E_BUSY);
    CHECK_IS(check_yields, READ_HOPELESS);
    CHECK_IS(mb_changed_since(r, 3, NULL, 0, runs, 10, info), 0); /* has that version, and needs no page */
  }
  CHECK_IS(mb_segment_recover(w), 1);
  CHECK_IS(mb_changed_since(r, 0, NULL, 0, runs, 10, info), 1);
  CHECK_IS(info[0], 3);
  mb_segment_close(w);
  mb_segment_close(r);
  unlink(path);
}

static uint32_t hostile_stop;

static void *hostile_counts(void *argument) {
  mb_redo *redo = argument;
  while (!mb_load32_acquire(&hostile_stop)) {
    mb_store32_release(&redo->count, 1);
    mb_store32_release(&redo->count, 0x7fffffff);
  }
  return NULL;
}

/* The count of runs changes between the look whether it fits the page and its use. */
static void test_redo_page_changes_under_a_look(void) {
  const char *path = check_path("look");
  mb_segment *s = check_create(path, 64 * 100), *other = check_attach(path, true);
  double rows[30], info[2];
  pthread_t thread;
  CHECK_IS(mb_begin(s), 0);
  check_write(s, 0, 1);
  CHECK_IS(mb_commit(s), 1);
  hostile_stop = 0;
  CHECK_IS(pthread_create(&thread, NULL, hostile_counts, other->redo), 0);
  for (int i = 0; i < 100000; i++) CHECK(mb_verify(s, 1, rows, 10, info) >= 0);
  mb_store32_release(&hostile_stop, 1);
  pthread_join(thread, NULL);
  mb_segment_close(other);
  mb_segment_close(s);
  unlink(path);
}

/* A record beyond the image could be created and never attached. */
static void test_metadata_beyond_the_image(void) {
  static const uint8_t identity[32] = {0};
  const uint64_t offsets[] = {640, 641, 1ull << 48, UINT64_MAX};
  const char *path = check_path("meta");
  int64_t out[1];
  for (int named = 0; named < 2; named++)
    for (size_t i = 0; i < sizeof offsets / sizeof *offsets; i++) {
      const char *where = named ? path : NULL;
      CHECK_IS(mb_segment_create("/dev/shm", where, (const uint8_t *)"{}", 2, 640, offsets[i], identity, 0, out), MB_E_RANGE);
      CHECK(access(path, F_OK) != 0);
    }
  CHECK_IS(mb_segment_create("/dev/shm", NULL, (const uint8_t *)"{}", 2, 640, 639, identity, 0, out), 0);
  mb_segment_close((mb_segment *)(uintptr_t)out[0]);
}

/* However many segments a process has mapped, none is without its guard. */
static void test_many_mappings(void) {
  enum { MANY = 5000 };
  const char *path = check_path("many");
  const struct rlimit files = {MANY + 100, MANY + 100};
  if (setrlimit(RLIMIT_NOFILE, &files)) {
    printf("# this process may not open %d files\n", MANY);
    return;
  }
  static mb_segment *all[MANY];
  mb_segment_close(check_create(path, 64));
  for (int i = 0; i < MANY; i++) {
    all[i] = check_attach(path, false);
    CHECK(all[i]->guard_slot >= 0);
  }
  CHECK_IS(truncate(path, 0), 0);
  for (int i = 0; i < MANY; i++) {
    uint8_t byte;
    CHECK_IS(mb_snapshot(all[i], &byte, 0, 1), MB_E_TRUNCATED);
  }
  for (int i = 0; i < MANY; i += 2) mb_segment_close(all[i]);
  mb_segment *whole = check_create(NULL, 64);
  CHECK_IS(whole->guard_slot, -1);
  for (int i = 1; i < MANY; i += 2) {
    CHECK(mb_guard_hit(all[i]->guard_slot));
    mb_segment_close(all[i]);
  }
  mb_segment_close(whole);
  unlink(path);
}
