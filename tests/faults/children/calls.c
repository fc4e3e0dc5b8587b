/* One operation between two marks in the system call log, for strace to fail each call of once; and malloc failing once. */

/* Strange calls that nothing else makes. */
static void call_mark(int number) { syscall(SYS_getpgid, 0x6d620000 + number); }

static uint64_t malloc_fails_at, malloc_calls;

static bool malloc_fails(void) { return malloc_fails_at && ++malloc_calls == malloc_fails_at; }

void *__real_malloc(size_t), *__real_calloc(size_t, size_t), *__real_realloc(void *, size_t);
void *__wrap_malloc(size_t n) { return malloc_fails() ? NULL : __real_malloc(n); }
void *__wrap_calloc(size_t n, size_t each) { return malloc_fails() ? NULL : __real_calloc(n, each); }
void *__wrap_realloc(void *p, size_t n) { return malloc_fails() ? NULL : __real_realloc(p, n); }

static uint64_t mapping_count(void) {
  char line[4400];
  uint64_t count = 0;
  FILE *maps = fopen("/proc/self/maps", "r");
  while (maps && fgets(line, sizeof line, maps)) count += strstr(line, path_folder) != NULL;
  if (maps) fclose(maps);
  return count;
}

enum call_operation { CREATE, ATTACH, COMMIT, RECOVER, LOCK, TURN, BELL, OPERATIONS };
static const char *const call_names[OPERATIONS] = {"create", "attach", "commit", "recover", "lock", "turn", "bell"};

#define CALL_CELLS 2048

static int64_t call_create(void) {
  int64_t handle, error = segment_create_here(CALL_CELLS * sizeof(cell), MB_FEATURE_PERSIST, &handle);
  if (!error) mb_segment_close((mb_segment *)handle);
  return error;
}

static int64_t call_attach(void) {
  static cell copy[CALL_CELLS];
  int64_t handle, error = mb_segment_attach(path_data, 0, &handle);
  if (error) return error;
  error = mb_snapshot((mb_segment *)handle, (uint8_t *)copy, 0, sizeof copy);
  mb_segment_close((mb_segment *)handle);
  return error < 0 ? error : 0;
}

static int64_t call_commit(void) {
  int64_t handle, error = mb_segment_attach(path_data, 1, &handle);
  if (error) return error;
  mb_segment *s = (mb_segment *)handle;
  error = mb_segment_recover(s);
  if (error >= 0) error = mb_begin(s);
  if (error >= 0) {
    for (uint32_t i = 0; i < CALL_CELLS; i += 2) s->working[i * sizeof(cell)]++; /* more runs than were allocated at first */
    mb_touch_range(s, 0, s->image_bytes);
    error = mb_commit(s);
    int64_t rung = mb_ring(s);
    if (error >= 0 && rung < 0) error = rung;
  }
  mb_segment_close(s);
  return error < 0 ? error : 0;
}

/* A dead writer's commit, to be completed. */
static void call_leave_odd(void) {
  hold h = hold_take();
  pid_t pid = fork();
  if (pid == 0) {
    mb_segment *s = segment_open(true);
    mb_begin(s);
    for (uint32_t i = 0; i < CALL_CELLS; i += 3) s->working[i * sizeof(cell)]++;
    mb_touch_range(s, 0, s->image_bytes);
    mb_crash_set(5);
    mb_commit(s);
    _exit(0);
  }
  waitpid(pid, NULL, 0);
  hold_drop(&h);
}

static int64_t call_recover(void) {
  int64_t handle, error = mb_segment_attach(path_data, 1, &handle);
  if (error) return error;
  error = mb_segment_recover((mb_segment *)handle);
  mb_segment_close((mb_segment *)handle);
  return error < 0 ? error : 0;
}

static int64_t call_lock(void) {
  int64_t fd = mb_lock_open(path_lock, 1);
  if (fd < 0) return fd;
  int64_t error = mb_lock_take((int32_t)fd, 1, 0), is = mb_lock_is((int32_t)fd, path_lock), held = mb_lock_held((int32_t)fd, 0);
  if (!error) error = mb_lock_take((int32_t)fd, 0, 1);
  if (!error) error = mb_lock_drop((int32_t)fd, 0);
  int64_t closed = mb_lock_close((int32_t)fd);
  return error ? error : is < 0 ? is : held < 0 ? held : closed < 0 ? closed : 0;
}

