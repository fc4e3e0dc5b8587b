/* SIGBUS: a mapped file that somebody truncated kills the process that touches the lost pages. The guard puts zero pages in their
 * place and notes the segment as hit; every function of the library looks at the note after it has touched the mapping. The same
 * serves views that JavaScript reads directly. Jumping out of the copy with siglongjmp was rejected: it needs thread-local state,
 * which TinyCC does not have, and cannot mend a read made by JavaScript. */
#include "segment.h"

/* The table grows by chunks, which stay: the handler walks them at any moment. */
#define GUARD_CHUNKS 256
#define GUARD_CHUNK_SLOTS 1024

typedef struct {
  uint64_t base, bytes; /* base 0: free */
  uint32_t taken, hit;
} guard_slot;

static uint64_t guard_chunks[GUARD_CHUNKS]; /* addresses of guard_slot[GUARD_CHUNK_SLOTS], from the first on; 0: none yet */
static struct sigaction guard_before;
static uint32_t guard_installed, guard_growing;

/* NULL past the end of the table. */
static guard_slot *guard_at(int slot) {
  if (slot < 0 || slot >= GUARD_CHUNKS * GUARD_CHUNK_SLOTS) return NULL;
  guard_slot *chunk = (guard_slot *)(uintptr_t)mb_load_acquire(&guard_chunks[slot / GUARD_CHUNK_SLOTS]);
  return chunk ? chunk + slot % GUARD_CHUNK_SLOTS : NULL;
}

static void guard_on_bus(int sig, siginfo_t *info, void *context) {
  uint64_t at = (uint64_t)(uintptr_t)info->si_addr;
  guard_slot *g;
  for (int i = 0; (g = guard_at(i)); i++) {
    uint64_t base = mb_load_acquire(&g->base);
    if (!base || at < base || at - base >= g->bytes) continue;
    mb_store32_release(&g->hit, 1);
    uint64_t page = at & ~(uint64_t)(MB_PAGE - 1);
    if (mmap((void *)(uintptr_t)page, base + g->bytes - page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
        MAP_FAILED)
      break; /* returning would only bring us here again, for ever */
    return;
  }
  /* Not ours, or past help: whoever had the signal before. */
  if ((guard_before.sa_flags & SA_SIGINFO) && guard_before.sa_sigaction) {
    guard_before.sa_sigaction(sig, info, context);
    return;
  }
  if (guard_before.sa_handler == SIG_IGN) return;
  if (guard_before.sa_handler != SIG_DFL) {
    guard_before.sa_handler(sig);
    return;
  }
  sigaction(SIGBUS, &guard_before, NULL); /* the access repeats, and the default kills */
}

static void guard_install(void) {
  if (!mb_swap32(&guard_installed, 0, 1)) return;
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = guard_on_bus;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  sigaction(SIGBUS, &action, &guard_before);
}

/* Makes chunk `n`, if no other thread has; without memory there is none. */
static void guard_grow(int n) {
  while (!mb_swap32(&guard_growing, 0, 1)) sched_yield();
  if (!guard_chunks[n]) mb_store_release(&guard_chunks[n], (uint64_t)(uintptr_t)calloc(GUARD_CHUNK_SLOTS, sizeof(guard_slot)));
  mb_store32_release(&guard_growing, 0);
}

/* -1: no memory, or more mappings than any system allows. */
int mb_guard_add(void *base, uint64_t bytes) {
  guard_install();
  for (int i = 0; i < GUARD_CHUNKS * GUARD_CHUNK_SLOTS; i++) {
    if (!guard_at(i)) guard_grow(i / GUARD_CHUNK_SLOTS);
    guard_slot *g = guard_at(i);
    if (!g) return -1;
    if (!mb_swap32(&g->taken, 0, 1)) continue;
    g->hit = 0;
    g->bytes = bytes;
    mb_store_release(&g->base, (uint64_t)(uintptr_t)base);
    return i;
  }
  return -1;
}

void mb_guard_remove(int slot) {
  guard_slot *g = guard_at(slot);
  if (!g) return;
  mb_store_release(&g->base, 0);
  mb_store32_release(&g->taken, 0);
}

bool mb_guard_hit(int slot) {
  guard_slot *g = guard_at(slot);
  return g && mb_load32_acquire(&g->hit) != 0;
}
