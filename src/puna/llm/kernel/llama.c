// The llama forward pass, told as one story: see `forward_layers`. Around it: what a model is made of, and the
// exported interface of puna_kernel.h.
//
// Source: LLaMA (Touvron et al. 2023): RMS norm, rotary embedding over adjacent pairs, grouped-query attention, SwiGLU.
#include <stdlib.h>

#include "attention.h"
#include "canonical.h"
#include "matmul.h"
#include "platform.h"
#include "puna_kernel.h"

typedef struct {
  float *attn_norm, *ffn_norm;  // (dim), copied: a file may place them at any address
  Matrix q, k, v, attn_output, gate, up, down;
} Layer;

struct PunaCache { Cache cache; };

struct PunaModel {
  int dim, layers, heads, kv_heads, head_dim, ffn, vocab, rows_max;
  float norm_eps;
  Matrix embedding, output;
  float *output_norm;
  Layer *layer;
  double *frequency;  // (head_dim / 2) of the rotary embedding
  Pool *pool;

  // The state of one forward pass, (rows_max, ...) each; untouched rows cost no memory.
  float *hidden;             // (dim)
  float *normed;             // (dim), and what a sublayer gives back
  float *q, *attended;       // (heads, head_dim)
  float *k, *v;              // (kv_heads, head_dim)
  float *gate, *up;          // (ffn)
  float *cosine, *sine;      // (head_dim / 2)
  Place *places;
  void *state;
  size_t state_bytes;
  void *panels;              // of all quantised matrices, when they are small enough to be kept
  size_t panels_bytes;
  Activations activations;
  MatmulScratch *scratch;    // one per thread, like scores
  float **scores;
  size_t scores_stride;
};

// ---- parts of the story, over rows of the batch ----

typedef struct {
  PunaModel *m;
  int rows;
  const float *weight;
  const int32_t *tokens;
  int layer;
} RowsJob;

enum { FEW_ROWS = 4 };  // below this, waking threads costs more than row-wise work

static void for_rows(RowsJob *job, Unit unit) {
  if (job->rows < FEW_ROWS)
    for (int row = 0; row < job->rows; row++) unit(job, row, 0);
  else
    pool_run(job->m->pool, job->rows, unit, job);
}

static void embed_unit(void *argument, int row, int worker) {
  RowsJob *job = argument;
  (void)worker;
  matrix_row(&job->m->embedding, job->tokens[row], job->m->hidden + (size_t)row * job->m->dim);
}

// cos and sin of position * frequency, rounded to float once.
static void angles_unit(void *argument, int row, int worker) {
  PunaModel *m = ((RowsJob *)argument)->m;
  (void)worker;
  int half = m->head_dim / 2;
  for (int i = 0; i < half; i++) {
    double sine, cosine;
    canonical_sin_cos((double)m->places[row].position * m->frequency[i], &sine, &cosine);
    m->cosine[(size_t)row * half + i] = (float)cosine;
    m->sine[(size_t)row * half + i] = (float)sine;
  }
}

// normed = hidden / sqrt(mean(hidden^2) + eps) * weight
static void norm_unit(void *argument, int row, int worker) {
  RowsJob *job = argument;
  PunaModel *m = job->m;
  (void)worker;
  const float *x = m->hidden + (size_t)row * m->dim;
  float *out = m->normed + (size_t)row * m->dim;
  f32x8 lanes = splat8(0);
  for (int i = 0; i < m->dim; i += 8) lanes = lanes + load8(x + i) * load8(x + i);
  f32x8 scale = splat8(1.0f / __builtin_sqrtf(tree8(lanes) / (float)m->dim + m->norm_eps));
  for (int i = 0; i < m->dim; i += 8) store8(out + i, (load8(x + i) * scale) * load8(job->weight + i));
}

