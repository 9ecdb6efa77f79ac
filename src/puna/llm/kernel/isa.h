// The inner loops of the chosen instruction set. Every isa_*.h gives the same few functions, and matmul.c is
// written against them:
//
//   dot_q8_0, dot_q4_0     one matrix row times one quantised row (generation)
//   Q8_ORDER, Q4_ORDER     when defined, the dot wants the activations in an order of its own as well (`ordered`,
//                          bytes per value), which order_q8_0, order_q4_0 make
//   half8                  8 half-precision numbers, already loaded, to float
//   PANEL_ROWS, TILE_ROWS  0 when the build has no tiled product; else
//   PACKED_FROM            activation rows from which the tiled product pays where panels are kept
//   Q8_TILE_PAIRS, Q4_TILE_PAIRS   whether tiles hold int16 pairs (else int8 quads)
//   Q8_CORRECTION, Q4_CORRECTION   what is added to an unsigned weight, so that the product must be corrected by
//                          it times the sum of the activations (0: weights are signed in panels)
//   pack_q8_0, pack_q4_0   PANEL_ROWS matrix rows into a panel
//   tile_q8_0, tile_q4_0   panel times tile: the sums of all lanes, whose blocks follow one another
//
// All integer sums are exact, so their order is free. The float part is not: see docs/canonical-arithmetic.md.
#ifndef PUNA_ISA_H
#define PUNA_ISA_H

#include "canonical.h"
#include "matmul.h"

// The plain meaning of one block product; the faster versions end in it for left-over blocks.
static inline int32_t block_dot_q8_0(const uint8_t *block, const int8_t *q) {
  const int8_t *w = (const int8_t *)block + 2;
  int32_t sum = 0;
  for (int i = 0; i < BLOCK; i++) sum += (int32_t)w[i] * q[i];
  return sum;
}

static inline int32_t block_dot_q4_0(const uint8_t *block, const int8_t *q) {
  const uint8_t *w = block + 2;
  int32_t sum = 0;
  for (int i = 0; i < BLOCK / 2; i++) sum += ((int32_t)(w[i] & 15) - 8) * q[i] + ((int32_t)(w[i] >> 4) - 8) * q[i + 16];
  return sum;
}

enum { Q8_0_BYTES = 34, Q4_0_BYTES = 18 };

// Blocks from `block` on, added to their lanes one by one; then the tree.
static inline float finish_q8_0(f32x8 lanes, const uint8_t *w, const int8_t *q, const float *scale, int block, int blocks) {
  for (; block < blocks; block++, w += Q8_0_BYTES, q += BLOCK)
    lanes[block % LANES] += (float)block_dot_q8_0(w, q) * (float_of_half(load_u16(w)) * scale[block]);
  return tree8(lanes);
}

static inline float finish_q4_0(f32x8 lanes, const uint8_t *w, const int8_t *q, const float *scale, int block, int blocks) {
  for (; block < blocks; block++, w += Q4_0_BYTES, q += BLOCK)
    lanes[block % LANES] += (float)block_dot_q4_0(w, q) * (float_of_half(load_u16(w)) * scale[block]);
  return tree8(lanes);
}

// How many of a row's blocks go to a lane.
static inline int blocks_of_lane(int blocks, int lane) { return blocks / LANES + (lane < blocks % LANES); }

#if defined(PUNA_SCALAR)
#include "isa_scalar.h"
#elif defined(__AVX2__)
#include "isa_x86.h"
#elif defined(__aarch64__)
#include "isa_neon.h"
#elif defined(__wasm_simd128__)
#include "isa_wasm.h"
#else
#include "isa_scalar.h"
#endif

#endif
