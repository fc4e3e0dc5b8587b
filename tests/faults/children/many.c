/* Several writers in turn, any of them killed at any time: the others get on, and what the dead had begun is not there. */

#define MANY_WRITERS 4
#define MANY_CELLS 1024

typedef struct { uint64_t turns[MANY_WRITERS]; } many_t;

static many_t *many;

/* Another wrote meanwhile: what is there now is the start. */
static void many_catch_up(author *a) {
  uint64_t version = (uint64_t)mb_version(a->s);
  a->sum = version ? ((const cell *)a->s->committed)->word[2] : 0;
}

static void many_run(int index) {
  int64_t fd = mb_lock_open(path_lock, 0);
  if (fd < 0 || mb_lock_take((int32_t)fd, MB_LOCK_WRITER, 0)) give_up("a writer among many is not let in");
  int64_t slot = mb_turn_join((int32_t)fd);
  mb_segment *s = segment_open(true);
  author a = author_new(s, __atomic_add_fetch(&board->writers, 1, __ATOMIC_RELAXED));
  dice d = {mix(seed ^ a.writer)};
  while (!mb_load32_acquire(&board->stop)) {
    int64_t how = mb_turn_take(s, (int32_t)fd, (int32_t)slot, 20000000000ull);
    if (how < 0) {
      violation("no turn in 20 s: %ld", how);
      break;
    }
    many_catch_up(&a);
    if (below(&d, 10) == 0) author_roll_back(&a);
    else author_commit(&a);
    mb_store_release(many->turns + index, many->turns[index] + 1);
    mb_turn_give(s, (int32_t)fd, (int32_t)slot);
  }
  _exit(0);
}

static pid_t many_start(int index) {
  pid_t pid = fork();
  if (pid == 0) many_run(index);
  return pid;
}

/* Waits for another turn of anybody. */
static uint64_t many_wait(const uint64_t before[MANY_WRITERS], int but) {
  uint64_t start = now_us();
  for (;;) {
    for (int i = 0; i < MANY_WRITERS; i++)
      if (i != but && mb_load_acquire(many->turns + i) != before[i]) return now_us() - start;
    if (now_us() > start + 30000000) {
      violation("nobody gets a turn after a kill");
      return now_us() - start;
    }
    usleep(100);
  }
}

static void run_many_kills(uint32_t count, uint64_t deadline) {
  dice d = {mix(seed)};
  many = shared_memory(sizeof *many);
  segment_fresh_with(MANY_CELLS * sizeof(cell), MB_FEATURE_PERSIST | (uint64_t)MB_FEATURE_MANY_WRITERS << 32);
  model *m = model_new(MANY_CELLS);
  samples turn = {0, 0, NULL};
  pid_t pid[MANY_WRITERS], watcher = reader_start(300, true, NULL);
  reader *bystander = reader_new();
  uint64_t kills = 0;
  for (int i = 0; i < MANY_WRITERS; i++) pid[i] = many_start(i);
  for (; kills < count && now_us() < deadline && !board->violations; kills++) {
    int victim = (int)below(&d, MANY_WRITERS);
    uint64_t before[MANY_WRITERS];
    usleep((useconds_t)below(&d, 2000));
    kill(pid[victim], SIGKILL);
    waitpid(pid[victim], NULL, 0);
    memcpy(before, many->turns, sizeof before);
    reader_look(bystander, true, "beside the dead");
    sample(&turn, many_wait(before, victim));
    pid[victim] = many_start(victim);
  }
  mb_store32_release(&board->stop, 1);
  for (int i = 0; i < MANY_WRITERS; i++) expect_exit(pid[i], "a writer");
  expect_exit(watcher, "the reader");
  hold h = hold_take();
  model_check(m, h.s, &d, "at the end");
  hold_drop(&h);
  figure("kills", (double)kills);
  figure("versions", (double)m->version);
  figures("turn", &turn);
}
