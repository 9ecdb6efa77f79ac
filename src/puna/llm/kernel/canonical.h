// The canonical arithmetic: what every build of this kernel, and the NumPy reference, must compute bit for bit.
//
// docs/canonical-arithmetic.md is the specification. Only IEEE-754 basic operations (+ - * / sqrt, comparison) in a
// fixed order are used: no libm, no fused multiply-add (the build passes -ffp-contract=off), no flush to zero.
// Every operation is defined for every input, so that even a broken model gives the same logits everywhere.
#ifndef PUNA_CANONICAL_H
#define PUNA_CANONICAL_H

#include <stdint.h>
#include <string.h>

#define BLOCK 32   // values per quantised block
#define LANES 8    // float lanes that a long sum is spread over: element or block i goes to lane i % 8

// Eight lanes. Every target computes them lane by lane, in one register or in two.
typedef float f32x8 __attribute__((vector_size(32)));
typedef int32_t i32x8 __attribute__((vector_size(32)));
typedef float f32x8_unaligned __attribute__((vector_size(32), aligned(1)));

static inline f32x8 splat8(float x) { return (f32x8){x, x, x, x, x, x, x, x}; }
static inline i32x8 splat8i(int32_t x) { return (i32x8){x, x, x, x, x, x, x, x}; }
static inline f32x8 load8(const void *p) { return *(const f32x8_unaligned *)p; }
static inline void store8(void *p, f32x8 x) { *(f32x8_unaligned *)p = x; }
static inline f32x8 select8(i32x8 mask, f32x8 yes, f32x8 no) {
  return (f32x8)(((i32x8)yes & mask) | ((i32x8)no & ~mask));
}

static inline float float_of(uint32_t bits) { float x; memcpy(&x, &bits, 4); return x; }
static inline uint32_t bits_of(float x) { uint32_t bits; memcpy(&bits, &x, 4); return bits; }
static inline uint16_t load_u16(const uint8_t *p) { uint16_t x; memcpy(&x, p, 2); return x; }
static inline float load_f32(const uint8_t *p) { float x; memcpy(&x, p, 4); return x; }

// Half to single precision: exact, subnormals included. 0x1p112 moves the exponent's bias from 15 to 127.
static inline float float_of_half(uint16_t half) {
  uint32_t infinite = (half & 0x7c00) == 0x7c00 ? 0x7f800000u : 0;
  float magnitude = float_of((uint32_t)(half & 0x7fff) << 13) * 0x1p112f;
  return float_of(bits_of(magnitude) | infinite | (uint32_t)(half & 0x8000) << 16);
}

// The only order in which the lanes of a sum are ever added up.
static inline float tree8(f32x8 lane) {
  return ((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7]));
}

// exp(x), x clamped to [-87, 88] (a NaN counts as -87): never subnormal, never infinite. Error under 2 ulp.
static inline f32x8 exp8(f32x8 x) {
  const f32x8 low = splat8(-87.0f), high = splat8(88.0f), to_integer = splat8(12582912.0f);  // 1.5 * 2^23
  x = select8(x > low, x, low);
  x = select8(x < high, x, high);
  f32x8 shifted = x * splat8(1.44269504f) + to_integer;
  f32x8 n = shifted - to_integer;
  f32x8 r = x - n * splat8(0.693359375f);
  r = r - n * splat8(-2.12194440e-4f);
  f32x8 p = splat8(1.9875691500e-4f);
  p = p * r + splat8(1.3981999507e-3f);
  p = p * r + splat8(8.3334519073e-3f);
  p = p * r + splat8(4.1665795894e-2f);
  p = p * r + splat8(1.6666665459e-1f);
  p = p * r + splat8(5.0000001201e-1f);
  f32x8 y = (p * (r * r) + r) + splat8(1.0f);
  i32x8 exponent = (i32x8)shifted - splat8i(0x4B400000);  // the bits of 12582912.0f
  return y * (f32x8)((exponent + splat8i(127)) << 23);
}

// Rotary embedding angles are computed in double precision from basic operations, then rounded to float once.
double canonical_exp(double x);
double canonical_log(double x);
void canonical_sin_cos(double x, double *sine, double *cosine);

#endif
