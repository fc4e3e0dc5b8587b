/* The oracle. An image is cells of 64 bytes that say who wrote them in which version; cell 0 has the version, its writer and a sum
 * over all others. What a version changes follows from its number and its writer alone, so a model that was never in shared memory
 * can be brought to any version, and compared byte by byte. */
#include "board.h"

typedef struct { uint64_t word[8]; } cell;

#define ROLLED_BACK (1ull << 32) /* in the writer's word: a transaction that was never to be seen */

/* How many cells a version changes: one, a few, a stretch, more runs than the redo page holds, all. -1: as the dice fall. */
enum change_kind { ONE, FEW, STRETCH, SCATTERED, ALL, KINDS };
static int forced_kind = -1;

typedef struct { uint32_t count, *at; } change;

static void cell_fill(cell *c, uint64_t version, uint64_t writer, uint64_t at) {
  c->word[0] = version;
  c->word[1] = writer;
  uint64_t key = mix(seed ^ mix(version ^ mix(writer ^ mix(at))));
  for (int i = 2; i < 8; i++) c->word[i] = key = key * 6364136223846793005ull + 1442695040888963407ull;
}

static bool cell_whole(const cell *c, uint64_t at) {
  cell want = {{0}};
  if (c->word[0]) cell_fill(&want, c->word[0], c->word[1], at);
  return memcmp(c, &want, sizeof want) == 0;
}

static uint64_t cell_weight(const cell *c, uint64_t at) {
  return c->word[0] ? mix(c->word[0] ^ mix(c->word[1] ^ mix(at))) : 0;
}

static void root_fill(cell *root, uint64_t version, uint64_t writer, uint64_t sum) {
  root->word[0] = version;
  root->word[1] = writer;
  root->word[2] = sum;
  for (int i = 3; i < 8; i++) root->word[i] = mix(root->word[i - 1] ^ version ^ writer);
}

static uint64_t image_sum(const cell *image, uint32_t cells) {
  uint64_t sum = 0;
  for (uint32_t i = 1; i < cells; i++) sum += cell_weight(image + i, i);
  return sum;
}

/* NULL, or what is wrong with an image that is said to be `version`. */
static const char *image_fault(const cell *image, uint32_t cells, uint64_t version) {
  cell root = {{0}};
  uint64_t sum = 0;
  if (image->word[0] != version) return "cell 0 is of another version";
  for (uint32_t i = 1; i < cells; i++) {
    const cell *c = image + i;
    if (c->word[1] & ROLLED_BACK) return "a cell of a transaction that was rolled back";
    if (c->word[0] > version) return "a cell of a later version";
    if (!cell_whole(c, i)) return "a torn cell";
    sum += cell_weight(c, i);
  }
  if (version) root_fill(&root, version, image->word[1], sum);
  return memcmp(image, &root, sizeof root) ? "cells of different versions" : NULL;
}

static void change_of(change *c, uint64_t version, uint64_t writer, uint32_t cells) {
  dice d = {mix(seed ^ mix(version * 2 + 1) ^ mix(writer * 3 + 2))};
  static const uint32_t upto[KINDS] = {40, 75, 90, 97, 100};
  uint32_t throw = (uint32_t)below(&d, 100), kind = 0, first = 1 + (uint32_t)below(&d, cells - 1);
  while (throw >= upto[kind]) kind++;
  if (forced_kind >= 0) kind = (uint32_t)forced_kind;
  c->count = 0;
  if (kind == ALL) first = 1;
  uint32_t count = kind == ONE ? 1 : kind == FEW ? 2 + (uint32_t)below(&d, 15) : kind == ALL ? cells - 1 : 50 + (uint32_t)below(&d, 350);
  if (kind == SCATTERED) count = 600 + (uint32_t)below(&d, 400);
  if (count > cells - 1) count = cells - 1;
  for (uint32_t i = 0; i < count; i++) {
    bool random = kind == FEW || kind == SCATTERED;
    c->at[c->count++] = random ? 1 + (uint32_t)below(&d, cells - 1) : 1 + (first - 1 + i) % (cells - 1);
  }
}

/* Returns the new sum. */
static uint64_t change_apply(const change *c, cell *image, uint64_t version, uint64_t writer, uint64_t sum) {
  for (uint32_t i = 0; i < c->count; i++) {
    uint32_t at = c->at[i];
    sum -= cell_weight(image + at, at);
    cell_fill(image + at, version, writer, at);
    sum += cell_weight(image + at, at);
  }
  root_fill(image, version, writer, sum);
  return sum;
}

