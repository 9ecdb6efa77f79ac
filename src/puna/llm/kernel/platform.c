// Memory, floating-point mode and the thread pool, for Linux, macOS, Windows and WebAssembly.
#define _GNU_SOURCE
#include "platform.h"

#include <stdlib.h>
#include <string.h>

#if defined(_WIN32)
#include <windows.h>
#elif !defined(__wasm__)
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#endif
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

// ---- memory ----

#if defined(__wasm__)
void *reserve_memory(size_t bytes) {
  void *memory = aligned_alloc(64, (bytes + 63) & ~(size_t)63);
  if (memory) memset(memory, 0, bytes);
  return memory;
}
void release_memory(void *memory, size_t bytes) { (void)bytes, free(memory); }
#elif defined(_WIN32)
void *reserve_memory(size_t bytes) { return VirtualAlloc(NULL, bytes, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE); }
void release_memory(void *memory, size_t bytes) {
  (void)bytes;
  if (memory) VirtualFree(memory, 0, MEM_RELEASE);
}
#else
static void *map_memory(size_t bytes) {
  void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return memory == MAP_FAILED ? NULL : memory;
}
#if !defined(__linux__)
void *reserve_memory(size_t bytes) { return map_memory(bytes); }
void release_memory(void *memory, size_t bytes) {
  if (memory) munmap(memory, bytes);
}
#endif
#endif

#if defined(__linux__)
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25  // since Linux 6.1; an older one refuses, and nothing is lost
#endif
enum { LARGE_PAGE = 2 << 20, PAGE_MAX = 64 << 10 };

static size_t whole_pages(size_t bytes) { return (bytes + PAGE_MAX - 1) / PAGE_MAX * PAGE_MAX; }

// At a multiple of LARGE_PAGE, if it is as long.
void *reserve_memory(size_t bytes) {
  bytes = whole_pages(bytes);
  if (bytes < LARGE_PAGE) return map_memory(bytes);
  char *memory = map_memory(bytes + LARGE_PAGE);
  if (!memory) return NULL;
  size_t before = -(uintptr_t)memory % LARGE_PAGE;
  if (before) munmap(memory, before);
  munmap(memory + before + bytes, LARGE_PAGE - before);
  return memory + before;
}

void release_memory(void *memory, size_t bytes) {
  if (memory) munmap(memory, whole_pages(bytes));
}

// A stretch that is half in use is worth a large page: then nobody takes more than twice the memory for it.
static size_t large_pages(size_t filled) { return (filled + LARGE_PAGE / 2) / LARGE_PAGE; }

void memory_filled(void *memory, size_t bytes, size_t before, size_t filled) {
  for (size_t page = large_pages(before); page < large_pages(filled) && (page + 1) * LARGE_PAGE <= bytes; page++)
    madvise((char *)memory + page * LARGE_PAGE, LARGE_PAGE, MADV_COLLAPSE);
}
#else
void memory_filled(void *memory, size_t bytes, size_t before, size_t filled) {
  (void)memory, (void)bytes, (void)before, (void)filled;
}
#endif

// ---- floating-point mode ----

#if defined(__x86_64__)
uint64_t set_float_mode(void) {
  uint64_t former = _mm_getcsr();
  _mm_setcsr(0x1f80);  // all exceptions masked, round to nearest, neither FTZ nor DAZ
  return former;
}
void restore_float_mode(uint64_t mode) { _mm_setcsr((unsigned)mode); }
#elif defined(__aarch64__)
uint64_t set_float_mode(void) {
  uint64_t former;
  __asm__ volatile("mrs %0, fpcr" : "=r"(former));
  __asm__ volatile("msr fpcr, %0" ::"r"((uint64_t)0));
  return former;
}
void restore_float_mode(uint64_t mode) { __asm__ volatile("msr fpcr, %0" ::"r"(mode)); }
#else
uint64_t set_float_mode(void) { return 0; }
void restore_float_mode(uint64_t mode) { (void)mode; }
#endif

// ---- thread pool ----

#if defined(__wasm__)

struct Pool { int threads; };
Pool *pool_new(int threads) {
  Pool *pool = malloc(sizeof *pool);
  (void)threads;
  if (pool) pool->threads = 1;
  return pool;
}
void pool_free(Pool *pool) { free(pool); }
int pool_threads(const Pool *pool) { return pool->threads; }
void pool_run(Pool *pool, int count, Unit unit, void *job) {
  (void)pool;
  for (int i = 0; i < count; i++) unit(job, i, 0);
}

#else

#if defined(_WIN32)
typedef HANDLE Thread;
typedef SRWLOCK Lock;
typedef CONDITION_VARIABLE Condition;
#define lock_init(l) InitializeSRWLock(l)
#define lock_take(l) AcquireSRWLockExclusive(l)
#define lock_drop(l) ReleaseSRWLockExclusive(l)
#define condition_init(c) InitializeConditionVariable(c)
#define condition_wait(c, l) SleepConditionVariableSRW(c, l, INFINITE, 0)
#define condition_wake(c) WakeAllConditionVariable(c)
#else
typedef pthread_t Thread;
typedef pthread_mutex_t Lock;
typedef pthread_cond_t Condition;
#define lock_init(l) pthread_mutex_init(l, NULL)
#define lock_take(l) pthread_mutex_lock(l)
#define lock_drop(l) pthread_mutex_unlock(l)
#define condition_init(c) pthread_cond_init(c, NULL)
#define condition_wait(c, l) pthread_cond_wait(c, l)
#define condition_wake(c) pthread_cond_broadcast(c)
#endif