/* A write among many writers. */
static int64_t call_turn(void) {
  int64_t handle, fd = mb_lock_open(path_lock, 0);
  if (fd < 0) return fd;
  int64_t error = mb_lock_take((int32_t)fd, MB_LOCK_WRITER, 0), slot = -1;
  if (!error) error = mb_segment_attach(path_data, 1, &handle);
  if (!error) {
    mb_segment *s = (mb_segment *)handle;
    if ((slot = mb_turn_join((int32_t)fd)) < 0) slot = -1;
    error = mb_turn_take(s, (int32_t)fd, (int32_t)slot, 1000000000);
    if (error >= 0) {
      mb_begin(s);
      s->working[0]++;
      mb_touch_range(s, 0, 1);
      mb_commit(s);
      error = mb_turn_give(s, (int32_t)fd, (int32_t)slot);
    }
    mb_segment_close(s);
  }
  mb_lock_close((int32_t)fd);
  return error < 0 ? error : 0;
}

static int64_t call_bell(void) {
  int64_t handle, bell[2], error = mb_segment_attach(path_data, 0, &handle);
  if (error) return error;
  error = mb_doorbell_open((mb_segment *)handle, bell);
  if (!error) {
    error = mb_doorbell_close((void *)bell[0]);
    close((int)bell[1]);
  }
  mb_segment_close((mb_segment *)handle);
  return error;
}

static int64_t call_run(int operation) {
  switch (operation) {
    case CREATE: return call_create();
    case ATTACH: return call_attach();
    case COMMIT: return call_commit();
    case RECOVER: return call_recover();
    case LOCK: return call_lock();
    case TURN: return call_turn();
    default: return call_bell();
  }
}

static int call_named(const char *name) {
  for (int i = 0; i < OPERATIONS; i++)
    if (strcmp(name, call_names[i]) == 0) return i;
  give_up("no operation %s", name);
}

static void call_prepare(int operation) {
  if (operation == CREATE) unlink(path_data);
  else segment_fresh(CALL_CELLS * sizeof(cell));
  if (operation == COMMIT || operation == RECOVER) call_commit();
  if (operation == RECOVER) call_leave_odd();
}

/* After whatever happened: the file is whole or is not there, and at rest after one more recovery. */
static void call_check(int operation) {
  int64_t handle, error = mb_segment_attach(path_data, 1, &handle);
  if (operation == CREATE && error == -ENOENT) return;
  if (error) {
    violation("afterwards the file is refused: %ld", error);
    return;
  }
  mb_segment *s = (mb_segment *)handle;
  uint64_t version = (uint64_t)mb_version(s);
  if (mb_segment_recover(s) < 0) violation("afterwards it does not recover");
  if (memcmp(s->working, s->committed, s->image_bytes)) violation("afterwards the images differ");
  if ((uint64_t)mb_version(s) < version) violation("afterwards the version falls");
  mb_segment_close(s);
}

/* Under strace: the calls between the marks are the ones to fail. Leaves no descriptor and no mapping behind, whatever failed. */
static void run_call(int operation) {
  int descriptors = descriptor_count();
  call_mark(1);
  int64_t result = call_run(operation);
  call_mark(2);
  figure("result", (double)result);
  figure("descriptors", descriptor_count() - descriptors);
  figure("mappings", (double)mapping_count());
}

/* The N-th allocation of an operation fails, for all N: an error, nothing left behind, and the next try works. */
static void run_malloc(void) {
  uint64_t failed = 0;
  for (int operation = 0; operation < OPERATIONS; operation++)
    for (uint64_t at = 1;; at++) {
      call_prepare(operation);
      int descriptors = descriptor_count();
      malloc_calls = 0;
      malloc_fails_at = at;
      int64_t result = call_run(operation);
      malloc_fails_at = 0;
      if (malloc_calls < at) break;
      failed++;
      if (result != 0 && result != -ENOMEM && result != -EAGAIN) violation("%s, allocation %lu: %ld", call_names[operation], at, result);
      if (descriptor_count() != descriptors) violation("%s, allocation %lu: a descriptor leaks", call_names[operation], at);
      if (mapping_count()) violation("%s, allocation %lu: a mapping leaks", call_names[operation], at);
      call_check(operation);
    }
  figure("failed", (double)failed);
  figure("operations", OPERATIONS);
}
