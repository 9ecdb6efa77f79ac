// AVX2 and AVX-512 with VNNI. See isa.h.
#include <immintrin.h>

// 8 half-precision numbers `stride` bytes apart. The hardware conversion is exact, like float_of_half.
static inline __m256 half8_x86(const uint8_t *p, int stride) {
  __m128i h = _mm_cvtsi32_si128(load_u16(p));
  h = _mm_insert_epi16(h, load_u16(p + stride), 1);
  h = _mm_insert_epi16(h, load_u16(p + 2 * stride), 2);
  h = _mm_insert_epi16(h, load_u16(p + 3 * stride), 3);
  h = _mm_insert_epi16(h, load_u16(p + 4 * stride), 4);
  h = _mm_insert_epi16(h, load_u16(p + 5 * stride), 5);
  h = _mm_insert_epi16(h, load_u16(p + 6 * stride), 6);
  h = _mm_insert_epi16(h, load_u16(p + 7 * stride), 7);
  return _mm256_cvtph_ps(h);
}

static inline f32x8 half8(const uint8_t *p, int stride) { return (f32x8)half8_x86(p, stride); }

// 16 bytes of nibbles to 32 bytes 0..15, in the order of the values.
static inline __m256i nibbles(const uint8_t *p) {
  __m128i raw = _mm_loadu_si128((const __m128i *)p);
  __m256i both = _mm256_inserti128_si256(_mm256_castsi128_si256(raw), _mm_srli_epi16(raw, 4), 1);
  return _mm256_and_si256(both, _mm256_set1_epi8(15));
}

#define PREFETCH(p) _mm_prefetch((const char *)(p), _MM_HINT_T0)

#if defined(__AVX512VNNI__) && defined(__AVX512VL__) && defined(__AVX512BW__)
#define PUNA_VNNI 1
#else
#define PUNA_VNNI 0
#endif

// ---- one row (generation): 8 blocks at a time, one for each lane ----

// How far ahead of the product weights are fetched, in bytes; 0: by the processor alone, which on Zen 4 does better
// with Q8_0's wider stream (23 against 20 GB/s) and worse with Q4_0's (14 against 20).
#define Q8_PREFETCH (PUNA_VNNI ? 0 : 2048)
#define Q4_PREFETCH 4096

static inline __m256i load32(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }

static inline __m256 scaled(__m256i total, __m256 w_scale, const float *scale) {
  return _mm256_mul_ps(_mm256_cvtepi32_ps(total), _mm256_mul_ps(w_scale, _mm256_loadu_ps(scale)));
}

// The 32 products of a block in 8 sums of 4. With VNNI they are those of w + 128, which is unsigned as the
// instruction wants it: 128 times the block's sum of q must go off again.
static inline __m256i dot4_q8_0(__m256i w, __m256i q) {
#if PUNA_VNNI
  return _mm256_dpbusd_epi32(_mm256_setzero_si256(), _mm256_xor_si256(w, _mm256_set1_epi8((char)0x80)), q);
#else
  // |w| times q with w's sign. |-128| is 128 unsigned, and a pair is at most 2 * 128 * 127 < 2^15: no saturation.
  __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(q, w));
  return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
#endif
}

static inline float dot_q8_0(const uint8_t *w, const int8_t *q, const void *ordered, const float *scale,
                             const int32_t *sum, int blocks) {
  __m256 lanes = _mm256_setzero_ps();
  int block = 0;
  (void)ordered;
  for (; block + 8 <= blocks; block += 8, w += 8 * Q8_0_BYTES, q += 8 * BLOCK) {
    for (int i = 0; Q8_PREFETCH && i < 5; i++) PREFETCH(w + Q8_PREFETCH + 64 * i);
    __m256i m[8];
    for (int i = 0; i < 8; i++) m[i] = dot4_q8_0(load32(w + i * Q8_0_BYTES + 2), load32(q + i * BLOCK));
    __m256i a = _mm256_hadd_epi32(_mm256_hadd_epi32(m[0], m[1]), _mm256_hadd_epi32(m[2], m[3]));
    __m256i b = _mm256_hadd_epi32(_mm256_hadd_epi32(m[4], m[5]), _mm256_hadd_epi32(m[6], m[7]));
    // Both hold a half of four blocks' sums in each of their halves.
    __m256i total = _mm256_add_epi32(_mm256_permute2x128_si256(a, b, 0x20), _mm256_permute2x128_si256(a, b, 0x31));
    if (PUNA_VNNI) total = _mm256_sub_epi32(total, _mm256_slli_epi32(load32(sum + block), 7));
    lanes = _mm256_add_ps(lanes, scaled(total, half8_x86(w, Q8_0_BYTES), scale + block));
  }
  return finish_q8_0((f32x8)lanes, w, q, scale, block, blocks);
}

