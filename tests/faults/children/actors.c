/* The processes of a run: writers that commit without a pause, readers that check every snapshot, and whoever recovers. */

static char path_data[4096], path_lock[4096], path_folder[4096];

static void paths_set(const char *path) {
  snprintf(path_data, sizeof path_data, "%s", path);
  snprintf(path_lock, sizeof path_lock, "%.4000s.lock", path);
  snprintf(path_folder, sizeof path_folder, "%s", path);
  char *slash = strrchr(path_folder, '/');
  if (!slash) give_up("%s: not a path", path);
  *slash = 0;
}

static const char schema[] = "{\"faults\":true}";

static int64_t segment_create_here(uint64_t bytes, uint64_t features, int64_t *out) {
  uint8_t identity[32];
  for (int i = 0; i < 32; i++) identity[i] = (uint8_t)(now_us() * 31 + (uint64_t)getpid() * 7 + (uint64_t)i);
  return mb_segment_create(path_folder, path_data, (const uint8_t *)schema, sizeof schema - 1, bytes, 0, identity, features, out);
}

/* A new segment of zeros in place of what was there. */
static void segment_fresh_with(uint64_t bytes, uint64_t features) {
  int64_t handle;
  unlink(path_data);
  unlink(path_lock);
  int64_t lock = mb_lock_open(path_lock, 1);
  if (lock < 0) give_up("lock file: %ld", lock);
  mb_lock_close((int32_t)lock);
  int64_t error = segment_create_here(bytes, features, &handle);
  if (error) give_up("create: %ld", error);
  mb_segment_close((mb_segment *)handle);
  board->acked = 0;
}

static void segment_fresh(uint64_t bytes) { segment_fresh_with(bytes, MB_FEATURE_PERSIST); }

static mb_segment *segment_open(bool writable) {
  int64_t handle, error = mb_segment_attach(path_data, writable, &handle);
  if (error) give_up("attach: %ld", error);
  return (mb_segment *)handle;
}

/* A writer's hold on the segment. */
typedef struct {
  int lock;
  int64_t recovery; /* as mb_segment_recover says */
  mb_segment *s;
} hold;

static int lock_take(uint64_t patience_us) {
  int64_t fd = mb_lock_open(path_lock, 0), error;
  if (fd < 0) give_up("lock file: %ld", fd);
  for (uint64_t end = now_us() + patience_us; (error = mb_lock_take((int32_t)fd, 0, 1)) == -EAGAIN;) {
    if (now_us() > end) {
      mb_lock_close((int32_t)fd);
      return -1;
    }
    usleep(50);
  }
  if (error) give_up("lock: %ld", error);
  return (int)fd;
}

static hold hold_take(void) {
  hold h;
  h.lock = lock_take(10000000);
  if (h.lock < 0) give_up("the lock is not released");
  h.s = segment_open(true);
  h.recovery = mb_segment_recover(h.s);
  if (h.recovery < 0) violation("recover: %ld", h.recovery);
  return h;
}

static void hold_drop(hold *h) {
  mb_segment_close(h->s);
  mb_lock_close(h->lock);
}

typedef struct {
  mb_segment *s;
  uint64_t writer, sum;
  uint32_t cells;
  change change;
} author;

static author author_new(mb_segment *s, uint64_t writer) {
  author a = {s, writer, 0, (uint32_t)(s->image_bytes / sizeof(cell)), {0, NULL}};
  a.change.at = malloc(a.cells * sizeof(uint32_t));
  a.sum = image_sum((const cell *)s->committed, a.cells);
  return a;
}

static void author_touch(author *a) {
  mb_touch_range(a->s, 0, sizeof(cell));
  for (uint32_t i = 0; i < a->change.count; i++) mb_touch_range(a->s, a->change.at[i] * sizeof(cell), sizeof(cell));
}

static void author_commit(author *a) {
  uint64_t version = (uint64_t)mb_version(a->s) + 1;
  if (version >= VERSIONS_MAX) give_up("more versions than the journal holds");
  board->writer_of[version] = (uint32_t)a->writer;
  change_of(&a->change, version, a->writer, a->cells);
  int64_t error = mb_begin(a->s);
  if (error) give_up("begin: %ld", error);
  author_touch(a);
  a->sum = change_apply(&a->change, (cell *)a->s->working, version, a->writer, a->sum);
  int64_t blocks = mb_commit(a->s);
  if (blocks <= 0) violation("commit of version %lu: %ld", version, blocks);
  mb_store_release(&board->acked, version);
}

static void author_roll_back(author *a) {
  uint64_t version = (uint64_t)mb_version(a->s) + 1;
  change_of(&a->change, version, a->writer, a->cells);
  int64_t error = mb_begin(a->s);
  if (error) give_up("begin: %ld", error);
  author_touch(a);
  change_apply(&a->change, (cell *)a->s->working, version, a->writer | ROLLED_BACK, a->sum);
  if ((error = mb_rollback(a->s))) violation("rollback: %ld", error);
}

