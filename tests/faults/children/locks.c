/* Whose death frees the lock, and how soon. */

static uint64_t lock_wait(uint64_t patience_us) {
  uint64_t start = now_us();
  int fd = lock_take(patience_us);
  if (fd < 0) return UINT64_MAX;
  mb_lock_close(fd);
  return now_us() - start;
}

/* A holder with a child, killed. The child either runs another program, or is a bare copy of the holder. */
static void run_heirs(uint32_t count, uint64_t deadline) {
  segment_fresh(KILL_CELLS * sizeof(cell));
  uint32_t *heir = shared_memory(4096);
  samples freed = {0, 0, NULL};
  uint64_t rounds = 0, kept = 0;
  for (; rounds < count && now_us() < deadline; rounds++) {
    bool bare = rounds % 4 == 3;
    mb_store32_release(heir, 0);
    pid_t holder = fork();
    if (holder == 0) {
      hold_take();
      pid_t child = fork();
      if (child == 0 && bare) for (;;) pause();
      if (child == 0) {
        execlp("sleep", "sleep", "30", (char *)NULL);
        _exit(1);
      }
      usleep(2000); /* past exec */
      mb_store32_release(heir, (uint32_t)child);
      for (;;) pause();
    }
    while (!mb_load32_acquire(heir)) usleep(100);
    end_process(holder);
    uint64_t waited = lock_wait(bare ? 20000 : 10000000);
    if (bare) {
      kept += waited == UINT64_MAX; /* a bare copy shares the open file: the lock is its too, and ends with it */
      kill((pid_t)*heir, SIGKILL);
      waited = lock_wait(10000000);
      if (waited == UINT64_MAX) violation("the lock outlives the last process that has it open");
    } else {
      if (waited == UINT64_MAX) violation("a program that the holder started has its lock");
      else sample(&freed, waited);
      kill((pid_t)*heir, SIGKILL);
    }
  }
  figure("rounds", (double)rounds);
  figure("kept_by_copies", (double)kept);
  figures("freed", &freed);
}

/* The kernel takes a dead process's memory before its files: how long a big holder's lock outlives it. */
static void run_heavy(uint64_t bytes) {
  segment_fresh(KILL_CELLS * sizeof(cell));
  uint32_t *ready = shared_memory(4096);
  pid_t holder = fork();
  if (holder == 0) {
    hold_take();
    uint8_t *heavy = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (heavy == MAP_FAILED) _exit(1);
    for (uint64_t i = 0; i < bytes; i += 4096) heavy[i] = 1;
    mb_store32_release(ready, 1);
    for (;;) pause();
  }
  while (!mb_load32_acquire(ready) && waitpid(holder, NULL, WNOHANG) == 0) usleep(1000);
  if (!*ready) give_up("no memory for a big holder");
  kill(holder, SIGKILL);
  uint64_t waited = lock_wait(60000000);
  waitpid(holder, NULL, 0);
  if (waited == UINT64_MAX) violation("the lock of a holder of %lu MiB is not released", bytes >> 20);
  figure("freed_ms", (double)waited / 1000);
}
