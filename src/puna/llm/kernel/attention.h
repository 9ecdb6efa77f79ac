// The KV cache of one sequence, and attention over it.
#ifndef PUNA_ATTENTION_H
#define PUNA_ATTENTION_H

#include "canonical.h"
#include "platform.h"

enum {
  KEY_GROUP = 8,           // positions whose keys lie interleaved, so that eight scores are computed at once
  ATTENTION_TOGETHER = 4,  // query rows that share the same keys are computed together
};

// Keys: (layers, kv_heads, positions / 8, head_dim, 8). Values: (layers, kv_heads, positions, head_dim).
// Memory is reserved for all positions and touched as they are written.
typedef struct {
  int layers, kv_heads, head_dim, positions_max;  // positions_max is rounded up to whole groups
  float *keys, *values;
  size_t bytes;  // of each
} Cache;

int cache_init(Cache *cache, int layers, int kv_heads, int head_dim, int positions_max);  // 0: memory refused
void cache_free(Cache *cache);
// Store one row's keys and values, each (kv_heads, head_dim).
void cache_put(Cache *cache, int layer, int position, const float *keys, const float *values);

// One row of a batch: it sees positions 0..position of its cache.
typedef struct {
  Cache *cache;
  int position;
} Place;

// out (rows, heads, head_dim) = attention of q (rows, heads, head_dim), each row in its own place.
// `scores[worker]` is scratch for ATTENTION_TOGETHER rows of `stride` floats, stride >= attention_stride(longest row).
typedef struct {
  const float *q;
  float *out;
  const Place *places;
  int rows, layer, heads, kv_heads, head_dim;
  float *const *scores;
  size_t stride;
} Attention;

static inline size_t attention_stride(int positions) { return (size_t)positions + 2 * KEY_GROUP; }
void attention(Pool *pool, Attention *job);

#endif
