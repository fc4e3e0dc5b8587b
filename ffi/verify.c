/* What changed behind the library's back: a stray write into the mapping, a hole punched into the file, a bad bit. No one check
 * finds all of it, these together do:
 *
 *   header           its CRC-32C
 *   seq, redo, table must agree: the newest stamp is seq / 2, the redo page belongs to the commit before, its CRC fits,
 *                    a maximum is the maximum of what is below it
 *   working          equals committed, byte for byte, between transactions
 *   committed        a checksum per block, kept privately since the look before, for every block whose stamp is still the same
 *
 * Without the writer's lock only what nobody may be changing is looked at: the header, and committed against the checksums. The
 * checksum is CRC-32C: it finds every change of up to 32 bits in a row and all others but one in 2^32; SHA-256 would find those
 * too, at half of the image again in memory (32 bytes per 64) and a tenth of the speed, against nobody that the fault model has:
 * who can write here on purpose can also commit. */
#include "segment.h"

enum { VERIFY_HEADER, VERIFY_HOT, VERIFY_REDO, VERIFY_TABLE, VERIFY_WORKING, VERIFY_COMMITTED, VERIFY_BOTH, VERIFY_EITHER };

#define VERIFY_UNKNOWN ((uint64_t)-1) /* stamp of a block that was never seen whole */
#define VERIFY_TRIES 64

typedef struct {
  double *rows; /* triples kind, first, count; of blocks, but of bytes in header, hot page and redo page */
  uint64_t capacity, count, blocks;
  int kind;
  uint64_t end; /* of the row that may still grow */
} verify_report;

static void verify_note(verify_report *r, int kind, uint64_t first, uint64_t count) {
  bool grows = r->count && r->kind == kind && r->end == first;
  if (!grows) r->count++;
  r->kind = kind;
  r->end = first + count;
  if (r->count > r->capacity) return;
  double *row = r->rows + 3 * (r->count - 1);
  if (!grows) {
    row[0] = kind;
    row[1] = (double)(int64_t)first;
    row[2] = 0;
  }
  row[2] += (double)(int64_t)count;
}

static void verify_header(mb_segment *s, verify_report *r) {
  uint64_t bytes = (uint64_t)((uint8_t *)s->hot - s->base);
  uint32_t crc;
  memcpy(&crc, s->base + offsetof(mb_header, crc), sizeof crc);
  if (mb_header_crc(s->base, bytes) != crc) verify_note(r, VERIFY_HEADER, 0, bytes);
}

/* Three places say which commit was the last: two against one, or all are doubtful. Returns what seq should be. */
static uint64_t verify_words(mb_segment *s, verify_report *r) {
  const mb_hot *hot = s->hot;
  mb_redo page = *s->redo; /* looked at as it is now, like in recover_forward */
  const mb_redo *redo = &page;
  mb_fence_acquire();
  uint64_t seq = hot->seq, begin = hot->begin, stamped = s->level[s->level_count - 1][0] * 2;
  uint64_t redone = redo->seq ? redo->seq + 1 : 0, truth = stamped == redone ? stamped : seq;
  bool redo_whole = redo->seq ? mb_redo_valid(redo, redo->seq, s->block_count) : redo->count == 0 && redo->crc == 0;
  uint64_t redo_bytes = offsetof(mb_redo, run) + (redo->count <= MB_REDO_RUNS ? redo->count : MB_REDO_RUNS) * sizeof redo->run[0];
  if (seq & 1 || (seq != stamped && seq != redone)) verify_note(r, VERIFY_HOT, offsetof(mb_hot, seq), sizeof seq);
  if (begin != truth + 1 && begin + 1 != truth && (begin || truth)) verify_note(r, VERIFY_HOT, offsetof(mb_hot, begin), sizeof begin);
  if (hot->phase != MB_CLEAN) verify_note(r, VERIFY_HOT, offsetof(mb_hot, phase), sizeof hot->phase);
  if (!redo_whole || redone != truth) verify_note(r, VERIFY_REDO, 0, redo_bytes);
  return truth;
}

static uint64_t verify_maximum(const mb_segment *s, uint32_t level, uint32_t entry) {
  uint32_t from = entry << MB_FANOUT_SHIFT, to = from + 64 < s->level_entries[level] ? from + 64 : s->level_entries[level];
  uint64_t most = 0;
  for (uint32_t i = from; i < to; i++)
    if (s->level[level][i] > most) most = s->level[level][i];
  return most;
}

static void verify_table(mb_segment *s, uint64_t version, verify_report *r) {
  for (uint32_t n = 1; n < s->level_count; n++)
    for (uint32_t i = 0; i < s->level_entries[n]; i++) {
      if (s->level[n][i] == verify_maximum(s, n - 1, i)) continue;
      uint64_t first = (uint64_t)i << (n * MB_FANOUT_SHIFT), count = 1ull << (n * MB_FANOUT_SHIFT);
      if (first + count > s->block_count) count = s->block_count - first;
      verify_note(r, VERIFY_TABLE, first, count);
    }
  for (uint32_t b = 0; b < s->block_count; b++) {
    uint64_t now = s->level[0][b], known = s->known_stamp[b];
    bool renewed = now > s->known_version && now <= version;
    if (now > version || (known != VERIFY_UNKNOWN && now != known && !renewed)) verify_note(r, VERIFY_TABLE, b, 1);
  }
}

