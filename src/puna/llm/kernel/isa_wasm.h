// WebAssembly SIMD128, no relaxed operations. See isa.h.
#include <wasm_simd128.h>

// 4 half-precision numbers in the low halves of dwords; float_of_half in four lanes.
static inline v128_t half4(v128_t h) {
  v128_t magnitude = wasm_v128_and(h, wasm_i32x4_splat(0x7fff));
  v128_t infinite = wasm_v128_and(wasm_i32x4_gt(magnitude, wasm_i32x4_splat(0x7bff)), wasm_i32x4_splat(0x7f800000));
  v128_t scaled = wasm_f32x4_mul(wasm_i32x4_shl(magnitude, 13), wasm_f32x4_splat(0x1p112f));
  v128_t sign = wasm_i32x4_shl(wasm_v128_and(h, wasm_i32x4_splat(0x8000)), 16);
  return wasm_v128_or(wasm_v128_or(scaled, infinite), sign);
}

static inline v128_t half4_apart(const uint8_t *p, int stride) {
  return half4(wasm_i32x4_make(load_u16(p), load_u16(p + stride), load_u16(p + 2 * stride), load_u16(p + 3 * stride)));
}

static inline f32x8 half8(const uint8_t *p, int stride) {
  f32x8 out;
  v128_t low = half4_apart(p, stride), high = half4_apart(p + 4 * stride, stride);
  memcpy(&out, &low, 16), memcpy((char *)&out + 16, &high, 16);
  return out;
}

// Four vectors of 4 partial sums -> the 4 totals, in order.
static inline v128_t totals4(const v128_t m[4]) {
  v128_t a = wasm_i32x4_add(wasm_i32x4_shuffle(m[0], m[1], 0, 4, 1, 5), wasm_i32x4_shuffle(m[0], m[1], 2, 6, 3, 7));
  v128_t b = wasm_i32x4_add(wasm_i32x4_shuffle(m[2], m[3], 0, 4, 1, 5), wasm_i32x4_shuffle(m[2], m[3], 2, 6, 3, 7));
  return wasm_i32x4_add(wasm_i32x4_shuffle(a, b, 0, 1, 4, 5), wasm_i32x4_shuffle(a, b, 2, 3, 6, 7));
}

static inline f32x8 lanes_of(v128_t low, v128_t high) {
  f32x8 out;
  memcpy(&out, &low, 16), memcpy((char *)&out + 16, &high, 16);
  return out;
}

static inline v128_t scaled_total(v128_t total, v128_t w_scale, const float *scale) {
  return wasm_f32x4_mul(wasm_f32x4_convert_i32x4(total), wasm_f32x4_mul(w_scale, wasm_v128_load(scale)));
}

// The dots read activations as int16, so that only the weights are widened on the way.
#define Q8_ORDER 2
#define Q4_ORDER 2

static inline void order_q8_0(const int8_t *q, int blocks, void *ordered) {
  int16_t *out = ordered;
  for (int i = 0; i < blocks * BLOCK; i++) out[i] = q[i];
}

// In the order in which shifts of a 16-bit word free its nibbles: low ones of even bytes (values 0 2 .. 14), high
// ones of even bytes (16 18 .. 30), low ones of odd bytes (1 3 .. 15), high ones of odd bytes (17 19 .. 31).
static inline void order_q4_0(const int8_t *q, int blocks, void *ordered) {
  int16_t *out = ordered;
  for (int block = 0; block < blocks; block++, q += BLOCK, out += BLOCK)
    for (int i = 0; i < 8; i++) {
      out[i] = q[2 * i], out[8 + i] = q[16 + 2 * i];
      out[16 + i] = q[2 * i + 1], out[24 + i] = q[17 + 2 * i];
    }
}

static inline v128_t dot8(v128_t w, const int16_t *q) { return wasm_i32x4_dot_i16x8(w, wasm_v128_load(q)); }

