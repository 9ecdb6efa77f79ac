// Activations are quantised once, then multiplied with matrices of any type. A few rows go one by one through
// the weights (generation is bound by reading them); more rows go in tiles against panels of interleaved weights
// (a prompt is bound by the arithmetic). A small model's panels are kept, so that even a few rows go that way. Both
// give the same bits: integer sums are exact, and each block's product goes to lane `block % 8` in ascending order
// of blocks.
#include "matmul.h"

#include "isa.h"

enum {
  ROWS_PER_UNIT = 32,  // matrix rows one thread takes at a time when rows go one by one
  TILED_FROM = 6,      // activation rows from which the tiled product pays, panels being made for it
  FLOAT_ROWS = 4,      // rows of a float matrix multiplied together
};

size_t matrix_row_bytes(int type, int cols) {
  switch (type) {
    case TYPE_Q8_0: return (size_t)cols / BLOCK * Q8_0_BYTES;
    case TYPE_Q4_0: return (size_t)cols / BLOCK * Q4_0_BYTES;
    case TYPE_F16: return (size_t)cols * 2;
    default: return (size_t)cols * 4;
  }
}

static int is_quantised(int type) { return type == TYPE_Q8_0 || type == TYPE_Q4_0; }

// Cut one aligned piece off the front of `*memory`.
static void *take(uint8_t **memory, size_t bytes) {
  void *piece = *memory;
  *memory += (bytes + 63) & ~(size_t)63;
  return piece;
}

// ---- quantising ----

// amax / 127 per block, to nearest even. A block smaller than 2^-100 is zero (127 / amax must not overflow); a
// block with an infinity or a NaN gets the scale NaN, which then shows in every logit it reaches.
float quantise_block(const float *values, int8_t *q, int32_t *sum) {
  uint32_t amax = 0;
  for (int i = 0; i < BLOCK; i++) {
    uint32_t magnitude = bits_of(values[i]) & 0x7fffffff;
    amax = magnitude > amax ? magnitude : amax;
  }
  if (amax < 0x0D800000 || amax >= 0x7f800000) {  // the bits of 2^-100, of infinity
    memset(q, 0, BLOCK);
    *sum = 0;
    return amax < 0x0D800000 ? 0.0f : float_of(0x7fc00000);
  }
  float inverse = 127.0f / float_of(amax);
  int32_t rounded[BLOCK], total = 0;
  // Adding 1.5 * 2^23 leaves the rounded integer in the low bits.
  for (int i = 0; i < BLOCK; i++) rounded[i] = (int32_t)bits_of(values[i] * inverse + 12582912.0f) - 0x4B400000;
  for (int i = 0; i < BLOCK; i++) total += rounded[i];
  for (int i = 0; i < BLOCK; i++) q[i] = (int8_t)rounded[i];
  *sum = total;
  return float_of(amax) / 127.0f;
}

#if PANEL_ROWS

// Panels and tiles keep all blocks of a lane together, so that a lane is summed up in registers.
static int slot_of_block(int blocks, int block) {
  int lane = block % LANES, longer = blocks % LANES;
  return lane * (blocks / LANES) + (lane < longer ? lane : longer) + block / LANES;
}

// Rows first .. first + TILE_ROWS of `a` side by side: [block slot][quads or pairs of values][row]. Places of rows
// that are not there keep what they held: nothing that is computed from it is stored.
static void interleave_tile(const Activations *a, Tiles *tiles, int tile, int pairs, int correction) {
  int blocks = a->cols / BLOCK, width = pairs ? 2 : 4, first = tile * TILE_ROWS;
  for (int t = 0; t < TILE_ROWS && first + t < a->rows; t++) {
    int row = first + t;
    for (int block = 0; block < blocks; block++) {
      size_t slot = ((size_t)tile * blocks + slot_of_block(blocks, block)) * TILE_ROWS;
      size_t from = (size_t)row * blocks + block;
      tiles->scale[slot + t] = a->scale[from];
      tiles->correction[slot + t] = -correction * a->sum[from];
      const int8_t *q = a->q + from * BLOCK;
      uint8_t *out = tiles->data + slot * BLOCK * (pairs ? 2 : 1) + t * 4;
      for (int i = 0; i < BLOCK / width; i++, out += TILE_ROWS * 4) {
        int16_t two[2];
        if (pairs) two[0] = q[2 * i], two[1] = q[2 * i + 1], memcpy(out, two, 4);
        else memcpy(out, q + 4 * i, 4);
      }
    }
  }
}

