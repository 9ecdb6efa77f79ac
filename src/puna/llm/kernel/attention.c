// Grouped-query attention, row by row: scores, softmax, weighted sum of values.
//
// The order of every sum is part of the canonical arithmetic: a score adds up over the head's dimensions in order;
// the softmax's denominator goes by position % 8 into lanes; values are added in chunks of 64 positions, and the
// chunks' sums in order. None of it depends on which other rows are computed at the same time.
#include "attention.h"

#include <string.h>

enum {
  TOGETHER = ATTENTION_TOGETHER,
  // Dimensions of keys that a unit reads together: with heads of usual sizes a block of one layer's keys is 64 KB.
  UNIT_DIMS = 256,
  PARTS_TOGETHER = 16,
};

int cache_init(Cache *cache, int layers, int kv_heads, int head_dim, int positions_max) {
  uint64_t blocks = ((uint64_t)positions_max + CACHE_BLOCK - 1) / CACHE_BLOCK;
  uint64_t bytes = sizeof(float) * blocks * layers * 2 * kv_heads * head_dim * CACHE_BLOCK;
  *cache = (Cache){layers, kv_heads, head_dim, NULL, (size_t)bytes};
  if (bytes > SIZE_MAX / 2) return 0;
  cache->memory = reserve_memory(cache->bytes);
  return cache->memory != NULL;
}

void cache_free(Cache *cache) { release_memory(cache->memory, cache->bytes); }

// A head's keys or values in a block.
static size_t head_floats(const Cache *c) { return (size_t)c->head_dim * CACHE_BLOCK; }

static size_t block_floats(const Cache *c) { return (size_t)c->layers * 2 * c->kv_heads * head_floats(c); }

static float *block_keys(const Cache *c, int layer, int block) {
  return c->memory + block * block_floats(c) + layer * 2 * c->kv_heads * head_floats(c);
}

static float *block_values(const Cache *c, int layer, int block) {
  return block_keys(c, layer, block) + c->kv_heads * head_floats(c);
}

void cache_put(Cache *c, int layer, int position, const float *keys, const float *values) {
  int block = position / CACHE_BLOCK, at = position % CACHE_BLOCK, head_dim = c->head_dim;
  if (at == 0 && layer == 0 && block) {
    size_t bytes = sizeof(float) * block_floats(c);
    memory_filled(c->memory, c->bytes, (block - 1) * bytes, block * bytes);
  }
  float *k = block_keys(c, layer, block) + (size_t)(at / KEY_GROUP) * head_dim * KEY_GROUP + at % KEY_GROUP;
  float *v = block_values(c, layer, block) + (size_t)at * head_dim;
  for (int head = 0; head < c->kv_heads; head++, k += head_floats(c), v += head_floats(c)) {
    for (int d = 0; d < head_dim; d++) k[d * KEY_GROUP] = *keys++;
    memcpy(v, values, sizeof(float) * head_dim), values += head_dim;
  }
}

// Up to TOGETHER query rows against one head of one cache. Lengths may differ by row (a prompt's later rows see
// more); `scores` holds a `stride` of floats for each.
typedef struct {
  const float *q[TOGETHER];
  float *out[TOGETHER];
  int length[TOGETHER];
  float sum[TOGETHER];
  float *scores;
  int count, longest, kv_head;
} Part;

// keys (groups, head_dim, KEY_GROUP) -> scores (groups, KEY_GROUP). Four sums side by side: each waits for itself only.
static void score_one(const float *q, const float *keys, int head_dim, int groups, float scale, float *scores) {
  f32x8 z = splat8(scale);
  for (int g = 0; g < groups; g++, scores += KEY_GROUP) {
    f32x8 a = splat8(0), b = a, c = a, d = a;
    for (int i = 0; i < head_dim; i++, keys += KEY_GROUP) {
      f32x8 x = splat8(q[i]);
      a = a + x * load8(keys), b = b + x * load8(keys + 8), c = c + x * load8(keys + 16), d = d + x * load8(keys + 24);
    }
    store8(scores, a * z), store8(scores + 8, b * z), store8(scores + 16, c * z), store8(scores + 24, d * z);
  }
}

