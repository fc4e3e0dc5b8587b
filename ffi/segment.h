/* A mapped segment, inside the library. */
#ifndef MB_SEGMENT_H
#define MB_SEGMENT_H

#include "hash.h"
#include "memblast.h"

#define MB_LEVELS_MAX 5 /* 64^4 > MB_BLOCKS_MAX, and the leaves */

typedef struct { uint32_t block, count; } mb_run;
typedef struct mb_exact mb_exact;

typedef struct {
  uint8_t *base;
  uint64_t bytes;
  int fd;
  bool writable;   /* mapped for writing; who may write now is the lock's matter */
  bool in_write;
  int32_t lost;    /* what mb_segment_lost found */
  int guard_slot, overlay_slot;
  uint8_t *overlay; /* mb_segment_overlay; of what is in the file from overlay_offset on */
  uint64_t overlay_offset;
  mb_hot *hot;
  mb_redo *redo;
  uint8_t *working, *committed, *schema;
  uint64_t image_bytes, meta_offset, features;
  uint32_t schema_bytes, block_shift, block_count;
  uint32_t level_count;
  uint32_t level_entries[MB_LEVELS_MAX];
  uint64_t *level[MB_LEVELS_MAX]; /* [0] has the version of every block, [n + 1] the maxima of 64 entries of [n] */
  uint8_t incarnation[16], boot_id[16];
  /* The writer's private notes: a bit per block handed out for writing, a bit per 32 of those, a bit per block that is known to differ
   * from the committed one, and the runs of this commit. */
  uint32_t *touched, *touched_summary, *differing;
  uint32_t touched_words, summary_words;
  mb_run *runs;
  uint32_t run_count, run_capacity;
  uint32_t unrung; /* commits since sleeping readers were last woken */
  mb_exact *exact; /* what exact.c notes for those who ask; NULL: nobody does */
  /* What verify.c knows of the blocks: their checksums, and the versions that these are of. NULL before the first look. */
  uint32_t *known_crc;
  uint64_t *known_stamp, known_version;
} mb_segment;

typedef struct mb_doorbell mb_doorbell;

/* layout.c: where everything lies; pure, the fuzzer's door */
int64_t mb_layout(mb_header *header, uint64_t image_bytes, uint64_t schema_bytes);
int64_t mb_check_header(const uint8_t *copy, uint64_t copy_bytes, uint64_t file_bytes);
uint32_t mb_header_crc(const uint8_t *bytes, uint64_t header_bytes);

/* Mostly a block, and of 64 bytes: a call of memcmp would cost as much again. */
static inline bool mb_differ(const uint8_t *a, const uint8_t *b, uint64_t bytes) {
#ifndef MB_TCC
  if (bytes == 64) {
    uint64_t x[8], y[8];
    memcpy(x, a, 64);
    memcpy(y, b, 64);
    return ((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3]) | (x[4] ^ y[4]) | (x[5] ^ y[5]) | (x[6] ^ y[6]) |
            (x[7] ^ y[7])) != 0;
  }
#endif
  return memcmp(a, b, bytes) != 0;
}

/* diff.c */
void mb_collect_touched(mb_segment *s);
void mb_collect_all(mb_segment *s);
void mb_touch_range(mb_segment *s, uint64_t offset, uint64_t bytes);
void mb_touch_changed(mb_segment *s, uint32_t block);

/* exact.c */
void mb_exact_begin(mb_segment *s);
void mb_exact_add(mb_segment *s, uint64_t at, uint64_t bytes);
void mb_exact_end(mb_segment *s, uint64_t version);
void mb_exact_close(mb_segment *s);

/* table.c */
void mb_stamp(mb_segment *s, const mb_run *run, uint64_t version);
uint32_t mb_next_changed(const mb_segment *s, uint32_t block, uint32_t end, uint64_t version);

/* commit.c */
int64_t mb_recover(mb_segment *s);
void mb_notify(mb_segment *s);
bool mb_redo_valid(const mb_redo *redo, uint64_t seq, uint32_t block_count);

/* Notes that this file is in use now; a reader's mapping takes no note. */
static inline void mb_note_use(mb_segment *s) {
  struct timespec now;
  if (!s->writable) return;
  clock_gettime(CLOCK_REALTIME, &now);
  mb_store_relaxed(&s->hot->used_ns, (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec);
}

/* guard.c */
int mb_guard_add(void *base, uint64_t bytes);
void mb_guard_remove(int slot);
bool mb_guard_hit(int slot);

/* owner.c: closed with the thread, if it does not do so itself */
enum { MB_OWN_SEGMENT, MB_OWN_LOCK, MB_OWN_DOORBELL, MB_OWN_HELD };
void mb_own(int kind, int64_t value);
void mb_disown(int kind, int64_t value);

/* segment.c */
void mb_descriptor_path(int fd, char *path);
int64_t mb_check_file(int fd, struct stat *st);
MB_EXPORT int64_t mb_segment_lost(mb_segment *s);
MB_EXPORT int64_t mb_segment_sign(mb_segment *s);
MB_EXPORT int64_t mb_segment_keep_mapped(mb_segment *s);
MB_EXPORT int64_t mb_segment_close(mb_segment *s);

/* read.c, lock.c, notify.c */
MB_EXPORT int64_t mb_changed_since(mb_segment *s, uint64_t since, const double *clip, uint64_t clip_count, double *runs,
                                   uint64_t capacity, double *info);
MB_EXPORT int64_t mb_lock_take(int32_t fd, int64_t byte, int32_t exclusive);
MB_EXPORT int64_t mb_lock_drop(int32_t fd, int64_t byte);
MB_EXPORT int64_t mb_lock_held(int32_t fd, int64_t byte);
MB_EXPORT int64_t mb_lock_close(int32_t fd);
MB_EXPORT int64_t mb_doorbell_close(mb_doorbell *bell);

/* A test build (-DMB_CRASH_POINTS) dies at the N-th point it passes; anywhere else a point is nothing. */
#ifdef MB_CRASH_POINTS
void mb_point(void);
#define MB_POINT() mb_point()
#else
#define MB_POINT() ((void)0)
#endif

static inline uint64_t mb_block_bytes(const mb_segment *s) { return 1ull << s->block_shift; }

/* The last block may be cut short by the end of the image. */
static inline uint64_t mb_run_bytes(const mb_segment *s, const mb_run *run) {
  uint64_t from = (uint64_t)run->block << s->block_shift, bytes = (uint64_t)run->count << s->block_shift;
  return from + bytes > s->image_bytes ? s->image_bytes - from : bytes;
}

/* Offsets and lengths come from JavaScript as doubles, exact below 2^53; everything else they can be is none. */
static inline bool mb_whole(double given, uint64_t *into) {
  if (!(given >= 0) || given > 9007199254740991.0) return false;
  *into = (uint64_t)(int64_t)given;
  return true;
}

/* The first of `count` runs (offset, bytes; sorted, disjoint) that ends after `at`. */
static inline uint64_t mb_first_run(const double *runs, uint64_t count, uint64_t at) {
  uint64_t low = 0, high = count;
  while (low < high) {
    uint64_t middle = (low + high) / 2;
    if (runs[2 * middle] + runs[2 * middle + 1] <= (double)at) low = middle + 1;
    else high = middle;
  }
  return low;
}

static inline bool mb_inside(uint64_t offset, uint64_t bytes, uint64_t limit) { return offset <= limit && bytes <= limit - offset; }
#endif