#endif

typedef struct {
  Activations *a;
  int rows_per_unit, tile_q8, tile_q4, order_q8, order_q4;
} SetJob;

static void order_row(const SetJob *job, int row, int blocks) {
  Activations *a = job->a;
  size_t at = (size_t)row * a->cols;
  (void)blocks, (void)at;
#ifdef Q8_ORDER
  if (job->order_q8) order_q8_0(a->q + at, blocks, a->ordered_q8 + at * Q8_ORDER);
#endif
#ifdef Q4_ORDER
  if (job->order_q4) order_q4_0(a->q + at, blocks, a->ordered_q4 + at * Q4_ORDER);
#endif
}

static void set_unit(void *argument, int unit, int worker) {
  SetJob *job = argument;
  Activations *a = job->a;
  (void)worker;
  int blocks = a->cols / BLOCK, first = unit * job->rows_per_unit, end = first + job->rows_per_unit;
  for (int row = first; row < end && row < a->rows; row++) {
    for (int block = 0; block < blocks; block++) {
      size_t at = (size_t)row * blocks + block;
      a->scale[at] = quantise_block(a->values + at * BLOCK, a->q + at * BLOCK, &a->sum[at]);
    }
    order_row(job, row, blocks);
  }
#if PANEL_ROWS
  if (job->tile_q8) interleave_tile(a, &a->q8, unit, Q8_TILE_PAIRS, Q8_CORRECTION);
  if (job->tile_q4) interleave_tile(a, &a->q4, unit, Q4_TILE_PAIRS, Q4_CORRECTION);
#endif
}

void activations_set(Activations *a, Pool *pool, const float *values, int rows, int cols, const Matrix *const *matrices,
                     int count) {
  a->rows = rows, a->cols = cols, a->values = values;
  int q8 = 0, q4 = 0;
  for (int i = 0; i < count; i++) q8 |= matrices[i]->type == TYPE_Q8_0, q4 |= matrices[i]->type == TYPE_Q4_0;
  if (!q8 && !q4) return;
#if PANEL_ROWS
  int packed = 0;
  for (int i = 0; i < count; i++) packed |= matrices[i]->panels != NULL;
  int tiled = a->tiled = rows >= (packed ? PACKED_FROM : TILED_FROM);
  SetJob job = {a, TILE_ROWS, tiled && q8, tiled && q4, !tiled && q8, !tiled && q4};
#else
  SetJob job = {a, 4, 0, 0, q8, q4};
#endif
  pool_run(pool, (rows + job.rows_per_unit - 1) / job.rows_per_unit, set_unit, &job);
}

#if PANEL_ROWS
enum { TILE_PADDING = TILE_ROWS, Q8_WIDTH = Q8_TILE_PAIRS ? 2 : 1, Q4_WIDTH = Q4_TILE_PAIRS ? 2 : 1 };
#else
enum { TILE_PADDING = 1, Q8_WIDTH = 1, Q4_WIDTH = 1 };
#endif

int activations_init(Activations *a, int rows_max, int cols_max) {
  memset(a, 0, sizeof *a);
  size_t rows = (size_t)(rows_max + TILE_PADDING - 1) / TILE_PADDING * TILE_PADDING;
  size_t values = rows * cols_max, scales = values / BLOCK * sizeof(float);
  a->rows_max = rows_max, a->cols_max = cols_max;
  a->memory_bytes = values * (1 + Q8_WIDTH + Q4_WIDTH) + scales * 6 + 64 * 16;
  uint8_t *memory = a->memory = reserve_memory(a->memory_bytes);
  if (!memory) return 0;
  a->q = take(&memory, values);
  a->scale = take(&memory, scales);
  a->sum = take(&memory, scales);
  a->q8 = (Tiles){take(&memory, values * Q8_WIDTH), take(&memory, scales), take(&memory, scales)};
  a->q4 = (Tiles){take(&memory, values * Q4_WIDTH), take(&memory, scales), take(&memory, scales)};
  // Tiles and ordered rows are never wanted together, and a tile's value is at least as wide.
  a->ordered_q8 = a->q8.data, a->ordered_q4 = a->q4.data;
  return 1;
}

