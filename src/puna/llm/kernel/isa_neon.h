// ARM NEON, with the dot product instructions where the build has them. See isa.h.
#include <arm_neon.h>

#define PANEL_ROWS 0

static inline float32x4_t half4_apart(const uint8_t *p, int stride) {
  uint16_t h[4] = {load_u16(p), load_u16(p + stride), load_u16(p + 2 * stride), load_u16(p + 3 * stride)};
  return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(h)));
}

static inline f32x8 lanes_of(float32x4_t low, float32x4_t high) {
  f32x8 out;
  memcpy(&out, &low, 16), memcpy((char *)&out + 16, &high, 16);
  return out;
}

static inline f32x8 half8(const uint8_t *p, int stride) {
  return lanes_of(half4_apart(p, stride), half4_apart(p + 4 * stride, stride));
}

// sum + the 16 products, in four partial sums. A pair of products is at most 2 * 128 * 127 < 2^15.
static inline int32x4_t dot16(int32x4_t sum, int8x16_t w, int8x16_t q) {
#if defined(__ARM_FEATURE_DOTPROD)
  return vdotq_s32(sum, w, q);
#else
  int16x8_t low = vmull_s8(vget_low_s8(w), vget_low_s8(q)), high = vmull_s8(vget_high_s8(w), vget_high_s8(q));
  return vpadalq_s16(vpadalq_s16(sum, low), high);
#endif
}

static inline float32x4_t scaled_total(const int32x4_t m[4], int32x4_t less, float32x4_t w_scale, const float *scale) {
  int32x4_t total = vsubq_s32(vpaddq_s32(vpaddq_s32(m[0], m[1]), vpaddq_s32(m[2], m[3])), less);
  return vmulq_f32(vcvtq_f32_s32(total), vmulq_f32(w_scale, vld1q_f32(scale)));
}

static inline float dot_q8_0(const uint8_t *w, const int8_t *q, const void *ordered, const float *scale,
                             const int32_t *sum, int blocks) {
  float32x4_t lanes[2] = {vdupq_n_f32(0), vdupq_n_f32(0)};
  int32x4_t zero = vdupq_n_s32(0), m[4];
  int block = 0;
  (void)ordered, (void)sum;
  for (; block + 4 <= blocks; block += 4, w += 4 * Q8_0_BYTES, q += 4 * BLOCK) {
    for (int i = 0; i < 4; i++) {
      const int8_t *values = (const int8_t *)w + i * Q8_0_BYTES + 2;
      m[i] = dot16(dot16(zero, vld1q_s8(values), vld1q_s8(q + i * BLOCK)), vld1q_s8(values + 16),
                   vld1q_s8(q + i * BLOCK + 16));
    }
    float32x4_t *half = &lanes[block / 4 % 2];
    *half = vaddq_f32(*half, scaled_total(m, zero, half4_apart(w, Q8_0_BYTES), scale + block));
  }
  return finish_q8_0(lanes_of(lanes[0], lanes[1]), w, q, scale, block, blocks);
}

static inline float dot_q4_0(const uint8_t *w, const int8_t *q, const void *ordered, const float *scale,
                             const int32_t *sum, int blocks) {
  float32x4_t lanes[2] = {vdupq_n_f32(0), vdupq_n_f32(0)};
  int32x4_t zero = vdupq_n_s32(0), m[4];
  int block = 0;
  (void)ordered;
  for (; block + 4 <= blocks; block += 4, w += 4 * Q4_0_BYTES, q += 4 * BLOCK) {
    for (int i = 0; i < 4; i++) {
      uint8x16_t raw = vld1q_u8(w + i * Q4_0_BYTES + 2);
      int8x16_t low = vreinterpretq_s8_u8(vandq_u8(raw, vdupq_n_u8(15)));
      int8x16_t high = vreinterpretq_s8_u8(vshrq_n_u8(raw, 4));
      m[i] = dot16(dot16(zero, low, vld1q_s8(q + i * BLOCK)), high, vld1q_s8(q + i * BLOCK + 16));
    }
    // The nibbles were taken as 0..15; the values are 8 less.
    float32x4_t *half = &lanes[block / 4 % 2];
    int32x4_t less = vshlq_n_s32(vld1q_s32(sum + block), 3);
    *half = vaddq_f32(*half, scaled_total(m, less, half4_apart(w, Q4_0_BYTES), scale + block));
  }
  return finish_q4_0(lanes_of(lanes[0], lanes[1]), w, q, scale, block, blocks);
}
