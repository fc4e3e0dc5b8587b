/* Files that somebody cuts short or rewrites under the mapping. */
#include "check.h"

static uint32_t damage_foreign;

static void damage_on_foreign(int sig, siginfo_t *info, void *context) {
  (void)sig;
  (void)context;
  mb_add32(&damage_foreign, 1);
  void *page = (void *)((uintptr_t)info->si_addr & ~(uintptr_t)(MB_PAGE - 1));
  mmap(page, MB_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

/* A handler that was there first, and an own stack for signals, as a runtime has them. */
static void damage_prepare(void) {
  static uint8_t stack[64 * 1024];
  stack_t own;
  struct sigaction action;
  memset(&own, 0, sizeof own);
  own.ss_sp = stack;
  own.ss_size = sizeof stack;
  CHECK_IS(sigaltstack(&own, NULL), 0);
  memset(&action, 0, sizeof action);
  action.sa_sigaction = damage_on_foreign;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  CHECK_IS(sigaction(SIGBUS, &action, NULL), 0);
}

static void test_truncation(void) {
  enum { BYTES = 1 << 20 };
  damage_prepare();
  const char *path = check_path("truncate");
  uint8_t *copy = malloc(BYTES);
  const off_t lengths[] = {0, 4096, 4097, 8192, 20000, 40000, BYTES / 2, BYTES, BYTES + 60000};
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
    for (int who = 0; who < 3; who++) {
      mb_segment *w = check_create(path, BYTES), *r = check_attach(path, false);
      double rows[30], info[2];
      CHECK_IS(mb_begin(w), 0);
      check_write(w, BYTES - 1, 1);
      if (who == 1) CHECK_IS(mb_commit(w), 1);
      CHECK_IS(truncate(path, lengths[i]), 0);
      if (who == 0) {
        mb_touch_range(w, 0, BYTES);
        CHECK_IS(mb_commit(w), MB_E_TRUNCATED);
        CHECK_IS(mb_begin(w), MB_E_TRUNCATED);
      } else if (who == 1) {
        CHECK_IS(mb_snapshot(r, copy, 0, BYTES), MB_E_TRUNCATED);
        CHECK_IS(mb_refresh(r, copy, 1), MB_E_TRUNCATED);
        CHECK_IS(mb_verify(r, 0, rows, 10, info), MB_E_TRUNCATED);
      } else {
        mb_touch_range(w, 0, BYTES);
        CHECK_IS(mb_rollback(w), MB_E_TRUNCATED);
      }
      CHECK(mb_guard_hit(w->guard_slot) || mb_guard_hit(r->guard_slot));
      mb_segment_close(w);
      mb_segment_close(r);
      unlink(path);
    }
  CHECK_IS(damage_foreign, 0);
  free(copy);
}

/* A mapping that is not the library's: its SIGBUS goes to who handled it before. */
static void test_foreign_bus_error(void) {
  damage_prepare();
  const char *path = check_path("foreign");
  mb_segment *s = check_create(path, 4096); /* installs the guard */
  char other[160];
  snprintf(other, sizeof other, "%s.other", path);
  const int fd = open(other, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
  CHECK(fd >= 0 && ftruncate(fd, MB_PAGE) == 0);
  volatile uint8_t *mapped = mmap(NULL, MB_PAGE, PROT_READ, MAP_SHARED, fd, 0);
  CHECK(mapped != MAP_FAILED && ftruncate(fd, 0) == 0);
  CHECK_IS(mapped[0], 0);
  CHECK_IS(damage_foreign, 1);
  CHECK(!mb_guard_hit(s->guard_slot));
  mb_segment_close(s);
  unlink(path);
  unlink(other);
}

/* Who listens to a file that is cut short under it is neither killed nor kept from closing. */
static void test_truncation_under_a_doorbell(void) {
  const char *path = check_path("bell");
  alarm(60);
  for (int i = 0; i < 30; i++) {
    int64_t out[2];
    mb_segment *w = check_create(path, 4096), *r = check_attach(path, false);
    CHECK_IS(mb_doorbell_open(r, out), 0);
    for (int n = 0; n < 2000 * (i % 2); n++) { /* asleep, or just about to look */
      CHECK_IS(mb_begin(w), 0);
      check_write(w, 0, (uint8_t)(n + 1));
      CHECK_IS(mb_commit(w), 1);
      CHECK(mb_ring(w) >= 0);
    }
    if (i % 2 == 0) nanosleep(&(struct timespec){0, 2000000}, NULL);
    CHECK_IS(truncate(path, 0), 0);
    CHECK_IS(mb_doorbell_close((mb_doorbell *)(uintptr_t)out[0]), 0);
    close((int)out[1]);
    mb_segment_close(w);
    mb_segment_close(r);
    unlink(path);
  }
}

static uint32_t damage_stop;

static uint32_t damage_crc(const mb_redo *page) {
  const uint32_t crc = (uint32_t)mb_crc32c((const uint8_t *)page, offsetof(mb_redo, crc), 0);
  return (uint32_t)mb_crc32c((const uint8_t *)page->run, page->count * sizeof page->run[0], crc);
}

static void *damage_redo(void *argument) {
  volatile mb_redo *redo = argument;
  while (!mb_load32_acquire(&damage_stop)) {
    redo->count = 0x00ffffff;
    redo->run[0].block = 0x7fffffff;
    redo->count = 1;
    redo->run[0].block = 0;
  }
  return NULL;
}

/* Somebody rewrites the redo page while it is read. What was checked must be what is used. */
static void test_redo_page_changes_under_recovery(void) {
  const char *path = check_path("redo");
  mb_segment *s = check_create(path, 64 * 100), *other = check_attach(path, true);
  pthread_t thread;
  damage_stop = 0;
  CHECK_IS(pthread_create(&thread, NULL, damage_redo, other->redo), 0);
  for (int i = 0; i < 200000; i++) {
    mb_redo page;
    memset(&page, 0, sizeof page);
    page.seq = s->hot->seq | 1;
    page.count = 1;
    page.run[0].count = 1;
    page.crc = damage_crc(&page);
    memcpy(s->redo, &page, sizeof page);
    s->hot->seq = page.seq;
    CHECK(mb_segment_recover(s) >= 0);
  }
  mb_store32_release(&damage_stop, 1);
  pthread_join(thread, NULL);
  mb_segment_close(other);
  mb_segment_close(s);
  unlink(path);
}

/* Words of the hot page that no writer would leave: an error or a version, never more, and no version beyond 2^53. */
static void test_hostile_words(void) {
  const uint64_t words[] = {0, 1, 2, 3, 1ull << 31, (1ull << 32) - 1, 1ull << 53, (1ull << 54) + 1, 1ull << 63, UINT64_MAX - 1, UINT64_MAX};
  enum { WORDS = sizeof words / sizeof *words };
  const char *path = check_path("words");
  uint8_t copy[640];
  double runs[20], info[1];
  for (int i = 0; i < WORDS; i++)
    for (int j = 0; j < WORDS; j++) {
      mb_segment *w = check_create(path, 640), *r = check_attach(path, false);
      w->hot->seq = words[i];
      w->hot->begin = words[j];
      w->hot->phase = (uint32_t)words[(i + j) % WORDS];
      const int64_t version = mb_snapshot(r, copy, 0, 640), count = mb_changed_since(r, words[j], NULL, 0, runs, 10, info);
      CHECK(version <= 1ll << 53 && mb_version(r) <= 1ll << 53);
      CHECK(count <= 10 && (count < 0 || info[0] <= 9007199254740992.0));
      if (mb_segment_recover(w) >= 0 && mb_begin(w) == 0) {
        check_write(w, 100, 7);
        const int64_t committed = mb_commit(w);
        CHECK(committed == 1 || committed < 0);
      }
      mb_segment_close(w);
      mb_segment_close(r);
      unlink(path);
    }
}