/* Until it is killed or told to stop: nine commits for one rollback. */
static void writer_run(void) {
  hold h = hold_take();
  author a = author_new(h.s, __atomic_add_fetch(&board->writers, 1, __ATOMIC_RELAXED));
  dice d = {mix(seed ^ a.writer)};
  mb_store32_release(&board->ready, 1);
  while (!mb_load32_acquire(&board->stop))
    if (below(&d, 10) == 0) author_roll_back(&a);
    else author_commit(&a);
  hold_drop(&h);
}

static pid_t writer_start(void) {
  pid_t pid = fork();
  if (pid) return pid;
  writer_run();
  _exit(0);
}

typedef struct {
  mb_segment *s;
  uint32_t cells;
  cell *copy, *before;
  double *runs;
  uint64_t version;
} reader;

static reader *reader_new(void) {
  reader *r = calloc(1, sizeof *r);
  r->s = segment_open(false);
  r->cells = (uint32_t)(r->s->image_bytes / sizeof(cell));
  r->copy = calloc(r->cells, sizeof(cell));
  r->before = calloc(r->cells, sizeof(cell));
  r->runs = calloc(2 * (uint64_t)r->cells + 2, sizeof(double));
  return r;
}

/* What differs between the snapshot before and this one is in the delta between them. */
static void reader_check_delta(reader *r, uint64_t since, const char *when) {
  double info = 0;
  int64_t count = mb_changed_since(r->s, since, NULL, 0, r->runs, r->cells + 1, &info);
  if (count == MB_E_BUSY) return;
  if (count < 0 || (uint64_t)info < r->version) {
    violation("%s: changedSince(%lu) gave %ld runs to version %.0f", when, since, count, info);
    return;
  }
  for (int64_t i = 0; i < count; i++) {
    uint64_t offset = (uint64_t)r->runs[2 * i];
    memcpy((uint8_t *)r->before + offset, (uint8_t *)r->copy + offset, (uint64_t)r->runs[2 * i + 1]);
  }
  if (memcmp(r->before, r->copy, r->cells * sizeof(cell)))
    violation("%s: the delta from %lu to %lu lacks a change", when, since, r->version);
}

/* One snapshot, checked. Returns how long it took in microseconds. */
static uint64_t reader_look(reader *r, bool with_delta, const char *when) {
  uint64_t bytes = r->cells * sizeof(cell), since = r->version, start = now_us();
  if (with_delta) {
    cell *swap = r->before;
    r->before = r->copy;
    r->copy = swap;
  }
  int64_t version = mb_snapshot(r->s, (uint8_t *)r->copy, 0, bytes);
  uint64_t took = now_us() - start;
  if (version < 0) {
    violation("%s: snapshot gave %ld", when, version);
    if (with_delta) memcpy(r->copy, r->before, bytes);
    return took;
  }
  const char *fault = image_fault(r->copy, r->cells, (uint64_t)version);
  if (fault) violation("%s: snapshot of version %ld has %s", when, version, fault);
  if ((uint64_t)version < since) violation("%s: version %ld after %lu", when, version, since);
  r->version = (uint64_t)version;
  if (version > 0) {
    uint32_t writer = (uint32_t)r->copy->word[1], seen = __atomic_exchange_n(&board->seen[version], writer, __ATOMIC_RELAXED);
    if (seen && seen != writer) violation("%s: version %ld is writer %u's and was writer %u's", when, version, writer, seen);
  }
  if (with_delta) reader_check_delta(r, since, when);
  __atomic_fetch_add(&board->snapshots, 1, __ATOMIC_RELAXED);
  return took;
}

/* Until told to stop, `pause_us` between two looks. Notes the longest time without a snapshot. */
static pid_t reader_start(uint32_t pause_us, bool with_delta, uint64_t *looks) {
  pid_t pid = fork();
  if (pid) return pid;
  reader *r = reader_new();
  uint64_t gap = 0;
  while (!mb_load32_acquire(&board->stop)) {
    uint64_t took = reader_look(r, with_delta, "reader");
    if (took > gap) gap = took;
    if (looks) mb_store_release(looks, *looks + 1);
    if (pause_us) usleep(pause_us);
  }
  uint64_t most = mb_load_relaxed(&board->gap_us);
  while (gap > most && !__atomic_compare_exchange_n(&board->gap_us, &most, gap, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {}
  _exit(0);
}

static void expect_exit(pid_t pid, const char *who) {
  int status = 0;
  waitpid(pid, &status, 0);
  if (WIFSIGNALED(status)) violation("%s died of signal %d", who, WTERMSIG(status));
  else if (WEXITSTATUS(status)) violation("%s ended with status %d", who, WEXITSTATUS(status));
}