// Q4_0 takes two blocks into one register, 16 bytes each, without a shuffle; for that the activations lie in the
// order of the nibbles: of each two blocks first both low halves, then both high ones.
#define Q4_ORDER 1

static inline void order_q4_0(const int8_t *q, int blocks, void *ordered) {
  int8_t *halves = ordered;
  for (int block = 0; block + 2 <= blocks; block += 2, q += 2 * BLOCK, halves += 2 * BLOCK) {
    memcpy(halves, q, 16), memcpy(halves + 16, q + 32, 16);
    memcpy(halves + 32, q + 16, 16), memcpy(halves + 48, q + 48, 16);
  }
}

// Two blocks' products in 4 sums each, first block in the low half; nibbles taken as 0..15. At most 8 * 15 * 127.
static inline __m256i dot_two_q4_0(const uint8_t *w, const int8_t *halves) {
  const __m256i mask = _mm256_set1_epi8(15);
  __m256i raw = _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(w + 2)));
  raw = _mm256_inserti128_si256(raw, _mm_loadu_si128((const __m128i *)(w + Q4_0_BYTES + 2)), 1);
  __m256i low = _mm256_and_si256(raw, mask), high = _mm256_and_si256(_mm256_srli_epi16(raw, 4), mask);
#if PUNA_VNNI
  __m256i sum = _mm256_dpbusd_epi32(_mm256_setzero_si256(), low, load32(halves));
  return _mm256_dpbusd_epi32(sum, high, load32(halves + 32));
#else
  __m256i pairs = _mm256_add_epi16(_mm256_maddubs_epi16(low, load32(halves)),
                                   _mm256_maddubs_epi16(high, load32(halves + 32)));
  return _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
#endif
}

// Neighbouring sums of both added up: they fit 16 bits, and this is cheaper than the horizontal additions.
static inline __m256i add_neighbours(__m256i a, __m256i b) {
  return _mm256_madd_epi16(_mm256_packs_epi32(a, b), _mm256_set1_epi16(1));
}

static inline float dot_q4_0(const uint8_t *w, const int8_t *q, const void *ordered, const float *scale,
                             const int32_t *sum, int blocks) {
  const int8_t *halves = ordered;
  const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  __m256 lanes = _mm256_setzero_ps();
  int block = 0;
  for (; block + 8 <= blocks; block += 8, w += 8 * Q4_0_BYTES, halves += 8 * BLOCK) {
    for (int i = 0; Q4_PREFETCH && i < 3; i++) PREFETCH(w + Q4_PREFETCH + 64 * i);
    __m256i m[4];
    for (int i = 0; i < 4; i++) m[i] = dot_two_q4_0(w + 2 * i * Q4_0_BYTES, halves + 2 * i * BLOCK);
    // Blocks 0 2 4 6 in the low half, 1 3 5 7 in the high one.
    __m256i total = add_neighbours(add_neighbours(m[0], m[1]), add_neighbours(m[2], m[3]));
    total = _mm256_permutevar8x32_epi32(total, order);
    // The values are 8 less than the nibbles.
    total = _mm256_sub_epi32(total, _mm256_slli_epi32(load32(sum + block), 3));
    lanes = _mm256_add_ps(lanes, scaled(total, half8_x86(w, Q4_0_BYTES), scale + block));
  }
  return finish_q4_0((f32x8)lanes, w, q + block * BLOCK, scale, block, blocks);
}

// ---- panels: PANEL_ROWS matrix rows, interleaved so that one vector load gives the same 4 values of many rows ----

