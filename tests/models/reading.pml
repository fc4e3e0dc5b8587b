/* The reader's side of commit.pml: ffi/read.c, ffi/verify.c and ffi/notify.c, one process each, of which one is compiled. */
/* ---- read.c --------------------------------------------------------------------------------------------------- */
#define ODD (latch % 2 == 1)

#ifdef REMOVE_BEGIN_CHECK
#define BEGIN_IS_PAST true
#else
#define BEGIN_IS_PAST (begin <= latch)
#endif
#ifdef REMOVE_SEQ_CHECK
#define SEQ_IS_STILL true
#else
#define SEQ_IS_STILL (seq == latch)
#endif

#if defined(REMOVE_PAST_ODD)
#define IS_PAST (begin > latch)
#elif defined(REMOVE_PAST_EQUAL)
#define IS_PAST (ODD && begin >= latch)
#else
#define IS_PAST (ODD && begin > latch)
#endif

inline read_open() {
  latch = seq
}

/* Whoever is turned away has missed nothing: seq has gone on, so the next look is another one. */
inline read_past() {
  d_step {
    past = IS_PAST;
    assert(!past || seq != latch)
  }
}

inline read_valid() {
  valid = (ODD -> BEGIN_IS_PAST : SEQ_IS_STILL)
}

inline copy_blocks(set) {
  if
  :: HAS(set, 0) -> into0 = (ODD -> working[0] : committed[0])
  :: else
  fi;
  if
  :: HAS(set, 1) -> into1 = (ODD -> working[1] : committed[1])
  :: else
  fi
}

inline judge_image() {
  d_step {
    assert(IS_IMAGE(VERSION_OF(latch), into0, into1));
    assert(VERSION_OF(latch) >= last);
    last = VERSION_OF(latch)
  }
}

#ifdef READS_SNAPSHOT
/* mb_snapshot: tries of read_whole. Once no writer moves any more the first try must do, wherever the last of them stopped. */
active proctype Reader() {
  byte latch, into0, into1, last, reads;
  bool valid, calm, past;
  do
  :: reads < READS ->
     reads++;
     if
     :: skip
     :: writers == 0 -> calm = true; reads = READS
     fi;
     read_open();
#ifdef REMOVE_ODD_READ
     if
     :: ODD -> valid = false
     :: else -> copy_blocks(ALL); read_valid()
     fi;
#else
     valid = false;
     read_past();
     if
     :: past -> skip
     :: else -> copy_blocks(ALL); read_valid()
     fi;
#endif
     assert(valid || !calm);
     if
     :: valid -> judge_image()
     :: else
     fi;
     latch = 0; into0 = 0; into1 = 0; past = false
  :: else -> break
  od
}
#endif

#ifdef READS_MENDING
/* read_mending. That it looks at the same odd seq READ_STUCK times first is left out: any odd seq may be read at once. */
active proctype Reader() {
  byte latch, into0, into1, last, rounds, since, set;
  bool valid, based, past;
  do
  :: rounds < READS ->
     rounds++;
     read_open();
     if
#ifdef REMOVE_MEND_EVEN
     :: true ->
#else
     :: ODD -> skip /* sched_yield */
     :: ODD ->
        read_past();
        valid = false;
        if
        :: past -> skip
        :: else -> copy_blocks(ALL); read_valid() /* read_whole */
        fi;
        past = false;
#ifndef REMOVE_BASED_RESET
        based = false;
#endif
        if
        :: valid -> judge_image(); break
        :: else
        fi
     :: !ODD ->
#endif
        set = NONE;
        if
        :: based -> mb_next_changed(set, since) /* read_mend */
        :: else -> set = ALL
        fi;
        copy_blocks(set);
        set = NONE;
        read_valid();
        if
        :: valid -> judge_image(); break
        :: else
        fi;
        based = true;
#ifdef REMOVE_SINCE_BEFORE
        since = VERSION_OF(seq)
#else
        since = VERSION_OF(latch)
#endif
     fi
  :: else -> break
  od
}
#endif

#ifdef READS_CHANGES
/* mb_changed_since by a follower that asks with the version it has, or with any older one. */
active proctype Reader() {
  byte latch, have, since, set, page, runs, crc, reads;
  bool looked, valid, calm, past;
  do
  :: reads < READS ->
     reads++;
     if
     :: skip
     :: writers == 0 -> calm = true; reads = READS
     fi;
     since = have;
     do
     :: since > 0 -> since--
     :: break
     od;
     read_open();
     read_past();
     valid = !past;
     set = NONE;
#ifndef REMOVE_REDO_READ
     if
     :: ODD && valid -> /* read_redo */
        page = redo_seq;
        runs = redo_runs;
        crc = redo_crc;
        valid = mb_redo_valid(page, runs, crc, latch);
#ifdef REMOVE_REDO_SINCE
        set = runs
#else
        set = (VERSION_OF(latch) > since -> runs : NONE)
#endif
     :: else
     fi;
#endif
     looked = valid;
     if
     :: valid -> mb_next_changed(set, since); read_valid()
     :: else
     fi;
     assert(valid || !calm || spoiled);
     if
     :: looked -> /* after some tries it is taken though a writer went on meanwhile */
        d_step {
          assert(VERSION_OF(latch) <= newest && VERSION_OF(latch) >= have);
          assert((set | CHANGED(since, VERSION_OF(latch))) == set);              /* nothing is lost */
          assert(!valid || spoiled || set == CHANGED(since, VERSION_OF(latch))); /* and else nothing else is named */
          have = VERSION_OF(latch)
        }
     :: else
     fi;
     latch = 0; set = NONE; page = 0; runs = NONE; crc = 0; since = 0; looked = false; valid = false; past = false
  :: else -> break
  od
}
#endif

#ifdef READS_VERIFY
/* verify_still: a block is still while its stamp is of a finished commit and stays the same. */
active proctype Reader() {
  byte version, now, block, bytes, reads;
  do
  :: reads < READS ->
     reads++;
     if
     :: block = 0
     :: block = 1
     fi;
     version = seq / 2;
     now = stamp[block];
     bytes = committed[block];
     if
     :: now <= version && stamp[block] == now -> assert(bytes == (block -> image1[now] : image0[now]))
     :: else
     fi;
     version = 0; now = 0; block = 0; bytes = 0
  :: else -> break
  od
}
#endif

#ifdef READS_BELL
/* doorbell_run, and the process behind it, which looks at the version whenever it rings. Where nobody is left in mid-commit, the
 * sleeper has been told of the newest version. */
active proctype Reader() {
  byte seen, told, now;
#ifdef REMOVE_SEEN_FIRST
  told = VERSION_OF(seq);
  seen = notify;
#else
  seen = notify; /* mb_doorbell_open */
  told = VERSION_OF(seq);
#endif
  do
  :: now = notify;
     if
     :: now != seen -> seen = now; told = VERSION_OF(seq)
     :: else ->
        atomic { /* FUTEX_WAIT sleeps only where the word is what it was */
#ifdef REMOVE_FUTEX_COMPARE
          asleep = true
#else
          asleep = (notify == seen);
          woken = !asleep
#endif
        };
        if
        :: woken -> atomic { asleep = false; woken = false }
        :: timeout -> assert(unmended || told == newest); break
        fi
     fi
  od
}
#endif