// The same for four rows, two times eight positions at once: eight independent sums.
static void score_four(const Part *part, const float *keys, int head_dim, int groups, float scale, float *scores,
                       size_t stride) {
  const float *q0 = part->q[0], *q1 = part->q[1], *q2 = part->q[2], *q3 = part->q[3];
  for (int at = 0; at < groups * KEY_GROUP; at += 16) {
    const float *k = keys + (size_t)(at / KEY_GROUP * KEY_GROUP) * head_dim + at % KEY_GROUP;
    f32x8 a0 = splat8(0), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
    for (int d = 0; d < head_dim; d++, k += KEY_GROUP) {
      f32x8 x = load8(k), y = load8(k + 8);
      a0 = a0 + splat8(q0[d]) * x, b0 = b0 + splat8(q0[d]) * y;
      a1 = a1 + splat8(q1[d]) * x, b1 = b1 + splat8(q1[d]) * y;
      a2 = a2 + splat8(q2[d]) * x, b2 = b2 + splat8(q2[d]) * y;
      a3 = a3 + splat8(q3[d]) * x, b3 = b3 + splat8(q3[d]) * y;
    }
    f32x8 z = splat8(scale);
    float *s = scores + at;
    store8(s, a0 * z), store8(s + 8, b0 * z), s += stride;
    store8(s, a1 * z), store8(s + 8, b1 * z), s += stride;
    store8(s, a2 * z), store8(s + 8, b2 * z), s += stride;
    store8(s, a3 * z), store8(s + 8, b3 * z);
  }
}

// The greatest of scores (length), minus infinity at first; a NaN is never greater. Which of two zeros it is, no weight
// tells: so the order is free.
static float greatest(const float *scores, int length) {
  f32x8 a = splat8(-__builtin_inff()), b = a;
  int i = 0;
  for (; i + 16 <= length; i += 16) {
    f32x8 x = load8(scores + i), y = load8(scores + i + 8);
    a = select8(x > a, x, a), b = select8(y > b, y, b);
  }
  a = select8(b > a, b, a);
  float max = a[0];
  for (int lane = 1; lane < 8; lane++) max = a[lane] > max ? a[lane] : max;
  for (; i < length; i++) max = scores[i] > max ? scores[i] : max;
  return max;
}

// scores (length) -> exp(score - max), and their sum.
static float softmax_weights(float *scores, int length) {
  f32x8 max = splat8(greatest(scores, length)), lanes = splat8(0);
  int i = 0;
  for (; i + 8 <= length; i += 8) {
    f32x8 weights = exp8(load8(scores + i) - max);
    store8(scores + i, weights);
    lanes = lanes + weights;
  }
  if (i < length) {
    f32x8 weights = exp8(load8(scores + i) - max);
    for (int j = 0; i + j < length; j++) scores[i + j] = weights[j], lanes[j] += weights[j];
  }
  return tree8(lanes);
}

// out (head_dim) += the sum of weight * value over `length` positions of a block; d in steps of 32, of 8, then one by
// one.
static void values_one(const float *weights, const float *values, int length, int head_dim, float *out) {
  int d = 0;
  for (; d + 32 <= head_dim; d += 32) {
    f32x8 a = splat8(0), b = a, c = a, e = a;
    const float *v = values + d;
    for (int p = 0; p < length; p++, v += head_dim) {
      f32x8 w = splat8(weights[p]);
      a = a + w * load8(v), b = b + w * load8(v + 8), c = c + w * load8(v + 16), e = e + w * load8(v + 24);
    }
    float *o = out + d;
    store8(o, load8(o) + a), store8(o + 8, load8(o + 8) + b);
    store8(o + 16, load8(o + 16) + c), store8(o + 24, load8(o + 24) + e);
  }
  for (; d + 8 <= head_dim; d += 8) {
    f32x8 part = splat8(0);
    for (int p = 0; p < length; p++) part = part + splat8(weights[p]) * load8(values + (size_t)p * head_dim + d);
    store8(out + d, load8(out + d) + part);
  }
  for (; d < head_dim; d++) {
    float part = 0;
    for (int p = 0; p < length; p++) part = part + weights[p] * values[(size_t)p * head_dim + d];
    out[d] = out[d] + part;
  }
}