// Transpose 8 rows of 8 dwords: out[j] holds dword j of every row.
static inline void transpose8(const __m256i v[8], __m256i out[8]) {
  __m256i a0 = _mm256_unpacklo_epi32(v[0], v[1]), a1 = _mm256_unpackhi_epi32(v[0], v[1]);
  __m256i a2 = _mm256_unpacklo_epi32(v[2], v[3]), a3 = _mm256_unpackhi_epi32(v[2], v[3]);
  __m256i a4 = _mm256_unpacklo_epi32(v[4], v[5]), a5 = _mm256_unpackhi_epi32(v[4], v[5]);
  __m256i a6 = _mm256_unpacklo_epi32(v[6], v[7]), a7 = _mm256_unpackhi_epi32(v[6], v[7]);
  __m256i b0 = _mm256_unpacklo_epi64(a0, a2), b1 = _mm256_unpackhi_epi64(a0, a2);
  __m256i b2 = _mm256_unpacklo_epi64(a1, a3), b3 = _mm256_unpackhi_epi64(a1, a3);
  __m256i b4 = _mm256_unpacklo_epi64(a4, a6), b5 = _mm256_unpackhi_epi64(a4, a6);
  __m256i b6 = _mm256_unpacklo_epi64(a5, a7), b7 = _mm256_unpackhi_epi64(a5, a7);
  out[0] = _mm256_permute2x128_si256(b0, b4, 0x20), out[4] = _mm256_permute2x128_si256(b0, b4, 0x31);
  out[1] = _mm256_permute2x128_si256(b1, b5, 0x20), out[5] = _mm256_permute2x128_si256(b1, b5, 0x31);
  out[2] = _mm256_permute2x128_si256(b2, b6, 0x20), out[6] = _mm256_permute2x128_si256(b2, b6, 0x31);
  out[3] = _mm256_permute2x128_si256(b3, b7, 0x20), out[7] = _mm256_permute2x128_si256(b3, b7, 0x31);
}

#if PUNA_VNNI
#define PANEL_ROWS 32
#define TILE_ROWS 8
#define PACKED_FROM 1
#define Q8_TILE_PAIRS 0
#define Q8_CORRECTION 128
#else
#define PANEL_ROWS 16
#define TILE_ROWS 4
#define PACKED_FROM 1
#define Q8_TILE_PAIRS 1
#define Q8_CORRECTION 0
#endif
#define Q4_TILE_PAIRS 0
#define Q4_CORRECTION 8

// Panel layout in quads: [block][8 dwords][PANEL_ROWS][4 bytes]; in pairs: [block][16][PANEL_ROWS][2 int16].
// `rows` are pointers to the block in each of 8 matrix rows; `group` says which 8 rows of the panel they are.
static inline void pack_q4_0(const uint8_t *const rows[8], int group, uint8_t *panel, float *scale) {
  __m256i v[8], quads[8];
  for (int r = 0; r < 8; r++) {
    v[r] = nibbles(rows[r] + 2);
    scale[group * 8 + r] = _cvtsh_ss(load_u16(rows[r]));
  }
  transpose8(v, quads);
  for (int j = 0; j < 8; j++) _mm256_store_si256((__m256i *)(panel + (j * PANEL_ROWS + group * 8) * 4), quads[j]);
}

static inline void pack_q8_0(const uint8_t *const rows[8], int group, uint8_t *panel, float *scale) {
  __m256i v[8], quads[8];
  for (int r = 0; r < 8; r++) {
    v[r] = _mm256_loadu_si256((const __m256i *)(rows[r] + 2));
    scale[group * 8 + r] = _cvtsh_ss(load_u16(rows[r]));
  }
  transpose8(v, quads);
#if PUNA_VNNI
  const __m256i sign = _mm256_set1_epi8((char)0x80);
  for (int j = 0; j < 8; j++)
    _mm256_store_si256((__m256i *)(panel + (j * PANEL_ROWS + group * 8) * 4), _mm256_xor_si256(quads[j], sign));
#else
  // Each dword's 4 bytes become two pairs of int16: bytes go to the high half, an arithmetic shift extends the sign.
  const __m256i first = _mm256_setr_epi8(-1, 0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13,  //
                                         -1, 0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13);
  const __m256i second = _mm256_setr_epi8(-1, 2, -1, 3, -1, 6, -1, 7, -1, 10, -1, 11, -1, 14, -1, 15,  //
                                          -1, 2, -1, 3, -1, 6, -1, 7, -1, 10, -1, 11, -1, 14, -1, 15);
  for (int j = 0; j < 8; j++) {
    uint8_t *out = panel + (2 * j * PANEL_ROWS + group * 8) * 4;
    _mm256_store_si256((__m256i *)out, _mm256_srai_epi16(_mm256_shuffle_epi8(quads[j], first), 8));
    _mm256_store_si256((__m256i *)(out + PANEL_ROWS * 4), _mm256_srai_epi16(_mm256_shuffle_epi8(quads[j], second), 8));
  }
#endif
}

// ---- tiles: `rows` <= TILE_ROWS activation rows times one panel of `blocks` blocks ----
// out (LANES, TILE_ROWS, PANEL_ROWS) receives the lanes' sums, each begun at zero. Each number of rows has a loop of
// its own, which keeps their sums in registers.

#define ALWAYS_INLINE static inline __attribute__((always_inline))

static inline int32_t load_i32(const uint8_t *p) { int32_t x; memcpy(&x, p, 4); return x; }