void activations_free(Activations *a) { release_memory(a->memory, a->memory_bytes); }

// ---- the product ----

typedef struct {
  const Activations *a;
  const Matrix *matrix;
  float *out;
  int units;
} Product;

typedef struct {
  Product product[4];
  int count;
  MatmulScratch *scratch;
} MatmulJob;

#ifdef Q8_ORDER
#define ORDERED_Q8(a, at) ((a)->ordered_q8 + (at) * BLOCK * Q8_ORDER)
#else
#define ORDERED_Q8(a, at) NULL
#endif
#ifdef Q4_ORDER
#define ORDERED_Q4(a, at) ((a)->ordered_q4 + (at) * BLOCK * Q4_ORDER)
#else
#define ORDERED_Q4(a, at) NULL
#endif

static void rows_one_by_one(const Product *p, int first, int end) {
  const Activations *a = p->a;
  const Matrix *m = p->matrix;
  int blocks = a->cols / BLOCK, q8 = m->type == TYPE_Q8_0;
  for (int row = first; row < end; row++) {
    const uint8_t *w = m->data + (size_t)row * m->row_bytes;
    for (int t = 0; t < a->rows; t++) {
      size_t at = (size_t)t * blocks;
      const int8_t *q = a->q + at * BLOCK;
      const float *scale = a->scale + at;
      const int32_t *sum = a->sum + at;
      p->out[(size_t)t * m->rows + row] = q8 ? dot_q8_0(w, q, ORDERED_Q8(a, at), scale, sum, blocks)
                                             : dot_q4_0(w, q, ORDERED_Q4(a, at), scale, sum, blocks);
    }
  }
}

// A float matrix: f32 products, value i in lane i % 8. Several rows together hide the latency of the sums.
static void float_rows(const Product *p, int first, int end, float *row_values) {
  const Activations *a = p->a;
  const Matrix *m = p->matrix;
  int cols = a->cols;
  for (int row0 = first; row0 < end; row0 += FLOAT_ROWS) {
    const float *w[FLOAT_ROWS];
    for (int r = 0; r < FLOAT_ROWS; r++) {
      int row = row0 + r < end ? row0 + r : end - 1;
      matrix_row(m, row, row_values + (size_t)r * cols);
      w[r] = row_values + (size_t)r * cols;
    }
    for (int t = 0; t < a->rows; t++) {
      const float *x = a->values + (size_t)t * cols;
      f32x8 lanes[FLOAT_ROWS] = {0};
      for (int i = 0; i < cols; i += 8)
        for (int r = 0; r < FLOAT_ROWS; r++) lanes[r] = lanes[r] + load8(w[r] + i) * load8(x + i);
      for (int r = 0; r < FLOAT_ROWS && row0 + r < end; r++)
        p->out[(size_t)t * m->rows + row0 + r] = tree8(lanes[r]);
    }
  }
}

#if PANEL_ROWS

// One block of all rows of a panel.
static size_t slot_bytes_of(const Matrix *m) {
  return (size_t)BLOCK * PANEL_ROWS * (m->type == TYPE_Q8_0 ? Q8_WIDTH : Q4_WIDTH);
}

