// Grouped-query attention, row by row: scores, softmax, weighted sum of values.
//
// The order of every sum is part of the canonical arithmetic: a score adds up over the head's dimensions in order;
// the softmax's denominator goes by position % 8 into lanes; values are added in chunks of 64 positions, and the
// chunks' sums in order. None of it depends on which other rows are computed at the same time.
#include "attention.h"

#include <string.h>

enum {
  TOGETHER = ATTENTION_TOGETHER,
  VALUE_CHUNK = 64,  // positions whose weighted values are added up before they join the total
};

int cache_init(Cache *cache, int layers, int kv_heads, int head_dim, int positions_max) {
  positions_max = (positions_max + KEY_GROUP - 1) / KEY_GROUP * KEY_GROUP;
  *cache = (Cache){layers, kv_heads, head_dim, positions_max, NULL, NULL, 0};
  cache->bytes = sizeof(float) * layers * kv_heads * head_dim * (size_t)positions_max;
  cache->keys = reserve_memory(cache->bytes);
  cache->values = reserve_memory(cache->bytes);
  if (cache->keys && cache->values) return 1;
  cache_free(cache);
  return 0;
}

void cache_free(Cache *cache) {
  release_memory(cache->keys, cache->bytes);
  release_memory(cache->values, cache->bytes);
}

// Where a head's keys or values begin: both hold positions_max * head_dim floats per head.
static size_t head_start(const Cache *c, int layer, int kv_head) {
  return ((size_t)layer * c->kv_heads + kv_head) * c->positions_max * c->head_dim;
}

void cache_put(Cache *c, int layer, int position, const float *keys, const float *values) {
  for (int head = 0; head < c->kv_heads; head++, keys += c->head_dim, values += c->head_dim) {
    size_t start = head_start(c, layer, head);
    float *group = c->keys + start + (size_t)(position / KEY_GROUP) * KEY_GROUP * c->head_dim + position % KEY_GROUP;
    for (int d = 0; d < c->head_dim; d++) group[d * KEY_GROUP] = keys[d];
    memcpy(c->values + start + (size_t)position * c->head_dim, values, sizeof(float) * c->head_dim);
  }
}

// Up to TOGETHER query rows against one head of one cache. Lengths may differ by row (a prompt's later rows see
// more); `scores` holds `stride` floats for each.
typedef struct {
  const float *q[TOGETHER];
  float *out[TOGETHER];
  int length[TOGETHER];
  int count, longest;
} Rows;

static void score_one(const float *q, const float *keys, int head_dim, int groups, float scale, float *scores) {
  int g = 0;
  // Four groups at once: each sum waits for itself only.
  for (; g + 4 <= groups; g += 4, keys += 4 * KEY_GROUP * head_dim) {
    const float *k = keys, *l = k + KEY_GROUP * head_dim, *m = l + KEY_GROUP * head_dim, *n = m + KEY_GROUP * head_dim;
    f32x8 a = splat8(0), b = a, c = a, d = a;
    for (int i = 0; i < head_dim; i++) {
      f32x8 x = splat8(q[i]);
      a = a + x * load8(k + i * KEY_GROUP), b = b + x * load8(l + i * KEY_GROUP);
      c = c + x * load8(m + i * KEY_GROUP), d = d + x * load8(n + i * KEY_GROUP);
    }
    float *s = scores + g * KEY_GROUP;
    f32x8 z = splat8(scale);
    store8(s, a * z), store8(s + KEY_GROUP, b * z), store8(s + 2 * KEY_GROUP, c * z), store8(s + 3 * KEY_GROUP, d * z);
  }
  for (; g < groups; g++, keys += KEY_GROUP * head_dim) {
    f32x8 sum = splat8(0);
    for (int d = 0; d < head_dim; d++) sum = sum + splat8(q[d]) * load8(keys + d * KEY_GROUP);
    store8(scores + g * KEY_GROUP, sum * splat8(scale));
  }
}

