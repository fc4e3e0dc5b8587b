/* A hostile file: attached, read, recovered, written, and cut short under the mapping.
 *
 *   u8 flags | FILE_WHOLE: the bytes of the file
 *            | else: u16 image bytes, u8 schema bytes, u64 seq, u8 begin, u32 phase, u16 redo count, then patches of a file that was
 *              whole: u8 region, u24 offset, u8 length, bytes
 *
 * Checksums are made right where the flags say so: what is behind them is what is to be tested. */
#include "fuzz.h"

enum { FILE_WHOLE = 1, FIX_HEADER = 2, FIX_REDO = 4, OWN_REDO = 8, WRITES = 16, CUT = 32, PATCHES_MAX = 64, FILE_MAX = 1 << 20, IMAGE_MAX = 12000 };

static uint8_t *attach_file;
static int attach_fd = -1;
static char attach_path[64];

static void attach_fix_header(uint64_t bytes) {
  mb_header h;
  memcpy(&h, attach_file, sizeof h);
  if (h.header_bytes < sizeof h || h.header_bytes > bytes) return;
  h.crc = mb_header_crc(attach_file, h.header_bytes);
  memcpy(attach_file + offsetof(mb_header, crc), &h.crc, sizeof h.crc);
}

static uint64_t attach_whole(fuzz_input *in) {
  size_t bytes;
  const uint8_t *from = fuzz_bytes(in, FILE_MAX, &bytes);
  memcpy(attach_file, from, bytes);
  memset(attach_file + bytes, 0, FILE_MAX - bytes);
  mb_header h;
  memcpy(&h, attach_file, sizeof h);
  return h.file_bytes >= bytes && h.file_bytes <= FILE_MAX ? h.file_bytes : bytes;
}

static void attach_redo(mb_redo *redo, uint64_t seq, uint32_t flags) {
  if (flags & OWN_REDO) redo->seq = seq;
  if (!(flags & FIX_REDO)) return;
  if (redo->count > MB_REDO_RUNS) redo->count %= MB_REDO_RUNS + 1;
  redo->crc = (uint32_t)mb_crc32c((const uint8_t *)redo, offsetof(mb_redo, crc), 0);
  redo->crc = (uint32_t)mb_crc32c((const uint8_t *)redo->run, redo->count * sizeof redo->run[0], redo->crc);
}

static uint64_t attach_patched(fuzz_input *in, uint32_t flags) {
  const uint64_t image_bytes = 1 + fuzz_number(in, 2) % IMAGE_MAX, schema_bytes = 1 + fuzz_number(in, 1);
  static const uint8_t schema[256] = {'{', '}'}, identity[32] = {3};
  int64_t out[1];
  REQUIRE(mb_segment_create(NULL, NULL, schema, schema_bytes, image_bytes, 0, identity, 0, out) == 0);
  mb_segment *s = (mb_segment *)(uintptr_t)out[0];
  uint8_t *regions[] = {s->base, (uint8_t *)s->hot, (uint8_t *)s->redo, (uint8_t *)s->level[0], s->working, s->committed};
  s->hot->seq = fuzz_number(in, 8);
  const uint64_t how = fuzz_number(in, 1); /* mostly a begin that fits: where it does not, readers only give up */
  s->hot->begin = how % 16 < 5 ? s->hot->seq - how % 16 : how % 16 == 5 ? s->hot->seq + 1 : how % 16 == 6 ? fuzz_number(in, 8) : 0;
  s->hot->phase = (uint32_t)fuzz_number(in, 4);
  s->redo->count = (uint32_t)fuzz_number(in, 2);
  for (int i = 0; i < PATCHES_MAX && in->left; i++) {
    uint8_t *region = regions[fuzz_number(in, 1) % 6];
    const uint64_t room = s->bytes - (uint64_t)(region - s->base), offset = fuzz_number(in, 3) % room;
    size_t length;
    const uint8_t *from = fuzz_bytes(in, fuzz_number(in, 1), &length);
    memcpy(region + offset, from, length < room - offset ? length : room - offset);
  }
  attach_redo(s->redo, s->hot->seq, flags);
  const uint64_t bytes = s->bytes;
  memcpy(attach_file, s->base, bytes);
  mb_segment_close(s);
  return bytes;
}

static void attach_store(uint64_t bytes) {
  if (attach_fd < 0) {
    snprintf(attach_path, sizeof attach_path, "/dev/shm/memblast-fuzz-%d", (int)getpid());
    attach_fd = open(attach_path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0600);
    REQUIRE(attach_fd >= 0);
  }
  REQUIRE(ftruncate(attach_fd, 0) == 0 && pwrite(attach_fd, attach_file, bytes, 0) == (ssize_t)bytes);
}

