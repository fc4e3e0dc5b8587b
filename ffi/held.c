/* Memory that JavaScript and threads of other libraries hold together, and that ends with the last of them: neither a node that closes
 * nor a garbage collector takes it from a thread that reads it. */
#include "held.h"

#include "segment.h"

#define HELD_HUGE (2u << 20) /* from here on large pages: 32 MiB are 16 faults instead of 8,192 */

/* out: the handle, and the address of `bytes` bytes of zeros on a page. */
MB_EXPORT int64_t mb_held_new(uint64_t bytes, int64_t *out) {
  mb_held *held = malloc(sizeof *held);
  if (!held) return -ENOMEM;
  void *data = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) {
    int64_t error = mb_errno();
    free(held);
    return error;
  }
  if (bytes >= HELD_HUGE) madvise(data, bytes, MADV_HUGEPAGE);
  held->holders = 1;
  held->bytes = bytes;
  held->data = data;
  mb_own(MB_OWN_HELD, (int64_t)(uintptr_t)held);
  out[0] = (int64_t)(uintptr_t)held;
  out[1] = (int64_t)(uintptr_t)data;
  return 0;
}

MB_EXPORT int64_t mb_held_holders(mb_held *held) { return mb_load32_acquire(&held->holders); }

void mb_hold(mb_held *held) { mb_add32(&held->holders, 1); }

void mb_let_go(mb_held *held) {
  if (mb_add32(&held->holders, (uint32_t)-1) != 1) return;
  munmap(held->data, held->bytes);
  free(held);
}

/* On the thread that made it. */
MB_EXPORT int64_t mb_held_release(mb_held *held) {
  mb_disown(MB_OWN_HELD, (int64_t)(uintptr_t)held);
  mb_let_go(held);
  return 0;
}