// The same for four rows and two groups of positions at once: eight independent sums.
static int score_four(const Rows *rows, const float *keys, int head_dim, int groups, float scale, float *scores,
                      size_t stride) {
  const float *q0 = rows->q[0], *q1 = rows->q[1], *q2 = rows->q[2], *q3 = rows->q[3];
  int g = 0;
  for (; g + 2 <= groups; g += 2) {
    const float *k = keys + (size_t)g * KEY_GROUP * head_dim, *l = k + KEY_GROUP * head_dim;
    f32x8 a0 = splat8(0), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
    for (int d = 0; d < head_dim; d++, k += KEY_GROUP, l += KEY_GROUP) {
      f32x8 x = load8(k), y = load8(l);
      a0 = a0 + splat8(q0[d]) * x, b0 = b0 + splat8(q0[d]) * y;
      a1 = a1 + splat8(q1[d]) * x, b1 = b1 + splat8(q1[d]) * y;
      a2 = a2 + splat8(q2[d]) * x, b2 = b2 + splat8(q2[d]) * y;
      a3 = a3 + splat8(q3[d]) * x, b3 = b3 + splat8(q3[d]) * y;
    }
    f32x8 z = splat8(scale);
    float *s = scores + g * KEY_GROUP;
    store8(s, a0 * z), store8(s + KEY_GROUP, b0 * z), s += stride;
    store8(s, a1 * z), store8(s + KEY_GROUP, b1 * z), s += stride;
    store8(s, a2 * z), store8(s + KEY_GROUP, b2 * z), s += stride;
    store8(s, a3 * z), store8(s + KEY_GROUP, b3 * z);
  }
  return g;
}

// scores (length) -> exp(score - max), and their sum. The maximum of no order: NaN is never greater.
static float softmax_weights(float *scores, int length) {
  float max = -__builtin_inff();
  for (int i = 0; i < length; i++) max = scores[i] > max ? scores[i] : max;
  f32x8 lanes = splat8(0);
  int i = 0;
  for (; i + 8 <= length; i += 8) {
    f32x8 weights = exp8(load8(scores + i) - splat8(max));
    store8(scores + i, weights);
    lanes = lanes + weights;
  }
  if (i < length) {
    f32x8 weights = exp8(load8(scores + i) - splat8(max));
    for (int j = 0; i + j < length; j++) scores[i + j] = weights[j], lanes[j] += weights[j];
  }
  return tree8(lanes);
}

// out[d] = sum over positions of weight * value[d], divided by the weights' sum; d in steps of 32, of 8, then one by
// one.
static void values_one(const float *weights, const float *values, int length, int head_dim, float sum, float *out) {
  int d = 0;
  for (; d + 32 <= head_dim; d += 32) {
    f32x8 total[4] = {0};
    for (int chunk = 0; chunk < length; chunk += VALUE_CHUNK) {
      int end = chunk + VALUE_CHUNK < length ? chunk + VALUE_CHUNK : length;
      f32x8 a = splat8(0), b = a, c = a, e = a;
      const float *v = values + (size_t)chunk * head_dim + d;
      for (int p = chunk; p < end; p++, v += head_dim) {
        f32x8 w = splat8(weights[p]);
        a = a + w * load8(v), b = b + w * load8(v + 8), c = c + w * load8(v + 16), e = e + w * load8(v + 24);
      }
      total[0] += a, total[1] += b, total[2] += c, total[3] += e;
    }
    for (int i = 0; i < 4; i++) store8(out + d + 8 * i, total[i] / splat8(sum));
  }
  for (; d + 8 <= head_dim; d += 8) {
    f32x8 total = splat8(0);
    for (int chunk = 0; chunk < length; chunk += VALUE_CHUNK) {
      int end = chunk + VALUE_CHUNK < length ? chunk + VALUE_CHUNK : length;
      f32x8 part = splat8(0);
      for (int p = chunk; p < end; p++) part = part + splat8(weights[p]) * load8(values + (size_t)p * head_dim + d);
      total = total + part;
    }
    store8(out + d, total / splat8(sum));
  }
  for (; d < head_dim; d++) {
    float total = 0;
    for (int chunk = 0; chunk < length; chunk += VALUE_CHUNK) {
      int end = chunk + VALUE_CHUNK < length ? chunk + VALUE_CHUNK : length;
      float part = 0;
      for (int p = chunk; p < end; p++) part = part + weights[p] * values[(size_t)p * head_dim + d];
      total = total + part;
    }
    out[d] = total / sum;
  }
}

