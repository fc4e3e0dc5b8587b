/* No memory at the n-th request, for every n; and what a thread leaves open when it ends. */
#include "check.h"

uint64_t check_allocation_fails, check_allocations;

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t bytes);
void *__real_realloc(void *memory, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t bytes);
void *__wrap_realloc(void *memory, size_t bytes);

static bool memory_refused(void) {
  check_allocations++;
  return check_allocation_fails && --check_allocation_fails == 0;
}

void *__wrap_malloc(size_t bytes) { return memory_refused() ? NULL : __real_malloc(bytes); }
void *__wrap_calloc(size_t count, size_t bytes) { return memory_refused() ? NULL : __real_calloc(count, bytes); }
void *__wrap_realloc(void *memory, size_t bytes) { return memory_refused() ? NULL : __real_realloc(memory, bytes); }

static int64_t memory_create(mb_segment **s, const char *path) {
  static const uint8_t identity[32] = {0};
  int64_t out[1] = {0}, error;
  error = mb_segment_create("/dev/shm", path, (const uint8_t *)"{}", 2, 64 * 8000, 0, identity, 0, out);
  *s = (mb_segment *)(uintptr_t)out[0];
  return error;
}

static int64_t memory_attach(mb_segment **s, const char *path) {
  int64_t out[1] = {0}, error;
  error = mb_segment_attach(path, 1, out);
  *s = (mb_segment *)(uintptr_t)out[0];
  return error;
}

/* Tries with no memory at request n = 1, 2, 3 ... until all requests are met. */
static void memory_each(int64_t (*open)(mb_segment **s, const char *path), const char *path, bool removes) {
  const int files = check_open_files();
  for (uint64_t n = 1;; n++) {
    mb_segment *s = NULL;
    check_allocation_fails = n;
    const int64_t error = open(&s, path);
    const bool met = check_allocation_fails != 0;
    check_allocation_fails = 0;
    CHECK(error == 0 || error == -ENOMEM);
    CHECK((error == 0) == (s != NULL));
    if (s) mb_segment_close(s);
    if (removes) CHECK_IS(unlink(path), error == 0 ? 0 : -1);
    CHECK_IS(check_open_files(), files);
    if (!met) continue;
    CHECK_IS(error, 0);
    printf("# %llu requests\n", (unsigned long long)(n - 1));
    return;
  }
}

static void test_no_memory_to_open(void) {
  const char *path = check_path("memory");
  memory_each(memory_create, path, true);
  mb_segment_close(check_create(path, 64 * 8000));
  memory_each(memory_attach, path, false);
  unlink(path);
}

/* A transaction with more runs than there is room for is committed all the same, with blocks named that did not change. */
static void test_no_memory_in_commit(void) {
  for (uint64_t n = 1; n < 6; n++) {
    mb_segment *s = check_create(NULL, 64 * 8000);
    CHECK_IS(mb_begin(s), 0);
    for (uint64_t b = 0; b < 4000; b++) check_write(s, 128 * b, 1);
    check_allocation_fails = n;
    CHECK(mb_commit(s) >= 4000);
    check_allocation_fails = 0;
    CHECK(check_images_equal(s));
    CHECK_IS(mb_version(s), 1);
    double runs[2 * 4000], info[1];
    const int64_t count = mb_changed_since(s, 0, NULL, 0, runs, 4000, info);
    CHECK(count > 0 && count <= 4000);
    CHECK_IS(mb_begin(s), 0);
    for (uint64_t b = 0; b < 4000; b++) check_write(s, 128 * b, 2);
    check_allocation_fails = n;
    CHECK_IS(mb_rollback(s), 0);
    check_allocation_fails = 0;
    CHECK(check_images_equal(s));
    CHECK_IS(s->committed[128], 1);
    mb_segment_close(s);
  }
}

static void test_no_memory_to_listen_and_verify(void) {
  const int files = check_open_files();
  mb_segment *s = check_create(NULL, 64 * 100);
  for (uint64_t n = 1; n < 5; n++) {
    int64_t out[2];
    double rows[30], info[2];
    check_allocation_fails = n;
    const int64_t opened = mb_doorbell_open(s, out);
    check_allocation_fails = 0;
    CHECK(opened == 0 || opened == -ENOMEM || opened == -EAGAIN);
    if (opened == 0) {
      mb_doorbell_close((mb_doorbell *)(uintptr_t)out[0]);
      close((int)out[1]);
    }
    check_allocation_fails = n;
    const int64_t found = mb_verify(s, 1, rows, 10, info);
    check_allocation_fails = 0;
    CHECK(found == 0 || found == -ENOMEM);
  }
  mb_segment_close(s);
  CHECK_IS(check_open_files(), files);
}

typedef struct {
  char path[128], lock[160];
  int bell; /* the end of the doorbell that the event loop has */
} memory_left;

static void *memory_leaves_open(void *argument) {
  memory_left *left = argument;
  int64_t out[2];
  const int64_t fd = mb_lock_open(left->lock, 0);
  CHECK(fd >= 0);
  CHECK_IS(mb_lock_take((int32_t)fd, MB_LOCK_WRITER, 1), 0);
  mb_segment *s = check_attach(left->path, true);
  CHECK_IS(mb_doorbell_open(s, out), 0);
  left->bell = (int)out[1];
  return NULL;
}

/* A terminated Worker closes nothing itself. */
static void test_thread_ends(void) {
  memory_left left;
  snprintf(left.path, sizeof left.path, "%s", check_path("thread"));
  snprintf(left.lock, sizeof left.lock, "%s.lock", left.path);
  mb_segment_close(check_create(left.path, 4096));
  CHECK_IS(mb_lock_close((int32_t)mb_lock_open(left.lock, 1)), 0);
  const int files = check_open_files();
  for (int i = 0; i < 20; i++) {
    pthread_t thread;
    CHECK_IS(pthread_create(&thread, NULL, memory_leaves_open, &left), 0);
    pthread_join(thread, NULL);
    close(left.bell);
    const int64_t fd = mb_lock_open(left.lock, 0);
    CHECK_IS(mb_lock_take((int32_t)fd, MB_LOCK_WRITER, 1), 0);
    mb_lock_close((int32_t)fd);
    CHECK_IS(check_open_files(), files);
  }
  unlink(left.path);
  unlink(left.lock);
}
