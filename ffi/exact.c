/* What the last commits changed, to the word of 8 bytes. The version table knows blocks, and a follower that lacks one version need not
 * get the rest of each: of 1 % of the elements of a u16 array of 256 MiB, here and there, blocks make 237 MiB on the wire, words 35.
 *
 * Private notes of the process that writes, made while the diff has both images in the cache, and only as long as somebody asks. They
 * are no part of the segment: where they do not reach back far enough, or somebody else has committed, the table answers. */
#include "segment.h"

#define EXACT_COMMITS 16
#define EXACT_RUNS_MAX (1u << 21) /* 32 MiB, of all commits together */
#define EXACT_GAP 64 /* a run costs 16 bytes on the wire and some 0.3 us on its way: what is closer than this is one */
#define EXACT_PATIENCE 64 /* commits that nobody asked for until the notes are thrown away */
#define EXACT_UNSEEN 15 /* blocks, of 8 KiB at most, taken whole after one that mostly changed: a fill is not looked at twice */
#define EXACT_FIRST 1024
#define EXACT_ROOM 65536 /* runs; a larger buffer is not kept from one commit to the next */

typedef struct { uint64_t offset, end; } exact_run;
typedef struct {
  uint64_t version;
  exact_run *runs;
  uint32_t count;
} exact_commit;

struct mb_exact {
  exact_commit commits[EXACT_COMMITS]; /* the oldest first, no version left out */
  uint32_t commit_count, unasked;
  /* The commit in progress. */
  exact_run *runs;
  uint32_t run_count, capacity, unseen;
  uint64_t run_bytes, block_bytes;
  bool dense;
};

static void exact_forget(mb_exact *e) {
  for (uint32_t i = 0; i < e->commit_count; i++) free(e->commits[i].runs);
  e->commit_count = 0;
}

void mb_exact_close(mb_segment *s) {
  mb_exact *e = s->exact;
  if (!e) return;
  exact_forget(e);
  free(e->runs);
  free(e);
  s->exact = NULL;
}

void mb_exact_begin(mb_segment *s) {
  mb_exact *e = s->exact;
  if (!e) return;
  e->run_count = e->unseen = 0;
  e->run_bytes = e->block_bytes = 0;
  e->dense = false;
}

/* Whether runs would save less than half of what blocks cost: then they are not worth their trouble. */
static bool exact_is_dense(const mb_exact *e) { return 2 * (e->run_bytes + 16ull * e->run_count) > e->block_bytes; }

static bool exact_grow(mb_exact *e) {
  if (e->run_count < e->capacity) return true;
  if (e->capacity == EXACT_RUNS_MAX || (e->run_count > EXACT_FIRST && exact_is_dense(e))) return false;
  uint32_t capacity = e->capacity ? 2 * e->capacity : EXACT_FIRST;
  exact_run *grown = realloc(e->runs, capacity * sizeof *grown);
  if (!grown) return false;
  e->runs = grown;
  e->capacity = capacity;
  return true;
}

static void exact_word(mb_exact *e, uint64_t at, uint64_t end) {
  exact_run *last = e->run_count ? e->runs + e->run_count - 1 : NULL;
  if (last && at - last->end <= EXACT_GAP) {
    e->run_bytes += end - last->end;
    last->end = end;
    return;
  }
  if (!exact_grow(e)) {
    e->dense = true;
    return;
  }
  e->runs[e->run_count].offset = at;
  e->runs[e->run_count++].end = end;
  e->run_bytes += end - at;
}

/* The diff has found that [at, at + bytes) differs. */
void mb_exact_add(mb_segment *s, uint64_t at, uint64_t bytes) {
  mb_exact *e = s->exact;
  if (e->dense) return;
  e->block_bytes += bytes;
  if (e->unseen) {
    e->unseen--;
    exact_word(e, at, at + bytes);
    return;
  }
  uint64_t changed = 0;
  for (uint64_t end = at + bytes; at < end && !e->dense; at += 8) {
    uint64_t x = 0, y = 0, step = end - at < 8 ? end - at : 8;
    memcpy(&x, s->working + at, step);
    memcpy(&y, s->committed + at, step);
    if (x == y) continue;
    changed += step;
    exact_word(e, at, at + step);
  }
  if (2 * changed > bytes) e->unseen = s->block_shift < 10 ? EXACT_UNSEEN : (8192u >> s->block_shift);
}

/* What there is to keep of this commit: the words, or the blocks where these are nearly as good. NULL: no memory. */
static exact_run *exact_taken(const mb_segment *s, uint32_t *count) {
  mb_exact *e = s->exact;
  bool dense = e->dense || exact_is_dense(e);
  *count = dense ? s->run_count : e->run_count;
  if (e->capacity > EXACT_ROOM) {
    exact_run *all = e->runs;
    e->runs = NULL;
    e->capacity = 0;
    if (!dense) {
      exact_run *cut = realloc(all, *count * sizeof *all);
      return cut ? cut : all;
    }
    free(all);
  }
  exact_run *taken = *count <= EXACT_RUNS_MAX ? malloc(*count * sizeof *taken) : NULL;
  if (!taken) return NULL;
  if (!dense) memcpy(taken, e->runs, *count * sizeof *taken);
  else
    for (uint32_t i = 0; i < *count; i++) {
      taken[i].offset = (uint64_t)s->runs[i].block << s->block_shift;
      taken[i].end = taken[i].offset + mb_run_bytes(s, s->runs + i);
    }
  return taken;
}

