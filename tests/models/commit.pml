/* The commit protocol of ffi/ under sequential consistency, with a crash at any step. The fences are commit_relacy.cpp's matter.
 *
 * An inline has the name of the C function that it stands for and does its stores and calls in its order (link.ts compares the
 * two); each store is one step, and the writer may die before any of them. A block is one byte here, and a transaction writes its
 * own number into the blocks that it changes: no two images are alike in a block that differs, so a torn, stale or uncommitted
 * read shows, and so does a block that changed and was not stamped.
 *
 *   READS_SNAPSHOT, READS_MENDING, READS_CHANGES, READS_VERIFY, READS_BELL   what the reader does: one of them
 *   WRITERS, TRANSACTIONS, CRASHES, READS                                    how far the search goes
 *   SPOILS      a crash may leave the redo page as rubbish, or as it was one commit before
 *   REMOVE_*    takes one step, order or check of the protocol away: variants.ts has the list, and each must be found
 */
#ifndef WRITERS
#define WRITERS 2
#endif
#ifndef TRANSACTIONS
#define TRANSACTIONS 2
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef READS
#define READS 2
#endif

#define NONE 0 /* sets of blocks, a bit for each of two */
#define ALL 3
#define HAS(set, block) (((set) >> (block)) & 1)
#define CRC(seq, runs) ((seq) * 4 + (runs) + 1)
#define VERSION_OF(seq) (((seq) + 1) / 2)

/* ---- the file ------------------------------------------------------------------------------------------------- */
byte seq, begin, notify;
bool dirty; /* phase */
byte redo_seq, redo_runs, redo_crc;
byte stamp[2], stamp_max; /* the version table: the leaves, and the level above */
byte working[2], committed[2];

/* ---- the kernel ----------------------------------------------------------------------------------------------- */
byte owner; /* of the lock; death frees it */
bool asleep, woken;

/* ---- what only the judge knows -------------------------------------------------------------------------------- */
byte image0[TRANSACTIONS + 1], image1[TRANSACTIONS + 1]; /* the image of every version */
byte newest;                                            /* version: decided where seq turns odd */
byte transaction, crashes = CRASHES, writers = WRITERS;
byte redo_seq_before; /* of the commit before */
bool spoiled;         /* the redo page was: recovery may stamp too much */
bool unmended;        /* somebody died in the lock and nobody has recovered since */

#define DECIDE(version) newest = version; image0[newest] = working[0]; image1[newest] = working[1]
#define IS_IMAGE(v, a, b) ((v) <= newest && image0[v] == (a) && image1[v] == (b))
#define DIFFERENT(a, b, c, d) (((a) != (b) -> 1 : 0) + ((c) != (d) -> 2 : 0))
#define CHANGED(v, w) DIFFERENT(image0[v], image0[w], image1[v], image1[w])

/* One step of a writer: it dies instead, or it does it. What no other process can see belongs to the step after it. */
#define STEP(stores) atomic { MAY_DIE; stores }
#if CRASHES > 0
#define MAY_DIE if :: crashes > 0 -> die() :: skip fi
#else
#define MAY_DIE skip
#endif

/* kill -9. The kernel frees the lock; the process may be started again, or never. */
inline die() {
  crashes--;
  owner = 0;
  unmended = true;
  runs = NONE;
#ifdef SPOILS
  if
  :: skip
  :: seq % 2 == 1 -> redo_crc = 0; redo_runs = NONE; spoiled = true
  :: seq % 2 == 1 -> redo_seq = redo_seq_before; redo_runs = NONE; redo_crc = CRC(redo_seq, NONE); spoiled = true
  fi;
#endif
  if
  :: goto again
  :: goto dead
  fi
}

/* What a reader of the kind searched never looks at is no step. */
#if defined(REMOVE_STAMP) || defined(READS_SNAPSHOT) || defined(READS_BELL)
#define STAMP(stores) skip
#else
#define STAMP(stores) STEP(stores)
#endif
#if defined(REMOVE_STAMP_MAX)
#define STAMP_MAX(stores) skip
#else
#define STAMP_MAX(stores) STAMP(stores)
#endif
#ifdef READS_CHANGES
#define REDO(stores) STEP(stores)
#else
#define REDO(stores) atomic { stores }
#endif
#ifdef READS_BELL
#define BELL(stores) STEP(stores)
#else
#define BELL(stores) skip
#endif

#include "writing.pml"
#include "reading.pml"

init {
  atomic {
    run Writer(1);
#if WRITERS > 1
    run Writer(2);
#endif
  }
}
