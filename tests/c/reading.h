/* Readers beside a writer that never rests: threads, each with a mapping of its own as processes have. */
#include "check.h"

enum { READING_CELLS = 4096, READING_BYTES = READING_CELLS * 8, READING_READS = 20000, READING_VERSIONS = 20 };

static uint32_t reading_enough;
static int64_t reading_commits;

/* Every transaction changes a few cells and keeps cell 0 the sum of the others; every seventh is undone. */
static void *reading_write(void *path) {
  mb_segment *s = check_attach(path, true);
  uint64_t *cells = (uint64_t *)s->working, random = check_seed;
  CHECK(mb_segment_recover(s) >= 0);
  for (int i = 0; !mb_load32_acquire(&reading_enough); i++) {
    CHECK_IS(mb_begin(s), 0);
    const int changes = 1 + (int)check_below(&random, i % 100 == 0 ? 1500 : 4);
    for (int n = 0; n < changes; n++) {
      const uint64_t at = 1 + check_below(&random, READING_CELLS - 1), value = check_random(&random);
      cells[0] += value - cells[at];
      cells[at] = value;
      mb_touch_range(s, at * 8, 8);
    }
    mb_touch_range(s, 0, 8);
    if (i % 7 == 6) {
      CHECK_IS(mb_rollback(s), 0);
    } else {
      CHECK(mb_commit(s) > 0);
      reading_commits++;
    }
  }
  mb_segment_close(s);
  return NULL;
}

static void reading_whole(const uint64_t *cells) {
  uint64_t sum = 0;
  for (int i = 1; i < READING_CELLS; i++) sum += cells[i];
  CHECK_IS(sum, cells[0]);
}

/* Calls `read` until it has seen enough of the writer, and once after that has stopped. */
static void reading_beside(const char *stem, int64_t (*read)(mb_segment *s, uint64_t *cells, int64_t version)) {
  const char *path = check_path(stem);
  mb_segment_close(check_create(path, READING_BYTES));
  mb_segment *s = check_attach(path, false);
  uint64_t *cells = calloc(READING_CELLS, 8);
  int64_t version = 0, distinct = 0;
  pthread_t writer;
  alarm(120);
  CHECK_IS(pthread_create(&writer, NULL, reading_write, (void *)path), 0);
  for (int reads = 0; reads < READING_READS || distinct < READING_VERSIONS; reads++) {
    const int64_t next = read(s, cells, version);
    CHECK(next >= version);
    distinct += next > version;
    version = next;
    reading_whole(cells);
  }
  mb_store32_release(&reading_enough, 1);
  pthread_join(writer, NULL);
  CHECK_IS(read(s, cells, version), reading_commits);
  CHECK_IS(memcmp(cells, s->committed, READING_BYTES), 0);
  mb_segment_close(s);
  unlink(path);
  free(cells);
}

static int64_t reading_snapshot(mb_segment *s, uint64_t *cells, int64_t version) {
  (void)version;
  return mb_snapshot(s, (uint8_t *)cells, 0, READING_BYTES);
}

static int64_t reading_refresh(mb_segment *s, uint64_t *cells, int64_t version) {
  return mb_refresh(s, (uint8_t *)cells, (uint64_t)version);
}

/* A follower that copies only what mb_changed_since names, from a snapshot of the same version. */
static int64_t reading_delta(mb_segment *s, uint64_t *cells, int64_t version) {
  static uint64_t snapshot[READING_CELLS];
  double runs[2 * READING_BYTES / 64], info[1];
  const int64_t count = mb_changed_since(s, (uint64_t)version, NULL, 0, runs, READING_BYTES / 64, info);
  CHECK(count >= 0 && count <= READING_BYTES / 64);
  const int64_t of = mb_snapshot(s, (uint8_t *)snapshot, 0, READING_BYTES);
  CHECK(of >= (int64_t)info[0]);
  if (of != (int64_t)info[0]) return version; /* the writer was faster: next time */
  CHECK(of != version || count == 0);
  for (int64_t i = 0; i < count; i++)
    memcpy((uint8_t *)cells + (uint64_t)runs[2 * i], (uint8_t *)snapshot + (uint64_t)runs[2 * i], (uint64_t)runs[2 * i + 1]);
  return of;
}

static void test_snapshot_beside_commits(void) { reading_beside("snapshot", reading_snapshot); }
static void test_refresh_beside_commits(void) { reading_beside("refresh", reading_refresh); }
static void test_deltas_beside_commits(void) { reading_beside("delta", reading_delta); }
