/* What the CPU has and the operating system allows (Intel SDM volume 2A, CPUID; volume 1, section 14.3). */
#include "platform.h"

#include "hash.h"

#if MB_HASH_X86

typedef struct {
  uint32_t a, b, c, d;
} cpu_registers;

static cpu_registers cpu_id(uint32_t leaf, uint32_t subleaf) {
  cpu_registers r;
  __asm__ volatile("cpuid" : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d) : "a"(leaf), "c"(subleaf));
  return r;
}

/* XCR0: which register files the OS saves on a context switch. Only to be asked where OSXSAVE is set. */
static uint32_t cpu_saved_registers(void) {
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

uint32_t mb_cpu_features(void) {
  const uint32_t leaf_max = cpu_id(0, 0).a;
  const cpu_registers one = cpu_id(1, 0);
  uint32_t features = 0;
  if (one.c & (1u << 1)) features |= MB_CPU_PCLMUL;
  if (one.c & (1u << 9)) features |= MB_CPU_SSSE3;
  if (one.c & (1u << 19)) features |= MB_CPU_SSE41;
  if (one.c & (1u << 20)) features |= MB_CPU_SSE42;
  if (leaf_max < 7) return features;

  const cpu_registers seven = cpu_id(7, 0);
  if (seven.b & (1u << 29)) features |= MB_CPU_SHA;

  const bool xsave = (one.c & (1u << 27)) != 0; /* OSXSAVE */
  const bool ymm = xsave && (cpu_saved_registers() & 6) == 6; /* xmm and ymm */
  if (ymm && (one.c & (1u << 28)) && (seven.b & (1u << 5))) features |= MB_CPU_AVX2;
  return features;
}

#else

uint32_t mb_cpu_features(void) { return 0; }

#endif