static void attach_remove(void) { unlink(attach_path); }

static void attach_read(mb_segment *s, fuzz_input *in) {
  const uint64_t capacity = fuzz_number(in, 1), since = fuzz_number(in, 8), clips = fuzz_number(in, 1) % 5;
  const uint64_t offset = fuzz_number(in, 3), bytes = fuzz_number(in, 3);
  double *runs = fuzz_exact(16 * capacity), *clip = fuzz_exact(16 * clips), info[2], rows[6];
  uint8_t *copy = fuzz_exact(s->image_bytes), *part = fuzz_exact(mb_inside(offset, bytes, s->image_bytes) ? bytes : 0);
  const int64_t version = mb_snapshot(s, copy, 0, s->image_bytes);
  const int64_t partly = mb_snapshot(s, part, offset, bytes);
  if (!mb_guard_hit(s->guard_slot) && version >= 0) {
    REQUIRE(partly == version || partly == MB_E_RANGE);
    REQUIRE(partly < 0 || memcmp(part, copy + offset, bytes) == 0);
  }
  int64_t count = mb_changed_since(s, since, NULL, 0, runs, capacity, info);
  fuzz_runs_are_sound(runs, count < (int64_t)capacity ? count : (int64_t)capacity, s->image_bytes);
  for (uint64_t i = 0; i < 2 * clips; i++) clip[i] = fuzz_double(in, s->image_bytes);
  count = mb_changed_since(s, since, clip, clips, runs, capacity, info);
  REQUIRE(count >= 0 || count < -10000);
  mb_refresh(s, copy, since);
  mb_verify(s, 0, rows, 2, info);
  mb_version(s);
  free(runs);
  free(clip);
  free(copy);
  free(part);
}

/* After recovery the segment is whole, and the next transaction is like any other. */
static void attach_write(mb_segment *s, fuzz_input *in) {
  double rows[6], info[2];
  const int64_t recovered = mb_segment_recover(s);
  REQUIRE(recovered <= 2);
  if (mb_guard_hit(s->guard_slot) || recovered < 0) return;
  REQUIRE(s->hot->seq % 2 == 0 && s->hot->phase == MB_CLEAN);
  mb_verify(s, 1, rows, 2, info);
  if (mb_begin(s) != 0) return;
  const int64_t before = mb_version(s);
  for (int i = 0; i < 4; i++) {
    const uint64_t at = fuzz_number(in, 3) % s->image_bytes, bytes = fuzz_number(in, 2) % (s->image_bytes - at) + 1;
    memset(s->working + at, (int)fuzz_number(in, 1), bytes);
    mb_touch_range(s, at, bytes);
  }
  const bool throws = fuzz_number(in, 1) & 1;
  const int64_t blocks = throws ? mb_rollback(s) : mb_commit(s);
  if (mb_guard_hit(s->guard_slot)) return;
  REQUIRE(blocks >= 0 && blocks <= s->block_count);
  REQUIRE(s->hot->seq == 2 * (uint64_t)before + (blocks ? 2 : 0));
}

int fuzz_attach(const uint8_t *data, size_t bytes) {
  fuzz_input in = {data, bytes};
  const uint32_t flags = (uint32_t)fuzz_number(&in, 1);
  int64_t out[1];
  if (!attach_file) {
    attach_file = fuzz_exact(FILE_MAX);
    atexit(attach_remove);
  }
  const uint64_t file_bytes = flags & FILE_WHOLE ? attach_whole(&in) : attach_patched(&in, flags);
  if (file_bytes > FILE_MAX) return 0;
  if (flags & FIX_HEADER) attach_fix_header(file_bytes);
  attach_store(file_bytes);
  const int64_t error = mb_segment_attach(attach_path, (flags & WRITES) != 0, out);
  REQUIRE(error <= 0);
  if (error) return 0;
  mb_segment *s = (mb_segment *)(uintptr_t)out[0];
  REQUIRE(s->image_bytes <= FILE_MAX && s->schema_bytes <= FILE_MAX);
  if (flags & CUT) REQUIRE(ftruncate(attach_fd, (off_t)(fuzz_number(&in, 3) % file_bytes)) == 0);
  attach_read(s, &in);
  if (s->writable) attach_write(s, &in);
  mb_segment_close(s);
  return 0;
}
