/* kill -9 of a writer at random times; whoever comes next recovers, and is killed in it now and then. */

#define KILL_CELLS 4096

/* What the dead left: seq odd, the phase dirty, or nothing to mend. */
static void kills_note(const mb_segment *s, uint64_t found[3]) {
  bool odd = mb_load_acquire(&s->hot->seq) & 1;
  found[odd ? 0 : mb_load32_acquire(&s->hot->phase) == MB_DIRTY ? 1 : 2]++;
}

static void run_kills(uint32_t count, uint64_t deadline) {
  dice d = {mix(seed)};
  segment_fresh(KILL_CELLS * sizeof(cell));
  model *m = model_new(KILL_CELLS);
  reader *bystander = reader_new();
  samples recovery = {0, 0, NULL};
  uint64_t found[3] = {0, 0, 0}, left = 0, kills = 0, forward = 0, back = 0;
  int descriptors = descriptor_count();
  pid_t watcher = reader_start(300, true, NULL);
  for (; kills < count && now_us() < deadline; kills++) {
    pid_t pid = writer_start();
    usleep((useconds_t)below(&d, 3000));
    uint64_t killed = now_us();
    kill(pid, SIGKILL);
    int status;
    waitpid(pid, &status, 0);
    if (!WIFSIGNALED(status)) violation("a writer ended by itself with status %d", WEXITSTATUS(status));
    kills_note(bystander->s, found);
    reader_look(bystander, false, "beside the dead");
    if (below(&d, 4) == 0) { /* the next writer recovers, or dies of it */
      left++;
      continue;
    }
    hold h = hold_take();
    sample(&recovery, now_us() - killed);
    forward += h.recovery == 1;
    back += h.recovery == 2;
    model_check(m, h.s, &d, "after a kill");
    if (m->version < bystander->version) violation("version %lu was shown and is gone", bystander->version);
    hold_drop(&h);
  }
  hold last = hold_take();
  model_check(m, last.s, &d, "at the end");
  hold_drop(&last);
  mb_store32_release(&board->stop, 1);
  expect_exit(watcher, "the reader");
  if (descriptor_count() != descriptors) violation("%d descriptors became %d", descriptors, descriptor_count());
  figure("kills", (double)kills);
  figure("odd", (double)found[0]);
  figure("dirty", (double)found[1]);
  figure("idle", (double)found[2]);
  figure("forward", (double)forward);
  figure("back", (double)back);
  figure("left_to_next", (double)left);
  figure("versions", (double)m->version);
  figure("excess_cells", (double)m->excess);
  figure("snapshots", (double)board->snapshots);
  figures("recovery", &recovery);
}