#if PUNA_VNNI

// Unsigned weights of any bias: `correction` (blocks, TILE_ROWS) is minus the bias times the block's sum of q, and
// the integer sum begins at it.
ALWAYS_INLINE void quads_times(const uint8_t *panel, const float *panel_scale, const Tiles *tiles, size_t at,
                               int blocks, const int rows, float *out) {
  const uint8_t *q = tiles->data + at * BLOCK;
  const float *scale = tiles->scale + at;
  const int32_t *correction = tiles->correction + at;
  for (int lane = 0; lane < LANES; lane++, out += TILE_ROWS * PANEL_ROWS) {
    __m512 lane0[TILE_ROWS], lane1[TILE_ROWS];
    for (int t = 0; t < rows; t++) lane0[t] = lane1[t] = _mm512_setzero_ps();
    for (int left = blocks_of_lane(blocks, lane); left; left--) {
      __m512i sum0[TILE_ROWS], sum1[TILE_ROWS];
#pragma clang loop unroll(full)
      for (int t = 0; t < rows; t++) sum0[t] = sum1[t] = _mm512_set1_epi32(correction[t]);
#pragma clang loop unroll(full)
      for (int j = 0; j < 8; j++) {
        __m512i w0 = _mm512_load_si512(panel + j * 128), w1 = _mm512_load_si512(panel + j * 128 + 64);
#pragma clang loop unroll(full)
        for (int t = 0; t < rows; t++) {
          __m512i x = _mm512_set1_epi32(load_i32(q + (j * TILE_ROWS + t) * 4));
          sum0[t] = _mm512_dpbusd_epi32(sum0[t], w0, x);
          sum1[t] = _mm512_dpbusd_epi32(sum1[t], w1, x);
        }
      }
      __m512 s0 = _mm512_load_ps(panel_scale), s1 = _mm512_load_ps(panel_scale + 16);
#pragma clang loop unroll(full)
      for (int t = 0; t < rows; t++) {
        __m512 s = _mm512_set1_ps(scale[t]);
        lane0[t] = _mm512_add_ps(lane0[t], _mm512_mul_ps(_mm512_cvtepi32_ps(sum0[t]), _mm512_mul_ps(s0, s)));
        lane1[t] = _mm512_add_ps(lane1[t], _mm512_mul_ps(_mm512_cvtepi32_ps(sum1[t]), _mm512_mul_ps(s1, s)));
      }
      panel += BLOCK * PANEL_ROWS, panel_scale += PANEL_ROWS;
      q += BLOCK * TILE_ROWS, scale += TILE_ROWS, correction += TILE_ROWS;
    }
    for (int t = 0; t < rows; t++) {
      _mm512_storeu_ps(out + t * PANEL_ROWS, lane0[t]);
      _mm512_storeu_ps(out + t * PANEL_ROWS + 16, lane1[t]);
    }
  }
}

static inline void tile_quads(const uint8_t *panel, const float *panel_scale, const Tiles *tiles, size_t at, int blocks,
                              int rows, float *out) {
#define ROWS(n) case n: quads_times(panel, panel_scale, tiles, at, blocks, n, out); break;
  switch (rows) { ROWS(1) ROWS(2) ROWS(3) ROWS(4) ROWS(5) ROWS(6) ROWS(7) ROWS(8) }
#undef ROWS
}

#define tile_q8_0 tile_quads
#define tile_q4_0 tile_quads

#else

// The lane's sums stay in memory: sixteen registers hold the integer sums and no more.
static inline void add_to_lane(float *out, __m256i sum, __m256 panel_scale, __m256 scale) {
  __m256 product = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), _mm256_mul_ps(panel_scale, scale));
  _mm256_storeu_ps(out, _mm256_add_ps(_mm256_loadu_ps(out), product));
}

