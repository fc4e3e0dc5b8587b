/* What every part of the C library's test program uses. One translation unit: the library's own static functions are in reach. */
#ifndef CHECK_H
#define CHECK_H

#include "../../ffi/library.c"

#include <stdio.h>
#include <sys/wait.h>

#define CHECK(condition) \
  do \
    if (!(condition)) check_fail(__FILE__, __LINE__, #condition, 0, 0); \
  while (0)
#define CHECK_IS(value, wanted) \
  do { \
    const int64_t check_got = (int64_t)(value), check_want = (int64_t)(wanted); \
    if (check_got != check_want) check_fail(__FILE__, __LINE__, #value " is " #wanted, check_got, check_want); \
  } while (0)

extern uint64_t check_seed;

static _Noreturn void check_fail(const char *file, int line, const char *what, int64_t got, int64_t want) {
  fprintf(stderr, "%s:%d: %s: got %lld, want %lld (SEED=%llu)\n", file, line, what, (long long)got, (long long)want,
          (unsigned long long)check_seed);
  fflush(stderr);
  _exit(1);
}

/* splitmix64 */
static inline uint64_t check_random(uint64_t *state) {
  uint64_t z = *state += 0x9e3779b97f4a7c15ull;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ z >> 27) * 0x94d049bb133111ebull;
  return z ^ z >> 31;
}
static inline uint64_t check_below(uint64_t *state, uint64_t limit) { return check_random(state) % limit; }

/* A path that no other process uses; the file is removed by check_forget. */
static inline const char *check_path(const char *stem) {
  static char path[128];
  snprintf(path, sizeof path, "/dev/shm/memblast-c-%s-%d", stem, (int)getpid());
  return path;
}

static inline mb_segment *check_create(const char *path, uint64_t image_bytes) {
  static const uint8_t identity[32] = {1, 2, 3};
  int64_t out[1];
  CHECK_IS(mb_segment_create("/dev/shm", path, (const uint8_t *)"{}", 2, image_bytes, 0, identity, 0, out), 0);
  return (mb_segment *)(uintptr_t)out[0];
}

static inline mb_segment *check_attach(const char *path, bool writable) {
  int64_t out[1];
  CHECK_IS(mb_segment_attach(path, writable, out), 0);
  return (mb_segment *)(uintptr_t)out[0];
}

static inline void check_write(mb_segment *s, uint64_t offset, uint8_t value) {
  s->working[offset] = value;
  mb_touch_range(s, offset, 1);
}

static inline bool check_images_equal(const mb_segment *s) { return memcmp(s->working, s->committed, s->image_bytes) == 0; }

static inline int check_open_files(void) {
  int count = 0;
  for (int fd = 0; fd < 1024; fd++) count += fcntl(fd, F_GETFD) >= 0;
  return count;
}

/* malloc, calloc and realloc of the library, by --wrap: the n-th from now on finds no memory; 0: none. */
extern uint64_t check_allocation_fails, check_allocations;

#endif
