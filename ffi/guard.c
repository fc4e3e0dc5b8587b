/* SIGBUS: a mapped file that somebody truncated kills the process that touches the lost pages. The guard puts zero pages in their
 * place and notes the segment as hit; every function of the library looks at the note after it has touched the mapping. The same
 * serves views that JavaScript reads directly. Jumping out of the copy with siglongjmp was rejected: it needs thread-local state,
 * which TinyCC does not have, and cannot mend a read made by JavaScript. */
#include "segment.h"

#define GUARD_SLOTS 4096

typedef struct {
  uint64_t base, bytes; /* base 0: free */
  uint32_t taken, hit;
} guard_slot;

static guard_slot guard_slots[GUARD_SLOTS];
static struct sigaction guard_before;
static uint32_t guard_installed;

static void guard_on_bus(int sig, siginfo_t *info, void *context) {
  uint64_t at = (uint64_t)(uintptr_t)info->si_addr;
  for (int i = 0; i < GUARD_SLOTS; i++) {
    guard_slot *g = guard_slots + i;
    uint64_t base = mb_load_acquire(&g->base);
    if (!base || at < base || at - base >= g->bytes) continue;
    mb_store32_release(&g->hit, 1);
    uint64_t page = at & ~(uint64_t)(MB_PAGE - 1);
    mmap((void *)(uintptr_t)page, base + g->bytes - page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    return;
  }
  /* Not ours: whoever had the signal before. */
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

int mb_guard_add(void *base, uint64_t bytes) {
  guard_install();
  for (int i = 0; i < GUARD_SLOTS; i++) {
    guard_slot *g = guard_slots + i;
    if (!mb_swap32(&g->taken, 0, 1)) continue;
    g->hit = 0;
    g->bytes = bytes;
    mb_store_release(&g->base, (uint64_t)(uintptr_t)base);
    return i;
  }
  return -1;
}

void mb_guard_remove(int slot) {
  if (slot < 0) return;
  mb_store_release(&guard_slots[slot].base, 0);
  mb_store32_release(&guard_slots[slot].taken, 0);
}

bool mb_guard_hit(int slot) { return slot >= 0 && mb_load32_acquire(&guard_slots[slot].hit) != 0; }
