// Matrices as they lie in a GGUF file, multiplied with the activations of several rows (tokens) at once.
#ifndef PUNA_MATMUL_H
#define PUNA_MATMUL_H

#include <stddef.h>
#include <stdint.h>

#include "platform.h"

// ggml's numbers of the tensor types.
enum { TYPE_F32 = 0, TYPE_F16 = 1, TYPE_Q4_0 = 2, TYPE_Q8_0 = 8 };

// (rows, cols), row-major in the file. Q8_0: 34-byte blocks of a half-precision scale and 32 signed bytes.
// Q4_0: 18-byte blocks of a scale and 16 bytes; byte i holds values i (low nibble) and i + 16, each less 8.
typedef struct {
  int type, rows, cols;
  size_t row_bytes;
  const uint8_t *data;
  // NULL, or all of the matrix as panels (isa.h), made once by `matrix_pack`.
  const uint8_t *panels;
  const float *panel_scales;
} Matrix;

// The same quantised rows once more, several rows side by side as the build's inner loop wants them.
typedef struct {
  uint8_t *data;
  float *scale;
  int32_t *correction;
} Tiles;

// What a matrix is multiplied with: `rows` tokens of `cols` values each.
typedef struct {
  int rows, cols;
  const float *values;  // (rows, cols) as they were
  int8_t *q;            // (rows, cols) quantised in blocks of 32, each in -127..127
  float *scale;         // (rows, cols / 32)
  int32_t *sum;         // (rows, cols / 32): the sum of each block's q
  int tiled;            // whether it is panels that these rows are multiplied with
  Tiles q8, q4;         // then, for Q8_0 and for Q4_0 matrices
  uint8_t *ordered_q8, *ordered_q4;  // else: q in the order the dots want (isa.h, Q8_ORDER)
  int rows_max, cols_max;
  void *memory;
  size_t memory_bytes;
} Activations;

size_t matrix_row_bytes(int type, int cols);

// The memory a matrix's panels take; 0 when the build has none for its type.
size_t matrix_panels_bytes(const Matrix *matrix);
// Make the panels in `memory` (64-byte aligned, matrix_panels_bytes long): products no longer read the file then.
void matrix_pack(Matrix *matrix, uint8_t *memory);

int activations_init(Activations *a, int rows_max, int cols_max);  // 0 when memory is refused
void activations_free(Activations *a);
// Take `values` (rows, cols) and quantise them as far as the `count` matrices need it. `values` must stay.
void activations_set(Activations *a, Pool *pool, const float *values, int rows, int cols, const Matrix *const *matrices,
                     int count);

// Scratch memory of one thread for the widest matrix.
typedef struct {
  uint8_t *panel;
  float *panel_scale, *lanes, *row_values;
  void *memory;
  size_t memory_bytes;
} MatmulScratch;

int matmul_scratch_init(MatmulScratch *scratch, int cols_max);
void matmul_scratch_free(MatmulScratch *scratch);

// out[i] (a->rows, matrices[i]->rows) = a times matrices[i] transposed, for up to 4 matrices of a->cols columns.
void matmul(Pool *pool, MatmulScratch *scratch, const Activations *a, const Matrix *const *matrices,
            float *const *outs, int count);

// One row of a matrix as float (cols): an embedding.
void matrix_row(const Matrix *matrix, int row, float *out);

// One activation block, for tests: `values` (32) -> `q` (32) and the scale.
float quantise_block(const float *values, int8_t *q, int32_t *sum);

#endif
