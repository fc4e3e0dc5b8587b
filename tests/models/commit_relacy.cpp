// The commit protocol of ffi/ under the C11 memory model (Relacy), for the fences and orders that commit.pml takes as given.
//
// A function has the name of the C function that it stands for, and does the same loads, stores, fences and calls in the same
// order: link.ts compares the two. What C copies byte by byte is relaxed atomics here. Two writers, of whom the first may die at
// any MB_POINT, hand over a lock; one reader does what the role says.
//
//   commit_relacy READER TAKEOVER SWITCHES ITERATIONS [REMOVE]      exit status 0: nothing found, 1: a fault
//
// READER is snapshot, mending, changes, verify or bell. Without TAKEOVER (0) one writer makes two transactions; with it (1) the first
// writer may die at any MB_POINT and the second recovers. SWITCHES is how often a thread may be interrupted: within that bound
// the search is complete. The bell, which needs older values than that search tries, is searched at random, ITERATIONS times.
//
// An operation behind KEEP(NAME), or with a NAME as its last argument, is taken away, or made relaxed, by that REMOVE. UNDER_LOCK
// says that the lock orders the operation anyway.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ostream>

#include <relacy/relacy.hpp>

static const char *role = "snapshot", *removed = "";
static bool takeover;

#define IS(name) (strcmp(removed, #name) == 0)
#define KEEP(name) if (!IS(name))
#define ORDER(name, order) (IS(name) ? rl::mo_relaxed : rl::order)

#define mb_load_relaxed(word) (word)($).load(rl::mo_relaxed)
#define mb_load_acquire(word, name) (word)($).load(ORDER(name, mo_acquire))
#define mb_store_relaxed(word, value) (word)($).store(value, rl::mo_relaxed)
#define mb_store_release(word, value, name) (word)($).store(value, ORDER(name, mo_release))
#define mb_fence_release() rl::atomic_thread_fence(rl::mo_release, $)
#define mb_fence_acquire() rl::atomic_thread_fence(rl::mo_acquire, $)
#define MB_POINT() do { if (dies()) return false; } while (0)
#define DO(call) do { if (!(call)) return false; } while (0)

enum { BLOCKS = 2, ALL = 3, TRANSACTIONS = 3, CLEAN = 0, DIRTY = 1 };
typedef rl::atomic<unsigned> word;

static unsigned crc_of(unsigned seq, unsigned runs) { return seq * 4 + runs + 1; }

struct commit_test : rl::test_suite<commit_test, 3> {
  // The file.
  word seq, begin, notify, phase;
  word redo_seq, redo_runs, redo_crc;
  word stamp[BLOCKS], stamp_max, working[BLOCKS], committed[BLOCKS];
  rl::mutex lock;

  // What only the judge knows. Relacy runs its threads one at a time, so this needs no care.
  unsigned image[TRANSACTIONS + 1][BLOCKS], newest, transaction, points_left, told[8];

  void before() {
    word *all[] = {&seq, &begin, &notify, &phase, &redo_seq, &redo_runs, &redo_crc, stamp, stamp + 1, &stamp_max, working,
                   working + 1, committed, committed + 1};
    for (unsigned i = 0; i < sizeof all / sizeof *all; i++) mb_store_relaxed(*all[i], 0);
    memset(image, 0, sizeof image);
    memset(told, 0, sizeof told);
    newest = transaction = points_left = 0;
  }

  // Only the first writer's points count down, and 0 is never.
  bool dies() { return points_left && --points_left == 0; }

  unsigned mb_collect_all() {
    unsigned runs = 0;
    for (int b = 0; b < BLOCKS; b++)
      if (mb_load_relaxed(working[b]) != mb_load_relaxed(committed[b])) runs |= 1u << b;
    return runs;
  }

  unsigned mb_collect_touched() { return mb_collect_all(); }

  // ---- commit.c
  void mb_stamp(int block, unsigned version) {
    mb_store_relaxed(stamp[block], version);
    mb_store_relaxed(stamp_max, version);
  }

  void redo_fill(unsigned runs, unsigned s) {
    mb_store_relaxed(redo_runs, runs);
    mb_store_relaxed(redo_seq, s);
    mb_store_relaxed(redo_crc, crc_of(s, runs));
  }

  bool commit_copy(int block, unsigned version) {
    mb_stamp(block, version);
    MB_POINT();
    KEEP(FENCE_STAMP) mb_fence_release();
    mb_store_relaxed(committed[block], mb_load_relaxed(working[block]));
    MB_POINT();
    return true;
  }

  // What notify is stored as next; the judge notes which version is there to be found then.
  unsigned one_more() {
    unsigned rings = mb_load_relaxed(notify) + 1;
    told[rings] = newest;
    return rings;
  }

  bool commit_wake() { return true; } // the kernel's matter: commit.pml

