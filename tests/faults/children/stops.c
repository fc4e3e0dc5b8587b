/* SIGSTOP: a writer that stands still in mid-commit keeps nobody from reading; a reader that stands still in mid-copy reads on. */

static bool stop_process(pid_t pid) {
  int status;
  kill(pid, SIGSTOP);
  return waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status);
}

static void end_process(pid_t pid) {
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);
}

static void run_writer_stops(uint32_t count, uint64_t deadline, uint64_t patience_us) {
  dice d = {mix(seed)};
  segment_fresh(KILL_CELLS * sizeof(cell));
  reader *r = reader_new();
  samples reads = {0, 0, NULL};
  uint64_t found[3] = {0, 0, 0}, stops = 0, blocked = 0, held = 0;
  pid_t watcher = reader_start(1000, true, NULL), writer = writer_start();
  while (!mb_load32_acquire(&board->ready)) usleep(100);
  for (; stops < count && now_us() < deadline; stops++) {
    usleep((useconds_t)below(&d, 3000));
    if (!stop_process(writer)) give_up("the writer does not stop");
    kills_note(r->s, found);
    for (int i = 0; i < 5; i++) {
      uint64_t took = reader_look(r, i == 4, "beside a stopped writer");
      sample(&reads, took);
      if (took > patience_us) {
        blocked++;
        break;
      }
    }
    int64_t fd = mb_lock_open(path_lock, 0); /* a second writer is told at once, and does not wait for the first */
    held += fd >= 0 && mb_lock_take((int32_t)fd, 0, 1) == -EAGAIN;
    mb_lock_close((int32_t)fd);
    kill(writer, SIGCONT);
  }
  mb_store32_release(&board->stop, 1);
  expect_exit(writer, "the writer");
  expect_exit(watcher, "the reader");
  if (blocked) violation("%lu of %lu stops blocked a reader", blocked, stops);
  if (held != stops) violation("%lu stopped writers lost their lock", stops - held);
  figure("stops", (double)stops);
  figure("blocked", (double)blocked);
  figure("odd", (double)found[0]);
  figure("dirty", (double)found[1]);
  figure("idle", (double)found[2]);
  figures("snapshot", &reads);
}

static void run_reader_stops(uint32_t count, uint64_t deadline) {
  dice d = {mix(seed)};
  segment_fresh(16 * KILL_CELLS * sizeof(cell));
  uint64_t *looks = shared_memory(4096), stops = 0;
  pid_t writer = writer_start();
  while (!mb_load32_acquire(&board->ready)) usleep(100);
  pid_t stopped = reader_start(0, false, looks);
  for (; stops < count && now_us() < deadline; stops++) {
    usleep((useconds_t)below(&d, 4000));
    if (!stop_process(stopped)) give_up("the reader does not stop");
    usleep((useconds_t)below(&d, 3000));
    kill(stopped, SIGCONT);
  }
  uint64_t before = mb_load_acquire(looks);
  for (uint64_t end = now_us() + 20000000; mb_load_acquire(looks) == before && now_us() < end;) usleep(1000);
  if (mb_load_acquire(looks) == before) violation("a reader that was stopped and continued reads no more");
  mb_store32_release(&board->stop, 1);
  expect_exit(stopped, "the reader");
  expect_exit(writer, "the writer");
  figure("stops", (double)stops);
  figure("snapshots", (double)board->snapshots);
}

/* A writer that never pauses, and `readers` that do not either. Every one of them has to get on. */
static void run_saturated(uint32_t cells, uint32_t readers, uint64_t window_us, uint64_t patience_us) {
  segment_fresh(cells * (uint64_t)sizeof(cell));
  forced_kind = FEW;
  uint64_t *looks = shared_memory(4096), commits = 0;
  pid_t pid[64], writer = writer_start();
  while (!mb_load32_acquire(&board->ready)) usleep(100);
  for (uint32_t i = 0; i < readers; i++) pid[i] = reader_start(0, false, looks + i);
  uint64_t start = now_us(), last = start + window_us, idle = 0;
  do {
    usleep(5000);
    idle = 0;
    for (uint32_t i = 0; i < readers; i++) idle += mb_load_acquire(looks + i) == 0;
  } while ((idle || now_us() < last) && now_us() < start + patience_us);
  mb_store32_release(&board->stop, 1);
  for (uint32_t i = 0; i < readers; i++) expect_exit(pid[i], "a reader");
  expect_exit(writer, "the writer");
  double seconds = (double)(now_us() - start) / 1e6;
  commits = mb_load_acquire(&board->acked);
  if (idle) violation("%lu of %u readers got no snapshot of %u KiB in %lu ms", idle, readers, cells / 16, patience_us / 1000);
  figure("snapshots_per_second", (double)board->snapshots / seconds);
  figure("commits_per_second", (double)commits / seconds);
  figure("gap_ms", (double)board->gap_us / 1000);
}