static void rotate(float *x, int heads, int head_dim, const float *cosine, const float *sine) {
  for (int head = 0; head < heads; head++, x += head_dim)
    for (int i = 0; i < head_dim / 2; i++) {
      float a = x[2 * i], b = x[2 * i + 1];
      x[2 * i] = a * cosine[i] - b * sine[i];
      x[2 * i + 1] = a * sine[i] + b * cosine[i];
    }
}

static void rotate_and_store_unit(void *argument, int row, int worker) {
  RowsJob *job = argument;
  PunaModel *m = job->m;
  (void)worker;
  const float *cosine = m->cosine + (size_t)row * (m->head_dim / 2), *sine = m->sine + (size_t)row * (m->head_dim / 2);
  float *k = m->k + (size_t)row * m->kv_heads * m->head_dim;
  rotate(m->q + (size_t)row * m->heads * m->head_dim, m->heads, m->head_dim, cosine, sine);
  rotate(k, m->kv_heads, m->head_dim, cosine, sine);
  cache_put(m->places[row].cache, job->layer, m->places[row].position, k, m->v + (size_t)row * m->kv_heads * m->head_dim);
}

static void add_unit(void *argument, int row, int worker) {
  PunaModel *m = ((RowsJob *)argument)->m;
  (void)worker;
  float *x = m->hidden + (size_t)row * m->dim, *y = m->normed + (size_t)row * m->dim;
  for (int i = 0; i < m->dim; i += 8) store8(x + i, load8(x + i) + load8(y + i));
}

// gate = gate / (1 + exp(-gate)) * up
static void swiglu_unit(void *argument, int row, int worker) {
  PunaModel *m = ((RowsJob *)argument)->m;
  (void)worker;
  float *gate = m->gate + (size_t)row * m->ffn, *up = m->up + (size_t)row * m->ffn;
  for (int i = 0; i < m->ffn; i += 8) {
    f32x8 g = load8(gate + i);
    store8(gate + i, (g / (splat8(1.0f) + exp8(-g))) * load8(up + i));
  }
}

// outs[i] = values (rows, cols of the matrices) times matrices[i]
static void multiply(PunaModel *m, const float *values, int rows, const Matrix *const *matrices, float *const *outs,
                     int count) {
  activations_set(&m->activations, m->pool, values, rows, matrices[0]->cols, matrices, count);
  matmul(m->pool, m->scratch, &m->activations, matrices, outs, count);
}

#define MATRICES(...) (const Matrix *const[]){__VA_ARGS__}
#define OUTS(...) (float *const[]){__VA_ARGS__}

// Keep the wanted rows of the batch and forget the others; `wanted` ascends.
static void keep_rows(PunaModel *m, const int32_t *wanted, int count) {
  size_t q_dim = (size_t)m->heads * m->head_dim;
  for (int i = 0; i < count; i++) {
    if (wanted[i] == i) continue;
    memcpy(m->hidden + (size_t)i * m->dim, m->hidden + (size_t)wanted[i] * m->dim, sizeof(float) * m->dim);
    memcpy(m->q + i * q_dim, m->q + wanted[i] * q_dim, sizeof(float) * q_dim);
    m->places[i] = m->places[wanted[i]];
  }
}

// ---- the story ----

