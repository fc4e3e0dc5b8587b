/* What a thread has opened and not closed when it ends. A Worker that is terminated runs no `finally` and no exit handler; its
 * process lives on, so the kernel frees nothing, and its lock would be held for ever. Linux runs the destructors of a thread's
 * specific data on that thread, after its last JavaScript: the one moment at which all of it can be given back. Marking locks
 * with the thread's number and looking whether it still lives was rejected: only the same process could free them, and only if
 * somebody in it asked. */
#include "held.h"
#include "segment.h"

typedef struct owner_entry {
  struct owner_entry *next;
  int kind;
  int64_t value;
} owner_entry;

static pthread_key_t owner_key;
static uint32_t owner_state; /* 0: no key yet, 1: being made, 2: there, 3: the process has no more keys */

static void owner_drop(int kind, int64_t value) {
  if (kind == MB_OWN_DOORBELL) mb_doorbell_close((mb_doorbell *)(uintptr_t)value);
  else if (kind == MB_OWN_SEGMENT) mb_segment_close((mb_segment *)(uintptr_t)value);
  else if (kind == MB_OWN_HELD) mb_held_release((mb_held *)(uintptr_t)value);
  else mb_lock_close((int32_t)value);
}

/* Newest first: a doorbell before the segment that it listens to, the memory before the lock. */
static void owner_ended(void *list) {
  owner_entry *first = list;
  while (first) {
    owner_entry *next = first->next;
    owner_drop(first->kind, first->value); /* looks for itself in the list of this thread, which is empty by now */
    free(first);
    first = next;
  }
}

static bool owner_ready(void) {
  if (mb_swap32(&owner_state, 0, 1)) mb_store32_release(&owner_state, pthread_key_create(&owner_key, owner_ended) ? 3 : 2);
  while (mb_load32_acquire(&owner_state) == 1) sched_yield();
  return owner_state == 2;
}

/* Without memory or keys the thing is simply not given back should its thread be terminated. */
void mb_own(int kind, int64_t value) {
  owner_entry *entry = owner_ready() ? malloc(sizeof *entry) : NULL;
  if (!entry) return;
  entry->next = pthread_getspecific(owner_key);
  entry->kind = kind;
  entry->value = value;
  if (pthread_setspecific(owner_key, entry)) free(entry);
}

void mb_disown(int kind, int64_t value) {
  if (!owner_ready()) return;
  owner_entry *first = pthread_getspecific(owner_key);
  for (owner_entry **link = &first; *link; link = &(*link)->next) {
    owner_entry *entry = *link;
    if (entry->kind != kind || entry->value != value) continue;
    *link = entry->next;
    free(entry);
    pthread_setspecific(owner_key, first);
    return;
  }
}