// The same for four rows and 16 dimensions at once; row r sees `length[r]` positions of the block. Positions that not
// all rows see are few (neighbours in a prompt differ by one each) and are added row by row: adding a zero weight
// instead would let a later row's NaN in. A row that sees none adds +0, which changes nothing: a total that began at
// +0 is never -0.
static void values_four(const Part *part, const float *w, size_t stride, const float *values,
                        const int length[TOGETHER], int head_dim) {
  const float *w0 = w, *w1 = w + stride, *w2 = w1 + stride, *w3 = w2 + stride;
  int shared = length[0], end = length[0];
  for (int r = 1; r < TOGETHER; r++) {
    shared = length[r] < shared ? length[r] : shared;
    end = length[r] > end ? length[r] : end;
  }
  for (int d = 0; d < head_dim; d += 16) {
    f32x8 a0 = splat8(0), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
    const float *v = values + d;
    int p = 0;
    for (; p < shared; p++, v += head_dim) {
      f32x8 x = load8(v), y = load8(v + 8);
      a0 = a0 + splat8(w0[p]) * x, b0 = b0 + splat8(w0[p]) * y;
      a1 = a1 + splat8(w1[p]) * x, b1 = b1 + splat8(w1[p]) * y;
      a2 = a2 + splat8(w2[p]) * x, b2 = b2 + splat8(w2[p]) * y;
      a3 = a3 + splat8(w3[p]) * x, b3 = b3 + splat8(w3[p]) * y;
    }
    for (; p < end; p++, v += head_dim) {
      f32x8 x = load8(v), y = load8(v + 8);
      if (p < length[0]) a0 = a0 + splat8(w0[p]) * x, b0 = b0 + splat8(w0[p]) * y;
      if (p < length[1]) a1 = a1 + splat8(w1[p]) * x, b1 = b1 + splat8(w1[p]) * y;
      if (p < length[2]) a2 = a2 + splat8(w2[p]) * x, b2 = b2 + splat8(w2[p]) * y;
      if (p < length[3]) a3 = a3 + splat8(w3[p]) * x, b3 = b3 + splat8(w3[p]) * y;
    }
    float *const *out = part->out;
    store8(out[0] + d, load8(out[0] + d) + a0), store8(out[0] + d + 8, load8(out[0] + d + 8) + b0);
    store8(out[1] + d, load8(out[1] + d) + a1), store8(out[1] + d + 8, load8(out[1] + d + 8) + b1);
    store8(out[2] + d, load8(out[2] + d) + a2), store8(out[2] + d + 8, load8(out[2] + d + 8) + b2);
    store8(out[3] + d, load8(out[3] + d) + a3), store8(out[3] + d + 8, load8(out[3] + d + 8) + b3);
  }
}

// Positions of `block` among the first `length`.
static int seen_of_block(int length, int block) {
  int seen = length - block * CACHE_BLOCK;
  return seen < 0 ? 0 : seen < CACHE_BLOCK ? seen : CACHE_BLOCK;
}

static void score_block(const Part *part, const float *keys, int head_dim, int block, float scale, size_t stride) {
  int groups = (seen_of_block(part->longest, block) + KEY_GROUP - 1) / KEY_GROUP;
  float *scores = part->scores + (size_t)block * CACHE_BLOCK;
  if (part->count == TOGETHER) {
    score_four(part, keys, head_dim, groups, scale, scores, stride);
    return;
  }
  for (int r = 0; r < part->count; r++) score_one(part->q[r], keys, head_dim, groups, scale, scores + r * stride);
}

static void add_values_of_block(const Part *part, const float *values, int head_dim, int block, size_t stride) {
  const float *weights = part->scores + (size_t)block * CACHE_BLOCK;
  int length[TOGETHER];
  for (int r = 0; r < part->count; r++) length[r] = seen_of_block(part->length[r], block);
  if (part->count == TOGETHER && head_dim % 16 == 0) {
    values_four(part, weights, stride, values, length, head_dim);
    return;
  }
  for (int r = 0; r < part->count; r++)
    values_one(weights + r * stride, values, length[r], head_dim, part->out[r]);
}