// The state after the last layer, of `rows` tokens; only of the `count` rows in `wanted`, in that order, in front.
static void forward_layers(PunaModel *m, const int32_t *tokens, int rows, const int32_t *wanted, int count) {
  RowsJob job = {.m = m, .rows = rows, .tokens = tokens};
  for_rows(&job, embed_unit);
  for_rows(&job, angles_unit);
  for (int l = 0; l < m->layers; l++) {
    const Layer *layer = &m->layer[l];
    job.layer = l;

    job.weight = layer->attn_norm;
    for_rows(&job, norm_unit);
    multiply(m, m->normed, rows, MATRICES(&layer->q, &layer->k, &layer->v), OUTS(m->q, m->k, m->v), 3);
    // All rows' keys and values are stored before any row attends: a row sees the earlier ones of its own batch.
    for_rows(&job, rotate_and_store_unit);
    // After the last keys and values nobody looks at the rows that are not wanted: most of a prompt.
    if (l + 1 == m->layers) {
      keep_rows(m, wanted, count);
      job.rows = rows = count;
      if (!count) return;
    }
    Attention attending = {m->q, m->attended, m->places, rows, l, m->heads, m->kv_heads, m->head_dim, m->scores,
                           m->scores_stride, 0};
    attention(m->pool, &attending);
    multiply(m, m->attended, rows, MATRICES(&layer->attn_output), OUTS(m->normed), 1);
    for_rows(&job, add_unit);

    job.weight = layer->ffn_norm;
    for_rows(&job, norm_unit);
    multiply(m, m->normed, rows, MATRICES(&layer->gate, &layer->up), OUTS(m->gate, m->up), 2);
    for_rows(&job, swiglu_unit);
    multiply(m, m->gate, rows, MATRICES(&layer->down), OUTS(m->normed), 1);
    for_rows(&job, add_unit);
  }
}

static void forward_logits(PunaModel *m, int count, float *logits) {
  RowsJob job = {.m = m, .rows = count, .weight = m->output_norm};
  for_rows(&job, norm_unit);
  multiply(m, m->normed, count, MATRICES(&m->output), OUTS(logits), 1);
  // A broken model's NaN has whatever bits the machine chose; here it gets the canonical ones.
  size_t total = (size_t)count * m->vocab;
  for (size_t i = 0; i < total; i++) logits[i] = logits[i] == logits[i] ? logits[i] : float_of(0x7fc00000);
}

// ---- making and unmaking a model ----

static Matrix matrix_of(const PunaTensor *tensor, int rows, int cols) {
  const uint8_t *data = (const uint8_t *)(uintptr_t)tensor->data;
  return (Matrix){tensor->type, rows, cols, matrix_row_bytes(tensor->type, cols), data, NULL, NULL};
}

static float *copy_norm(float **memory, const PunaTensor *tensor, int dim) {
  float *norm = *memory;
  *memory += dim;
  memcpy(norm, (const void *)(uintptr_t)tensor->data, sizeof(float) * dim);
  return norm;
}

static int load_weights(PunaModel *m, const PunaSpec *spec) {
  const PunaTensor *t = spec->tensors;
  int q_dim = m->heads * m->head_dim, kv_dim = m->kv_heads * m->head_dim;
  m->layer = calloc(m->layers, sizeof *m->layer);
  m->output_norm = malloc(sizeof(float) * m->dim * (2 * (size_t)m->layers + 1));
  m->frequency = malloc(sizeof(double) * (m->head_dim / 2));
  if (!m->layer || !m->output_norm || !m->frequency) return 0;
  float *norms = m->output_norm + m->dim;
  m->embedding = matrix_of(t++, m->vocab, m->dim);
  for (int l = 0; l < m->layers; l++) {
    Layer *layer = &m->layer[l];
    layer->attn_norm = copy_norm(&norms, t++, m->dim);
    layer->q = matrix_of(t++, q_dim, m->dim);
    layer->k = matrix_of(t++, kv_dim, m->dim);
    layer->v = matrix_of(t++, kv_dim, m->dim);
    layer->attn_output = matrix_of(t++, m->dim, q_dim);
    layer->ffn_norm = copy_norm(&norms, t++, m->dim);
    layer->gate = matrix_of(t++, m->ffn, m->dim);
    layer->up = matrix_of(t++, m->ffn, m->dim);
    layer->down = matrix_of(t++, m->dim, m->ffn);
  }
  memcpy(m->output_norm, (const void *)(uintptr_t)t->data, sizeof(float) * m->dim);
  m->output = matrix_of(t + 1, m->vocab, m->dim);
  // base^(-2i / head_dim)
  double log_base = canonical_log(spec->rope_base);
  for (int i = 0; i < m->head_dim / 2; i++)
    m->frequency[i] = canonical_exp(-log_base * (2.0 * (double)i) / (double)m->head_dim);
  return 1;
}

