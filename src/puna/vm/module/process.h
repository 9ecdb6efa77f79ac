/* What the C files of the process module share. */
#ifndef PUNA_PROCESS_H
#define PUNA_PROCESS_H

#include <stddef.h>
#include <stdint.h>

/* One embedded Lua file under one of the names `require` knows it by; the table ends with a null name. */
typedef struct {
  const char *name;
  const unsigned char *source;
  size_t size;
} puna_embedded;

extern const puna_embedded puna_embedded_files[];

/* The time of the message under evaluation, in milliseconds since 1970: all the clock there is. */
extern int64_t puna_now_ms;

#endif
