/* The commit protocol, writer's side. The caller holds the writer's lock.
 *
 *   begin     begin = seq + 1; fence; phase = DIRTY; working may change from here on
 *   commit    runs = diff; redo page; seq odd; fence; stamp and copy each run; seq even; phase = CLEAN; wake readers
 *   rollback  committed -> working where handed out; phase = CLEAN
 *   recover   seq odd: roll forward from the redo page (all, if it is not valid). seq even and DIRTY: roll back.
 *
 * The moment seq turns odd decides: before it a crash rolls back, after it forward. The order of stamp before copy lets a reader
 * find in the table, or in the redo page, every block whose bytes may be moving (read.c). */
#include "segment.h"

#ifdef MB_CRASH_POINTS
uint32_t mb_crash_at;
MB_EXPORT int64_t mb_crash_set(uint32_t n) {
  mb_crash_at = n;
  return 0;
}
void mb_point(void) {
  if (mb_crash_at && --mb_crash_at == 0) raise(SIGKILL);
}
#endif

typedef struct __attribute__((packed)) { uint64_t seq; uint32_t count; } mb_redo_head; /* the bytes before crc */
_Static_assert(sizeof(mb_redo_head) == offsetof(mb_redo, crc), "redo page");

static uint32_t redo_crc(const mb_redo *redo) {
  uint32_t crc = (uint32_t)mb_crc32c((const uint8_t *)redo, offsetof(mb_redo, crc), 0);
  return (uint32_t)mb_crc32c((const uint8_t *)redo->run, (uint64_t)redo->count * sizeof redo->run[0], crc);
}

bool mb_redo_valid(const mb_redo *redo, uint64_t seq, uint32_t block_count) {
  if (redo->seq != seq || redo->count > MB_REDO_RUNS || redo_crc(redo) != redo->crc) return false;
  for (uint32_t i = 0; i < redo->count; i++)
    if (redo->run[i].count == 0 || redo->run[i].block >= block_count || redo->run[i].count > block_count - redo->run[i].block)
      return false;
  return true;
}

/* More runs than the page holds: neighbours closer than `gap` become one, with `gap` growing until they fit. A block too many in
 * the page is stamped and sent without need after a crash, and only then. Returns how many they are now. */
static uint32_t redo_merge(const mb_segment *s, mb_run *merged) {
  for (uint32_t gap = 1;; gap *= 4) {
    uint32_t count = 0, i = 0;
    for (; i < s->run_count; i++) {
      const mb_run *run = s->runs + i;
      mb_run *last = count ? merged + count - 1 : NULL;
      if (last && run->block - (last->block + last->count) <= gap) last->count = run->block + run->count - last->block;
      else if (count < MB_REDO_RUNS) merged[count++] = *run;
      else break;
    }
    if (i == s->run_count) return count;
  }
}

/* The checksum is of the runs as we know them: what stands in the page others could change under our eyes. */
static void redo_put(mb_redo *page, uint64_t seq, const mb_run *runs, uint32_t count) {
  mb_redo_head head = {seq, count};
  uint32_t crc = (uint32_t)mb_crc32c((const uint8_t *)&head, sizeof head, 0);
  page->seq = seq;
  page->count = count;
  page->crc = (uint32_t)mb_crc32c((const uint8_t *)runs, (uint64_t)count * sizeof *runs, crc);
  for (uint32_t i = 0; i < count; i++) { /* mostly one: a call of memcpy would cost as much as the rest of a small commit */
    page->run[i].block = runs[i].block;
    page->run[i].count = runs[i].count;
  }
}

static void redo_fill(mb_segment *s, uint64_t seq) {
  mb_run merged[MB_REDO_RUNS];
  if (s->run_count <= MB_REDO_RUNS) redo_put(s->redo, seq, s->runs, s->run_count);
  else redo_put(s->redo, seq, merged, redo_merge(s, merged));
}

static void commit_copy(mb_segment *s, const mb_run *run, uint64_t version) {
  uint64_t at = (uint64_t)run->block << s->block_shift;
  mb_stamp(s, run, version);
  MB_POINT();
  mb_fence_release(); /* a reader that sees new bytes sees the stamp */
  memcpy(s->committed + at, s->working + at, mb_run_bytes(s, run));
  MB_POINT();
}

static int64_t commit_wake(mb_segment *s) {
  s->unrung = 0;
  mb_note_use(s);
  mb_segment_lost(s); /* looked at here, where a system call is made anyway, for the next transaction to refuse */
  return syscall(SYS_futex, &s->hot->notify, FUTEX_WAKE, 0x7fffffff, NULL, NULL, 0) < 0 ? mb_errno() : 0;
}

/* Copies what `s->runs` names, from odd to even. The fence is here because who recovers copies too: who sees a byte of this commit in
 * committed sees seq odd, whoever of the two put either there. */
static void commit_finish(mb_segment *s, uint64_t seq) {
  mb_fence_release();
  for (uint32_t i = 0; i < s->run_count; i++) commit_copy(s, s->runs + i, (seq + 1) / 2);
  mb_store_release(&s->hot->seq, seq + 1);
  MB_POINT();
  mb_store32_release(&s->hot->notify, s->hot->notify + 1);
  MB_POINT();
  mb_store32_release(&s->hot->phase, MB_CLEAN); /* last: as long as it is dirty a successor recovers, and rings */
}