// Rows first .. first + PANEL_ROWS of a matrix: `panel` [block slot][quads or pairs of values][row], `scales`
// [block slot][row].
static void pack_panel(const Matrix *m, int first, uint8_t *panel, float *scales) {
  int blocks = m->cols / BLOCK;
  int q8 = m->type == TYPE_Q8_0;
  size_t block_bytes = q8 ? Q8_0_BYTES : Q4_0_BYTES, slot_bytes = slot_bytes_of(m);
  for (int group = 0; group < PANEL_ROWS / 8; group++) {
    const uint8_t *rows[8];
    for (int r = 0; r < 8; r++) {
      int row = first + group * 8 + r;
      // Rows past the matrix's end repeat its last one; their results are never stored.
      rows[r] = m->data + (size_t)(row < m->rows ? row : m->rows - 1) * m->row_bytes;
    }
    for (int block = 0; block < blocks; block++) {
      int slot = slot_of_block(blocks, block);
      float *scale = scales + (size_t)slot * PANEL_ROWS;
      if (q8) pack_q8_0(rows, group, panel + slot * slot_bytes, scale);
      else pack_q4_0(rows, group, panel + slot * slot_bytes, scale);
      for (int r = 0; r < 8; r++) rows[r] += block_bytes;
    }
  }
}

// ((0 + 1) + (2 + 3)) + ((4 + 5) + (6 + 7)) over the lanes, for one activation row and 8 rows of the panel.
static f32x8 lanes_tree(const float *lanes) {
  enum { LANE = TILE_ROWS * PANEL_ROWS };
  return ((load8(lanes) + load8(lanes + LANE)) + (load8(lanes + 2 * LANE) + load8(lanes + 3 * LANE))) +
         ((load8(lanes + 4 * LANE) + load8(lanes + 5 * LANE)) + (load8(lanes + 6 * LANE) + load8(lanes + 7 * LANE)));
}

static void store_tile(const Product *p, const float *lanes, int row0, int token0) {
  int rows = p->matrix->rows - row0 < PANEL_ROWS ? p->matrix->rows - row0 : PANEL_ROWS;
  for (int t = 0; t < TILE_ROWS && token0 + t < p->a->rows; t++) {
    float *out = p->out + (size_t)(token0 + t) * p->matrix->rows + row0;
    for (int r = 0; r < rows; r += 8) {
      f32x8 sums = lanes_tree(lanes + t * PANEL_ROWS + r);
      if (rows - r >= 8) store8(out + r, sums);
      else memcpy(out + r, &sums, sizeof(float) * (rows - r));
    }
  }
}

static void panel_times_tiles(const Product *p, int first, MatmulScratch *scratch) {
  const Activations *a = p->a;
  const Matrix *m = p->matrix;
  int q8 = m->type == TYPE_Q8_0, blocks = a->cols / BLOCK;
  const Tiles *tiles = q8 ? &a->q8 : &a->q4;
  size_t slot_bytes = slot_bytes_of(m), at_panel = (size_t)(first / PANEL_ROWS) * blocks;
  const uint8_t *panels = m->panels ? m->panels + at_panel * slot_bytes : scratch->panel;
  const float *scales = m->panels ? m->panel_scales + at_panel * PANEL_ROWS : scratch->panel_scale;
  if (!m->panels) pack_panel(m, first, scratch->panel, scratch->panel_scale);
  for (int token = 0; token < a->rows; token += TILE_ROWS) {
    int rows = a->rows - token < TILE_ROWS ? a->rows - token : TILE_ROWS;
    size_t at = (size_t)(token / TILE_ROWS) * blocks * TILE_ROWS;
    if (q8) tile_q8_0(panels, scales, tiles, at, blocks, rows, scratch->lanes);
    else tile_q4_0(panels, scales, tiles, at, blocks, rows, scratch->lanes);
    store_tile(p, scratch->lanes, first, token);
  }
}

size_t matrix_panels_bytes(const Matrix *m) {
  if (!is_quantised(m->type)) return 0;
  size_t slots = (size_t)(m->rows + PANEL_ROWS - 1) / PANEL_ROWS * (m->cols / BLOCK);
  return slots * (slot_bytes_of(m) + PANEL_ROWS * sizeof(float));
}

void matrix_pack(Matrix *m, uint8_t *memory) {
  size_t blocks = m->cols / BLOCK, panels = (m->rows + PANEL_ROWS - 1) / PANEL_ROWS;
  float *scales = (float *)(memory + panels * blocks * slot_bytes_of(m));
  for (size_t panel = 0; panel < panels; panel++)
    pack_panel(m, (int)panel * PANEL_ROWS, memory + panel * blocks * slot_bytes_of(m),
               scales + panel * blocks * PANEL_ROWS);
  m->panels = memory, m->panel_scales = scales;
}

