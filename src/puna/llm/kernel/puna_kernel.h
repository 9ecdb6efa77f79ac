// The kernel's whole interface, the same natively (a shared library) and in WebAssembly (a module without imports).
//
// kernel/__init__.py calls it by ctypes and by wasmtime; a browser can load the module by itself. All integers and
// floats are little-endian; addresses are 64 bits wide in structs on every target, so that one layout fits all.
// Arguments are believed: the caller has checked token ids, positions and sizes (kernel/__init__.py does).
#ifndef PUNA_KERNEL_H
#define PUNA_KERNEL_H

#include <stdint.h>

#if defined(_WIN32)
#define PUNA_EXPORT __declspec(dllexport)
#elif defined(__wasm__)
#define PUNA_EXPORT __attribute__((visibility("default"), used))
#else
#define PUNA_EXPORT __attribute__((visibility("default")))
#endif

// One tensor as it lies in the GGUF file, which the caller keeps in memory as long as the model. `type` is ggml's
// number: 0 F32, 1 F16, 2 Q4_0, 8 Q8_0.
typedef struct {
  uint64_t data;
  int32_t type, unused;
} PunaTensor;

// `tensors` holds the embedding, then for each layer attn_norm, attn_q, attn_k, attn_v, attn_output, ffn_norm,
// ffn_gate, ffn_up, ffn_down, then output_norm and output. Norms are F32.
typedef struct {
  int32_t dim, layers, heads, kv_heads, head_dim, ffn, vocab, threads;
  double rope_base;
  float norm_eps;
  int32_t rows_max;  // the most rows one call of puna_forward may bring
  // Memory that may be taken to keep the weights once more in the order the products want: more speed, the same bits.
  int64_t panels_bytes_max;
  PunaTensor tensors[];
} PunaSpec;

typedef struct PunaModel PunaModel;
typedef struct PunaCache PunaCache;

PUNA_EXPORT PunaModel *puna_model_new(const PunaSpec *spec);  // NULL: memory refused
PUNA_EXPORT void puna_model_free(PunaModel *model);

// The KV cache of one sequence, positions 0..positions_max - 1. NULL: memory refused.
PUNA_EXPORT PunaCache *puna_cache_new(const PunaModel *model, int32_t positions_max);
PUNA_EXPORT void puna_cache_free(PunaCache *cache);

// Run `rows` tokens through the model. Row i is tokens[i] at positions[i] of the sequence caches[cache_index[i]];
// rows of one sequence come in ascending positions without a hole. `caches` are addresses of PunaCache.
// logits (logits_count, vocab) receives the logits after the rows named by logits_rows, which ascend.
// Returns 0, or 1 when memory was refused (then nothing of the caches is to be believed from these positions on).
PUNA_EXPORT int32_t puna_forward(PunaModel *model, int32_t rows, const int32_t *tokens, const int32_t *positions,
                                 const int32_t *cache_index, const uint64_t *caches, int32_t logits_count,
                                 const int32_t *logits_rows, float *logits);

#if defined(__wasm__)
// Linear memory for the caller's arrays and weights; 64-byte aligned. NULL: memory refused.
PUNA_EXPORT void *puna_alloc(uint32_t bytes);
PUNA_EXPORT void puna_free(void *memory);
#else
// What this processor (and its system) can run: 1 the avx2 build, 2 the avx512 build, 4 the dotprod build.
PUNA_EXPORT int32_t puna_cpu_features(void);
#endif

// The parts, for tests against the reference: each over `count` values.
PUNA_EXPORT void puna_test_exp(const float *x, float *out, int32_t count);  // count a multiple of 8
PUNA_EXPORT void puna_test_half(const uint16_t *x, float *out, int32_t count);
PUNA_EXPORT void puna_test_quantise(const float *x, int8_t *q, float *scale, int32_t count);  // count blocks of 32
PUNA_EXPORT void puna_test_sin_cos(const double *x, double *sine, double *cosine, int32_t count);

#endif