  bool commit_finish(unsigned runs, unsigned s) {
    KEEP(FENCE_FINISH) mb_fence_release();
    for (int b = 0; b < BLOCKS; b++)
      if (runs >> b & 1) DO(commit_copy(b, (s + 1) / 2));
    mb_store_release(seq, s + 1, RELEASE_EVEN);
    MB_POINT();
    mb_store_release(notify, one_more(), RELEASE_NOTIFY);
    MB_POINT();
    mb_store_release(phase, CLEAN, UNDER_LOCK);
    return true;
  }

  bool mb_begin() {
    mb_store_relaxed(begin, mb_load_relaxed(seq) + 1);
    MB_POINT();
    KEEP(FENCE_BEGIN) mb_fence_release();
    mb_store_release(phase, DIRTY, UNDER_LOCK);
    MB_POINT();
    return true;
  }

  bool mb_commit() {
    unsigned runs = mb_collect_touched();
    if (runs == 0) {
      mb_store_release(phase, CLEAN, UNDER_LOCK);
      return true;
    }
    unsigned s = mb_load_relaxed(seq) + 1;
    MB_POINT();
    redo_fill(runs, s);
    MB_POINT();
    newest = (s + 1) / 2;
    for (int b = 0; b < BLOCKS; b++) image[newest][b] = mb_load_relaxed(working[b]);
    mb_store_release(seq, s, RELEASE_ODD);
    MB_POINT();
    DO(commit_finish(runs, s));
    return commit_wake();
  }

  bool rollback_runs(unsigned runs) {
    for (int b = 0; b < BLOCKS; b++)
      if (runs >> b & 1) {
        mb_store_relaxed(working[b], mb_load_relaxed(committed[b]));
        MB_POINT();
      }
    mb_store_release(phase, CLEAN, UNDER_LOCK);
    return true;
  }

  bool mb_rollback() {
    unsigned runs = mb_collect_touched();
    return rollback_runs(runs);
  }

  bool mb_redo_valid(unsigned page, unsigned runs, unsigned crc, unsigned s) { return page == s && crc == crc_of(page, runs); }

  bool recover_forward(unsigned s) {
    unsigned page = mb_load_relaxed(redo_seq), runs = mb_load_relaxed(redo_runs), crc = mb_load_relaxed(redo_crc);
    mb_fence_acquire(); // in C for the compiler, which must not read the page again
    if (!mb_redo_valid(page, runs, crc, s)) {
      runs = ALL;
      redo_fill(runs, s);
    }
    return commit_finish(runs, s);
  }

  bool recover_back() {
    unsigned runs = mb_collect_all();
    mb_store_release(notify, one_more(), RELEASE_NOTIFY);
    return rollback_runs(runs);
  }

  bool mb_recover() {
    unsigned s = mb_load_acquire(seq, UNDER_LOCK);
    bool odd = s & 1;
    if (!odd && mb_load_acquire(phase, UNDER_LOCK) == CLEAN) return true;
    DO(odd ? recover_forward(s) : recover_back());
    return commit_wake();
  }

  bool write(unsigned set, bool throws) {
    DO(mb_recover());
    RL_ASSERT(mb_collect_all() == 0);
    DO(mb_begin());
    unsigned value = ++transaction;
    for (int b = 0; b < BLOCKS; b++)
      if (set >> b & 1) {
        mb_store_relaxed(working[b], value);
        MB_POINT();
      }
    return throws ? mb_rollback() : mb_commit();
  }

  // The kernel frees the lock of the dead, after everything that they stored.
  void writer(unsigned index) {
    if (takeover) {
      lock.lock($);
      points_left = index == 0 ? rl::rand(20) : 0;
      write(ALL, false);
      points_left = 0;
      lock.unlock($);
    } else if (index == 0) {
      write(ALL, false);
      write(1 + rl::rand(3), rl::rand(2));
    }
  }

  // ---- read.c
  struct read_latch { unsigned seq; bool odd; };

  read_latch read_open() {
    read_latch latch;
    latch.seq = mb_load_acquire(seq, ACQUIRE_OPEN);
    latch.odd = latch.seq & 1;
    return latch;
  }

  bool read_valid(const read_latch &latch) {
    KEEP(FENCE_VALID) mb_fence_acquire();
    if (latch.odd) return mb_load_relaxed(begin) <= latch.seq;
    return mb_load_relaxed(seq) == latch.seq;
  }

  // Who is turned away has missed nothing: whatever it copied now would be found invalid.
  bool read_past(const read_latch &latch) {
    bool past = latch.odd && mb_load_relaxed(begin) > latch.seq;
    RL_ASSERT(!past || !read_valid(latch));
    return past;
  }

  unsigned version_of(const read_latch &latch) { return (latch.seq + 1) / 2; }

