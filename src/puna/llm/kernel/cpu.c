// Which of the kernel's builds this processor can run. Asked of the plainest build before another one is loaded.
#include "puna_kernel.h"

#if defined(__x86_64__)

#include <cpuid.h>

enum { AVX2_BUILD = 1, AVX512_BUILD = 2 };

// The states the operating system saves: 0x06 SSE and AVX registers, 0xe6 those of AVX-512 too.
static uint32_t saved_states(void) {
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  (void)high;
  return low;
}

static int has(uint32_t word, uint32_t bits) { return (word & bits) == bits; }

int32_t puna_cpu_features(void) {
  uint32_t a, b, c, d, b7, c7;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
  // FMA, MOVBE, OSXSAVE, AVX, F16C
  if (!has(c, 1u << 12 | 1u << 22 | 1u << 27 | 1u << 28 | 1u << 29) || !has(saved_states(), 0x06)) return 0;
  if (!__get_cpuid_count(7, 0, &a, &b7, &c7, &d)) return 0;
  if (!__get_cpuid(0x80000001, &a, &b, &c, &d)) return 0;
  // BMI1, AVX2, BMI2; LZCNT
  if (!has(b7, 1u << 3 | 1u << 5 | 1u << 8) || !has(c, 1u << 5)) return 0;
  // AVX-512 F, DQ, CD, BW, VL; VNNI
  int avx512 = has(b7, 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31) && has(c7, 1u << 11);
  return AVX2_BUILD | (avx512 && has(saved_states(), 0xe6) ? AVX512_BUILD : 0);
}

#elif defined(__aarch64__) && defined(__linux__)

#include <sys/auxv.h>
int32_t puna_cpu_features(void) { return getauxval(AT_HWCAP) & 1u << 20 ? 4 : 0; }  // HWCAP_ASIMDDP

#elif defined(__aarch64__) && defined(__APPLE__)

int32_t puna_cpu_features(void) { return 4; }  // every Apple processor that runs macOS on ARM has it

#elif !defined(__wasm__)

int32_t puna_cpu_features(void) { return 0; }

#endif
