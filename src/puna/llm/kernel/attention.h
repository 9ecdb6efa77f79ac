// The KV cache of one sequence, and attention over it.
#ifndef PUNA_ATTENTION_H
#define PUNA_ATTENTION_H

#include "canonical.h"
#include "platform.h"

enum {
  KEY_GROUP = 32,          // positions whose keys lie interleaved, so that their scores are computed at once
  CACHE_BLOCK = 64,        // positions whose keys and values lie together; the canonical sum of values goes by it, too
  ATTENTION_TOGETHER = 4,  // query rows that share the same keys are computed together
};

// Blocks of positions, one after another as the sequence grows; in each for every layer
//   keys (kv_heads, CACHE_BLOCK / KEY_GROUP, head_dim, KEY_GROUP), then values (kv_heads, CACHE_BLOCK, head_dim),
// so that memory is read in long runs and few pages are touched by a short sequence.
// Memory is reserved for all positions and touched as they are written.
typedef struct {
  int layers, kv_heads, head_dim;
  float *memory;
  size_t bytes;
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
// `scores[worker]` is scratch: attention_score_rows rows of `stride` floats, stride >= attention_stride(longest row).
typedef struct {
  const float *q;
  float *out;
  const Place *places;
  int rows, layer, heads, kv_heads, head_dim;
  float *const *scores;
  size_t stride;
  int together;  // parts of a unit (attention.c); `attention` chooses
} Attention;

// An odd number of groups: rows of scores that lay a power of two apart would be in each other's way in the cache.
static inline size_t attention_stride(int positions) {
  return (((size_t)positions + KEY_GROUP - 1) / KEY_GROUP | 1) * KEY_GROUP;
}
int attention_score_rows(int heads, int kv_heads, int head_dim);
void attention(Pool *pool, Attention *job);

#endif
