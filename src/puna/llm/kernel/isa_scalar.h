// No instruction set in particular: the plain meaning, for any machine. See isa.h.
#define PANEL_ROWS 0

static inline f32x8 half8(const uint8_t *p, int stride) {
  f32x8 out;
  for (int i = 0; i < 8; i++) out[i] = float_of_half(load_u16(p + i * stride));
  return out;
}

static inline float dot_q8_0(const uint8_t *w, const int8_t *q, const void *ordered, const float *scale,
                             const int32_t *sum, int blocks) {
  (void)ordered, (void)sum;
  return finish_q8_0(splat8(0), w, q, scale, 0, blocks);
}

static inline float dot_q4_0(const uint8_t *w, const int8_t *q, const void *ordered, const float *scale,
                             const int32_t *sum, int blocks) {
  (void)ordered, (void)sum;
  return finish_q4_0(splat8(0), w, q, scale, 0, blocks);
}
