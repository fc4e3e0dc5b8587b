/* The writer's side of commit.pml: ffi/table.c, ffi/commit.c, and the processes that write. */
/* ---- table.c -------------------------------------------------------------------------------------------------- */
inline mb_stamp(block, version) {
  STAMP(stamp[block] = version);
  STAMP_MAX(stamp_max = version);
}

/* The blocks newer than `version`: looks at the leaves only where their maximum is. */
inline mb_next_changed(set, version) {
  if
  :: stamp_max > version ->
     set = set | (stamp[0] > version -> 1 : 0);
     set = set | (stamp[1] > version -> 2 : 0)
  :: else
  fi
}

/* ---- commit.c ------------------------------------------------------------------------------------------------- */
inline mb_collect_touched() {
  runs = DIFFERENT(working[0], committed[0], working[1], committed[1])
}

inline mb_collect_all() {
  runs = DIFFERENT(working[0], committed[0], working[1], committed[1])
}

inline redo_fill(s) {
  REDO(redo_runs = runs);
  REDO(redo_seq_before = (redo_seq == s -> redo_seq_before : redo_seq); redo_seq = s);
  REDO(redo_crc = CRC(s, runs));
}

#ifdef REMOVE_REDO_SEQ
#define REDO_SEQ_IS(page, s) true
#else
#define REDO_SEQ_IS(page, s) ((page) == (s))
#endif
#ifdef REMOVE_REDO_CRC
#define REDO_CRC_IS(crc, page, runs) true
#else
#define REDO_CRC_IS(crc, page, runs) ((crc) == CRC(page, runs))
#endif
#define mb_redo_valid(page, runs, crc, s) (REDO_SEQ_IS(page, s) && REDO_CRC_IS(crc, page, runs))

inline commit_copy(block, version) {
#ifdef REMOVE_ORDER_STAMP_COPY
  STEP(committed[block] = working[block]);
#endif
#ifdef REMOVE_RECOVER_STAMP
  if
  :: recovering -> skip
  :: else -> mb_stamp(block, version)
  fi;
#else
  mb_stamp(block, version);
#endif
#ifndef REMOVE_ORDER_STAMP_COPY
  STEP(committed[block] = working[block]);
#endif
  skip
}

inline commit_wake() {
  BELL(woken = woken || asleep);
}

inline commit_finish(s) {
  if
  :: HAS(runs, 0) -> commit_copy(0, VERSION_OF(s))
  :: else
  fi;
  if
  :: HAS(runs, 1) -> commit_copy(1, VERSION_OF(s))
  :: else
  fi;
  runs = NONE;
#ifdef REMOVE_ODD
  STEP(seq = s + 1; DECIDE(VERSION_OF(s)));
#else
  STEP(seq = s + 1);
#endif
  BELL(notify++);
  STEP(dirty = false);
}

inline mb_begin() {
#ifndef REMOVE_BEGIN
  STEP(begin = seq + 1);
#endif
#if !defined(REMOVE_DIRTY) && !defined(REMOVE_ORDER_DIRTY_WRITE)
  STEP(dirty = true);
#endif
  skip
}

/* The caller's code: any blocks, none included. */
inline write_blocks() {
  atomic {
    transaction++;
    if
    :: runs = 0
    :: runs = 1
    :: runs = 2
    :: runs = 3
    fi
  };
  if
  :: HAS(runs, 0) -> STEP(working[0] = transaction)
  :: else
  fi;
  if
  :: HAS(runs, 1) -> STEP(working[1] = transaction)
  :: else
  fi;
#ifdef REMOVE_ORDER_DIRTY_WRITE
  STEP(dirty = true);
#endif
  runs = NONE
}

inline mb_commit() {
  mb_collect_touched();
  if
  :: runs == NONE -> STEP(dirty = false)
  :: else ->
#ifndef REMOVE_ORDER_REDO_ODD
     redo_fill(seq + 1);
#endif
#ifdef REMOVE_ODD
     commit_finish(seq + 1);
#else
     STEP(seq = seq + 1; DECIDE(VERSION_OF(seq)));
#ifdef REMOVE_ORDER_REDO_ODD
     redo_fill(seq);
#endif
     commit_finish(seq);
#endif
     commit_wake() /* in C of every 1,024th commit, and else mb_ring */
  fi
}

inline rollback_runs() {
#ifdef REMOVE_ORDER_ROLLBACK_CLEAN
  STEP(dirty = false);
#endif
  if
  :: HAS(runs, 0) -> STEP(working[0] = committed[0])
  :: else
  fi;
  if
  :: HAS(runs, 1) -> STEP(working[1] = committed[1])
  :: else
  fi;
  runs = NONE;
#ifndef REMOVE_ORDER_ROLLBACK_CLEAN
  STEP(dirty = false);
#endif
  skip
}

inline mb_rollback() {
  mb_collect_touched();
#ifdef REMOVE_ROLLBACK
  runs = NONE;
#endif
  rollback_runs()
}

inline recover_forward() {
#ifdef REMOVE_REDO
  runs = DIFFERENT(working[0], committed[0], working[1], committed[1]);
#else
  if
  :: mb_redo_valid(redo_seq, redo_runs, redo_crc, seq) -> runs = redo_runs
  :: else -> runs = ALL; redo_fill(seq)
  fi;
#endif
  commit_finish(seq)
}

inline recover_back() {
  mb_collect_all();
#ifndef REMOVE_NOTIFY_BACK
  BELL(notify++);
#endif
  rollback_runs()
}

#define IS_WHOLE (seq % 2 == 0 && !dirty)

inline mb_recover() {
#ifdef REMOVE_RECOVER_STAMP
  recovering = true;
#endif
  if
#ifndef REMOVE_FORWARD
  :: seq % 2 == 1 -> recover_forward()
#endif
#ifndef REMOVE_BACK
  :: seq % 2 == 0 -> recover_back()
#endif
  :: else
  fi;
  commit_wake();
#ifdef REMOVE_RECOVER_STAMP
  recovering = false;
#endif
  skip
}

/* Where mb_recover finds nothing to do, mb_segment_recover rings: the last writer may have died before it rang. */
inline mb_segment_recover() {
  if
#ifdef REMOVE_WAKE_RECOVER
  :: IS_WHOLE -> skip
#else
  :: IS_WHOLE -> BELL(notify++); commit_wake() /* mb_notify */
#endif
  :: !IS_WHOLE -> mb_recover()
  fi;
  unmended = false
}

/* A process that writes. Whoever takes the lock recovers first. */
proctype Writer(byte me) {
  byte runs;
#ifdef REMOVE_RECOVER_STAMP
  bool recovering;
#endif
again:
  do
  :: atomic {
#ifdef REMOVE_LOCK
       transaction < TRANSACTIONS || unmended -> owner = me
#else
       owner == 0 && (transaction < TRANSACTIONS || unmended) -> owner = me
#endif
     };
     mb_segment_recover();
     if
     :: transaction < TRANSACTIONS ->
        mb_begin();
        write_blocks();
        if
        :: mb_commit()
        :: mb_rollback()
        fi
     :: else
     fi;
     atomic {
#ifndef REMOVE_LOCK
       assert(seq % 2 == 0 && !dirty && working[0] == committed[0] && working[1] == committed[1]);
       assert(newest == seq / 2 && IS_IMAGE(newest, committed[0], committed[1]));
#endif
       owner = 0
     }
  :: transaction == TRANSACTIONS && !unmended -> break
  od;
dead:
  writers--
}
