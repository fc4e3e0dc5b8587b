/* What the fuzz targets share. Each is one function of its input; target.c makes it libFuzzer's, replay.c runs files through it. */
#ifndef FUZZ_H
#define FUZZ_H

#include "../../ffi/library.c"

#include <stdio.h>

#define REQUIRE(condition) \
  do \
    if (!(condition)) { \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
      abort(); \
    } \
  while (0)

/* Takes numbers off the front of the input; past its end they are 0. */
typedef struct {
  const uint8_t *at;
  size_t left;
} fuzz_input;

static inline uint64_t fuzz_number(fuzz_input *in, int bytes) {
  uint64_t value = 0;
  for (int i = 0; i < bytes && in->left; i++, in->left--) value |= (uint64_t)*in->at++ << (8 * i);
  return value;
}

/* Up to `bytes` bytes; *got says how many there were. */
static inline const uint8_t *fuzz_bytes(fuzz_input *in, size_t bytes, size_t *got) {
  const uint8_t *from = in->at;
  *got = bytes < in->left ? bytes : in->left;
  in->at += *got;
  in->left -= *got;
  return from;
}

/* Any double: often a whole number within reach, else the eight bytes as they are. */
static inline double fuzz_double(fuzz_input *in, uint64_t limit) {
  const uint64_t how = fuzz_number(in, 1);
  if (how < 200) return (double)(fuzz_number(in, 3) % (limit + 1 + how % 3));
  const uint64_t bits = fuzz_number(in, 8);
  double value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/* A block of exactly this size, so that a byte too far shows. */
static inline void *fuzz_exact(uint64_t bytes) {
  void *memory = calloc(1, bytes ? bytes : 1);
  REQUIRE(memory);
  return memory;
}

static inline mb_segment *fuzz_private(uint64_t image_bytes) {
  static const uint8_t identity[32] = {7};
  int64_t out[1];
  REQUIRE(mb_segment_create(NULL, NULL, (const uint8_t *)"{}", 2, image_bytes, 0, identity, 0, out) == 0);
  return (mb_segment *)(uintptr_t)out[0];
}

/* Runs as mb_changed_since gives them: in order, apart, inside. */
static inline void fuzz_runs_are_sound(const double *runs, int64_t count, uint64_t image_bytes) {
  double end = -1;
  for (int64_t i = 0; i < count; i++) {
    REQUIRE(runs[2 * i] > end && runs[2 * i + 1] > 0);
    end = runs[2 * i] + runs[2 * i + 1];
    REQUIRE(end <= (double)image_bytes);
  }
}

int fuzz_attach(const uint8_t *data, size_t bytes);
int fuzz_apply(const uint8_t *data, size_t bytes);
int fuzz_diff(const uint8_t *data, size_t bytes);

#endif
