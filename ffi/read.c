/* The reader's side: never blocks, needs no write permission, never repairs.
 *
 *   s = seq.  even: copy committed, valid iff seq is still s         -> version s / 2
 *             odd:  copy working,   valid iff begin has not passed s -> version (s + 1) / 2
 *
 * A large copy under a writer of many small commits would never be valid. So after a few tries the copy is mended instead of
 * repeated: only the blocks stamped since the pass before began are copied again, which takes less time each round. Mending reads
 * committed alone: a stale byte of working may belong to a transaction that was rolled back, and no stamp would tell. */
#include "segment.h"

#define READ_TRIES 3
#define READ_EXACT 3 /* looks for what changed that no commit may disturb, before what it disturbs is taken too */
#define READ_STUCK 64
#define READ_HOPELESS 1024 /* looks at one odd seq that lead nowhere: nobody is at work there */
#define READ_ROUNDS 65536

typedef struct {
  const uint8_t *image;
  uint64_t seq, version;
  bool odd;
} read_latch;

static read_latch read_open(const mb_segment *s) {
  read_latch latch;
  latch.seq = mb_load_acquire(&s->hot->seq);
  latch.odd = latch.seq & 1;
  latch.image = latch.odd ? s->working : s->committed;
  latch.version = (latch.seq + 1) / 2;
  return latch;
}

static bool read_valid(const mb_segment *s, const read_latch *latch) {
  mb_fence_acquire();
  if (latch->odd) return mb_load_relaxed(&s->hot->begin) <= latch->seq;
  return mb_load_relaxed(&s->hot->seq) == latch->seq;
}

/* No copy of working will be valid any more: begin never falls. An honest writer has raised seq before it passes it, so a look before
 * the copy only saves the copy; in a damaged file both stay as they are, and every try would copy everything for nothing. */
static bool read_past(const mb_segment *s, const read_latch *latch) {
  return latch->odd && mb_load_relaxed(&s->hot->begin) > latch->seq;
}

typedef struct {
  uint64_t seq;
  uint32_t looks;
} read_patience;

/* How often this very seq was found before, without a break. */
static uint32_t read_again(read_patience *patience, const read_latch *latch) {
  patience->looks = latch->seq == patience->seq ? patience->looks + 1 : 0;
  patience->seq = latch->seq;
  return patience->looks;
}

/* Half of a version may be stamped while seq is odd; the redo page has the whole of it. Copied, because it may change. Who has that
 * version already needs nothing of it. */
static bool read_redo(const mb_segment *s, const read_latch *latch, uint64_t since, mb_redo *copy) {
  copy->count = 0;
  if (!latch->odd || since >= latch->version) return true;
  memcpy(copy, s->redo, sizeof *copy);
  mb_fence_acquire(); /* what is checked is what is used: the compiler must not read the page a second time */
  return mb_redo_valid(copy, latch->seq, s->block_count);
}

/* The next run of blocks at or after *block that are newer than `version`, from the table and the redo page together. */
static bool read_next(const mb_segment *s, const mb_redo *redo, uint64_t version, uint32_t *block, uint32_t end, mb_run *run) {
  uint32_t from = mb_next_changed(s, *block, end, version);
  uint32_t to = from;
  for (uint32_t i = 0; i < redo->count; i++) {
    uint32_t a = redo->run[i].block, b = a + redo->run[i].count;
    if (b <= *block || a >= end) continue;
    if (a < *block) a = *block;
    if (a < from) {
      from = a;
      to = b;
    }
  }
  if (from >= end) return false;
  if (to == from) to = from + 1;
  while (to < end && mb_load_relaxed(s->level[0] + to) > version) to++;
  if (to > end) to = end;
  run->block = from;
  run->count = to - from;
  *block = to;
  return true;
}