static uint32_t verify_crc(const mb_segment *s, const uint8_t *image, uint32_t block) {
  mb_run run = {block, 1};
  return (uint32_t)mb_crc32c(image + ((uint64_t)block << s->block_shift), mb_run_bytes(s, &run), 0);
}

static void verify_know(mb_segment *s, uint32_t block, uint64_t stamp, uint32_t crc) {
  s->known_stamp[block] = stamp;
  s->known_crc[block] = crc;
}

/* Under the lock: both images against each other and against what is known. What is damaged is not learnt. */
static void verify_images(mb_segment *s, uint64_t version, verify_report *r) {
  for (uint32_t b = 0; b < s->block_count; b++) {
    mb_run run = {b, 1};
    uint64_t at = (uint64_t)b << s->block_shift, stamp = s->level[0][b], known = s->known_stamp[b];
    bool equal = memcmp(s->working + at, s->committed + at, mb_run_bytes(s, &run)) == 0;
    bool renewed = known == VERIFY_UNKNOWN || (stamp != known && stamp > s->known_version && stamp <= version);
    uint32_t crc = verify_crc(s, s->committed, b);
    if (renewed) {
      verify_know(s, b, equal ? stamp : VERIFY_UNKNOWN, crc);
      if (!equal) verify_note(r, VERIFY_EITHER, b, 1);
    } else if (equal) {
      if (crc != s->known_crc[b]) verify_note(r, VERIFY_BOTH, b, 1);
    } else if (crc == s->known_crc[b]) {
      verify_note(r, VERIFY_WORKING, b, 1);
    } else {
      verify_note(r, verify_crc(s, s->working, b) == s->known_crc[b] ? VERIFY_COMMITTED : VERIFY_BOTH, b, 1);
    }
  }
}

/* How long to wait for blocks to be still: so often for each, and, for as long as the writer does not move on, for all together. */
typedef struct {
  uint64_t seq;
  int left;
} verify_patience;

static bool verify_waits(verify_patience *p, uint64_t seq) {
  if (seq != p->seq) {
    p->seq = seq;
    p->left = VERIFY_TRIES;
  }
  if (p->left == 0) return false;
  p->left--;
  sched_yield();
  return true;
}

/* Beside a writer: a block is still while its stamp is of a finished commit and stays the same, since it is stamped before its bytes
 * move. One that is not still in all tries is left for the next time. */
static void verify_still(mb_segment *s, uint32_t b, verify_patience *patience, verify_report *r) {
  for (int tries = 0; tries < VERIFY_TRIES; tries++) {
    uint64_t seq = mb_load_acquire(&s->hot->seq), stamp = mb_load_relaxed(s->level[0] + b), known = s->known_stamp[b];
    if (stamp <= seq >> 1) {
      uint32_t crc = verify_crc(s, s->committed, b);
      mb_fence_acquire();
      if (mb_load_relaxed(s->level[0] + b) == stamp) {
        if (known == VERIFY_UNKNOWN || stamp > known) verify_know(s, b, stamp, crc);
        else if (stamp < known) verify_note(r, VERIFY_TABLE, b, 1);
        else if (crc != s->known_crc[b]) verify_note(r, VERIFY_COMMITTED, b, 1);
        return;
      }
    } else {
      mb_fence_acquire();
      if (stamp > (seq + 1) >> 1 && mb_load_relaxed(&s->hot->seq) == seq) { /* of a commit that has not even begun */
        verify_note(r, VERIFY_TABLE, b, 1);
        return;
      }
    }
    if (!verify_waits(patience, seq)) return;
  }
}

static void verify_committed(mb_segment *s, verify_report *r) {
  verify_patience patience = {0, VERIFY_TRIES};
  for (uint32_t b = 0; b < s->block_count; b++) verify_still(s, b, &patience, r);
}

static int64_t verify_open(mb_segment *s) {
  if (s->known_stamp) return 0;
  s->known_crc = malloc(s->block_count * sizeof *s->known_crc);
  s->known_stamp = malloc(s->block_count * sizeof *s->known_stamp);
  if (!s->known_crc || !s->known_stamp) {
    free(s->known_crc);
    free(s->known_stamp);
    s->known_crc = NULL;
    s->known_stamp = NULL;
    return -ENOMEM;
  }
  for (uint32_t b = 0; b < s->block_count; b++) s->known_stamp[b] = VERIFY_UNKNOWN;
  return 0;
}

/* Looks for damage between transactions; `alone`: the caller holds the writer's lock. Fills `rows` with up to `capacity` triples
 * (kind, first, count) and returns how many there are; info[0] = the version, info[1] = 1 if there was nothing to compare with. The
 * first call learns what later ones compare with: what it finds is taken for good where both images agree. */
MB_EXPORT int64_t mb_verify(mb_segment *s, int32_t alone, double *rows, uint64_t capacity, double *info) {
  if (s->in_write) return MB_E_IN_WRITE;
  bool first = !s->known_stamp;
  int64_t error = verify_open(s);
  if (error) return error;
  verify_report report = {rows, capacity, 0, 0, 0, 0};
  uint64_t version = mb_load_acquire(&s->hot->seq) / 2;
  verify_header(s, &report);
  if (alone) {
    version = verify_words(s, &report) / 2;
    verify_table(s, version, &report);
    verify_images(s, version, &report);
  } else {
    verify_committed(s, &report);
  }
  s->known_version = version;
  info[0] = (double)(int64_t)version;
  info[1] = first;
  return mb_guard_hit(s->guard_slot) ? MB_E_TRUNCATED : (int64_t)report.count;
}
