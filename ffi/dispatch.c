/* Which kernels run: the first row of the table whose needs the CPU meets. */
#include "platform.h"

#include "hash.h"

static const hash_row dispatch_rows[] = {
#if MB_HASH_X86
    {"shani", MB_CPU_SHA | MB_CPU_SSE41 | MB_CPU_SSSE3 | MB_CPU_SSE42 | MB_CPU_PCLMUL, 2, sha256_blocks_shani,
     sha256_many_shani, crc32c_sse42},
    {"sse42", MB_CPU_SSE42 | MB_CPU_PCLMUL, 1, sha256_blocks_portable, sha256_many_portable, crc32c_sse42},
#endif
    {"portable", 0, 1, sha256_blocks_portable, sha256_many_portable, crc32c_portable},
};

#define DISPATCH_ROWS ((int64_t)(sizeof dispatch_rows / sizeof dispatch_rows[0]))

/* 1 + the index in force; 0 is not chosen yet. Threads that meet here all store the same value. */
static uint32_t dispatch_choice;

static int64_t dispatch_index(void) {
  uint32_t choice = mb_load32_acquire(&dispatch_choice);
  if (choice == 0) {
    const uint32_t features = mb_cpu_features();
    while (dispatch_rows[choice].needs & ~features) choice++;
    mb_store32_release(&dispatch_choice, ++choice);
  }
  return (int64_t)choice - 1;
}

const hash_row *hash_current(void) { return &dispatch_rows[dispatch_index()]; }

const hash_row *hash_runnable(int64_t index) {
  if (index < 0 || index >= DISPATCH_ROWS) return NULL;
  const hash_row *row = &dispatch_rows[index];
  return (row->needs & ~mb_cpu_features()) == 0 ? row : NULL;
}

int64_t mb_hash_rows(void) { return DISPATCH_ROWS; }

int64_t mb_hash_row_name(int64_t index, uint8_t *out16) {
  if (index < 0 || index >= DISPATCH_ROWS || out16 == NULL) return -EINVAL;
  const char *name = dispatch_rows[index].name;
  int64_t length = 0;
  while (name[length] != 0 && length < 15) {
    out16[length] = (uint8_t)name[length];
    length++;
  }
  out16[length] = 0;
  return length;
}

int64_t mb_hash_row(void) { return dispatch_index(); }

int64_t mb_hash_use(int64_t index) {
  if (hash_runnable(index) == NULL) return -EINVAL;
  mb_store32_release(&dispatch_choice, (uint32_t)index + 1);
  return index;
}