static inline v128_t dot4_q8_0(const uint8_t *w, const int16_t *q) {
  v128_t low = wasm_i32x4_add(dot8(wasm_i16x8_load8x8(w + 2), q), dot8(wasm_i16x8_load8x8(w + 10), q + 8));
  v128_t high = wasm_i32x4_add(dot8(wasm_i16x8_load8x8(w + 18), q + 16), dot8(wasm_i16x8_load8x8(w + 26), q + 24));
  return wasm_i32x4_add(low, high);
}

static inline v128_t dot4_q4_0(const uint8_t *w, const int16_t *q) {
  const v128_t mask = wasm_i16x8_splat(15);
  v128_t raw = wasm_v128_load(w + 2);
  v128_t even = wasm_i32x4_add(dot8(wasm_v128_and(raw, mask), q),
                               dot8(wasm_v128_and(wasm_u16x8_shr(raw, 4), mask), q + 8));
  v128_t odd = wasm_i32x4_add(dot8(wasm_v128_and(wasm_u16x8_shr(raw, 8), mask), q + 16),
                              dot8(wasm_u16x8_shr(raw, 12), q + 24));
  return wasm_i32x4_add(even, odd);
}

static inline float dot_q8_0(const uint8_t *w, const int8_t *q, const void *ordered, const float *scale,
                             const int32_t *sum, int blocks) {
  v128_t lanes[2] = {wasm_f32x4_splat(0), wasm_f32x4_splat(0)};
  const int16_t *wide = ordered;
  int block = 0;
  (void)sum;
  for (; block + 4 <= blocks; block += 4, w += 4 * Q8_0_BYTES, wide += 4 * BLOCK) {
    v128_t m[4];
    for (int i = 0; i < 4; i++) m[i] = dot4_q8_0(w + i * Q8_0_BYTES, wide + i * BLOCK);
    v128_t *half = &lanes[block / 4 % 2];
    *half = wasm_f32x4_add(*half, scaled_total(totals4(m), half4_apart(w, Q8_0_BYTES), scale + block));
  }
  return finish_q8_0(lanes_of(lanes[0], lanes[1]), w, q + block * BLOCK, scale, block, blocks);
}

static inline float dot_q4_0(const uint8_t *w, const int8_t *q, const void *ordered, const float *scale,
                             const int32_t *sum, int blocks) {
  v128_t lanes[2] = {wasm_f32x4_splat(0), wasm_f32x4_splat(0)};
  const int16_t *wide = ordered;
  int block = 0;
  for (; block + 4 <= blocks; block += 4, w += 4 * Q4_0_BYTES, wide += 4 * BLOCK) {
    v128_t m[4];
    for (int i = 0; i < 4; i++) m[i] = dot4_q4_0(w + i * Q4_0_BYTES, wide + i * BLOCK);
    // The nibbles were taken as 0..15; the values are 8 less.
    v128_t total = wasm_i32x4_sub(totals4(m), wasm_i32x4_shl(wasm_v128_load(sum + block), 3));
    v128_t *half = &lanes[block / 4 % 2];
    *half = wasm_f32x4_add(*half, scaled_total(total, half4_apart(w, Q4_0_BYTES), scale + block));
  }
  return finish_q4_0(lanes_of(lanes[0], lanes[1]), w, q + block * BLOCK, scale, block, blocks);
}

// ---- panels and tiles of int16 pairs: [block][16][PANEL_ROWS][2] ----

#define PANEL_ROWS 8
#define TILE_ROWS 4
#define PACKED_FROM 2
#define Q8_TILE_PAIRS 1
#define Q4_TILE_PAIRS 1
#define Q8_CORRECTION 0
#define Q4_CORRECTION 0

