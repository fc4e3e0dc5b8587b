/* kill -9 at every point of the protocol, in a child, and again at every point of the recovery. */
#include "check.h"

typedef struct {
  const char *name;
  uint64_t image_bytes;
  void (*write)(mb_segment *s); /* a transaction, begun and ended */
  uint32_t changes;             /* blocks that it changes; 0: it makes no version */
  bool spoils;                  /* the redo page is rubbish when the successor comes */
} crash_plan;

static void crash_few(mb_segment *s) {
  CHECK_IS(mb_begin(s), 0);
  check_write(s, 0, (uint8_t)(s->working[0] + 1));
  check_write(s, 64 * 9 + 5, (uint8_t)(s->working[64 * 9 + 5] + 1));
  check_write(s, s->image_bytes - 1, (uint8_t)(s->working[s->image_bytes - 1] + 1));
  CHECK_IS(mb_commit(s), 3);
}

/* More runs than the redo page holds. */
static void crash_many(mb_segment *s) {
  CHECK_IS(mb_begin(s), 0);
  for (uint64_t b = 0; b < 600; b++) check_write(s, 64 * 2 * b, (uint8_t)(s->working[64 * 2 * b] + 1));
  CHECK_IS(mb_commit(s), 600);
}

static void crash_undone(mb_segment *s) {
  CHECK_IS(mb_begin(s), 0);
  for (uint64_t b = 0; b < 10; b++) check_write(s, 64 * 3 * b, (uint8_t)(s->working[64 * 3 * b] + 1));
  CHECK_IS(mb_rollback(s), 0);
}

static const crash_plan crash_plans[] = {
    {"few", 64 * 20 + 7, crash_few, 3, false},
    {"few, redo page spoiled", 64 * 20 + 7, crash_few, 3, true},
    {"many", 64 * 1300, crash_many, 600, false},
    {"undone", 64 * 40, crash_undone, 0, false},
};

/* Runs `work` in a child that dies at its n-th point; 0: never. Whether it lived. */
static bool crash_in_child(const char *path, void (*work)(mb_segment *s), uint32_t n) {
  fflush(NULL);
  const pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    mb_segment *s = check_attach(path, true);
    mb_crash_set(n);
    work(s);
    mb_crash_set(0);
    _exit(0);
  }
  int status;
  CHECK_IS(waitpid(child, &status, 0), child);
  CHECK(WIFEXITED(status) ? WEXITSTATUS(status) == 0 : WTERMSIG(status) == SIGKILL);
  return WIFEXITED(status);
}

static void crash_recover(mb_segment *s) { CHECK(mb_segment_recover(s) >= 0); }

typedef struct {
  uint8_t *before, *now;
  int64_t version;
  uint32_t notify;
} crash_view;

/* What a reader finds that had `view`: one whole version, the one before or the next, and a delta that leads there. */
static int64_t crash_look(mb_segment *s, const crash_plan *plan, const crash_view *view, bool exact) {
  double runs[2 * 1300], info[1];
  const int64_t version = mb_snapshot(s, view->now, 0, s->image_bytes);
  const int64_t count = mb_changed_since(s, (uint64_t)view->version, NULL, 0, runs, 1300, info);
  CHECK(version == view->version || (plan->changes && version == view->version + 1));
  CHECK(count >= 0 && (int64_t)info[0] == version);
  CHECK((version == view->version) == (memcmp(view->now, view->before, s->image_bytes) == 0));
  if (version == view->version) CHECK_IS(count, 0);
  uint8_t *patched = malloc(s->image_bytes);
  uint64_t blocks = 0;
  memcpy(patched, view->before, s->image_bytes);
  for (int64_t i = 0; i < count; i++) {
    memcpy(patched + (uint64_t)runs[2 * i], view->now + (uint64_t)runs[2 * i], (uint64_t)runs[2 * i + 1]);
    blocks += ((uint64_t)runs[2 * i + 1] + 63) / 64;
  }
  CHECK_IS(memcmp(patched, view->now, s->image_bytes), 0);
  if (version != view->version && exact && plan->changes <= MB_REDO_RUNS) CHECK_IS(blocks, plan->changes);
  free(patched);
  return version;
}

static void crash_spoil(const char *path) {
  mb_segment *s = check_attach(path, true);
  if (s->hot->seq & 1) memset(s->redo, 0x5a, sizeof *s->redo);
  mb_segment_close(s);
}