MB_EXPORT int64_t mb_begin(mb_segment *s) {
  if (!s->writable) return MB_E_NOT_WRITER;
  if (s->in_write) return MB_E_IN_WRITE;
  if (s->lost) return s->lost;
  if (mb_guard_hit(s->guard_slot)) return MB_E_TRUNCATED;
  if (mb_load_relaxed(&s->hot->seq) >= MB_SEQ_MAX) return MB_E_DAMAGED;
  mb_store_relaxed(&s->hot->begin, mb_load_relaxed(&s->hot->seq) + 1);
  MB_POINT();
  mb_fence_release(); /* who sees a byte of this transaction in working sees begin */
  mb_store32_release(&s->hot->phase, MB_DIRTY);
  MB_POINT();
  s->in_write = true;
  return 0;
}

/* Returns how many blocks changed; 0 makes no version. The new version is the one before plus one. */
MB_EXPORT int64_t mb_commit(mb_segment *s) {
  if (!s->in_write) return MB_E_NOT_IN_WRITE;
  s->in_write = false;
  mb_collect_touched(s);
  if (mb_guard_hit(s->guard_slot)) return MB_E_TRUNCATED;
  if (s->run_count == 0) {
    mb_store32_release(&s->hot->phase, MB_CLEAN);
    return 0;
  }
  uint64_t seq = mb_load_relaxed(&s->hot->seq) + 1;
  MB_POINT();
  redo_fill(s, seq);
  MB_POINT();
  mb_store_release(&s->hot->seq, seq);
  MB_POINT();
  int64_t blocks = 0;
  for (uint32_t i = 0; i < s->run_count; i++) blocks += s->runs[i].count;
  commit_finish(s, seq);
  mb_exact_end(s, (seq + 1) / 2);
  /* A wake is a system call. Most commits leave it to mb_ring, called once per turn of the event loop; a loop that never yields
   * rings every 1,024 commits. Counting waiters instead would need write permission in every reader. */
  if (++s->unrung == 1024) commit_wake(s);
  return mb_guard_hit(s->guard_slot) ? MB_E_TRUNCATED : blocks;
}

/* Wakes processes that wait for a commit, if there were any since the last ring. */
MB_EXPORT int64_t mb_ring(mb_segment *s) {
  if (s->unrung) return commit_wake(s);
  mb_note_use(s);
  return 0;
}

static void rollback_runs(mb_segment *s) {
  for (uint32_t i = 0; i < s->run_count; i++) {
    uint64_t at = (uint64_t)s->runs[i].block << s->block_shift;
    memcpy(s->working + at, s->committed + at, mb_run_bytes(s, s->runs + i));
    MB_POINT();
  }
  mb_store_relaxed(&s->hot->rollbacks, s->hot->rollbacks + 1);
  mb_store32_release(&s->hot->phase, MB_CLEAN);
}

MB_EXPORT int64_t mb_rollback(mb_segment *s) {
  if (!s->in_write) return MB_E_NOT_IN_WRITE;
  s->in_write = false;
  mb_collect_touched(s);
  rollback_runs(s);
  return mb_guard_hit(s->guard_slot) ? MB_E_TRUNCATED : 0;
}

static void recover_forward(mb_segment *s, uint64_t seq) {
  mb_redo page = *s->redo; /* checked and used as it is now: somebody may be writing there who should not */
  mb_fence_acquire();      /* and not read again by the compiler, which knows of nobody */
  if (mb_redo_valid(&page, seq, s->block_count)) {
    s->run_count = page.count;
    for (uint32_t i = 0; i < s->run_count; i++) {
      s->runs[i].block = page.run[i].block;
      s->runs[i].count = page.run[i].count;
    }
  } else {
    s->run_count = 1;
    s->runs[0].block = 0;
    s->runs[0].count = s->block_count;
    redo_fill(s, seq);
  }
  commit_finish(s, seq);
}

/* Readers of the odd state before are warned already: begin passed seq before phase turned dirty, or working equals committed. */
static void recover_back(mb_segment *s) {
  mb_collect_all(s);
  mb_store32_release(&s->hot->notify, s->hot->notify + 1); /* it may have made a version and told nobody */
  rollback_runs(s);
}

void mb_notify(mb_segment *s) {
  mb_store32_release(&s->hot->notify, s->hot->notify + 1);
  commit_wake(s);
}

/* Brings a segment whose writer died back to a version. Returns 0: was clean, 1: rolled forward, 2: rolled back. Idempotent.
 * MB_E_DAMAGED: there is no telling which version. */
int64_t mb_recover(mb_segment *s) {
  uint64_t seq = mb_load_acquire(&s->hot->seq);
  bool odd = seq & 1;
  if (seq > MB_SEQ_MAX) return MB_E_DAMAGED;
  if (!odd && mb_load32_acquire(&s->hot->phase) == MB_CLEAN) return 0;
  if (odd) recover_forward(s, seq);
  else recover_back(s);
  mb_store_relaxed(&s->hot->recoveries, s->hot->recoveries + 1);
  commit_wake(s);
  return odd ? 1 : 2;
}
