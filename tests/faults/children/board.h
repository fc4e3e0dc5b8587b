/* What all processes of one run share, and how they report: one line per violation, one `name=value` per figure. */
#ifndef FAULTS_BOARD_H
#define FAULTS_BOARD_H

#include "library.c"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/wait.h>

#define VERSIONS_MAX (1u << 26)
#define MESSAGES_MAX 12

typedef struct {
  uint64_t acked;   /* the newest version whose commit returned */
  uint64_t writers; /* writer processes so far: each takes the next number */
  uint32_t stop, ready;
  uint32_t violations;
  uint64_t snapshots, gap_us, blocked; /* of the readers */
  char message[MESSAGES_MAX][200];
  uint32_t writer_of[VERSIONS_MAX]; /* who tried last to make a version, noted before it begins */
  uint32_t seen[VERSIONS_MAX];      /* whose version a reader was shown */
} board_t;

static board_t *board;
static uint64_t seed;

static void *shared_memory(uint64_t bytes) {
  void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    perror("mmap");
    exit(3);
  }
  return memory;
}

__attribute__((format(printf, 1, 2))) static void violation(const char *format, ...) {
  uint32_t n = __atomic_fetch_add(&board->violations, 1, __ATOMIC_RELAXED);
  if (n >= MESSAGES_MAX) return;
  va_list list;
  va_start(list, format);
  vsnprintf(board->message[n], sizeof board->message[n], format, list);
  va_end(list);
}

static void figure(const char *name, double value) { printf("%s=%.17g\n", name, value); }

static void report(void) {
  uint32_t shown = board->violations < MESSAGES_MAX ? board->violations : MESSAGES_MAX;
  for (uint32_t i = 0; i < shown; i++) printf("violation %s\n", board->message[i]);
  figure("violations", board->violations);
  fflush(stdout);
}

/* The set-up itself does not work: no row of the catalogue, and no figure, can come of it. */
__attribute__((format(printf, 1, 2), noreturn)) static void give_up(const char *format, ...) {
  va_list list;
  va_start(list, format);
  vfprintf(stderr, format, list);
  va_end(list);
  fputc('\n', stderr);
  _exit(3); /* a child must not print its parent's figures a second time */
}

static uint64_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

typedef struct { uint64_t state; } dice;

static uint64_t roll(dice *d) { return mix(d->state++); }
static uint64_t below(dice *d, uint64_t n) { return n ? roll(d) % n : 0; }

static uint64_t now_us(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

typedef struct { uint32_t count, capacity; uint32_t *us; } samples;

static void sample(samples *s, uint64_t us) {
  if (s->count == s->capacity) {
    s->capacity = s->capacity ? 2 * s->capacity : 1024;
    s->us = realloc(s->us, s->capacity * sizeof *s->us);
    if (!s->us) give_up("no memory");
  }
  s->us[s->count++] = us > 0xffffffffu ? 0xffffffffu : (uint32_t)us;
}

static int sample_order(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return x < y ? -1 : x > y;
}

/* Prints NAME_p50, NAME_p99 and NAME_max in milliseconds. */
static void figures(const char *name, samples *s) {
  char text[64];
  if (!s->count) return;
  qsort(s->us, s->count, sizeof *s->us, sample_order);
  static const struct { const char *suffix; double at; } row[] = {{"p50", 0.5}, {"p99", 0.99}, {"max", 1}};
  for (int i = 0; i < 3; i++) {
    snprintf(text, sizeof text, "%s_%s", name, row[i].suffix);
    figure(text, s->us[(uint32_t)(row[i].at * (s->count - 1))] / 1000.0);
  }
}

/* Descriptors and threads of this process, to be the same before and after. */
static int descriptor_count(void) {
  int count = 0;
  for (int fd = 0; fd < 1024; fd++) count += fcntl(fd, F_GETFD) >= 0;
  return count;
}
#endif