/* Copies again what committed changed after `since` within [offset, offset + bytes). */
static void read_mend(const mb_segment *s, uint64_t since, uint8_t *into, uint64_t offset, uint64_t bytes) {
  uint32_t block = (uint32_t)(offset >> s->block_shift), end = (uint32_t)((offset + bytes - 1) >> s->block_shift) + 1;
  for (block = mb_next_changed(s, block, end, since); block < end; block = mb_next_changed(s, block + 1, end, since)) {
    uint64_t from = (uint64_t)block << s->block_shift, to = from + mb_block_bytes(s);
    if (from < offset) from = offset;
    if (to > offset + bytes) to = offset + bytes;
    memcpy(into + (from - offset), s->committed + from, to - from);
  }
}

/* One try of the latch read over the whole range. */
static bool read_whole(const mb_segment *s, read_latch *latch, uint8_t *into, uint64_t offset, uint64_t bytes) {
  *latch = read_open(s);
  if (read_past(s, latch)) return false;
  memcpy(into, latch->image + offset, bytes);
  return read_valid(s, latch);
}

static int64_t read_done(const mb_segment *s, const read_latch *latch, int64_t result) {
  if (mb_guard_hit(s->guard_slot)) return MB_E_TRUNCATED;
  return latch->seq > MB_SEQ_MAX ? MB_E_DAMAGED : result;
}

/* Invariant of the loop: where `based`, every byte of `into` is committed's but for blocks stamped after `since`. */
static int64_t read_mending(const mb_segment *s, uint8_t *into, uint64_t offset, uint64_t bytes, bool based, uint64_t since) {
  read_patience patience = {0, 0};
  for (int i = 0; i < READ_ROUNDS; i++) {
    read_latch latch = read_open(s);
    if (latch.odd) {
      uint32_t looks = read_again(&patience, &latch);
      if (looks == READ_HOPELESS) break;
      if (looks < READ_STUCK || read_past(s, &latch)) {
        sched_yield();
        continue;
      }
      /* The writer has stopped in mid-commit: working is whole, and will not change under us soon. */
      if (read_whole(s, &latch, into, offset, bytes)) return read_done(s, &latch, (int64_t)latch.version);
      based = false;
      continue;
    }
    if (based) read_mend(s, since, into, offset, bytes);
    else memcpy(into, s->committed + offset, bytes);
    if (read_valid(s, &latch)) return read_done(s, &latch, (int64_t)latch.version);
    based = true;
    since = latch.version;
  }
  return MB_E_BUSY;
}

/* A consistent copy of image bytes [offset, offset + bytes). Returns its version. */
MB_EXPORT int64_t mb_snapshot(mb_segment *s, uint8_t *into, uint64_t offset, uint64_t bytes) {
  read_latch latch;
  if (bytes == 0 || !mb_inside(offset, bytes, s->image_bytes)) return MB_E_RANGE;
  for (int i = 0; i < READ_TRIES; i++)
    if (read_whole(s, &latch, into, offset, bytes)) return read_done(s, &latch, (int64_t)latch.version);
  return read_mending(s, into, offset, bytes, false, 0);
}

/* Brings `into`, a copy of the whole image at version `since` (0: of anything), to the newest version, at the cost of what changed.
 * Returns that. On an error `into` is of no version. */
MB_EXPORT int64_t mb_refresh(mb_segment *s, uint8_t *into, uint64_t since) {
  read_latch latch = read_open(s);
  int64_t lost = mb_segment_lost(s);
  if (lost) return lost;
  if (since == 0 || since > latch.version) return mb_snapshot(s, into, 0, s->image_bytes);
  if (latch.version == since) return read_done(s, &latch, (int64_t)since);
  return read_mending(s, into, 0, s->image_bytes, true, since);
}

static bool read_piece(const mb_segment *s, const double *piece, uint64_t into_bytes, uint64_t *offset, uint64_t *at, uint64_t *bytes) {
  return mb_whole(piece[0], offset) && mb_whole(piece[1], at) && mb_whole(piece[2], bytes) && *bytes > 0 &&
         mb_inside(*offset, *bytes, s->image_bytes) && mb_inside(*at, *bytes, into_bytes);
}

