/* Pieces that a peer names: gathered and scattered, beside a copy made byte by byte.
 *
 *   u16 image bytes | u8 bytes received | transactions: u8 pieces (bit 7: undo), three doubles each; then gathers: u8 runs, two each */
#include "fuzz.h"

static bool apply_whole(double value, uint64_t *into) {
  if (!(value >= 0) || value > 9007199254740991.0) return false;
  *into = (uint64_t)value;
  return true;
}

/* The obvious scatter: false where one of the pieces is none; those before it have been written. */
static bool apply_pieces(uint8_t *image, uint64_t image_bytes, const uint8_t *from, uint64_t from_bytes, const double *pieces, uint64_t count) {
  for (uint64_t i = 0; i < count; i++) {
    uint64_t to, at, bytes;
    if (!apply_whole(pieces[3 * i], &to) || !apply_whole(pieces[3 * i + 1], &at) || !apply_whole(pieces[3 * i + 2], &bytes)) return false;
    if (to > image_bytes || bytes > image_bytes - to || at > from_bytes || bytes > from_bytes - at) return false;
    for (uint64_t b = 0; b < bytes; b++) image[to + b] = from[at + b];
  }
  return true;
}

static void apply_scatter(mb_segment *s, fuzz_input *in, uint8_t *wanted, const uint8_t *from, uint64_t from_bytes) {
  const uint64_t how = fuzz_number(in, 1), count = how % 20;
  double *pieces = fuzz_exact(24 * count);
  uint8_t *after = fuzz_exact(s->image_bytes);
  for (uint64_t i = 0; i < 3 * count; i++) pieces[i] = fuzz_double(in, i % 3 == 0 ? s->image_bytes : from_bytes);
  memcpy(after, wanted, s->image_bytes);
  REQUIRE(mb_begin(s) == 0);
  const bool fits = apply_pieces(after, s->image_bytes, from, from_bytes, pieces, count);
  REQUIRE(mb_scatter(s, from, from_bytes, pieces, count) == (fits ? 0 : MB_E_RANGE));
  REQUIRE(memcmp(s->working, after, s->image_bytes) == 0);
  const int64_t version = mb_version(s);
  if (!fits || how >= 128) {
    REQUIRE(mb_rollback(s) == 0 && mb_version(s) == version);
  } else {
    const bool changes = memcmp(wanted, after, s->image_bytes) != 0;
    REQUIRE((mb_commit(s) > 0) == changes && mb_version(s) == version + changes); /* what is there already makes no version */
    memcpy(wanted, after, s->image_bytes);
  }
  REQUIRE(memcmp(s->working, wanted, s->image_bytes) == 0 && memcmp(s->committed, wanted, s->image_bytes) == 0);
  free(pieces);
  free(after);
}

static void apply_gather(const mb_segment *s, fuzz_input *in) {
  const uint64_t count = fuzz_number(in, 1) % 20, room = fuzz_number(in, 2);
  double *runs = fuzz_exact(16 * count);
  uint8_t *into = fuzz_exact(room);
  uint64_t total = 0;
  bool fits = true;
  for (uint64_t i = 0; i < 2 * count; i++) runs[i] = fuzz_double(in, s->image_bytes);
  for (uint64_t i = 0; i < count && fits; i++) {
    uint64_t at, bytes;
    fits = apply_whole(runs[2 * i], &at) && apply_whole(runs[2 * i + 1], &bytes) && at <= s->image_bytes &&
           bytes <= s->image_bytes - at && bytes <= room - total;
    if (fits) total += bytes;
  }
  REQUIRE(mb_gather(into, room, s->committed, s->image_bytes, runs, count) == (fits ? (int64_t)total : MB_E_RANGE));
  for (uint64_t i = 0, at = 0; fits && i < count; at += (uint64_t)runs[2 * i + 1], i++)
    REQUIRE(memcmp(into + at, s->committed + (uint64_t)runs[2 * i], (uint64_t)runs[2 * i + 1]) == 0);
  free(runs);
  free(into);
}

int fuzz_apply(const uint8_t *data, size_t bytes) {
  fuzz_input in = {data, bytes};
  mb_segment *s = fuzz_private(1 + fuzz_number(&in, 2));
  const uint64_t from_bytes = fuzz_number(&in, 1) * 40;
  uint8_t *from = fuzz_exact(from_bytes), *wanted = fuzz_exact(s->image_bytes);
  for (uint64_t i = 0; i < from_bytes; i++) from[i] = (uint8_t)(i * 37 + i / 256 + 1);
  for (int i = 0; i < 8 && in.left; i++) {
    apply_scatter(s, &in, wanted, from, from_bytes);
    if (fuzz_number(&in, 1) & 1) apply_gather(s, &in);
    for (uint64_t b = 0; b < from_bytes; b++) from[b]++;
  }
  mb_segment_close(s);
  free(from);
  free(wanted);
  return 0;
}