// A forward pass is hundreds of jobs a few microseconds apart, so a waiting thread first spins; but cores are
// shared with others, so it spins briefly (some 10 us) and then sleeps. An idle pool costs nothing.
enum { SPINS = 3000, THREADS_MAX = 256 };

static const uint64_t OPEN = 1u << 31, INSIDE = (1u << 31) - 1;
static uint32_t job_number(uint64_t door) { return (uint32_t)(door >> 32); }

struct Pool {
  int threads;
  Lock lock;
  Condition work, done;
  // The door of the present job: its number, one higher for each, in the upper half; OPEN while a worker may enter; how
  // many are inside. A worker that wakes up late finds it closed, and nobody has waited for it.
  uint64_t door;
  int stop;
  Unit unit;
  void *job;
  int count;
  int next;  // the next unit that nobody has taken
  Thread thread[THREADS_MAX];
};

typedef struct { Pool *pool; int worker; } Worker;

static inline void spin_pause(void) {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

static void take_units(Pool *pool, int worker) {
  for (;;) {
    int unit = __atomic_fetch_add(&pool->next, 1, __ATOMIC_RELAXED);
    if (unit >= pool->count) return;
    pool->unit(pool->job, unit, worker);
  }
}

static uint64_t await_job(Pool *pool, uint32_t seen) {
  uint64_t door;
  for (int spins = 0; spins < SPINS; spins++) {
    door = __atomic_load_n(&pool->door, __ATOMIC_ACQUIRE);
    if (job_number(door) != seen) return door;
    spin_pause();
  }
  lock_take(&pool->lock);
  while (job_number(door = __atomic_load_n(&pool->door, __ATOMIC_ACQUIRE)) == seen)
    condition_wait(&pool->work, &pool->lock);
  lock_drop(&pool->lock);
  return door;
}

static int enter(Pool *pool, uint64_t door) {
  uint32_t number = job_number(door);
  while (job_number(door) == number && door & OPEN)
    if (__atomic_compare_exchange_n(&pool->door, &door, door + 1, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) return 1;
  return 0;
}

static void leave(Pool *pool) {
  if (__atomic_sub_fetch(&pool->door, 1, __ATOMIC_ACQ_REL) & (OPEN | INSIDE)) return;
  // The last one. The lock closes the gap in which the caller has looked inside but does not sleep yet.
  lock_take(&pool->lock);
  condition_wake(&pool->done);
  lock_drop(&pool->lock);
}

#if defined(_WIN32)
static DWORD WINAPI worker_main(LPVOID argument)
#else
static void *worker_main(void *argument)
#endif
{
  Worker self = *(Worker *)argument;
  free(argument);
  Pool *pool = self.pool;
  set_float_mode();
  for (uint32_t seen = 0;;) {
    uint64_t door = await_job(pool, seen);
    seen = job_number(door);
    if (pool->stop) return 0;
    if (!enter(pool, door)) continue;
    take_units(pool, self.worker);
    leave(pool);
  }
}

static int start_thread(Pool *pool, int worker) {
  Worker *argument = malloc(sizeof *argument);
  if (!argument) return 0;
  *argument = (Worker){pool, worker};
#if defined(_WIN32)
  pool->thread[worker] = CreateThread(NULL, 0, worker_main, argument, 0, NULL);
  int started = pool->thread[worker] != NULL;
#else
  int started = pthread_create(&pool->thread[worker], NULL, worker_main, argument) == 0;
#endif
  if (!started) free(argument);
  return started;
}

Pool *pool_new(int threads) {
  Pool *pool = calloc(1, sizeof *pool);
  if (!pool) return NULL;
  lock_init(&pool->lock);
  condition_init(&pool->work);
  condition_init(&pool->done);
  if (threads > THREADS_MAX) threads = THREADS_MAX;
  // A machine that refuses a thread leaves us with fewer: slower, same bits.
  pool->threads = 1;
  while (pool->threads < threads && start_thread(pool, pool->threads)) pool->threads++;
  return pool;
}

int pool_threads(const Pool *pool) { return pool->threads; }

static void announce(Pool *pool) {
  lock_take(&pool->lock);
  __atomic_store_n(&pool->door, (uint64_t)(job_number(pool->door) + 1) << 32 | OPEN, __ATOMIC_RELEASE);
  condition_wake(&pool->work);
  lock_drop(&pool->lock);
}

void pool_free(Pool *pool) {
  if (!pool) return;
  pool->stop = 1;
  announce(pool);
  for (int worker = 1; worker < pool->threads; worker++) {
#if defined(_WIN32)
    WaitForSingleObject(pool->thread[worker], INFINITE);
    CloseHandle(pool->thread[worker]);
#else
    pthread_join(pool->thread[worker], NULL);
#endif
  }
  free(pool);
}

void pool_run(Pool *pool, int count, Unit unit, void *job) {
  if (pool->threads == 1 || count <= 1) {
    for (int i = 0; i < count; i++) unit(job, i, 0);
    return;
  }
  pool->unit = unit;
  pool->job = job;
  pool->count = count;
  pool->next = 0;
  announce(pool);
  take_units(pool, 0);
  if (!(__atomic_and_fetch(&pool->door, ~OPEN, __ATOMIC_ACQ_REL) & INSIDE)) return;
  for (int spins = 0; spins < SPINS; spins++) {
    if (!(__atomic_load_n(&pool->door, __ATOMIC_ACQUIRE) & INSIDE)) return;
    spin_pause();
  }
  lock_take(&pool->lock);
  while (__atomic_load_n(&pool->door, __ATOMIC_ACQUIRE) & INSIDE) condition_wait(&pool->done, &pool->lock);
  lock_drop(&pool->lock);
}

#endif
