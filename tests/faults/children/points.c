/* kill -9 at every step by number: the library is built with a crash point at each step of the protocol, and dies at the N-th. */

#define POINT_CELLS 2048
#define NEST 3

/* A rollback, a commit, a transaction that changes nothing, and a commit. Returns whether the process was killed on the way. */
static bool point_scenario(uint32_t at, int kind) {
  pid_t pid = fork();
  if (pid == 0) {
    hold h = hold_take();
    author a = author_new(h.s, __atomic_add_fetch(&board->writers, 1, __ATOMIC_RELAXED));
    forced_kind = kind;
    mb_crash_set(at);
    author_roll_back(&a);
    author_commit(&a);
    mb_begin(h.s);
    mb_touch_range(h.s, 0, 640);
    if (mb_commit(h.s) != 0) violation("a transaction without a change made a version");
    author_commit(&a);
    _exit(0);
  }
  int status;
  waitpid(pid, &status, 0);
  if (!WIFSIGNALED(status) && WEXITSTATUS(status)) violation("the writer ended with status %d", WEXITSTATUS(status));
  return WIFSIGNALED(status);
}

static bool point_recovery(uint32_t at) {
  pid_t pid = fork();
  if (pid == 0) {
    int lock = lock_take(10000000);
    if (lock < 0) give_up("the lock is not released");
    mb_segment *s = segment_open(true);
    mb_crash_set(at);
    mb_segment_recover(s);
    _exit(0);
  }
  int status;
  waitpid(pid, &status, 0);
  return WIFSIGNALED(status);
}

static void point_check(model *m, dice *d, reader *bystander, int kind) {
  forced_kind = kind;
  reader_look(bystander, false, "beside the dead");
  hold h = hold_take();
  model_check(m, h.s, d, "after a crash point");
  if (m->version < bystander->version) violation("version %lu was shown and is gone", bystander->version);
  hold_drop(&h);
}

/* Every point of the scenario, once for each kind of change. */
static void run_points(uint64_t deadline) {
  dice d = {mix(seed)};
  segment_fresh(POINT_CELLS * sizeof(cell));
  uint64_t crashes = 0, complete = 0;
  static const char *const name[KINDS] = {"one", "few", "stretch", "scattered", "all"};
  for (int kind = 0; kind < KINDS; kind++) {
    segment_fresh(POINT_CELLS * sizeof(cell));
    memset(board->seen, 0, 1 << 20);
    model *m = model_new(POINT_CELLS);
    reader *bystander = reader_new();
    uint32_t at = 1;
    for (bool killed = true; killed && now_us() < deadline; at++) {
      killed = point_scenario(at, kind);
      crashes += killed;
      complete += !killed;
      point_check(m, &d, bystander, kind);
    }
    if (m->excess && kind != SCATTERED) violation("deltas name %lu cells that did not change", m->excess); /* more runs than the page holds are merged */
    char text[32];
    snprintf(text, sizeof text, "points_%s", name[kind]);
    figure(text, at - 2);
    mb_segment_close(bystander->s);
    model_free(m);
  }
  figure("crashes", (double)crashes);
  figure("complete", (double)complete); /* kinds of change with every point covered */
  figure("kinds", KINDS);
}

/* A crash at every point, then a crash at every point of the recovery from it, and of the recovery from that, and from that. */
static void run_nested(uint64_t deadline) {
  dice d = {mix(seed)};
  segment_fresh(POINT_CELLS * sizeof(cell));
  model *m = model_new(POINT_CELLS);
  reader *bystander = reader_new();
  uint32_t at[1 + NEST] = {1, 1, 1, 1};
  uint64_t crashes = 0, chains = 0, deepest = 0;
  bool finished = false;
  while (!finished && now_us() < deadline) {
    int level = 0;
    if (point_scenario(at[0], ONE))
      for (level = 1; level <= NEST && point_recovery(at[level]);) level++;
    crashes += (uint64_t)level;
    deepest += level == 1 + NEST;
    chains++;
    point_check(m, &d, bystander, ONE);
    finished = level == 0;
    if (level == 1 + NEST) {
      at[NEST]++;
    } else if (level > 0) { /* this level has no more points: on with the one above */
      at[level - 1]++;
      for (int i = level; i <= NEST; i++) at[i] = 1;
    }
  }
  figure("crashes", (double)crashes);
  figure("chains", (double)chains);
  figure("deepest", (double)deepest);
  figure("finished", finished);
}

/* The redo page of a dead writer's commit, with one byte flipped: its checksum tells, and everything is rolled forward. */
static void run_redo_flips(uint32_t count, uint64_t deadline) {
  dice d = {mix(seed)};
  segment_fresh(POINT_CELLS * sizeof(cell));
  model *m = model_new(POINT_CELLS);
  reader *bystander = reader_new();
  uint64_t flips = 0, whole = 0;
  uint32_t at = 1;
  while (flips < count && now_us() < deadline) {
    int kind = (int)below(&d, 3);
    if (!point_scenario(1 + at++ % 24, kind)) at = 1;
    forced_kind = kind;
    hold h = hold_take();
    (void)h;
    hold_drop(&h);
    pid_t pid = fork();
    if (pid == 0) {
      h = hold_take();
      author a = author_new(h.s, __atomic_add_fetch(&board->writers, 1, __ATOMIC_RELAXED));
      mb_crash_set(6 + (uint32_t)below(&d, 4)); /* after seq turned odd */
      author_commit(&a);
      _exit(0);
    }
    waitpid(pid, NULL, 0);
    mb_segment *s = segment_open(true);
    if (mb_load_acquire(&s->hot->seq) & 1) {
      uint64_t used = offsetof(mb_redo, run) + s->redo->count * sizeof s->redo->run[0];
      ((uint8_t *)s->redo)[below(&d, used)] ^= (uint8_t)(1u << below(&d, 8));
      flips++;
      whole += !mb_redo_valid(s->redo, s->hot->seq, s->block_count);
    }
    mb_segment_close(s);
    point_check(m, &d, bystander, kind);
  }
  figure("flips", (double)flips);
  figure("detected", (double)whole);
}
