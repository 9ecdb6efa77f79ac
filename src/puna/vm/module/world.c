/*
 * The world a process sees outside its memory: none. No files, no environment, and a clock that only messages move.
 *
 * The first half stands in for libc functions that Lua's own libraries call (build.py renames the calls); the
 * second resolves the system interface that libc itself would import, so that the module imports nothing of it.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "process.h"

int64_t puna_now_ms;

/* os.clock counts its own calls, a millisecond each: programs that measure see time pass, the same everywhere. */
static int64_t clock_steps;

FILE *puna_fopen(const char *path, const char *mode) {
  (void)path, (void)mode;
  errno = ENOENT;
  return NULL;
}

FILE *puna_freopen(const char *path, const char *mode, FILE *file) {
  (void)file;
  return puna_fopen(path, mode);
}

FILE *puna_tmpfile(void) { return puna_fopen("", ""); }

int puna_remove(const char *path) {
  (void)path;
  errno = ENOENT;
  return -1;
}

int puna_rename(const char *from, const char *to) {
  (void)to;
  return puna_remove(from);
}

int puna_system(const char *command) {
  errno = ENOSYS;
  return command ? -1 : 0;
}

char *puna_tmpnam(char *name) {
  (void)name;
  return NULL;
}

char *puna_getenv(const char *name) {
  (void)name;
  return NULL;
}

void puna_exit(int code) {
  (void)code;
  __builtin_trap();
}

clock_t puna_clock(void) { return (clock_t)(++clock_steps * (CLOCKS_PER_SEC / 1000)); }

time_t puna_time(time_t *into) {
  time_t now = (time_t)(puna_now_ms / 1000);
  if (into) *into = now;
  return now;
}

/* --- WASI, as far as libc refers to it ---------------------------------------------------------------------- */

#define WASI(name) __imported_wasi_snapshot_preview1_##name
#define BAD_DESCRIPTOR 8

typedef struct {
  uint32_t address, size;
} io_vector;

/* Standard output and error swallow what is written: what a process has to say goes into its result. */
int32_t WASI(fd_write)(int32_t fd, int32_t vectors, int32_t count, int32_t written) {
  (void)fd;
  uint32_t total = 0;
  for (int32_t i = 0; i < count; i++) total += ((const io_vector *)vectors)[i].size;
  *(uint32_t *)written = total;
  return 0;
}

int32_t WASI(fd_read)(int32_t fd, int32_t vectors, int32_t count, int32_t read) {
  (void)fd, (void)vectors, (void)count, (void)read;
  return BAD_DESCRIPTOR;
}

int32_t WASI(fd_close)(int32_t fd) {
  (void)fd;
  return 0;
}

int32_t WASI(fd_seek)(int32_t fd, int64_t offset, int32_t whence, int32_t position) {
  (void)fd, (void)offset, (void)whence, (void)position;
  return BAD_DESCRIPTOR;
}

int32_t WASI(fd_fdstat_get)(int32_t fd, int32_t into) {
  (void)fd, (void)into;
  return BAD_DESCRIPTOR;
}

int32_t WASI(fd_fdstat_set_flags)(int32_t fd, int32_t flags) {
  (void)fd, (void)flags;
  return BAD_DESCRIPTOR;
}

int32_t WASI(environ_get)(int32_t pointers, int32_t texts) {
  (void)pointers, (void)texts;
  return 0;
}

int32_t WASI(environ_sizes_get)(int32_t count, int32_t size) {
  *(uint32_t *)count = *(uint32_t *)size = 0;
  return 0;
}

int32_t WASI(clock_time_get)(int32_t id, int64_t precision, int32_t into) {
  (void)id, (void)precision;
  *(uint64_t *)into = (uint64_t)puna_now_ms * 1000000u;
  return 0;
}

_Noreturn void WASI(proc_exit)(int32_t code) {
  (void)code;
  __builtin_trap();
}

/* The toolchain's own close() would import fd_close directly. */
int close(int fd) {
  (void)fd;
  return 0;
}