// Some parts of one cache: block by block, first the keys and then the values are read as they lie in memory.
static void attend(Part *parts, int count, const Cache *cache, int layer, size_t stride) {
  int head_dim = cache->head_dim, longest = 0;
  float scale = 1.0f / __builtin_sqrtf((float)head_dim);
  for (int i = 0; i < count; i++) longest = parts[i].longest > longest ? parts[i].longest : longest;
  int blocks = (longest + CACHE_BLOCK - 1) / CACHE_BLOCK;
  for (int block = 0; block < blocks; block++) {
    const float *keys = block_keys(cache, layer, block);
    for (int i = 0; i < count; i++)
      score_block(&parts[i], keys + parts[i].kv_head * head_floats(cache), head_dim, block, scale, stride);
  }
  for (int i = 0; i < count; i++)
    for (int r = 0; r < parts[i].count; r++) {
      parts[i].sum[r] = softmax_weights(parts[i].scores + r * stride, parts[i].length[r]);
      memset(parts[i].out[r], 0, sizeof(float) * head_dim);
    }
  for (int block = 0; block < blocks; block++) {
    const float *values = block_values(cache, layer, block);
    for (int i = 0; i < count; i++)
      add_values_of_block(&parts[i], values + parts[i].kv_head * head_floats(cache), head_dim, block, stride);
  }
  for (int i = 0; i < count; i++)
    for (int r = 0; r < parts[i].count; r++)
      for (int d = 0; d < head_dim; d++) parts[i].out[r][d] = parts[i].out[r][d] / parts[i].sum[r];
}

// Rows that are computed together: one, or a few neighbours of one sequence. A key-value head's query heads then make
// one part, or several.
static int rows_together(const Attention *job) {
  int sharing = job->heads / job->kv_heads;
  return sharing >= TOGETHER ? 1 : TOGETHER / sharing;
}

static int parts_of_head(int heads, int kv_heads) { return (heads / kv_heads + TOGETHER - 1) / TOGETHER; }

// The most parts of one unit.
static int parts_together(int heads, int kv_heads, int head_dim) {
  int parts = kv_heads * parts_of_head(heads, kv_heads), together = UNIT_DIMS / head_dim;
  if (together > PARTS_TOGETHER) together = PARTS_TOGETHER;
  return together < 1 ? 1 : together < parts ? together : parts;
}

int attention_score_rows(int heads, int kv_heads, int head_dim) {
  return parts_together(heads, kv_heads, head_dim) * TOGETHER;
}

// Parts `from`..`to` of rows first..end - 1, which are of one sequence.
static void attend_rows(const Attention *job, int first, int end, int from, int to, float *scores) {
  Part parts[PARTS_TOGETHER];
  int sharing = job->heads / job->kv_heads, of_head = parts_of_head(job->heads, job->kv_heads);
  for (int i = from; i < to; i++) {
    Part *part = &parts[i - from];
    int kv_head = i / of_head, head_first = kv_head * sharing + i % of_head * TOGETHER;
    int head_end = head_first + TOGETHER < (kv_head + 1) * sharing ? head_first + TOGETHER : (kv_head + 1) * sharing;
    part->kv_head = kv_head, part->count = 0, part->longest = job->places[end - 1].position + 1;
    part->scores = scores + (size_t)(i - from) * TOGETHER * job->stride;
    for (int row = first; row < end; row++)
      for (int head = head_first; head < head_end; head++) {
        size_t at = ((size_t)row * job->heads + head) * job->head_dim;
        part->q[part->count] = job->q + at, part->out[part->count] = job->out + at;
        part->length[part->count++] = job->places[row].position + 1;
      }
  }
  attend(parts, to - from, job->places[first].cache, job->layer, job->stride);
}

static void attention_unit(void *argument, int unit, int worker) {
  const Attention *job = argument;
  int parts = job->kv_heads * parts_of_head(job->heads, job->kv_heads);
  int units = (parts + job->together - 1) / job->together;
  int from = unit % units * job->together, to = from + job->together < parts ? from + job->together : parts;
  int first = unit / units * rows_together(job), end = first + rows_together(job);
  if (end > job->rows) end = job->rows;
  for (int row = first; row < end; row++) {
    if (row + 1 < end && job->places[row + 1].cache == job->places[first].cache) continue;
    attend_rows(job, first, row + 1, from, to, job->scores[worker]);
    first = row + 1;
  }
}

void attention(Pool *pool, Attention *job) {
  int parts = job->kv_heads * parts_of_head(job->heads, job->kv_heads), threads = pool_threads(pool);
  int groups = (job->rows + rows_together(job) - 1) / rows_together(job);
  job->together = parts_together(job->heads, job->kv_heads, job->head_dim);
  // Several threads need some units each.
  while (threads > 1 && job->together > 1 && groups * parts < 4 * threads * job->together) job->together /= 2;
  pool_run(pool, groups * ((parts + job->together - 1) / job->together), attention_unit, job);
}