#else

size_t matrix_panels_bytes(const Matrix *m) { return (void)m, 0; }
void matrix_pack(Matrix *m, uint8_t *memory) { (void)m, (void)memory; }

#endif

static int rows_per_unit(const Product *p) {
#if PANEL_ROWS
  if (p->a->tiled && is_quantised(p->matrix->type)) return PANEL_ROWS;
#endif
  (void)p;
  return ROWS_PER_UNIT;
}

static void product_unit(const Product *p, int unit, MatmulScratch *scratch) {
  int step = rows_per_unit(p), first = unit * step;
  int end = first + step < p->matrix->rows ? first + step : p->matrix->rows;
  if (!is_quantised(p->matrix->type)) {
    float_rows(p, first, end, scratch->row_values);
    return;
  }
#if PANEL_ROWS
  if (p->a->tiled) {
    panel_times_tiles(p, first, scratch);
    return;
  }
#endif
  rows_one_by_one(p, first, end);
}

static void matmul_unit(void *argument, int unit, int worker) {
  MatmulJob *job = argument;
  for (int i = 0; i < job->count; i++) {
    if (unit < job->product[i].units) {
      product_unit(&job->product[i], unit, &job->scratch[worker]);
      return;
    }
    unit -= job->product[i].units;
  }
}

void matmul(Pool *pool, MatmulScratch *scratch, const Activations *a, const Matrix *const *matrices,
            float *const *outs, int count) {
  MatmulJob job = {.count = count, .scratch = scratch};
  int units = 0;
  for (int i = 0; i < count; i++) {
    Product *p = &job.product[i];
    *p = (Product){a, matrices[i], outs[i], 0};
    int step = rows_per_unit(p);
    p->units = (matrices[i]->rows + step - 1) / step;
    units += p->units;
  }
  pool_run(pool, units, matmul_unit, &job);
}

int matmul_scratch_init(MatmulScratch *s, int cols_max) {
  enum { ROWS = PANEL_ROWS ? PANEL_ROWS : 1 };
  size_t panel = (size_t)cols_max * ROWS * 2, scales = (size_t)cols_max / BLOCK * ROWS * sizeof(float);
  size_t lanes = sizeof(float) * LANES * TILE_PADDING * ROWS, values = sizeof(float) * FLOAT_ROWS * cols_max;
  s->memory_bytes = panel + scales + lanes + values + 64 * 8;
  uint8_t *memory = s->memory = reserve_memory(s->memory_bytes);
  if (!memory) return 0;
  s->panel = take(&memory, panel);
  s->panel_scale = take(&memory, scales);
  s->lanes = take(&memory, lanes);
  s->row_values = take(&memory, values);
  return 1;
}

void matmul_scratch_free(MatmulScratch *s) { release_memory(s->memory, s->memory_bytes); }

// ---- one row as float ----

void matrix_row(const Matrix *m, int row, float *out) {
  const uint8_t *p = m->data + (size_t)row * m->row_bytes;
  if (m->type == TYPE_F32) {
    memcpy(out, p, m->row_bytes);
  } else if (m->type == TYPE_F16) {
    for (int i = 0; i < m->cols; i += 8, p += 16) store8(out + i, half8(p, 2));
  } else if (m->type == TYPE_Q8_0) {
    for (int i = 0; i < m->cols; i += BLOCK, p += Q8_0_BYTES) {
      float scale = float_of_half(load_u16(p));
      for (int j = 0; j < BLOCK; j++) out[i + j] = (float)(int8_t)p[2 + j] * scale;
    }
  } else {
    for (int i = 0; i < m->cols; i += BLOCK, p += Q4_0_BYTES) {
      float scale = float_of_half(load_u16(p));
      for (int j = 0; j < BLOCK / 2; j++) {
        out[i + j] = (float)((p[2 + j] & 15) - 8) * scale;
        out[i + j + 16] = (float)((p[2 + j] >> 4) - 8) * scale;
      }
    }
  }
}