// The same for four rows and 16 dimensions at once. Positions that not all rows see are few (neighbours in a prompt
// differ by one each) and are added row by row: adding a zero weight instead would let a later row's NaN in.
static void values_four(const Rows *rows, const float *w, size_t stride, const float *values, int head_dim,
                        const float *sum) {
  const float *w0 = w, *w1 = w + stride, *w2 = w1 + stride, *w3 = w2 + stride;
  int shortest = rows->longest;
  for (int r = 0; r < TOGETHER; r++) shortest = rows->length[r] < shortest ? rows->length[r] : shortest;
  for (int d = 0; d < head_dim; d += 16) {
    f32x8 total[8] = {0};
    for (int chunk = 0; chunk < rows->longest; chunk += VALUE_CHUNK) {
      int end = chunk + VALUE_CHUNK < rows->longest ? chunk + VALUE_CHUNK : rows->longest;
      int shared = end < shortest ? end : shortest, p = chunk;
      f32x8 a0 = splat8(0), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
      const float *v = values + (size_t)chunk * head_dim + d;
      for (; p < shared; p++, v += head_dim) {
        f32x8 x = load8(v), y = load8(v + 8);
        a0 = a0 + splat8(w0[p]) * x, b0 = b0 + splat8(w0[p]) * y;
        a1 = a1 + splat8(w1[p]) * x, b1 = b1 + splat8(w1[p]) * y;
        a2 = a2 + splat8(w2[p]) * x, b2 = b2 + splat8(w2[p]) * y;
        a3 = a3 + splat8(w3[p]) * x, b3 = b3 + splat8(w3[p]) * y;
      }
      for (; p < end; p++, v += head_dim) {
        f32x8 x = load8(v), y = load8(v + 8);
        if (p < rows->length[0]) a0 = a0 + splat8(w0[p]) * x, b0 = b0 + splat8(w0[p]) * y;
        if (p < rows->length[1]) a1 = a1 + splat8(w1[p]) * x, b1 = b1 + splat8(w1[p]) * y;
        if (p < rows->length[2]) a2 = a2 + splat8(w2[p]) * x, b2 = b2 + splat8(w2[p]) * y;
        if (p < rows->length[3]) a3 = a3 + splat8(w3[p]) * x, b3 = b3 + splat8(w3[p]) * y;
      }
      // A chunk past a row's end adds +0, which changes nothing: a total that began at +0 is never -0.
      total[0] += a0, total[1] += b0, total[2] += a1, total[3] += b1;
      total[4] += a2, total[5] += b2, total[6] += a3, total[7] += b3;
    }
    for (int r = 0; r < TOGETHER; r++) {
      store8(rows->out[r] + d, total[2 * r] / splat8(sum[r]));
      store8(rows->out[r] + d + 8, total[2 * r + 1] / splat8(sum[r]));
    }
  }
}

static void attend_rows(const Rows *rows, const Cache *cache, size_t start, int head_dim, float *scores,
                        size_t stride) {
  const float *keys = cache->keys + start, *values = cache->values + start;
  int groups = (rows->longest + KEY_GROUP - 1) / KEY_GROUP, done = 0;
  float scale = 1.0f / __builtin_sqrtf((float)head_dim), sum[TOGETHER];
  if (rows->count == TOGETHER) done = score_four(rows, keys, head_dim, groups, scale, scores, stride);
  for (int r = 0; r < rows->count; r++) {
    score_one(rows->q[r], keys + (size_t)done * KEY_GROUP * head_dim, head_dim, groups - done, scale,
              scores + r * stride + done * KEY_GROUP);
    sum[r] = softmax_weights(scores + r * stride, rows->length[r]);
  }
  if (rows->count == TOGETHER && head_dim % 16 == 0) {
    values_four(rows, scores, stride, values, head_dim, sum);
    return;
  }
  for (int r = 0; r < rows->count; r++)
    values_one(scores + r * stride, values, rows->length[r], head_dim, sum[r], rows->out[r]);
}

// One unit: all query heads of one key-value head, for one row or for a few neighbours of one sequence.
static int rows_per_unit(const Attention *job) {
  int sharing = job->heads / job->kv_heads;
  return sharing >= TOGETHER ? 1 : TOGETHER / sharing;
}

static void attention_unit(void *argument, int unit, int worker) {
  Attention *job = argument;
  int sharing = job->heads / job->kv_heads, step = rows_per_unit(job);
  int kv_head = unit % job->kv_heads, first = unit / job->kv_heads * step;
  Rows rows = {.count = 0, .longest = 0};
  for (int row = first; row < first + step && row < job->rows; row++) {
    const Place *place = &job->places[row];
    size_t start = head_start(place->cache, job->layer, kv_head);
    for (int head = kv_head * sharing; head < (kv_head + 1) * sharing; head++) {
      size_t at = ((size_t)row * job->heads + head) * job->head_dim;
      rows.q[rows.count] = job->q + at, rows.out[rows.count] = job->out + at;
      rows.length[rows.count] = place->position + 1;
      if (place->position >= rows.longest) rows.longest = place->position + 1;
      if (++rows.count == TOGETHER) {
        attend_rows(&rows, place->cache, start, job->head_dim, job->scores[worker], job->stride);
        rows.count = rows.longest = 0;
      }
    }
    int last = row + 1 == first + step || row + 1 == job->rows || job->places[row + 1].cache != place->cache;
    if (rows.count && last) {
      attend_rows(&rows, place->cache, start, job->head_dim, job->scores[worker], job->stride);
      rows.count = rows.longest = 0;
    }
  }
}

void attention(Pool *pool, Attention *job) {
  int step = rows_per_unit(job), groups = (job->rows + step - 1) / step;
  pool_run(pool, groups * job->kv_heads, attention_unit, job);
}
