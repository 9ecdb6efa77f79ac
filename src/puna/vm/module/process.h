/* What the C files of the process module share. */
#ifndef PUNA_PROCESS_H
#define PUNA_PROCESS_H

#include <stddef.h>
#include <stdint.h>

struct lua_State;

/* One embedded Lua file under one of the names `require` knows it by; the table ends with a null name. */
typedef struct {
  const char *name;
  const unsigned char *source;
  size_t size;
} puna_embedded;

extern const puna_embedded puna_embedded_files[];

/* A C library that `require` opens by its name, beside those that every process has; the table ends with a null name. */
typedef struct {
  const char *name;
  int (*open)(struct lua_State *);
} puna_library;

extern const puna_library puna_libraries[];

/* The time of the message under evaluation, in milliseconds since 1970: all the clock there is. */
extern int64_t puna_now_ms;

/* Lua's allocator: heap.c. */
void *puna_heap(void *unused, void *object, size_t size, size_t wanted);

#endif
