/* Taking turns at writing, where several processes do. Who writes is decided by one byte of the lock file and by nothing else: the
 * kernel frees it when the holder dies. What is here is the courtesy between those who wait, so that none of them starves: a bit for
 * each in the hot page, a futex to be called by, and the rule that the next in circular order after the last writer is first.
 * These words are hints. Whatever is written there, no two processes write at a time, and nobody waits longer than
 * TURN_PATIENCE_NS for one that does not come: it may have died or been stopped.
 *
 * Measured, eight writers on two cores, each holding the lock for 300 us: with a try-lock loop that yields the least served got
 * 0.04 of what the most served did and waited up to 1.7 s; with one that sleeps 0.13 and 1.2 s; in the kernel's own queue
 * (F_OFD_SETLKW: wakes all, lets the releaser overtake, knows no deadline) 0.50 and 0.19 s; here 0.98 and 0.08 s. */
#include "segment.h"

#define TURN_SLOTS (sizeof(((mb_hot *)0)->bell) / sizeof(uint32_t))
#define TURN_WORDS (TURN_SLOTS / 32)
#define TURN_SLOT_BYTE 16         /* the first of TURN_SLOTS bytes of the lock file: whose place in the queue is whose */
#define TURN_LOOK_NS 1000000      /* a call may be lost with the caller's life: look by oneself after this time */
#define TURN_PATIENCE_NS 20000000 /* how long the first may leave the lock unused before it is passed over */

/* A place in the queue for the open lock file `fd`, kept until it is closed; -EAGAIN: all are taken, which only costs fairness. */
MB_EXPORT int64_t mb_turn_join(int32_t fd) {
  for (uint32_t i = 0; i < TURN_SLOTS; i++) {
    int64_t error = mb_lock_take(fd, TURN_SLOT_BYTE + i, 1);
    if (error != -EAGAIN && error != -EACCES) return error ? error : (int64_t)i;
  }
  return -EAGAIN;
}

static void turn_mark(mb_hot *hot, uint32_t slot, bool waits) {
  uint32_t *word = hot->waiting + slot / 32, bit = 1u << (slot % 32), seen;
  do {
    seen = mb_load32_acquire(word);
    if (((seen & bit) != 0) == waits) return;
  } while (!mb_swap32(word, seen, seen ^ bit));
}

/* The first that waits after `slot`, round and round; -1: nobody does. */
static int32_t turn_next(const mb_hot *hot, uint32_t slot) {
  uint32_t from = (slot + 1) % TURN_SLOTS;
  for (uint32_t n = 0; n <= TURN_WORDS; n++) {
    uint32_t i = (from / 32 + n) % TURN_WORDS, bits = mb_load32_acquire(hot->waiting + i);
    if (n == 0) bits &= 0xffffffffu << (from % 32);
    if (n == TURN_WORDS) bits &= ~(0xffffffffu << (from % 32));
    if (bits) return (int32_t)(i * 32 + mb_lowest_bit(bits));
  }
  return -1;
}

static uint32_t turn_last(const mb_hot *hot) { return mb_load32_acquire(&hot->turn) % TURN_SLOTS; }

static int64_t turn_try(int32_t fd) {
  int64_t error = mb_lock_take(fd, MB_LOCK_TURN, 1);
  return error == -EACCES ? -EAGAIN : error;
}

static void turn_call(mb_hot *hot, uint32_t slot) {
  mb_add32(hot->bell + slot, 1);
  syscall(SYS_futex, hot->bell + slot, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static uint64_t turn_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static void turn_sleep(uint32_t *word, uint32_t seen, uint64_t ns) {
  struct timespec t = {0, 0};
  t.tv_nsec = (long)(ns < TURN_LOOK_NS ? ns : TURN_LOOK_NS);
  if (word) syscall(SYS_futex, word, FUTEX_WAIT, seen, &t, NULL, 0);
  else nanosleep(&t, NULL);
}

/* What one that is not first does about the first: nothing, unless the lock lies free before it. */
typedef struct { uint64_t since; uint32_t turn; } turn_patience;

static void turn_pass_over(mb_hot *hot, int32_t fd, uint32_t first, turn_patience *patience, uint64_t now) {
  uint32_t turn = mb_load32_acquire(&hot->turn);
  if (mb_lock_held(fd, MB_LOCK_TURN) != 0 || patience->turn != turn || !patience->since) {
    patience->since = now;
    patience->turn = turn;
  } else if (now - patience->since < TURN_PATIENCE_NS && mb_lock_held(fd, TURN_SLOT_BYTE + first) == 1) {
    return;
  } else {
    turn_mark(hot, first, false); /* if it lives it marks itself again */
  }
}

static int64_t turn_wait(mb_hot *hot, int32_t fd, int32_t slot, uint64_t timeout_ns) {
  uint64_t now = turn_now(), end = now + timeout_ns;
  turn_patience patience = {0, 0};
  uint32_t *bell = slot < 0 ? NULL : hot->bell + slot;
  for (;;) {
    uint32_t seen = bell ? mb_load32_acquire(bell) : 0;
    if (bell) turn_mark(hot, (uint32_t)slot, true);
    int32_t first = bell ? turn_next(hot, turn_last(hot)) : slot;
    int64_t error = first == slot || first < 0 ? turn_try(fd) : -EAGAIN;
    now = turn_now();
    if (error == -EAGAIN && now < end) {
      if (first != slot && first >= 0) turn_pass_over(hot, fd, (uint32_t)first, &patience, now);
      turn_sleep(bell, seen, end - now);
      continue;
    }
    if (bell) turn_mark(hot, (uint32_t)slot, false);
    if (error != -EAGAIN) return error;
    if ((first = turn_next(hot, turn_last(hot))) >= 0) turn_call(hot, (uint32_t)first); /* the call may have come to us */
    return MB_E_LOCKED;
  }
}

MB_EXPORT int64_t mb_turn_give(mb_segment *s, int32_t fd, int32_t slot) {
  mb_hot *hot = s->hot;
  uint32_t last = slot < 0 ? turn_last(hot) : (uint32_t)slot;
  mb_store32_release(&hot->turn, (hot->turn / TURN_SLOTS + 1) * (uint32_t)TURN_SLOTS + last);
  MB_POINT();
  int64_t error = mb_lock_drop(fd, MB_LOCK_TURN);
  MB_POINT();
  int32_t next = turn_next(hot, last);
  if (next >= 0) turn_call(hot, (uint32_t)next);
  return error;
}

/* Makes this process the only writer until mb_turn_give, and the segment whole if the last one died. `slot` from mb_turn_join, or
 * -1. MB_E_LOCKED after `timeout_ns`; MB_E_IN_WRITE, MB_E_STALE, MB_E_TRUNCATED at once. Returns as mb_segment_recover does. */
MB_EXPORT int64_t mb_turn_take(mb_segment *s, int32_t fd, int32_t slot, uint64_t timeout_ns) {
  mb_hot *hot = s->hot;
  if (!s->writable) return MB_E_NOT_WRITER;
  if (s->in_write) return MB_E_IN_WRITE;
  int64_t error = mb_segment_lost(s);
  if (error) return error;
  error = turn_next(hot, turn_last(hot)) < 0 ? turn_try(fd) : -EAGAIN;
  if (error == -EAGAIN) error = turn_wait(hot, fd, slot, timeout_ns);
  if (error) return error;
  mb_segment_sign(s);
  MB_POINT();
  int64_t how = mb_recover(s);
  if (how < 0) mb_turn_give(s, fd, slot);
  return how;
}