// The next of the matrices that a pass multiplies with, NULL after the last; `index` counts from 0.
static Matrix *matrix_at(PunaModel *m, int index) {
  if (index == m->layers * 7) return &m->output;
  if (index > m->layers * 7) return NULL;
  Layer *layer = &m->layer[index / 7];
  Matrix *matrices[] = {&layer->q, &layer->k, &layer->v, &layer->attn_output, &layer->gate, &layer->up, &layer->down};
  return matrices[index % 7];
}

// Keep the panels of all matrices, if they take at most `bytes_max`. Refused memory is no harm: they are then made
// anew for each batch, as for a large model.
static void keep_panels(PunaModel *m, size_t bytes_max) {
  const Matrix *matrix;
  size_t bytes = 0;
  for (int i = 0; (matrix = matrix_at(m, i)); i++) bytes += (matrix_panels_bytes(matrix) + 63) & ~(size_t)63;
  if (!bytes || bytes > bytes_max || !(m->panels = reserve_memory(bytes))) return;
  m->panels_bytes = bytes;
  uint8_t *memory = m->panels;
  for (int i = 0; (matrix = matrix_at(m, i)); i++) {
    size_t taken = (matrix_panels_bytes(matrix) + 63) & ~(size_t)63;
    if (taken) matrix_pack(matrix_at(m, i), memory);
    memory += taken;
  }
  memory_filled(m->panels, bytes, 0, bytes);
}

static int reserve_state(PunaModel *m) {
  size_t q_dim = (size_t)m->heads * m->head_dim, kv_dim = (size_t)m->kv_heads * m->head_dim, half = m->head_dim / 2;
  size_t widths[] = {m->dim, m->dim, q_dim, q_dim, kv_dim, kv_dim, m->ffn, m->ffn, half, half};
  float **parts[] = {&m->hidden, &m->normed, &m->q, &m->attended, &m->k,
                     &m->v,      &m->gate,   &m->up, &m->cosine,  &m->sine};
  size_t floats = 0;
  for (int i = 0; i < 10; i++) floats += widths[i] * m->rows_max;
  m->state_bytes = floats * sizeof(float) + sizeof(Place) * m->rows_max;
  m->state = reserve_memory(m->state_bytes);
  if (!m->state) return 0;
  m->places = m->state;
  float *memory = (float *)(m->places + m->rows_max);
  for (int i = 0; i < 10; i++) *parts[i] = memory, memory += widths[i] * m->rows_max;
  size_t widest = q_dim > (size_t)m->dim ? q_dim : (size_t)m->dim;
  if ((size_t)m->ffn > widest) widest = m->ffn;
  int threads = pool_threads(m->pool);
  m->scratch = calloc(threads, sizeof *m->scratch);
  m->scores = calloc(threads, sizeof *m->scores);
  if (!m->scratch || !m->scores || !activations_init(&m->activations, m->rows_max, (int)widest)) return 0;
  for (int i = 0; i < threads; i++)
    if (!matmul_scratch_init(&m->scratch[i], (int)widest)) return 0;
  return 1;
}

PunaModel *puna_model_new(const PunaSpec *spec) {
  PunaModel *m = calloc(1, sizeof *m);
  if (!m) return NULL;
  m->dim = spec->dim, m->layers = spec->layers, m->heads = spec->heads, m->kv_heads = spec->kv_heads;
  m->head_dim = spec->head_dim, m->ffn = spec->ffn, m->vocab = spec->vocab;
  m->norm_eps = spec->norm_eps, m->rows_max = spec->rows_max;
  uint64_t mode = set_float_mode();
  m->pool = pool_new(spec->threads);
  int complete = m->pool && load_weights(m, spec) && reserve_state(m);
  if (complete) keep_panels(m, (size_t)spec->panels_bytes_max);
  restore_float_mode(mode);
  if (complete) return m;
  puna_model_free(m);
  return NULL;
}

