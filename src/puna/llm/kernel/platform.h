// What the kernel needs from the machine below it: large zeroed memory, the floating-point mode, threads.
// llama.c and matmul.c use it. WebAssembly has no threads here: a pool of one runs everything in its caller.
#ifndef PUNA_PLATFORM_H
#define PUNA_PLATFORM_H

#include <stddef.h>
#include <stdint.h>

// Zeroed memory whose untouched pages cost nothing (natively; in WebAssembly it is plain heap). NULL when refused.
void *reserve_memory(size_t bytes);
void release_memory(void *memory, size_t bytes);
// Say that of this memory, `bytes` long, the first `filled` are in use and not only the first `before`: where it pays,
// the system keeps them in large pages from now on, which are found faster.
void memory_filled(void *memory, size_t bytes, size_t before, size_t filled);

// Set round-to-nearest without flush-to-zero for this thread, whatever another library left behind.
// Returns the former mode for `restore_float_mode`.
uint64_t set_float_mode(void);
void restore_float_mode(uint64_t mode);

typedef struct Pool Pool;
// One unit of a parallel job. `worker` counts from 0 (the caller) and names scratch memory of its own.
typedef void (*Unit)(void *job, int unit, int worker);

Pool *pool_new(int threads);
void pool_free(Pool *pool);
int pool_threads(const Pool *pool);
// Run units 0..count-1 on all threads and return when the last is done. Which thread runs which unit is left to
// chance: a unit's result may depend on nothing but its number.
void pool_run(Pool *pool, int count, Unit unit, void *job);

#endif
