/* Creation: several processes at once, one creator, and never a file that is not whole. Some creators are killed on the way. */

#define RACERS 4
#define RACE_CELLS 64

typedef struct {
  uint32_t go, ready;
  uint64_t created, attached, retried;
} race_t;

static race_t *race;

static void race_attached(mb_segment *s) {
  cell copy[RACE_CELLS];
  uint8_t zero[sizeof copy];
  memset(zero, 0, sizeof zero);
  int64_t version = mb_snapshot(s, (uint8_t *)copy, 0, sizeof copy);
  if (version != 0 || memcmp(copy, zero, sizeof zero)) violation("a new segment has version %ld", version);
  if (s->schema_bytes != sizeof schema - 1 || memcmp(s->schema, schema, sizeof schema - 1)) violation("the schema is not the creator's");
  mb_segment_close(s);
}

static void race_run(void) {
  __atomic_add_fetch(&race->ready, 1, __ATOMIC_ACQ_REL);
  while (!mb_load32_acquire(&race->go)) sched_yield();
  for (;;) {
    int64_t handle, error = mb_segment_attach(path_data, 0, &handle);
    if (error == 0) {
      race_attached((mb_segment *)handle);
      __atomic_add_fetch(&race->attached, 1, __ATOMIC_RELAXED);
      return;
    }
    if (error != -ENOENT) violation("an opener met a file that is not whole: %ld", error);
    error = segment_create_here(sizeof(cell) * RACE_CELLS, MB_FEATURE_PERSIST, &handle);
    if (error == 0) {
      __atomic_add_fetch(&race->created, 1, __ATOMIC_RELAXED);
      return; /* the mapping ends with the process */
    }
    if (error != -EEXIST) violation("create: %ld", error);
    __atomic_add_fetch(&race->retried, 1, __ATOMIC_RELAXED);
  }
}

static void run_creation(uint32_t rounds, uint64_t deadline) {
  dice d = {mix(seed)};
  race = shared_memory(sizeof *race);
  uint64_t done = 0, killed = 0;
  for (; done < rounds && now_us() < deadline; done++) {
    pid_t pid[RACERS];
    uint64_t created = race->created;
    unlink(path_data);
    race->go = race->ready = 0;
    for (int i = 0; i < RACERS; i++)
      if ((pid[i] = fork()) == 0) {
        race_run();
        _exit(0);
      }
    while (mb_load32_acquire(&race->ready) < RACERS) sched_yield();
    mb_store32_release(&race->go, 1);
    bool with_kill = below(&d, 4) == 0;
    if (with_kill) {
      usleep((useconds_t)below(&d, 200));
      kill(pid[below(&d, RACERS)], SIGKILL);
      killed++;
    }
    for (int i = 0; i < RACERS; i++) waitpid(pid[i], NULL, 0);
    created = race->created - created;
    if (with_kill ? created > 1 : created != 1) violation("%lu creators in round %lu", created, done);
  }
  unlink(path_data);
  figure("rounds", (double)done);
  figure("racers", RACERS);
  figure("created", (double)race->created);
  figure("attached", (double)race->attached);
  figure("retried", (double)race->retried);
  figure("killed", (double)killed);
}