ALWAYS_INLINE void q8_0_times(const uint8_t *panel, const float *panel_scale, const Tiles *tiles, size_t at,
                              int blocks, const int rows, float *out) {
  const uint8_t *q = tiles->data + at * BLOCK * 2;
  const float *scale = tiles->scale + at;
  for (int lane = 0; lane < LANES; lane++, out += TILE_ROWS * PANEL_ROWS) {
    memset(out, 0, sizeof(float) * rows * PANEL_ROWS);
    for (int left = blocks_of_lane(blocks, lane); left; left--) {
      __m256i sum0[TILE_ROWS], sum1[TILE_ROWS];
      for (int t = 0; t < rows; t++) sum0[t] = sum1[t] = _mm256_setzero_si256();
#pragma clang loop unroll(full)
      for (int j = 0; j < 16; j++) {
        __m256i w0 = _mm256_load_si256((const __m256i *)(panel + j * 64));
        __m256i w1 = _mm256_load_si256((const __m256i *)(panel + j * 64 + 32));
#pragma clang loop unroll(full)
        for (int t = 0; t < rows; t++) {
          __m256i x = _mm256_set1_epi32(load_i32(q + (j * TILE_ROWS + t) * 4));
          sum0[t] = _mm256_add_epi32(sum0[t], _mm256_madd_epi16(w0, x));
          sum1[t] = _mm256_add_epi32(sum1[t], _mm256_madd_epi16(w1, x));
        }
      }
      __m256 s0 = _mm256_load_ps(panel_scale), s1 = _mm256_load_ps(panel_scale + 8);
      for (int t = 0; t < rows; t++) {
        __m256 s = _mm256_set1_ps(scale[t]);
        add_to_lane(out + t * PANEL_ROWS, sum0[t], s0, s);
        add_to_lane(out + t * PANEL_ROWS + 8, sum1[t], s1, s);
      }
      panel += BLOCK * PANEL_ROWS * 2, panel_scale += PANEL_ROWS;
      q += BLOCK * TILE_ROWS * 2, scale += TILE_ROWS;
    }
  }
}

// Eight products of 15 * 127 * 2 stay below 2^15, so a whole block is summed in int16.
ALWAYS_INLINE void q4_0_times(const uint8_t *panel, const float *panel_scale, const Tiles *tiles, size_t at,
                              int blocks, const int rows, float *out) {
  const uint8_t *q = tiles->data + at * BLOCK;
  const float *scale = tiles->scale + at;
  const int32_t *correction = tiles->correction + at;
  const __m256i one = _mm256_set1_epi16(1);
  for (int lane = 0; lane < LANES; lane++, out += TILE_ROWS * PANEL_ROWS) {
    memset(out, 0, sizeof(float) * rows * PANEL_ROWS);
    for (int left = blocks_of_lane(blocks, lane); left; left--) {
      __m256i sum0[TILE_ROWS], sum1[TILE_ROWS];
      for (int t = 0; t < rows; t++) sum0[t] = sum1[t] = _mm256_setzero_si256();
#pragma clang loop unroll(full)
      for (int j = 0; j < 8; j++) {
        __m256i w0 = _mm256_load_si256((const __m256i *)(panel + j * 64));
        __m256i w1 = _mm256_load_si256((const __m256i *)(panel + j * 64 + 32));
#pragma clang loop unroll(full)
        for (int t = 0; t < rows; t++) {
          __m256i x = _mm256_set1_epi32(load_i32(q + (j * TILE_ROWS + t) * 4));
          sum0[t] = _mm256_add_epi16(sum0[t], _mm256_maddubs_epi16(w0, x));
          sum1[t] = _mm256_add_epi16(sum1[t], _mm256_maddubs_epi16(w1, x));
        }
      }
      __m256 s0 = _mm256_load_ps(panel_scale), s1 = _mm256_load_ps(panel_scale + 8);
      for (int t = 0; t < rows; t++) {
        __m256 s = _mm256_set1_ps(scale[t]);
        __m256i c = _mm256_set1_epi32(correction[t]);
        add_to_lane(out + t * PANEL_ROWS, _mm256_add_epi32(_mm256_madd_epi16(sum0[t], one), c), s0, s);
        add_to_lane(out + t * PANEL_ROWS + 8, _mm256_add_epi32(_mm256_madd_epi16(sum1[t], one), c), s1, s);
      }
      panel += BLOCK * PANEL_ROWS, panel_scale += PANEL_ROWS;
      q += BLOCK * TILE_ROWS, scale += TILE_ROWS, correction += TILE_ROWS;
    }
  }
}

#define ROWS(name, n) case n: name(panel, panel_scale, tiles, at, blocks, n, out); break;
static inline void tile_q8_0(const uint8_t *panel, const float *panel_scale, const Tiles *tiles, size_t at, int blocks,
                             int rows, float *out) {
  switch (rows) { ROWS(q8_0_times, 1) ROWS(q8_0_times, 2) ROWS(q8_0_times, 3) ROWS(q8_0_times, 4) }
}

static inline void tile_q4_0(const uint8_t *panel, const float *panel_scale, const Tiles *tiles, size_t at, int blocks,
                             int rows, float *out) {
  switch (rows) { ROWS(q4_0_times, 1) ROWS(q4_0_times, 2) ROWS(q4_0_times, 3) ROWS(q4_0_times, 4) }
}
#undef ROWS

#endif