/* The same for parts of the image: `into` has `count` pieces (image offset, offset in `into`, bytes), all of them of version `since`. */
MB_EXPORT int64_t mb_refresh_pieces(mb_segment *s, uint8_t *into, uint64_t into_bytes, uint64_t since, const double *pieces,
                                    uint64_t count) {
  uint64_t offset, at, bytes;
  read_patience patience = {0, 0};
  int64_t lost = mb_segment_lost(s);
  if (lost) return lost;
  bool based = since > 0 && since <= read_open(s).version;
  for (int i = 0; i < READ_ROUNDS; i++) {
    read_latch latch = read_open(s);
    if (based && latch.version == since) return read_done(s, &latch, (int64_t)since);
    if (latch.odd) {
      uint32_t looks = read_again(&patience, &latch);
      if (looks == READ_HOPELESS) break;
      if (looks < READ_STUCK || read_past(s, &latch)) {
        sched_yield();
        continue;
      }
    }
    for (uint64_t p = 0; p < count; p++) {
      if (!read_piece(s, pieces + 3 * p, into_bytes, &offset, &at, &bytes)) return MB_E_RANGE;
      if (based && !latch.odd) read_mend(s, since, into + at, offset, bytes);
      else memcpy(into + at, latch.image + offset, bytes);
    }
    if (read_valid(s, &latch)) return read_done(s, &latch, (int64_t)latch.version);
    based = !latch.odd; /* a stale byte of working may have been rolled back */
    since = latch.version;
  }
  return MB_E_BUSY;
}

/* Byte runs of the image that changed after `since`, clipped to `clip` (sorted disjoint pairs offset, bytes; NULL = all), as pairs
 * in `runs`. Returns the count of runs, and in `info` the version reached [0]; when there are more than `capacity`, the number
 * needed is returned and only the first are written. Beside a writer who never pauses there are blocks of later versions among them:
 * never too few, since stamps only rise and stand in the table before their commit is over. */
MB_EXPORT int64_t mb_changed_since(mb_segment *s, uint64_t since, const double *clip, uint64_t clip_count, double *runs,
                                   uint64_t capacity, double *info) {
  double whole[2];
  whole[0] = 0;
  whole[1] = (double)(int64_t)s->image_bytes;
  if (!clip) {
    clip = whole;
    clip_count = 1;
  }
  read_patience patience = {0, 0};
  for (int i = 0; i < READ_ROUNDS; i++) {
    mb_redo redo;
    read_latch latch = read_open(s);
    uint64_t count = 0, last_end = 0;
    if (read_past(s, &latch) || !read_redo(s, &latch, since, &redo)) { /* a page that is there stays, unless seq goes on */
      if (read_again(&patience, &latch) == READ_HOPELESS) break;
      sched_yield();
      continue;
    }
    for (uint64_t c = 0; c < clip_count; c++) {
      uint64_t low, length, high;
      if (!mb_whole(clip[2 * c], &low) || !mb_whole(clip[2 * c + 1], &length) || !mb_inside(low, length, s->image_bytes))
        return MB_E_RANGE;
      if (length == 0) continue;
      high = low + length;
      uint32_t block = (uint32_t)(low >> s->block_shift), end = (uint32_t)((high - 1) >> s->block_shift) + 1;
      mb_run run;
      while (read_next(s, &redo, since, &block, end, &run)) {
        uint64_t from = (uint64_t)run.block << s->block_shift, to = from + mb_run_bytes(s, &run);
        if (from < low) from = low;
        if (to > high) to = high;
        if (count && last_end == from && count <= capacity) {
          runs[2 * count - 1] += (double)(int64_t)(to - from);
        } else {
          if (count < capacity) {
            runs[2 * count] = (double)(int64_t)from;
            runs[2 * count + 1] = (double)(int64_t)(to - from);
          }
          count++;
        }
        last_end = to;
      }
    }
    if (i < READ_EXACT && !read_valid(s, &latch)) continue;
    info[0] = (double)(int64_t)latch.version;
    return read_done(s, &latch, (int64_t)count);
  }
  return MB_E_BUSY;
}

MB_EXPORT int64_t mb_version(mb_segment *s) {
  uint64_t seq = mb_load_acquire(&s->hot->seq);
  return seq > MB_SEQ_MAX ? MB_E_DAMAGED : (int64_t)((seq + 1) / 2);
}
