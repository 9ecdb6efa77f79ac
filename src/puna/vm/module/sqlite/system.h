/* What SQLite's operating system is told from outside. */
#ifndef PUNA_SQLITE_SYSTEM_H
#define PUNA_SQLITE_SYSTEM_H

#include <stddef.h>

/* Choose the sequence that `random()` and `randomblob()` follow. Without effect once either was used. */
void puna_sqlite_seed(const char *text, size_t size);

#endif