static size_t scores_bytes(const PunaModel *m, size_t stride) {
  return sizeof(float) * attention_score_rows(m->heads, m->kv_heads, m->head_dim) * stride;
}

static void free_scores(PunaModel *m) {
  for (int i = 0; m->scores && i < pool_threads(m->pool); i++) {
    release_memory(m->scores[i], scores_bytes(m, m->scores_stride));
    m->scores[i] = NULL;
  }
  m->scores_stride = 0;
}

void puna_model_free(PunaModel *m) {
  if (!m) return;
  free_scores(m);
  for (int i = 0; m->scratch && i < pool_threads(m->pool); i++) matmul_scratch_free(&m->scratch[i]);
  activations_free(&m->activations);
  release_memory(m->state, m->state_bytes);
  release_memory(m->panels, m->panels_bytes);
  pool_free(m->pool);
  free(m->scratch), free(m->scores), free(m->layer), free(m->output_norm), free(m->frequency), free(m);
}

// ---- the calls of puna_kernel.h ----

PunaCache *puna_cache_new(const PunaModel *m, int32_t positions_max) {
  PunaCache *cache = calloc(1, sizeof *cache);
  if (cache && cache_init(&cache->cache, m->layers, m->kv_heads, m->head_dim, positions_max)) return cache;
  free(cache);
  return NULL;
}

void puna_cache_free(PunaCache *cache) {
  if (!cache) return;
  cache_free(&cache->cache);
  free(cache);
}

// Scores of the longest row seen so far fit; grown by half, so that a long generation does not do it every token.
static int grow_scores(PunaModel *m, int positions) {
  if (attention_stride(positions) <= m->scores_stride) return 1;
  free_scores(m);
  size_t stride = attention_stride(positions + positions / 2 + 64);
  m->scores_stride = stride;
  for (int i = 0; i < pool_threads(m->pool); i++) {
    m->scores[i] = reserve_memory(scores_bytes(m, stride));
    if (m->scores[i]) continue;
    free_scores(m);
    return 0;
  }
  return 1;
}

int32_t puna_forward(PunaModel *m, int32_t rows, const int32_t *tokens, const int32_t *positions,
                     const int32_t *cache_index, const uint64_t *caches, int32_t logits_count,
                     const int32_t *logits_rows, float *logits) {
  int longest = 0;
  for (int row = 0; row < rows; row++) {
    m->places[row] = (Place){&((PunaCache *)(uintptr_t)caches[cache_index[row]])->cache, positions[row]};
    longest = positions[row] + 1 > longest ? positions[row] + 1 : longest;
  }
  if (!grow_scores(m, longest)) return 1;
  uint64_t mode = set_float_mode();
  forward_layers(m, tokens, rows, logits_rows, logits_count);
  if (logits_count) forward_logits(m, logits_count, logits);
  restore_float_mode(mode);
  return 0;
}

#if defined(__wasm__)
void *puna_alloc(uint32_t bytes) { return bytes > UINT32_MAX - 64 ? NULL : aligned_alloc(64, (bytes + 63) / 64 * 64); }
void puna_free(void *memory) { free(memory); }
#endif

void puna_test_exp(const float *x, float *out, int32_t count) {
  for (int i = 0; i < count; i += 8) store8(out + i, exp8(load8(x + i)));
}

void puna_test_half(const uint16_t *x, float *out, int32_t count) {
  for (int i = 0; i < count; i++) out[i] = float_of_half(x[i]);
}

void puna_test_quantise(const float *x, int8_t *q, float *scale, int32_t count) {
  int32_t sum;
  for (int i = 0; i < count; i++) scale[i] = quantise_block(x + i * BLOCK, q + i * BLOCK, &sum);
}

void puna_test_sin_cos(const double *x, double *sine, double *cosine, int32_t count) {
  for (int i = 0; i < count; i++) canonical_sin_cos(x[i], &sine[i], &cosine[i]);
}