static inline void pack_q8_0(const uint8_t *const rows[8], int group, uint8_t *panel, float *scale) {
  int16_t *out = (int16_t *)panel;
  (void)group;
  for (int r = 0; r < 8; r++) {
    const int8_t *w = (const int8_t *)rows[r] + 2;
    scale[r] = float_of_half(load_u16(rows[r]));
    for (int i = 0; i < BLOCK; i++) out[(i / 2 * 8 + r) * 2 + i % 2] = w[i];
  }
}

static inline void pack_q4_0(const uint8_t *const rows[8], int group, uint8_t *panel, float *scale) {
  int16_t *out = (int16_t *)panel;
  (void)group;
  for (int r = 0; r < 8; r++) {
    const uint8_t *w = rows[r] + 2;
    scale[r] = float_of_half(load_u16(rows[r]));
    for (int i = 0; i < 16; i++) {
      out[(i / 2 * 8 + r) * 2 + i % 2] = (int16_t)((w[i] & 15) - 8);
      out[((i + 16) / 2 * 8 + r) * 2 + i % 2] = (int16_t)((w[i] >> 4) - 8);
    }
  }
}

static inline void add_to_lane(float *out, v128_t low, v128_t high, const float *panel_scale, float scale) {
  v128_t s = wasm_f32x4_splat(scale);
  v128_t a = wasm_f32x4_mul(wasm_f32x4_convert_i32x4(low), wasm_f32x4_mul(wasm_v128_load(panel_scale), s));
  v128_t b = wasm_f32x4_mul(wasm_f32x4_convert_i32x4(high), wasm_f32x4_mul(wasm_v128_load(panel_scale + 4), s));
  wasm_v128_store(out, wasm_f32x4_add(wasm_v128_load(out), a));
  wasm_v128_store(out + 4, wasm_f32x4_add(wasm_v128_load(out + 4), b));
}

// The loop stays rolled: unrolled, compilers of WebAssembly spill registers and lose half the speed.
#define TILE_STEP(t, low, high)                                   \
  x = wasm_i32x4_shuffle(four, four, t, t, t, t);                 \
  low = wasm_i32x4_add(low, wasm_i32x4_dot_i16x8(w0, x));         \
  high = wasm_i32x4_add(high, wasm_i32x4_dot_i16x8(w1, x));

static inline void tile_pairs(const uint8_t *panel, const float *panel_scale, const Tiles *tiles, size_t at, int blocks,
                              int rows, float *out) {
  (void)rows;  // all places of the tile are computed, also those where no row is
  const uint8_t *q = tiles->data + at * BLOCK * 2;
  const float *scale = tiles->scale + at;
  for (int lane = 0; lane < LANES; lane++, out += TILE_ROWS * PANEL_ROWS) {
    memset(out, 0, sizeof(float) * TILE_ROWS * PANEL_ROWS);
    for (int left = blocks_of_lane(blocks, lane); left; left--) {
      v128_t low0 = wasm_i32x4_splat(0), low1 = low0, low2 = low0, low3 = low0;
      v128_t high0 = low0, high1 = low0, high2 = low0, high3 = low0;
#pragma clang loop unroll(disable)
      for (int j = 0; j < 16; j++, panel += 32, q += 16) {
        v128_t w0 = wasm_v128_load(panel), w1 = wasm_v128_load(panel + 16), four = wasm_v128_load(q), x;
        TILE_STEP(0, low0, high0)
        TILE_STEP(1, low1, high1)
        TILE_STEP(2, low2, high2)
        TILE_STEP(3, low3, high3)
      }
      add_to_lane(out, low0, high0, panel_scale, scale[0]);
      add_to_lane(out + PANEL_ROWS, low1, high1, panel_scale, scale[1]);
      add_to_lane(out + 2 * PANEL_ROWS, low2, high2, panel_scale, scale[2]);
      add_to_lane(out + 3 * PANEL_ROWS, low3, high3, panel_scale, scale[3]);
      panel_scale += PANEL_ROWS, scale += TILE_ROWS;
    }
  }
}

#define tile_q8_0 tile_pairs
#define tile_q4_0 tile_pairs