/* Dies at point n of the transaction, then at points m, m, m of three recoveries; then is recovered. Whether n was past the end. */
static bool crash_once(const crash_plan *plan, uint32_t n, uint32_t m, bool *m_past) {
  const char *path = check_path("crash");
  mb_segment *created = check_create(path, plan->image_bytes);
  crash_few(created);
  mb_segment_close(created);
  mb_segment *reader = check_attach(path, false);
  crash_view view = {malloc(plan->image_bytes), malloc(plan->image_bytes), 0, reader->hot->notify};
  view.version = mb_snapshot(reader, view.before, 0, plan->image_bytes);
  CHECK_IS(view.version, 1);
  const bool lived = crash_in_child(path, plan->write, n);
  if (plan->spoils && !lived) crash_spoil(path);
  int64_t seen = plan->spoils ? view.version : crash_look(reader, plan, &view, true);
  for (int times = 0; m && times < 3; times++) {
    *m_past = crash_in_child(path, crash_recover, m);
    if (plan->spoils) continue;
    const int64_t now = crash_look(reader, plan, &view, true);
    CHECK(now >= seen);
    seen = now;
  }
  mb_segment *writer = check_attach(path, true);
  CHECK(mb_segment_recover(writer) >= 0);
  CHECK_IS(writer->hot->seq % 2, 0);
  CHECK_IS(writer->hot->phase, MB_CLEAN);
  CHECK(check_images_equal(writer));
  const int64_t version = crash_look(reader, plan, &view, !plan->spoils);
  CHECK(version >= seen);
  if (lived) CHECK_IS(version, view.version + (plan->changes != 0));
  if (version != view.version) CHECK(reader->hot->notify != view.notify); /* a sleeper is told */
  plan->write(writer);
  CHECK_IS(mb_version(writer), version + (plan->changes != 0));
  mb_segment_close(writer);
  mb_segment_close(reader);
  unlink(path);
  free(view.before);
  free(view.now);
  return lived;
}

static void test_crash_points(void) {
  for (size_t i = 0; i < sizeof crash_plans / sizeof *crash_plans; i++) {
    const crash_plan *plan = crash_plans + i;
    uint32_t n = 1, step = 1, tried = 0;
    bool ignored;
    for (;; n += step, tried++) {
      if (crash_once(plan, n, 0, &ignored)) break;
      if (plan->changes > 100 && n > 20) step = 61; /* the points of the 600 copies are alike */
    }
    printf("# %s: %u of %u points\n", plan->name, tried, n - 1);
  }
}

static void test_crash_points_of_recovery(void) {
  for (size_t i = 0; i < sizeof crash_plans / sizeof *crash_plans; i++) {
    const crash_plan *plan = crash_plans + i;
    const uint32_t step = plan->changes > 100 ? 173 : 1;
    uint32_t pairs = 0;
    for (uint32_t n = 1;; n += step) {
      bool past = false, lived = false;
      for (uint32_t m = 1; !past; m += step, pairs++) lived = crash_once(plan, n, m, &past);
      if (lived) break;
    }
    printf("# %s: %u pairs of points, three deaths each\n", plan->name, pairs);
  }
}

static const char *crash_lock_path;

static void crash_turn(mb_segment *s) {
  const int64_t fd = mb_lock_open(crash_lock_path, 0);
  CHECK(fd >= 0);
  const int64_t slot = mb_turn_join((int32_t)fd);
  CHECK(slot >= 0);
  CHECK(mb_turn_take(s, (int32_t)fd, (int32_t)slot, 2000000000) >= 0);
  crash_few(s);
  CHECK_IS(mb_turn_give(s, (int32_t)fd, (int32_t)slot), 0);
}

/* With many writers: who dies in its turn holds up nobody, whoever comes next. */
static void test_crash_points_of_turns(void) {
  const char *path = check_path("turns");
  char lock[160];
  snprintf(lock, sizeof lock, "%s.lock", path);
  crash_lock_path = lock;
  CHECK_IS(mb_lock_close((int32_t)mb_lock_open(lock, 1)), 0);
  mb_segment_close(check_create(path, 64 * 20));
  mb_segment *s = check_attach(path, true);
  int64_t version = 0;
  uint32_t n = 1;
  for (bool lived = false; !lived; n++) {
    lived = crash_in_child(path, crash_turn, n);
    crash_turn(s);
    const int64_t now = mb_version(s);
    CHECK(now == version + 1 || now == version + 2);
    CHECK(!lived || now == version + 2);
    CHECK(check_images_equal(s));
    version = now;
  }
  printf("# %u points\n", n - 2);
  mb_segment_close(s);
  unlink(path);
  unlink(lock);
}
