/*
 * Lua's memory, laid so that what a message makes and drops lies together.
 *
 * After each message the host hashes the blocks of 16 KiB that were written, so where objects lie is what a message
 * costs. Most of what it allocates is garbage soon after: such objects are put one behind the other, whatever their
 * size, into *lines* of 128 bytes that hold nothing. Each block counts the objects in each of its lines; a line without
 * any may be filled again. Lua says the size of what it gives back, so objects have no headers.
 *
 * What is larger than OBJECT_MAX is malloc's. Call frames have a place of their own: each message writes all of them.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lstate.h"
#include "process.h"

#define LINE 128
#define BLOCK 65536 /* a page of WebAssembly: memory grows in these */
#define LINES (BLOCK / LINE)
#define OBJECT_MAX 2048
#define FRAMES 128 /* what nests deeper takes the rest from the heap */
#define USEFUL (LINES / 8) /* free lines that make a block worth filling again */
#define OTHERS_MAX 2 /* blocks looked through for a hole before memory grows */

enum { NOWHERE, FILLING, PARTLY, EMPTY }; /* the list a block is in */

typedef struct block {
  uint8_t live[LINES]; /* objects that lie in a line, be it with a part of theirs */
  struct block *next, *previous;
  uint32_t free; /* lines without any */
  uint32_t where;
} block;

#define HEADER_LINES ((sizeof(block) + LINE - 1) / LINE)
#define FREE_MAX (LINES - HEADER_LINES)

/* Where objects are put next: between `at` and `end`, which lie in `in`. */
typedef struct {
  char *at, *end;
  block *in;
} cursor;

static cursor small, large; /* `large` takes what is longer than a line and does not fit into the hole that `small` fills */
static block *lists[EMPTY + 1];
static uint8_t ours[65536 / 8]; /* a bit for each page there may be: whether it is a block */

static CallInfo frames[FRAMES];
static CallInfo *free_frames; /* linked by `next` */
static size_t frames_used;

static size_t rounded(size_t size) { return (size + 7) & ~(size_t)7; }
static block *block_of(const void *object) { return (block *)((uintptr_t)object & ~(uintptr_t)(BLOCK - 1)); }
static size_t line_of(const void *object) { return ((uintptr_t)object & (BLOCK - 1)) / LINE; }

static int is_ours(const void *object) {
  uintptr_t page = (uintptr_t)object / BLOCK;
  return ours[page / 8] >> page % 8 & 1;
}

/* --- blocks -------------------------------------------------------------------------------------------------- */

static void put_into(block *it, uint32_t where) {
  it->where = where;
  it->previous = NULL;
  it->next = lists[where];
  if (it->next) it->next->previous = it;
  lists[where] = it;
}

static void take_out(block *it) {
  if (it->previous) it->previous->next = it->next;
  else lists[it->where] = it->next;
  if (it->next) it->next->previous = it->previous;
  it->where = NOWHERE;
}

/* Put a block that nobody fills where it will be found. */
static void file(block *it) {
  uint32_t where = it->free == FREE_MAX ? EMPTY : it->free >= USEFUL ? PARTLY : NOWHERE;
  if (it->where == where) return;
  if (it->where == PARTLY || it->where == EMPTY) take_out(it);
  if (where != NOWHERE) put_into(it, where);
  it->where = where;
}

/* A block of new memory; 0 when there is none. */
static int grow(void) {
  size_t page = __builtin_wasm_memory_grow(0, 1);
  if (page == SIZE_MAX) return 0;
  ours[page / 8] |= 1 << page % 8;
  block *it = (block *)(page * BLOCK);
  it->free = FREE_MAX;
  put_into(it, EMPTY);
  return 1;
}

/* --- finding room -------------------------------------------------------------------------------------------- */

/* Move a cursor to the next lines without objects in its block. */
static int next_hole(cursor *c) {
  if (!c->in) return 0;
  size_t first = ((uintptr_t)c->end - (uintptr_t)c->in) / LINE;
  while (first < LINES && c->in->live[first]) first++;
  size_t end = first;
  while (end < LINES && !c->in->live[end]) end++;
  c->at = (char *)c->in + first * LINE;
  c->end = (char *)c->in + end * LINE;
  return first < LINES;
}

/* Fill a cursor's block from its start. */
static void begin(cursor *c) {
  c->at = c->end = (char *)c->in + HEADER_LINES * LINE;
  next_hole(c);
}

static void next_block(cursor *c, block *it) {
  block *done = c->in;
  take_out(it);
  it->where = FILLING;
  c->in = it;
  begin(c);
  if (!done) return;
  done->where = NOWHERE;
  file(done);
}

