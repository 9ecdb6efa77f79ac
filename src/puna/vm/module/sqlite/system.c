/*
 * The operating system as SQLite finds it inside a process: no files, no waiting, the time of the message, and chance
 * that is the same on every machine. Called by SQLite alone (SQLITE_OS_OTHER).
 *
 * Databases are in memory, and their journals and temporary tables with them, so a copy of linear memory is a copy of
 * them too.
 */
#include <string.h>

#include "process.h"
#include "sqlite3.h"
#include "system.h"

#define PATH_BYTES_MAX 512
#define STACK_BYTES_MAX (640 << 10) /* of one call: a thousand levels of an expression take a third of it */
#define UNIX_EPOCH_MS 210866760000000 /* in SQLite's count, which begins on the Julian day 0 */

static uint64_t chance;

void puna_sqlite_seed(const char *text, size_t size) {
  chance = 0xcbf29ce484222325u; /* FNV-1a */
  for (size_t i = 0; i < size; i++) chance = (chance ^ (unsigned char)text[i]) * 0x100000001b3u;
}

/* SplitMix64. SQLite asks for one seed of its own generator and for no more. */
static uint64_t next_chance(void) {
  uint64_t z = chance += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

static int fill_with_chance(sqlite3_vfs *system, int size, char *into) {
  (void)system;
  for (int at = 0; at < size; at += 8) {
    uint64_t word = next_chance();
    memcpy(into + at, &word, size - at < 8 ? (size_t)(size - at) : 8);
  }
  return size;
}

static int tell_time(sqlite3_vfs *system, sqlite3_int64 *into) {
  (void)system;
  *into = UNIX_EPOCH_MS + puna_now_ms;
  return SQLITE_OK;
}

/* Nobody else holds a lock that waiting could release. */
static int do_not_sleep(sqlite3_vfs *system, int microseconds) {
  (void)system;
  return microseconds;
}

static int no_file(sqlite3_vfs *system, sqlite3_filename path, sqlite3_file *file, int flags, int *got) {
  (void)system, (void)path, (void)flags, (void)got;
  file->pMethods = NULL;
  return SQLITE_CANTOPEN;
}

static int nothing_to_delete(sqlite3_vfs *system, const char *path, int sync) {
  (void)system, (void)path, (void)sync;
  return SQLITE_IOERR_DELETE_NOENT;
}

static int not_there(sqlite3_vfs *system, const char *path, int kind, int *there) {
  (void)system, (void)path, (void)kind;
  *there = 0;
  return SQLITE_OK;
}

static int same_path(sqlite3_vfs *system, const char *path, int room, char *into) {
  (void)system;
  if ((int)strlen(path) >= room) return SQLITE_CANTOPEN;
  strcpy(into, path);
  return SQLITE_OK;
}

static int no_last_error(sqlite3_vfs *system, int room, char *into) {
  (void)system, (void)room, (void)into;
  return 0;
}

/* --- memory, and the depth of the stack ------------------------------------------------------------------------ */

static sqlite3_mem_methods memory;
static uintptr_t floor_address;
static int went_too_deep;

static uintptr_t stack_address(void) {
  volatile char here = 0;
  return (uintptr_t)&here;
}

static int is_too_deep(void) {
  int too_deep = stack_address() < floor_address;
  went_too_deep |= too_deep;
  return too_deep;
}

static void *allocate(int size) { return is_too_deep() ? NULL : memory.xMalloc(size); }
static void *reallocate(void *old, int size) { return is_too_deep() ? NULL : memory.xRealloc(old, size); }

void puna_sqlite_start(void) {
  if (memory.xMalloc) return;
  sqlite3_config(SQLITE_CONFIG_GETMALLOC, &memory);
  sqlite3_mem_methods guarded = memory;
  guarded.xMalloc = allocate;
  guarded.xRealloc = reallocate;
  sqlite3_config(SQLITE_CONFIG_MALLOC, &guarded);
}

uintptr_t puna_sqlite_descend(void) {
  uintptr_t outer = floor_address, here = stack_address();
  floor_address = here > STACK_BYTES_MAX ? here - STACK_BYTES_MAX : 0;
  went_too_deep = 0;
  return outer;
}

int puna_sqlite_ascend(uintptr_t outer) {
  floor_address = outer;
  return went_too_deep;
}

int sqlite3_os_init(void) {
  static sqlite3_vfs memory_only = {
      .iVersion = 2,
      .szOsFile = sizeof(sqlite3_file),
      .mxPathname = PATH_BYTES_MAX,
      .zName = "none",
      .xOpen = no_file,
      .xDelete = nothing_to_delete,
      .xAccess = not_there,
      .xFullPathname = same_path,
      .xRandomness = fill_with_chance,
      .xSleep = do_not_sleep,
      .xGetLastError = no_last_error,
      .xCurrentTimeInt64 = tell_time,
  };
  return sqlite3_vfs_register(&memory_only, 1);
}

int sqlite3_os_end(void) { return SQLITE_OK; }