  unsigned mb_next_changed(unsigned since) {
    unsigned set = 0;
    if (mb_load_relaxed(stamp_max) > since)
      for (int b = 0; b < BLOCKS; b++)
        if (mb_load_relaxed(stamp[b]) > since) set |= 1u << b;
    return set;
  }

  void copy(unsigned *into, unsigned set, const read_latch &latch) {
    for (int b = 0; b < BLOCKS; b++)
      if (set >> b & 1) into[b] = mb_load_relaxed(latch.odd ? working[b] : committed[b]);
  }

  void judge(const unsigned *into, unsigned version) {
    RL_ASSERT(version <= newest);
    for (int b = 0; b < BLOCKS; b++) RL_ASSERT(into[b] == image[version][b]);
  }

  void mb_snapshot() {
    for (int i = 0; i < 2; i++) {
      unsigned into[BLOCKS];
      read_latch latch = read_open();
      if (read_past(latch)) continue;
      copy(into, ALL, latch);
      if (read_valid(latch)) judge(into, version_of(latch));
    }
  }

  void read_mending() {
    bool based = false;
    unsigned since = 0, into[BLOCKS] = {0, 0};
    for (int i = 0; i < 4; i++) {
      read_latch latch = read_open();
      if (latch.odd) {
        if (rl::rand(2) || read_past(latch)) continue;
        copy(into, ALL, latch);
        if (read_valid(latch)) return judge(into, version_of(latch));
        based = false;
        continue;
      }
      copy(into, based ? mb_next_changed(since) : ALL, latch);
      if (read_valid(latch)) return judge(into, version_of(latch));
      based = true;
      since = version_of(latch);
    }
  }

  void mb_changed_since() {
    unsigned have = 0;
    for (int i = 0; i < 2; i++) {
      read_latch latch = read_open();
      unsigned set = 0, since = rl::rand(have + 1);
      if (read_past(latch)) continue;
      if (latch.odd) {
        unsigned page = mb_load_relaxed(redo_seq), runs = mb_load_relaxed(redo_runs), crc = mb_load_relaxed(redo_crc);
        if (!mb_redo_valid(page, runs, crc, latch.seq)) continue;
        if (version_of(latch) > since) set = runs;
      }
      set |= mb_next_changed(since);
      bool valid = read_valid(latch);
      unsigned version = version_of(latch), changed = 0;
      RL_ASSERT(version <= newest && version >= have);
      for (int b = 0; b < BLOCKS; b++)
        if (image[since][b] != image[version][b]) changed |= 1u << b;
      RL_ASSERT((set & changed) == changed); // also where a writer went on meanwhile: after some tries it is taken all the same
      RL_ASSERT(!valid || set == changed);
      have = version;
    }
  }

  // ---- verify.c: verify_still
  void mb_verify() {
    for (int i = 0; i < 2; i++) {
      int b = rl::rand(BLOCKS);
      unsigned version = mb_load_acquire(seq, ACQUIRE_VERIFY) >> 1, now = mb_load_relaxed(stamp[b]);
      unsigned bytes = mb_load_relaxed(committed[b]);
      KEEP(FENCE_VERIFY) mb_fence_acquire();
      if (now <= version && mb_load_relaxed(stamp[b]) == now) RL_ASSERT(bytes == image[now][b]);
    }
  }

  // ---- notify.c: who hears the bell finds the version that it rang for.
  void doorbell_run() {
    unsigned seen = 0;
    for (int i = 0; i < 24; i++) {
      unsigned heard = mb_load_acquire(notify, ACQUIRE_NOTIFY);
      if (heard == seen) continue;
      seen = heard;
      unsigned version = (mb_load_relaxed(seq) + 1) / 2; // mb_version, which needs no order of its own
      RL_ASSERT(version >= told[heard]);
    }
  }

  void thread(unsigned index) {
    if (index < 2) writer(index);
    else if (strcmp(role, "mending") == 0) read_mending();
    else if (strcmp(role, "changes") == 0) mb_changed_since();
    else if (strcmp(role, "verify") == 0) mb_verify();
    else if (strcmp(role, "bell") == 0) doorbell_run();
    else mb_snapshot();
  }
};

int main(int argc, char **argv) {
  if (argc < 5) return 2;
  role = argv[1];
  removed = argc > 5 ? argv[5] : "";
  rl::test_params params;
  std::ostream quiet(NULL); // Relacy frees by its own allocator what it writes to, so no string
  params.output_stream = params.progress_stream = &quiet;
  takeover = atoi(argv[2]);
  params.search_type = strcmp(role, "bell") == 0 ? rl::random_scheduler_type : rl::fair_context_bound_scheduler_type;
  params.context_bound = atoi(argv[3]);
  params.iteration_count = strtoull(argv[4], NULL, 10);
  bool sound = rl::simulate<commit_test>(params);
  printf("%llu\n", (unsigned long long)params.stop_iteration);
  return sound ? 0 : 1;
}