static void exact_drop_oldest(mb_exact *e) {
  free(e->commits[0].runs);
  memmove(e->commits, e->commits + 1, --e->commit_count * sizeof e->commits[0]);
}

/* `version` was made of s->runs. */
void mb_exact_end(mb_segment *s, uint64_t version) {
  mb_exact *e = s->exact;
  if (!e) return;
  if (++e->unasked > EXACT_PATIENCE) {
    mb_exact_close(s);
    return;
  }
  if (e->commit_count && e->commits[e->commit_count - 1].version + 1 != version) exact_forget(e);
  uint32_t count;
  exact_run *taken = exact_taken(s, &count);
  if (!taken) {
    exact_forget(e);
    return;
  }
  uint64_t total = count;
  for (uint32_t i = 0; i < e->commit_count; i++) total += e->commits[i].count;
  while (e->commit_count == EXACT_COMMITS || (e->commit_count && total > EXACT_RUNS_MAX)) {
    total -= e->commits[0].count;
    exact_drop_oldest(e);
  }
  exact_commit *commit = e->commits + e->commit_count++;
  commit->version = version;
  commit->runs = taken;
  commit->count = count;
}

/* Nothing is left out, from the first commit after `since` to the newest version. */
static bool exact_reaches(const mb_segment *s, uint64_t since) {
  const mb_exact *e = s->exact;
  if (!e || e->commit_count == 0) return false;
  uint64_t newest = e->commits[e->commit_count - 1].version;
  return mb_load_acquire(&s->hot->seq) == 2 * newest && since < newest && since + 1 >= e->commits[0].version;
}

typedef struct {
  const exact_run *at, *end;
} exact_cursor;

/* The next run of all commits together. Those of one are far enough apart as they are. */
static bool exact_next(exact_cursor *cursors, uint32_t count, exact_run *run) {
  const uint64_t gap = count > 1 ? EXACT_GAP : 0;
  exact_cursor *first = NULL;
  for (uint32_t i = 0; i < count; i++)
    if (cursors[i].at < cursors[i].end && (!first || cursors[i].at->offset < first->at->offset)) first = cursors + i;
  if (!first) return false;
  *run = *first->at++;
  for (bool grew = true; grew;) {
    grew = false;
    for (uint32_t i = 0; i < count; i++) {
      exact_cursor *c = cursors + i;
      if (c->at == c->end || c->at->offset > run->end + gap) continue;
      if (c->at->end > run->end) run->end = c->at->end;
      c->at++;
      grew = true;
    }
  }
  return true;
}

/* As mb_changed_since, by words instead of blocks where that is known: which it is for the last commits of this handle, once it was
 * asked for, while nobody else commits. */
MB_EXPORT int64_t mb_changed_exactly(mb_segment *s, uint64_t since, const double *clip, uint64_t clip_count, double *runs,
                                     uint64_t capacity, double *info) {
  double whole[2];
  whole[0] = 0;
  whole[1] = (double)(int64_t)s->image_bytes;
  if (!s->exact && s->writable) s->exact = calloc(1, sizeof *s->exact); /* from the next commit on */
  if (s->exact) s->exact->unasked = 0;
  if (!exact_reaches(s, since)) return mb_changed_since(s, since, clip, clip_count, runs, capacity, info);
  exact_cursor cursors[EXACT_COMMITS];
  uint32_t commits = 0;
  for (uint32_t i = 0; i < s->exact->commit_count; i++) {
    const exact_commit *commit = s->exact->commits + i;
    if (commit->version <= since) continue;
    cursors[commits].at = commit->runs;
    cursors[commits++].end = commit->runs + commit->count;
  }
  if (!clip) {
    clip = whole;
    clip_count = 1;
  }
  uint64_t count = 0;
  exact_run run = {0, 0};
  for (uint64_t c = 0; c < clip_count; c++) {
    uint64_t low, length;
    if (!mb_whole(clip[2 * c], &low) || !mb_whole(clip[2 * c + 1], &length) || !mb_inside(low, length, s->image_bytes))
      return MB_E_RANGE;
    const uint64_t high = low + length;
    while (run.end > low || exact_next(cursors, commits, &run)) {
      if (run.end <= low) continue;
      if (run.offset >= high || low >= high) break;
      uint64_t from = run.offset > low ? run.offset : low, to = run.end < high ? run.end : high;
      if (count < capacity) {
        runs[2 * count] = (double)(int64_t)from;
        runs[2 * count + 1] = (double)(int64_t)(to - from);
      }
      count++;
      low = to;
    }
  }
  info[0] = (double)(int64_t)s->exact->commits[s->exact->commit_count - 1].version;
  return (int64_t)count;
}