typedef struct {
  uint32_t cells;
  uint64_t version, sum;
  cell *image, *copy, *follower; /* what must be, what is, what one gets who only ever applies deltas */
  uint64_t follower_version;
  uint64_t *stamp;               /* the version that changed a cell last */
  double *runs;
  uint8_t *covered;
  change change;
  uint64_t excess;               /* cells that a delta named without need */
} model;

static model *model_new(uint32_t cells) {
  model *m = calloc(1, sizeof *m);
  m->cells = cells;
  m->image = calloc(cells, sizeof(cell));
  m->copy = calloc(cells, sizeof(cell));
  m->follower = calloc(cells, sizeof(cell));
  m->stamp = calloc(cells, sizeof(uint64_t));
  m->runs = calloc(2 * (uint64_t)cells + 2, sizeof(double));
  m->covered = calloc(cells, 1);
  m->change.at = calloc(cells, sizeof(uint32_t));
  return m;
}

static void model_free(model *m) {
  void *parts[] = {m->image, m->copy, m->follower, m->stamp, m->runs, m->covered, m->change.at, m};
  for (unsigned i = 0; i < sizeof parts / sizeof *parts; i++) free(parts[i]);
}

static void model_advance(model *m, uint64_t version) {
  while (m->version < version) {
    uint64_t v = ++m->version, writer = board->writer_of[v];
    change_of(&m->change, v, writer, m->cells);
    m->sum = change_apply(&m->change, m->image, v, writer, m->sum);
    m->stamp[0] = v;
    for (uint32_t i = 0; i < m->change.count; i++) m->stamp[m->change.at[i]] = v;
    if (board->seen[v] && board->seen[v] != writer)
      violation("version %lu was shown as writer %u's and became writer %lu's", v, board->seen[v], writer);
  }
}

/* Every cell changed after `since` is in what changedSince names. Returns the count of runs, in m->runs. */
static int64_t model_check_delta(model *m, mb_segment *s, uint64_t since, const char *when) {
  double info = 0;
  int64_t count = mb_changed_since(s, since, NULL, 0, m->runs, m->cells + 1, &info);
  if (count < 0 || (uint64_t)info != m->version) {
    violation("%s: changedSince(%lu) gave %ld runs to version %.0f, not %lu", when, since, count, info, m->version);
    return 0;
  }
  memset(m->covered, 0, m->cells);
  for (int64_t i = 0; i < count; i++)
    memset(m->covered + (uint64_t)m->runs[2 * i] / sizeof(cell), 1, (uint64_t)m->runs[2 * i + 1] / sizeof(cell));
  uint64_t lost = 0;
  for (uint32_t i = 0; i < m->cells; i++) {
    lost += m->stamp[i] > since && !m->covered[i];
    m->excess += m->stamp[i] <= since && m->covered[i];
  }
  if (lost) violation("%s: changedSince(%lu) at version %lu lost %lu cells", when, since, m->version, lost);
  return count;
}

static void model_follow(model *m, mb_segment *s, const char *when) {
  int64_t count = model_check_delta(m, s, m->follower_version, when);
  for (int64_t i = 0; i < count; i++) {
    uint64_t offset = (uint64_t)m->runs[2 * i];
    memcpy((uint8_t *)m->follower + offset, (uint8_t *)m->copy + offset, (uint64_t)m->runs[2 * i + 1]);
  }
  m->follower_version = m->version;
  if (memcmp(m->follower, m->image, m->cells * sizeof(cell))) violation("%s: a follower of deltas differs at version %lu", when, m->version);
}

/* Nobody writes: the segment is exactly the version that it says, nothing that was acknowledged is gone, deltas are complete. */
static void model_check(model *m, mb_segment *s, dice *d, const char *when) {
  uint64_t bytes = m->cells * sizeof(cell), before = m->version;
  int64_t version = mb_snapshot(s, (uint8_t *)m->copy, 0, bytes);
  if (version < (int64_t)board->acked || version < (int64_t)before) {
    violation("%s: version %ld after %lu was committed", when, version, board->acked);
    return;
  }
  model_advance(m, (uint64_t)version);
  if (memcmp(m->copy, m->image, bytes)) {
    const char *fault = image_fault(m->copy, m->cells, (uint64_t)version);
    violation("%s: version %ld is not what was committed: %s", when, version, fault ? fault : "another writer's");
  }
  if (s->writable && memcmp(s->working, s->committed, bytes)) violation("%s: the images differ at rest in version %ld", when, version);
  model_follow(m, s, when);
  model_check_delta(m, s, before + below(d, m->version - before + 1), when);
  model_check_delta(m, s, below(d, m->version + 1), when);
}
