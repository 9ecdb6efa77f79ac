/* What SQLite's operating system is told from outside. */
#ifndef PUNA_SQLITE_SYSTEM_H
#define PUNA_SQLITE_SYSTEM_H

#include <stddef.h>
#include <stdint.h>

/* Take charge of SQLite's memory; before anything else of SQLite is called. */
void puna_sqlite_start(void);

/*
 * A call of SQLite begins here: how deep may it go? Views over views, triggers that set off triggers and the like
 * nest without a limit of SQLite's own. Past ours there is no memory to be had, so the call ends in an error at the
 * same place on every machine, long before the machine's own stack ends. Answers what `ascend` takes.
 */
uintptr_t puna_sqlite_descend(void);

/* The call is over; answers whether it went too deep, so that what it calls want of memory is no such thing. */
int puna_sqlite_ascend(uintptr_t outer);

/* Choose the sequence that `random()` and `randomblob()` follow. Without effect once either was used. */
void puna_sqlite_seed(const char *text, size_t size);

#endif