/* Move a cursor to a hole of `size` bytes, in its block or in another that is there. */
static int find_hole(cursor *c, size_t size) {
  for (int others = 0;; others++) {
    while (next_hole(c))
      if (size <= (size_t)(c->end - c->at)) return 1;
    /* Empty blocks first: objects of one message then lie together, and those of a lifetime stay where they are. */
    block *other = lists[EMPTY] ? lists[EMPTY] : lists[PARTLY];
    if (!other || others == OTHERS_MAX) return 0;
    next_block(c, other);
    if (size <= (size_t)(c->end - c->at)) return 1;
  }
}

static cursor *room_for(size_t size) {
  cursor *c = size <= LINE ? &small : &large;
  if (size <= (size_t)(c->end - c->at) || find_hole(c, size)) return c;
  if (!grow()) return NULL;
  next_block(c, lists[EMPTY]);
  return c;
}

/* --- objects ------------------------------------------------------------------------------------------------- */

static void *put_down(cursor *c, size_t size) {
  char *object = c->at;
  c->at += size;
  size_t last = line_of(c->at - 1);
  for (size_t line = line_of(object); line <= last; line++)
    if (!c->in->live[line]++) c->in->free--;
  return object;
}

static void *allocate(size_t size) {
  cursor *c = &small;
  size = rounded(size);
  if (size > (size_t)(c->end - c->at)) {
    c = room_for(size);
    if (!c) return NULL;
  }
  return put_down(c, size);
}

/* Take the lines from `first` on off an object that ends before `end`. */
static void give_back(block *it, size_t first, const char *end) {
  size_t last = line_of(end - 1);
  for (size_t line = first; line <= last; line++)
    if (!--it->live[line]) it->free++;
  if (it->where != FILLING) file(it);
  else if (it->free == FREE_MAX) begin(it == small.in ? &small : &large);
}

static void *moved(void *object, size_t size, size_t wanted) {
  void *to = wanted <= OBJECT_MAX ? allocate(wanted) : malloc(wanted);
  if (!to) return NULL;
  memcpy(to, object, size < wanted ? size : wanted);
  puna_heap(NULL, object, size, 0);
  return to;
}

/* The cursor that has put down `object` last; NULL when something lies behind it. */
static cursor *last_at(const char *object, size_t size) {
  return object + size == small.at ? &small : object + size == large.at ? &large : NULL;
}

static void *resized(char *object, size_t size, size_t wanted) {
  size_t now = rounded(size), then = rounded(wanted);
  if (then == now) return object;
  cursor *c = last_at(object, now);
  if (c && then <= OBJECT_MAX && object + then <= c->end) {
    give_back(c->in, line_of(object), c->at);
    c->at = object;
    return put_down(c, then);
  }
  if (then < now) {
    size_t kept = line_of(object + then - 1), last = line_of(object + now - 1);
    if (kept < last) give_back(block_of(object), kept + 1, object + now);
    return object;
  }
  return moved(object, size, wanted);
}

/* --- call frames --------------------------------------------------------------------------------------------- */

static void *new_frame(void) {
  CallInfo *frame = free_frames;
  if (frame) free_frames = frame->next;
  else if (frames_used < FRAMES) frame = &frames[frames_used++];
  return frame;
}

static int is_frame(const void *object) {
  return (uintptr_t)object - (uintptr_t)frames < sizeof frames;
}

/* A lua_Alloc: `object` of `size` bytes becomes one of `wanted`; no object and 0 bytes are nothing. */
void *puna_heap(void *unused, void *object, size_t size, size_t wanted) {
  if (!object) { /* `size` is then the kind of what is asked for */
    void *frame = size == 0 && wanted == sizeof(CallInfo) ? new_frame() : NULL;
    if (frame || !wanted) return frame;
    return wanted <= OBJECT_MAX ? allocate(wanted) : malloc(wanted);
  }
  if (!wanted) {
    if (is_frame(object)) {
      ((CallInfo *)object)->next = free_frames;
      free_frames = object;
    } else if (is_ours(object)) {
      cursor *c = last_at(object, rounded(size));
      if (c) c->at = object;
      give_back(block_of(object), line_of(object), (char *)object + rounded(size));
    } else {
      free(object);
    }
    return NULL;
  }
  if (is_frame(object)) return moved(object, size, wanted);
  if (is_ours(object)) return resized(object, size, wanted);
  if (wanted > OBJECT_MAX) return realloc(object, wanted);
  void *to = moved(object, size, wanted);
  return to ? to : object; /* what shrinks must not fail */
}
