/*
 * SQLite for Lua, by the interface that lsqlite3 documents: what `require("lsqlite3")` gives in the sqlite module.
 *
 * Two rules keep a process whole, whatever its program does. Lua never jumps out of SQLite: every call that SQLite
 * makes into Lua is protected, and its error becomes SQLite's. And nothing is freed under SQLite's feet: while a call
 * of a database is under way, statements that become garbage wait for its end, and a program that would close, reset
 * or re-enter what is running gets an error. Memory that SQLite cannot have is an error of Lua, as its own is.
 */
#include <limits.h>
#include <string.h>

#include "lauxlib.h"
#include "lua.h"
#include "process.h"
#include "sqlite3.h"
#include "system.h"

#define INTERFACE_VERSION "0.9.5"

#define DATABASE ":sqlite3"
#define STATEMENT ":sqlite3:vm"
#define CONTEXT ":sqlite3:ctx"
#define BACKUP ":sqlite3:bu"

/* What the garbage collector is told of objects that are small in Lua: about what they hold of SQLite's memory. */
#define STATEMENT_KIB 4
#define DATABASE_KIB 64

#define COLLATIONS_MAX 5000

typedef struct statement statement;

typedef struct {
  sqlite3 *handle; /* NULL once closed */
  statement *statements;
  int depth;   /* calls of SQLite under way */
  int hooks;   /* calls out of it that must leave the database alone */
  int backups; /* of which it is one side */
  int orphans; /* statements that are garbage and wait for depth 0 */
  int misordered; /* a collation failed in the call under way */
} database;

struct statement {
  sqlite3_stmt *vm; /* NULL once finalized */
  database *db;     /* NULL once closed */
  statement *next, **link;
  int temporary; /* made for an iterator, and over with it */
  int running, has_row, orphan;
};

/* Of one registered function; `context` is what Lua sees of its calls, and belongs to Lua. */
typedef struct callback callback;

typedef struct {
  sqlite3_context *call; /* NULL between calls */
  callback *callback;
  int aggregate;
} context;

struct callback {
  database *db;
  context *context;
};

/* What an aggregate knows between two rows; the program's data lies beside, under this address. */
typedef struct {
  int calls, failed, has_data;
} accumulator;

typedef struct {
  sqlite3_backup *handle; /* NULL once finished */
  database *to, *from;
} backup;

/* Registry keys. HANDLES finds a database's userdata by its address, and keeps none alive. */
static const char HANDLES = 0, TEMP_DIRECTORY = 0;

/* Of the error value of a collation that failed. */
static const char FAILURE = 0;

/* Keys of the one callback of each kind that a database has. */
static const char TRACE = 0, UPDATE = 0, COMMIT = 0, ROLLBACK = 0, PROGRESS = 0, BUSY = 0;

/* A callback's record in its database's user value. */
enum { FUNCTION = 1, USER_DATA, FINAL, CALL_CONTEXT };

/* The coroutine that called SQLite, for SQLite to call back into. */
static lua_State *running;
static int too_deep; /* whether the last call of SQLite ended for want of stack */

/* Who called SQLite before: calls nest where it calls back. */
typedef struct {
  lua_State *running;
  uintptr_t floor;
} caller;

/* --- errors and memory -------------------------------------------------------------------------------------- */

static int no_memory(lua_State *l) {
  if (too_deep) {
    too_deep = 0;
    return luaL_error(l, "stack overflow (SQL is nested too deeply)");
  }
  lua_pushliteral(l, "not enough memory");
  return lua_error(l);
}

/* Every code goes back to the program but the one it could not do anything about. */
static int answer(lua_State *l, int code) {
  if ((code & 0xff) == SQLITE_NOMEM) return no_memory(l);
  lua_pushinteger(l, code);
  return 1;
}

/* --- objects ------------------------------------------------------------------------------------------------ */

static database *any_database(lua_State *l, int at) { return luaL_checkudata(l, at, DATABASE); }

static database *open_database(lua_State *l, int at) {
  database *db = any_database(l, at);
  luaL_argcheck(l, db->handle, at, "attempt to use closed sqlite database");
  return db;
}

/* For what runs SQL or changes how it runs. */
static database *usable_database(lua_State *l, int at) {
  database *db = open_database(l, at);
  if (db->hooks) luaL_error(l, "a hook cannot use the database that called it");
  return db;
}

static database *idle_database(lua_State *l, int at) {
  database *db = open_database(l, at);
  if (db->depth) luaL_error(l, "the database is in use by the call that this one is made from");
  return db;
}

static statement *any_statement(lua_State *l, int at) { return *(statement **)luaL_checkudata(l, at, STATEMENT); }

static statement *open_statement(lua_State *l, int at) {
  statement *s = any_statement(l, at);
  luaL_argcheck(l, s && s->vm, at, "attempt to use closed sqlite virtual machine");
  return s;
}

static statement *idle_statement(lua_State *l, int at) {
  statement *s = open_statement(l, at);
  if (s->running) luaL_error(l, "the statement is running");
  if (s->db->hooks) luaL_error(l, "a hook cannot use the database that called it");
  return s;
}

static void collect_for(lua_State *l, int kib) {
  if (lua_gc(l, LUA_GCISRUNNING, 0)) lua_gc(l, LUA_GCSTEP, kib);
}

/* Push the user value of a database, its table of callbacks; answers 0, and pushes nothing, once it is garbage. */
static int push_callbacks(lua_State *l, database *db) {
  lua_rawgetp(l, LUA_REGISTRYINDEX, &HANDLES);
  if (lua_rawgetp(l, -1, db) != LUA_TUSERDATA) {
    lua_pop(l, 2);
    return 0;
  }
  lua_getuservalue(l, -1);
  lua_replace(l, -3);
  lua_pop(l, 1);
  return 1;
}

/* Push what is kept under `key` with the callbacks of a database. */
static void push_kept(lua_State *l, database *db, const void *key) {
  if (!push_callbacks(l, db)) luaL_error(l, "attempt to use closed sqlite database");
  lua_rawgetp(l, -1, key);
  lua_remove(l, -2);
}

/* --- into SQLite and out of it ------------------------------------------------------------------------------- */

/* Raise what a collation raised: SQLite has no way to tell that it does not know an order. */
static void check_order(lua_State *l, database *db) {
  if (!db->misordered || db->depth) return;
  db->misordered = 0;
  push_kept(l, db, &FAILURE);
  if (lua_isboolean(l, -1)) no_memory(l);
  lua_error(l);
}

static void unlink_statement(statement *s) {
  *s->link = s->next;
  if (s->next) s->next->link = s->link;
  s->db = NULL;
}

static void bury_orphans(database *db) {
  while (db->orphans) {
    statement *s = db->statements;
    while (!s->orphan) s = s->next;
    unlink_statement(s);
    db->orphans--;
    sqlite3_finalize(s->vm);
    sqlite3_free(s);
  }
}

static caller enter(lua_State *l, database *db) {
  caller outer = {running, puna_sqlite_descend()};
  running = l;
  db->depth++;
  return outer;
}

static void leave(database *db, caller outer) {
  if (db->depth == 1) bury_orphans(db);
  db->depth--;
  running = outer.running;
  too_deep = puna_sqlite_ascend(outer.floor);
}

/* Call the C function `inner` with `argument` protected, from inside SQLite. Leaves an error's value on the stack. */
static int call_out(lua_CFunction inner, void *argument, int results) {
  if (!lua_checkstack(running, LUA_MINSTACK)) return LUA_ERRMEM;
  lua_pushcfunction(running, inner);
  lua_pushlightuserdata(running, argument);
  int status = lua_pcall(running, 1, results, 0);
  if (status == LUA_ERRMEM) lua_pop(running, 1);
  return status;
}

/* --- values -------------------------------------------------------------------------------------------------- */

static void push_value(lua_State *l, sqlite3_value *value) {
  switch (sqlite3_value_type(value)) {
    case SQLITE_INTEGER:
      lua_pushinteger(l, sqlite3_value_int64(value));
      return;
    case SQLITE_FLOAT:
      lua_pushnumber(l, sqlite3_value_double(value));
      return;
    case SQLITE_NULL:
      lua_pushnil(l);
      return;
    case SQLITE_TEXT: {
      const char *text = (const char *)sqlite3_value_text(value);
      if (!text) no_memory(l);
      lua_pushlstring(l, text, (size_t)sqlite3_value_bytes(value));
      return;
    }
    default: {
      const char *blob = sqlite3_value_blob(value); /* NULL for one of no bytes */
      size_t size = (size_t)sqlite3_value_bytes(value);
      if (!blob && size) no_memory(l);
      lua_pushlstring(l, blob ? blob : "", size);
    }
  }
}

/* The value of a column in a row; like the above, but a blob of zeros is made to bytes here first. */
static void push_column(lua_State *l, sqlite3_stmt *vm, int column) {
  switch (sqlite3_column_type(vm, column)) {
    case SQLITE_INTEGER:
      lua_pushinteger(l, sqlite3_column_int64(vm, column));
      return;
    case SQLITE_FLOAT:
      lua_pushnumber(l, sqlite3_column_double(vm, column));
      return;
    case SQLITE_NULL:
      lua_pushnil(l);
      return;
    case SQLITE_TEXT: {
      const char *text = (const char *)sqlite3_column_text(vm, column);
      if (!text) no_memory(l);
      lua_pushlstring(l, text, (size_t)sqlite3_column_bytes(vm, column));
      return;
    }
    default: {
      const char *blob = sqlite3_column_blob(vm, column);
      size_t size = (size_t)sqlite3_column_bytes(vm, column);
      if (!blob && size) no_memory(l);
      lua_pushlstring(l, blob ? blob : "", size);
    }
  }
}

static void push_name(lua_State *l, sqlite3_stmt *vm, int column) {
  const char *name = sqlite3_column_name(vm, column);
  if (!name) no_memory(l);
  lua_pushstring(l, name);
}

/* The declared type; nil for what is no column of a table. */
static void push_type(lua_State *l, sqlite3_stmt *vm, int column) {
  lua_pushstring(l, sqlite3_column_decltype(vm, column));
}

typedef void pusher(lua_State *l, sqlite3_stmt *vm, int column);

static int push_list(lua_State *l, sqlite3_stmt *vm, pusher *push) {
  int columns = sqlite3_column_count(vm);
  luaL_checkstack(l, columns + LUA_MINSTACK, "too many columns");
  for (int column = 0; column < columns; column++) push(l, vm, column);
  return columns;
}

static int push_array(lua_State *l, sqlite3_stmt *vm, pusher *push) {
  int columns = sqlite3_column_count(vm);
  lua_createtable(l, columns, 0);
  for (int column = 0; column < columns; column++) {
    push(l, vm, column);
    lua_rawseti(l, -2, column + 1);
  }
  return 1;
}

static int push_named(lua_State *l, sqlite3_stmt *vm, pusher *push) {
  int columns = sqlite3_column_count(vm);
  lua_createtable(l, 0, columns);
  for (int column = 0; column < columns; column++) {
    push_name(l, vm, column);
    push(l, vm, column);
    lua_rawset(l, -3);
  }
  return 1;
}

static int push_values(lua_State *l, sqlite3_stmt *vm) { return push_array(l, vm, push_column); }
static int push_named_values(lua_State *l, sqlite3_stmt *vm) { return push_named(l, vm, push_column); }
static int push_uvalues(lua_State *l, sqlite3_stmt *vm) { return push_list(l, vm, push_column); }

/* Bind the Lua value at `at`; answers SQLite's code. */
static int bind_value(lua_State *l, sqlite3_stmt *vm, int parameter, int at) {
  switch (lua_type(l, at)) {
    case LUA_TNONE:
    case LUA_TNIL:
      return sqlite3_bind_null(vm, parameter);
    case LUA_TBOOLEAN:
      return sqlite3_bind_int(vm, parameter, lua_toboolean(l, at));
    case LUA_TNUMBER:
      if (lua_isinteger(l, at)) return sqlite3_bind_int64(vm, parameter, lua_tointeger(l, at));
      return sqlite3_bind_double(vm, parameter, lua_tonumber(l, at));
    case LUA_TSTRING: {
      size_t size;
      const char *text = lua_tolstring(l, at, &size);
      return sqlite3_bind_text64(vm, parameter, text, size, SQLITE_TRANSIENT, SQLITE_UTF8);
    }
    default:
      return luaL_error(l, "index (%d) - invalid data type for bind (%s)", parameter, luaL_typename(l, at));
  }
}

/* --- statements ---------------------------------------------------------------------------------------------- */

static int step(lua_State *l, statement *s) {
  database *db = s->db;
  caller outer = enter(l, db);
  s->running = 1;
  int code = sqlite3_step(s->vm);
  s->running = 0;
  s->has_row = code == SQLITE_ROW;
  leave(db, outer);
  check_order(l, db);
  if (code == SQLITE_NOMEM) no_memory(l);
  return code;
}

static int reset(lua_State *l, statement *s) {
  database *db = s->db;
  caller outer = enter(l, db);
  s->has_row = 0;
  int code = sqlite3_reset(s->vm);
  leave(db, outer);
  return code;
}

static int finalize(lua_State *l, statement *s) {
  database *db = s->db;
  sqlite3_stmt *vm = s->vm;
  caller outer = enter(l, db);
  s->vm = NULL;
  unlink_statement(s);
  int code = sqlite3_finalize(vm);
  leave(db, outer);
  return code;
}

/* Begins anew after each: what ends may run Lua, and so bury others. */
static void finalize_all(lua_State *l, database *db, int only_temporary) {
  for (statement *s = db->statements; s;) {
    if (only_temporary && !s->temporary) {
      s = s->next;
    } else {
      finalize(l, s);
      s = db->statements;
    }
  }
}

/*
 * An expression may have any number of COLLATE one after the other, and each makes it deeper: the one nesting that
 * neither SQLite's parser nor its memory stops.
 */
static void check_collations(lua_State *l, const char *sql, size_t size) {
  static const char WORD[] = "collate";
  size_t length = sizeof WORD - 1;
  int count = 0;
  if (size < COLLATIONS_MAX * length) return;
  for (size_t at = 0; at + length <= size; at++) {
    if ((sql[at] == 'c' || sql[at] == 'C') && sqlite3_strnicmp(sql + at, WORD, (int)length) == 0) count++;
  }
  if (count > COLLATIONS_MAX) luaL_error(l, "SQL with more than %d times COLLATE", COLLATIONS_MAX);
}

/* Compile `sql` into a new statement on top of the stack; its text's rest is at `*tail`. Answers SQLite's code. */
static int prepare(lua_State *l, database *db, int temporary, const char **tail) {
  size_t size;
  const char *sql = luaL_checklstring(l, 2, &size);
  check_collations(l, sql, size);
  statement **box = lua_newuserdata(l, sizeof *box);
  *box = NULL;
  luaL_setmetatable(l, STATEMENT);
  lua_pushvalue(l, 1);
  lua_setuservalue(l, -2); /* the database lives as long as its statements */
  statement *s = sqlite3_malloc(sizeof *s);
  if (!s) no_memory(l);
  *s = (statement){.temporary = temporary};
  *box = s;
  caller outer = enter(l, db);
  int code = sqlite3_prepare_v2(db->handle, sql, (int)size + 1, &s->vm, tail);
  leave(db, outer);
  if (code == SQLITE_NOMEM) no_memory(l);
  if (s->vm) {
    s->db = db;
    s->next = db->statements;
    s->link = &db->statements;
    if (s->next) s->next->link = &s->next;
    db->statements = s;
    collect_for(l, STATEMENT_KIB);
  }
  return code;
}

static int stmt_gc(lua_State *l) {
  statement **box = luaL_checkudata(l, 1, STATEMENT);
  statement *s = *box;
  *box = NULL;
  if (!s) return 0;
  if (s->db && s->db->depth) {
    s->orphan = 1;
    s->db->orphans++;
    return 0;
  }
  if (s->db) finalize(l, s);
  sqlite3_free(s);
  return 0;
}

static int stmt_tostring(lua_State *l) {
  statement *s = any_statement(l, 1);
  if (s && s->vm) {
    lua_pushfstring(l, "sqlite virtual machine (%p)", (void *)s);
  } else {
    lua_pushliteral(l, "sqlite virtual machine (closed)");
  }
  return 1;
}

static int stmt_isopen(lua_State *l) {
  statement *s = any_statement(l, 1);
  lua_pushboolean(l, s && s->vm);
  return 1;
}

static int stmt_step(lua_State *l) { return answer(l, step(l, idle_statement(l, 1))); }
static int stmt_reset(lua_State *l) { return answer(l, reset(l, idle_statement(l, 1))); }
static int stmt_finalize(lua_State *l) { return answer(l, finalize(l, idle_statement(l, 1))); }

static int stmt_columns(lua_State *l) {
  lua_pushinteger(l, sqlite3_column_count(open_statement(l, 1)->vm));
  return 1;
}

static int stmt_last_insert_rowid(lua_State *l) {
  lua_pushinteger(l, sqlite3_last_insert_rowid(open_statement(l, 1)->db->handle));
  return 1;
}

/* Binding */

static int check_parameter(lua_State *l, sqlite3_stmt *vm) {
  lua_Integer parameter = luaL_checkinteger(l, 2);
  int count = sqlite3_bind_parameter_count(vm);
  if (parameter < 1 || parameter > count) luaL_error(l, "bind index out of range [1..%d]", count);
  return (int)parameter;
}

static int stmt_bind(lua_State *l) {
  sqlite3_stmt *vm = idle_statement(l, 1)->vm;
  int parameter = check_parameter(l, vm);
  return answer(l, bind_value(l, vm, parameter, 3));
}

static int stmt_bind_blob(lua_State *l) {
  sqlite3_stmt *vm = idle_statement(l, 1)->vm;
  lua_Integer parameter = luaL_checkinteger(l, 2);
  size_t size;
  const char *blob = luaL_checklstring(l, 3, &size);
  if (parameter < 1 || parameter > INT_MAX) return answer(l, SQLITE_RANGE);
  return answer(l, sqlite3_bind_blob64(vm, (int)parameter, blob, size, SQLITE_TRANSIENT));
}

static int stmt_bind_values(lua_State *l) {
  sqlite3_stmt *vm = idle_statement(l, 1)->vm;
  int given = lua_gettop(l) - 1, count = sqlite3_bind_parameter_count(vm);
  if (given != count) {
    return luaL_error(l, "incorrect number of parameters to bind (%d given, %d to bind)", given, count);
  }
  int code = SQLITE_OK;
  for (int parameter = 1; parameter <= count && code == SQLITE_OK; parameter++) {
    code = bind_value(l, vm, parameter, parameter + 1);
  }
  return answer(l, code);
}

/* A parameter with a name takes the field of that name, any other the one of its number. */
static int stmt_bind_names(lua_State *l) {
  statement *s = idle_statement(l, 1);
  luaL_checktype(l, 2, LUA_TTABLE);
  int code = SQLITE_OK, count = sqlite3_bind_parameter_count(s->vm);
  for (int parameter = 1; parameter <= count && code == SQLITE_OK; parameter++) {
    const char *name = sqlite3_bind_parameter_name(s->vm, parameter);
    if (name && *name != '?') {
      lua_getfield(l, 2, name + 1);
    } else {
      lua_geti(l, 2, parameter);
    }
    luaL_argcheck(l, s->vm, 1, "attempt to use closed sqlite virtual machine"); /* by a metamethod of the table */
    code = bind_value(l, s->vm, parameter, -1);
    lua_pop(l, 1);
  }
  return answer(l, code);
}

static int stmt_bind_parameter_count(lua_State *l) {
  lua_pushinteger(l, sqlite3_bind_parameter_count(open_statement(l, 1)->vm));
  return 1;
}

static int stmt_bind_parameter_name(lua_State *l) {
  sqlite3_stmt *vm = open_statement(l, 1)->vm;
  lua_pushstring(l, sqlite3_bind_parameter_name(vm, check_parameter(l, vm)));
  return 1;
}

/* Columns */

static int check_column(lua_State *l, sqlite3_stmt *vm) {
  lua_Integer column = luaL_checkinteger(l, 2);
  int count = sqlite3_column_count(vm);
  if (column < 0 || column >= count) luaL_error(l, "index out of range [0..%d]", count - 1);
  return (int)column;
}

static sqlite3_stmt *check_row(lua_State *l) {
  statement *s = open_statement(l, 1);
  if (!s->has_row || s->running) luaL_error(l, "misuse of function");
  return s->vm;
}

static int stmt_get_value(lua_State *l) {
  luaL_checkinteger(l, 2);
  sqlite3_stmt *vm = check_row(l);
  push_column(l, vm, check_column(l, vm));
  return 1;
}

static int stmt_get_name(lua_State *l) {
  sqlite3_stmt *vm = open_statement(l, 1)->vm;
  push_name(l, vm, check_column(l, vm));
  return 1;
}

static int stmt_get_type(lua_State *l) {
  sqlite3_stmt *vm = open_statement(l, 1)->vm;
  push_type(l, vm, check_column(l, vm));
  return 1;
}

static int stmt_get_values(lua_State *l) { return push_values(l, check_row(l)); }
static int stmt_get_uvalues(lua_State *l) { return push_uvalues(l, check_row(l)); }
static int stmt_get_named_values(lua_State *l) { return push_named_values(l, check_row(l)); }
static int stmt_get_names(lua_State *l) { return push_array(l, open_statement(l, 1)->vm, push_name); }
static int stmt_get_unames(lua_State *l) { return push_list(l, open_statement(l, 1)->vm, push_name); }
static int stmt_get_types(lua_State *l) { return push_array(l, open_statement(l, 1)->vm, push_type); }
static int stmt_get_utypes(lua_State *l) { return push_list(l, open_statement(l, 1)->vm, push_type); }
static int stmt_get_named_types(lua_State *l) { return push_named(l, open_statement(l, 1)->vm, push_type); }

/* Iterators: functions of a statement, which the caller of an iterator hands over as its state. */

static int end_of_rows(lua_State *l, statement *s) { return s->temporary ? finalize(l, s) : reset(l, s); }

static int next_row(lua_State *l, int push(lua_State *, sqlite3_stmt *)) {
  statement *s = idle_statement(l, 1);
  int code = step(l, s);
  if (code == SQLITE_ROW) return push(l, s->vm);
  if (code == SQLITE_DONE) {
    end_of_rows(l, s);
    return 0;
  }
  luaL_where(l, 1);
  lua_pushstring(l, sqlite3_errmsg(s->db->handle));
  lua_concat(l, 2);
  end_of_rows(l, s);
  return lua_error(l);
}

static int next_values(lua_State *l) { return next_row(l, push_values); }
static int next_named_values(lua_State *l) { return next_row(l, push_named_values); }
static int next_uvalues(lua_State *l) { return next_row(l, push_uvalues); }

static int rows_of_statement(lua_State *l, lua_CFunction next) {
  open_statement(l, 1);
  lua_pushcfunction(l, next);
  lua_pushvalue(l, 1);
  return 2;
}

static int rows_of_database(lua_State *l, lua_CFunction next) {
  database *db = usable_database(l, 1);
  const char *tail;
  lua_settop(l, 2);
  lua_pushcfunction(l, next);
  if (prepare(l, db, 1, &tail) != SQLITE_OK) return luaL_error(l, "%s", sqlite3_errmsg(db->handle));
  return 2;
}

static int stmt_rows(lua_State *l) { return rows_of_statement(l, next_values); }
static int stmt_nrows(lua_State *l) { return rows_of_statement(l, next_named_values); }
static int stmt_urows(lua_State *l) { return rows_of_statement(l, next_uvalues); }
static int db_rows(lua_State *l) { return rows_of_database(l, next_values); }
static int db_nrows(lua_State *l) { return rows_of_database(l, next_named_values); }
static int db_urows(lua_State *l) { return rows_of_database(l, next_uvalues); }

/* --- contexts: what a function of the program sees of its call from SQL ---------------------------------------- */

static context *open_context(lua_State *l) {
  context *c = luaL_checkudata(l, 1, CONTEXT);
  luaL_argcheck(l, c->call, 1, "invalid sqlite context");
  return c;
}

static context *aggregate_context(lua_State *l) {
  context *c = open_context(l);
  if (!c->aggregate) luaL_error(l, "attempt to call aggregate method from scalar function");
  return c;
}

static int ctx_tostring(lua_State *l) {
  context *c = luaL_checkudata(l, 1, CONTEXT);
  if (c->call) {
    lua_pushfstring(l, "sqlite function context (%p)", (void *)c);
  } else {
    lua_pushliteral(l, "sqlite function context (closed)");
  }
  return 1;
}

static void result_text(sqlite3_context *call, lua_State *l, int at) {
  size_t size;
  const char *text = lua_tolstring(l, at, &size);
  sqlite3_result_text64(call, text, size, SQLITE_TRANSIENT, SQLITE_UTF8);
}

static int ctx_result(lua_State *l) {
  sqlite3_context *call = open_context(l)->call;
  switch (lua_type(l, 2)) {
    case LUA_TNUMBER:
      if (lua_isinteger(l, 2)) {
        sqlite3_result_int64(call, lua_tointeger(l, 2));
      } else {
        sqlite3_result_double(call, lua_tonumber(l, 2));
      }
      return 0;
    case LUA_TSTRING:
      result_text(call, l, 2);
      return 0;
    case LUA_TNIL:
    case LUA_TNONE:
      sqlite3_result_null(call);
      return 0;
    default:
      return luaL_error(l, "invalid result type %s", luaL_typename(l, 2));
  }
}

static int ctx_result_int(lua_State *l) {
  sqlite3_context *call = open_context(l)->call;
  sqlite3_result_int64(call, luaL_checkinteger(l, 2));
  return 0;
}

static int ctx_result_number(lua_State *l) {
  sqlite3_context *call = open_context(l)->call;
  sqlite3_result_double(call, luaL_checknumber(l, 2));
  return 0;
}

static int ctx_result_text(lua_State *l) {
  sqlite3_context *call = open_context(l)->call;
  luaL_checkstring(l, 2);
  result_text(call, l, 2);
  return 0;
}

static int ctx_result_blob(lua_State *l) {
  sqlite3_context *call = open_context(l)->call;
  size_t size;
  const char *blob = luaL_checklstring(l, 2, &size);
  sqlite3_result_blob64(call, blob, size, SQLITE_TRANSIENT);
  return 0;
}

static int ctx_result_null(lua_State *l) {
  sqlite3_result_null(open_context(l)->call);
  return 0;
}

static int ctx_result_error(lua_State *l) {
  sqlite3_context *call = open_context(l)->call;
  size_t size;
  const char *text = luaL_checklstring(l, 2, &size);
  sqlite3_result_error(call, text, (int)size);
  return 0;
}

static int ctx_user_data(lua_State *l) {
  callback *fn = open_context(l)->callback;
  push_kept(l, fn->db, fn);
  lua_rawgeti(l, -1, USER_DATA);
  return 1;
}

static int ctx_aggregate_count(lua_State *l) {
  accumulator *sum = sqlite3_aggregate_context(aggregate_context(l)->call, 0);
  lua_pushinteger(l, sum ? sum->calls : 0);
  return 1;
}

static int ctx_get_aggregate_data(lua_State *l) {
  context *c = aggregate_context(l);
  accumulator *sum = sqlite3_aggregate_context(c->call, 0);
  if (!sum) return 0;
  push_kept(l, c->callback->db, sum);
  return 1;
}

static int ctx_set_aggregate_data(lua_State *l) {
  context *c = aggregate_context(l);
  lua_settop(l, 2);
  accumulator *sum = sqlite3_aggregate_context(c->call, sizeof *sum);
  if (!sum) return no_memory(l);
  if (!push_callbacks(l, c->callback->db)) return 0;
  lua_insert(l, 2);
  sum->has_data = 1;
  lua_rawsetp(l, 2, sum);
  return 0;
}

/* --- functions, aggregates and collations ----------------------------------------------------------------------- */

typedef struct {
  callback *fn;
  sqlite3_context *call;
  sqlite3_value **values;
  int count, part;
} invocation;

static int run_function(lua_State *l) {
  invocation *i = lua_touserdata(l, 1);
  push_kept(l, i->fn->db, i->fn);
  lua_rawgeti(l, -1, i->part);
  lua_rawgeti(l, -2, CALL_CONTEXT);
  luaL_checkstack(l, i->count + LUA_MINSTACK, "too many arguments");
  for (int at = 0; at < i->count; at++) push_value(l, i->values[at]);
  lua_call(l, i->count + 1, 0);
  return 0;
}

/* Answers whether it went well; if not, the call has its error. */
static int invoke(invocation i) {
  context *c = i.fn->context;
  sqlite3_context *outer = c->call; /* of the same function, which called SQL that called it again */
  c->call = i.call;
  int status = call_out(run_function, &i, 0);
  c->call = outer;
  if (status == LUA_OK) return 1;
  if (status == LUA_ERRMEM) {
    sqlite3_result_error_nomem(i.call);
    return 0;
  }
  size_t size;
  const char *text = lua_type(running, -1) == LUA_TSTRING ? lua_tolstring(running, -1, &size) : NULL;
  if (text) {
    sqlite3_result_error(i.call, text, (int)size);
  } else {
    sqlite3_result_error(i.call, "(error object is not a string)", -1);
  }
  lua_pop(running, 1);
  return 0;
}

static void scalar_called(sqlite3_context *call, int count, sqlite3_value **values) {
  invoke((invocation){sqlite3_user_data(call), call, values, count, FUNCTION});
}

static void aggregate_stepped(sqlite3_context *call, int count, sqlite3_value **values) {
  accumulator *sum = sqlite3_aggregate_context(call, sizeof *sum);
  if (!sum) {
    sqlite3_result_error_nomem(call);
    return;
  }
  sum->calls++;
  if (!invoke((invocation){sqlite3_user_data(call), call, values, count, FUNCTION})) sum->failed = 1;
}

/* SQLite asks for the end of an aggregate that failed, too, so that what it holds can be freed. */
static void aggregate_ended(sqlite3_context *call) {
  callback *fn = sqlite3_user_data(call);
  accumulator *sum = sqlite3_aggregate_context(call, 0);
  if (!sum || !sum->failed) invoke((invocation){fn, call, NULL, 0, FINAL});
  sum = sqlite3_aggregate_context(call, 0);
  if (sum && sum->has_data && lua_checkstack(running, 4) && push_callbacks(running, fn->db)) {
    lua_pushnil(running);
    lua_rawsetp(running, -2, sum);
    lua_pop(running, 1);
  }
}

static void forget_callback(void *which) {
  callback *fn = which;
  if (lua_checkstack(running, 4) && push_callbacks(running, fn->db)) {
    lua_pushnil(running);
    lua_rawsetp(running, -2, fn);
    lua_pop(running, 1);
  }
  sqlite3_free(fn);
}

/* Keep the functions at these places of the stack, 0 for none, for SQLite to call. */
static callback *new_callback(lua_State *l, database *db, int function, int final, int user_data) {
  push_callbacks(l, db);
  lua_createtable(l, 4, 0);
  context *c = lua_newuserdata(l, sizeof *c);
  *c = (context){.aggregate = final != 0};
  luaL_setmetatable(l, CONTEXT);
  lua_rawseti(l, -2, CALL_CONTEXT);
  lua_pushvalue(l, function);
  lua_rawseti(l, -2, FUNCTION);
  if (final) {
    lua_pushvalue(l, final);
    lua_rawseti(l, -2, FINAL);
  }
  if (user_data) {
    lua_pushvalue(l, user_data);
    lua_rawseti(l, -2, USER_DATA);
  }
  callback *fn = sqlite3_malloc(sizeof *fn);
  if (!fn) no_memory(l);
  *fn = (callback){db, c};
  c->callback = fn;
  lua_rawsetp(l, -2, fn);
  lua_pop(l, 1);
  return fn;
}

static int check_arguments(lua_State *l, int at) {
  lua_Integer count = luaL_checkinteger(l, at);
  luaL_argcheck(l, count >= INT_MIN && count <= INT_MAX, at, "not a number of arguments");
  return (int)count;
}

static int told(lua_State *l, int code) {
  if (code == SQLITE_NOMEM) return no_memory(l);
  lua_pushboolean(l, code == SQLITE_OK);
  return 1;
}

static int db_create_function(lua_State *l) {
  database *db = usable_database(l, 1);
  const char *name = luaL_checkstring(l, 2);
  int count = check_arguments(l, 3);
  luaL_checktype(l, 4, LUA_TFUNCTION);
  lua_settop(l, 5);
  callback *fn = new_callback(l, db, 4, 0, 5);
  caller outer = enter(l, db);
  int code = sqlite3_create_function_v2(db->handle, name, count, SQLITE_UTF8, fn, scalar_called, NULL, NULL,
                                        forget_callback);
  leave(db, outer);
  return told(l, code);
}

static int db_create_aggregate(lua_State *l) {
  database *db = usable_database(l, 1);
  const char *name = luaL_checkstring(l, 2);
  int count = check_arguments(l, 3);
  luaL_checktype(l, 4, LUA_TFUNCTION);
  luaL_checktype(l, 5, LUA_TFUNCTION);
  lua_settop(l, 6);
  callback *fn = new_callback(l, db, 4, 5, 6);
  caller outer = enter(l, db);
  int code = sqlite3_create_function_v2(db->handle, name, count, SQLITE_UTF8, fn, NULL, aggregate_stepped,
                                        aggregate_ended, forget_callback);
  leave(db, outer);
  return told(l, code);
}

typedef struct {
  callback *fn;
  const char *left, *right;
  int left_size, right_size;
} comparison;

static int run_comparison(lua_State *l) {
  comparison *c = lua_touserdata(l, 1);
  push_kept(l, c->fn->db, c->fn);
  lua_rawgeti(l, -1, FUNCTION);
  lua_pushlstring(l, c->left ? c->left : "", (size_t)c->left_size);
  lua_pushlstring(l, c->right ? c->right : "", (size_t)c->right_size);
  lua_call(l, 2, 1);
  lua_Number order = lua_tonumber(l, -1);
  lua_pushinteger(l, (order > 0) - (order < 0));
  return 1;
}

/* The statement is ended as soon as SQLite looks, and its caller gets the error: an index may be in no order now. */
static int compared(void *which, int left_size, const void *left, int right_size, const void *right) {
  comparison c = {which, left, right, left_size, right_size};
  database *db = c.fn->db;
  db->hooks++;
  int status = call_out(run_comparison, &c, 1);
  db->hooks--;
  if (status == LUA_OK) {
    int order = (int)lua_tointeger(running, -1);
    lua_pop(running, 1);
    return order;
  }
  if (status == LUA_ERRMEM) lua_pushboolean(running, 0);
  if (push_callbacks(running, db)) {
    lua_pushvalue(running, -2);
    lua_rawsetp(running, -2, &FAILURE); /* where something was before, so this takes no memory */
    lua_pop(running, 1);
    db->misordered = 1;
  }
  lua_pop(running, 1);
  sqlite3_interrupt(db->handle);
  return 0;
}

static int db_create_collation(lua_State *l) {
  database *db = usable_database(l, 1);
  const char *name = luaL_checkstring(l, 2);
  callback *fn = NULL;
  lua_settop(l, 3);
  if (!lua_isnil(l, 3)) {
    luaL_checktype(l, 3, LUA_TFUNCTION);
    fn = new_callback(l, db, 3, 0, 0);
    push_callbacks(l, db);
    lua_pushboolean(l, 0);
    lua_rawsetp(l, -2, &FAILURE);
  }
  caller outer = enter(l, db);
  int code = sqlite3_create_collation_v2(db->handle, name, SQLITE_UTF8, fn, fn ? compared : NULL,
                                         fn ? forget_callback : NULL);
  if (code != SQLITE_OK && fn) forget_callback(fn); /* here, unlike above, SQLite does not */
  leave(db, outer);
  return told(l, code);
}

/* --- hooks: one of each kind, kept under its key ------------------------------------------------------------------ */

/* Keep the function at 2 and the data at 3 under `key`, or drop what is there; answers whether there is one now. */
static int keep_hook(lua_State *l, database *db, const void *key, int function) {
  int wanted = !lua_isnoneornil(l, function);
  if (wanted) luaL_checktype(l, function, LUA_TFUNCTION);
  lua_settop(l, function + 1);
  push_callbacks(l, db);
  if (wanted) {
    lua_createtable(l, 2, 0);
    lua_pushvalue(l, function);
    lua_rawseti(l, -2, FUNCTION);
    lua_pushvalue(l, function + 1);
    lua_rawseti(l, -2, USER_DATA);
  } else {
    lua_pushnil(l);
  }
  lua_rawsetp(l, -2, key);
  return wanted;
}

typedef struct {
  database *db;
  const void *key;
  const char *text, *table;
  lua_Integer number, row;
} event;

/* Run the hook of an event; its result, as a truth in which 0 is false. */
static int run_hook(lua_State *l) {
  event *e = lua_touserdata(l, 1);
  int arguments = 1;
  push_kept(l, e->db, e->key);
  lua_rawgeti(l, -1, FUNCTION);
  lua_rawgeti(l, -2, USER_DATA);
  if (e->key == &TRACE) {
    lua_pushstring(l, e->text);
    arguments = 2;
  } else if (e->key == &BUSY) {
    lua_pushinteger(l, e->number);
    arguments = 2;
  } else if (e->key == &UPDATE) {
    lua_pushinteger(l, e->number);
    lua_pushstring(l, e->text);
    lua_pushstring(l, e->table);
    lua_pushinteger(l, e->row);
    arguments = 5;
  }
  lua_call(l, arguments, 1);
  int zero = lua_isnumber(l, -1) && lua_tonumber(l, -1) == 0;
  lua_pushboolean(l, lua_toboolean(l, -1) && !zero);
  return 1;
}

/* `failed` is the answer of a hook that raised an error. */
static int hook(event e, int failed) {
  e.db->hooks++;
  int status = call_out(run_hook, &e, 1);
  e.db->hooks--;
  int result = status == LUA_OK ? lua_toboolean(running, -1) : failed;
  if (status != LUA_ERRMEM) lua_pop(running, 1);
  return result;
}

static int traced(unsigned kind, void *db, void *vm, void *text) {
  (void)kind;
  char *expanded = strncmp(text, "--", 2) == 0 ? NULL : sqlite3_expanded_sql(vm);
  hook((event){.db = db, .key = &TRACE, .text = expanded ? expanded : text}, 0);
  sqlite3_free(expanded);
  return 0;
}

static void updated(void *db, int kind, const char *schema, const char *table, sqlite3_int64 row) {
  hook((event){.db = db, .key = &UPDATE, .number = kind, .text = schema, .table = table, .row = row}, 0);
}

/* A commit that could not be looked at is not let through. */
static int committed(void *db) { return hook((event){.db = db, .key = &COMMIT}, 1); }
static void rolled_back(void *db) { hook((event){.db = db, .key = &ROLLBACK}, 0); }
static int progressed(void *db) { return hook((event){.db = db, .key = &PROGRESS}, 1); }
static int was_busy(void *db, int tries) { return hook((event){.db = db, .key = &BUSY, .number = tries}, 0); }

static int db_trace(lua_State *l) {
  database *db = usable_database(l, 1);
  int wanted = keep_hook(l, db, &TRACE, 2);
  sqlite3_trace_v2(db->handle, wanted ? SQLITE_TRACE_STMT : 0, wanted ? traced : NULL, db);
  return 0;
}

static int db_update_hook(lua_State *l) {
  database *db = usable_database(l, 1);
  sqlite3_update_hook(db->handle, keep_hook(l, db, &UPDATE, 2) ? updated : NULL, db);
  return 0;
}

static int db_commit_hook(lua_State *l) {
  database *db = usable_database(l, 1);
  sqlite3_commit_hook(db->handle, keep_hook(l, db, &COMMIT, 2) ? committed : NULL, db);
  return 0;
}

static int db_rollback_hook(lua_State *l) {
  database *db = usable_database(l, 1);
  sqlite3_rollback_hook(db->handle, keep_hook(l, db, &ROLLBACK, 2) ? rolled_back : NULL, db);
  return 0;
}

static int db_busy_handler(lua_State *l) {
  database *db = usable_database(l, 1);
  sqlite3_busy_handler(db->handle, keep_hook(l, db, &BUSY, 2) ? was_busy : NULL, db);
  return 0;
}

static int db_progress_handler(lua_State *l) {
  database *db = usable_database(l, 1);
  lua_Integer steps = lua_isnoneornil(l, 2) ? 0 : luaL_checkinteger(l, 2);
  int wanted = keep_hook(l, db, &PROGRESS, 3) && steps > 0;
  if (steps > INT_MAX) steps = INT_MAX;
  sqlite3_progress_handler(db->handle, (int)steps, wanted ? progressed : NULL, db);
  return 0;
}

/* --- databases ---------------------------------------------------------------------------------------------------- */

static int open_path(lua_State *l, const char *path, int flags) {
  database *db = lua_newuserdata(l, sizeof *db);
  *db = (database){0};
  luaL_setmetatable(l, DATABASE);
  lua_newtable(l);
  lua_setuservalue(l, -2);
  lua_rawgetp(l, LUA_REGISTRYINDEX, &HANDLES);
  lua_pushvalue(l, -2);
  lua_rawsetp(l, -2, db);
  lua_pop(l, 1);
  int code = sqlite3_open_v2(path, &db->handle, flags, NULL);
  if (code == SQLITE_OK) {
    collect_for(l, DATABASE_KIB);
    return 1;
  }
  lua_pushnil(l);
  answer(l, code);
  if (code == SQLITE_CANTOPEN) {
    lua_pushfstring(l, "%s: a process has no files; sqlite3.open_memory() keeps a database in the process itself",
                    sqlite3_errstr(code));
  } else {
    lua_pushstring(l, sqlite3_errstr(code));
  }
  sqlite3_close(db->handle);
  db->handle = NULL;
  return 3;
}

static int lib_open(lua_State *l) {
  const char *path = luaL_checkstring(l, 1);
  int flags = (int)luaL_optinteger(l, 2, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
  return open_path(l, path, flags);
}

static int lib_open_memory(lua_State *l) {
  return open_path(l, ":memory:", SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
}

static int close_database(lua_State *l, database *db) {
  finalize_all(l, db, 0);
  caller outer = enter(l, db); /* for what is still to be forgotten */
  int code = sqlite3_close(db->handle);
  leave(db, outer);
  if (code == SQLITE_OK) db->handle = NULL;
  return code;
}

static int db_close(lua_State *l) {
  database *db = idle_database(l, 1);
  return answer(l, db->backups ? SQLITE_BUSY : close_database(l, db));
}

static int db_gc(lua_State *l) {
  database *db = any_database(l, 1);
  if (db->handle && !db->depth && !db->backups) close_database(l, db);
  return 0;
}

static int db_tostring(lua_State *l) {
  database *db = any_database(l, 1);
  if (db->handle) {
    lua_pushfstring(l, "sqlite database (%p)", (void *)db);
  } else {
    lua_pushliteral(l, "sqlite database (closed)");
  }
  return 1;
}

static int db_isopen(lua_State *l) {
  lua_pushboolean(l, any_database(l, 1)->handle != NULL);
  return 1;
}

static int db_close_vm(lua_State *l) {
  finalize_all(l, idle_database(l, 1), lua_toboolean(l, 2));
  return 0;
}

static int db_prepare(lua_State *l) {
  database *db = usable_database(l, 1);
  const char *tail = NULL;
  lua_settop(l, 2);
  int code = prepare(l, db, 0, &tail);
  if (code == SQLITE_OK) {
    lua_pushstring(l, tail);
    return 2;
  }
  lua_pushnil(l);
  answer(l, code);
  return 2;
}

typedef struct {
  int columns, out_of_memory;
  char **values, **names;
} row;

static void push_texts(lua_State *l, int count, char **texts) {
  lua_createtable(l, count, 0);
  for (int i = 0; i < count; i++) {
    lua_pushstring(l, texts[i]);
    lua_rawseti(l, -2, i + 1);
  }
}

/* (row, function, data) -> what function(data, columns, values, names) answers */
static int run_row(lua_State *l) {
  row *r = lua_touserdata(l, 1);
  lua_pushvalue(l, 2);
  lua_pushvalue(l, 3);
  lua_pushinteger(l, r->columns);
  push_texts(l, r->columns, r->values);
  push_texts(l, r->columns, r->names);
  lua_call(l, 4, 1);
  return 1;
}

/* Function and data lie at 3 and 4 of the stack of `exec`. Only the answer 0 lets it go on. */
static int got_row(void *which, int columns, char **values, char **names) {
  row *r = which;
  *r = (row){columns, 0, values, names};
  r->out_of_memory = !lua_checkstack(running, LUA_MINSTACK);
  if (r->out_of_memory) return 1;
  lua_pushcfunction(running, run_row);
  lua_pushlightuserdata(running, r);
  lua_pushvalue(running, 3);
  lua_pushvalue(running, 4);
  int status = lua_pcall(running, 3, 1, 0);
  r->out_of_memory = status == LUA_ERRMEM;
  lua_Number result = status == LUA_OK && lua_isnumber(running, -1) ? lua_tonumber(running, -1) : 1;
  lua_pop(running, 1);
  return !(result > -1 && result < 1);
}

static int db_exec(lua_State *l) {
  database *db = usable_database(l, 1);
  size_t size;
  const char *sql = luaL_checklstring(l, 2, &size);
  check_collations(l, sql, size);
  int wanted = !lua_isnoneornil(l, 3);
  if (wanted) luaL_checktype(l, 3, LUA_TFUNCTION);
  lua_settop(l, 4);
  row last = {0};
  caller outer = enter(l, db);
  int code = sqlite3_exec(db->handle, sql, wanted ? got_row : NULL, &last, NULL);
  leave(db, outer);
  check_order(l, db);
  return last.out_of_memory ? no_memory(l) : answer(l, code);
}

static int db_errcode(lua_State *l) {
  lua_pushinteger(l, sqlite3_errcode(open_database(l, 1)->handle));
  return 1;
}

static int db_errmsg(lua_State *l) {
  lua_pushstring(l, sqlite3_errmsg(open_database(l, 1)->handle));
  return 1;
}

static int db_changes(lua_State *l) {
  lua_pushinteger(l, sqlite3_changes64(open_database(l, 1)->handle));
  return 1;
}

static int db_total_changes(lua_State *l) {
  lua_pushinteger(l, sqlite3_total_changes64(open_database(l, 1)->handle));
  return 1;
}

static int db_last_insert_rowid(lua_State *l) {
  lua_pushinteger(l, sqlite3_last_insert_rowid(open_database(l, 1)->handle));
  return 1;
}

static int db_interrupt(lua_State *l) {
  sqlite3_interrupt(open_database(l, 1)->handle);
  return 0;
}

static int db_busy_timeout(lua_State *l) {
  database *db = usable_database(l, 1);
  lua_Integer ms = luaL_checkinteger(l, 2);
  sqlite3_busy_timeout(db->handle, ms < 0 ? 0 : ms > INT_MAX ? INT_MAX : (int)ms);
  return 0;
}

static int db_filename(lua_State *l) {
  database *db = open_database(l, 1);
  lua_pushstring(l, sqlite3_db_filename(db->handle, luaL_optstring(l, 2, "main")));
  return 1;
}

static int db_load_extension(lua_State *l) {
  open_database(l, 1);
  lua_pushboolean(l, lua_isnoneornil(l, 2));
  if (lua_toboolean(l, -1)) return 1;
  lua_pushliteral(l, "a process has no files to load extensions from");
  return 2;
}

/* --- backups ------------------------------------------------------------------------------------------------------ */

static backup *open_backup(lua_State *l) {
  backup *b = luaL_checkudata(l, 1, BACKUP);
  luaL_argcheck(l, b->handle, 1, "attempt to use closed sqlite database backup");
  if (b->to->depth || b->from->depth) luaL_error(l, "a database of the backup is in use");
  return b;
}

static int finish(backup *b) {
  int code = sqlite3_backup_finish(b->handle);
  b->handle = NULL;
  b->to->backups--;
  b->from->backups--;
  return code;
}

static int lib_backup_init(lua_State *l) {
  database *to = idle_database(l, 1);
  const char *to_name = luaL_checkstring(l, 2);
  database *from = idle_database(l, 3);
  const char *from_name = luaL_checkstring(l, 4);
  backup *b = lua_newuserdata(l, sizeof *b);
  *b = (backup){NULL, to, from};
  luaL_setmetatable(l, BACKUP);
  lua_createtable(l, 2, 0); /* both live as long as it does */
  lua_pushvalue(l, 1);
  lua_rawseti(l, -2, 1);
  lua_pushvalue(l, 3);
  lua_rawseti(l, -2, 2);
  lua_setuservalue(l, -2);
  b->handle = sqlite3_backup_init(to->handle, to_name, from->handle, from_name);
  if (!b->handle) {
    if (sqlite3_errcode(to->handle) == SQLITE_NOMEM) return no_memory(l);
    lua_pushnil(l);
    return 1;
  }
  to->backups++;
  from->backups++;
  return 1;
}

static int backup_step(lua_State *l) {
  backup *b = open_backup(l);
  lua_Integer pages = luaL_checkinteger(l, 2);
  caller outer = enter(l, b->to);
  b->from->depth++;
  int code = sqlite3_backup_step(b->handle, pages < 0 ? -1 : pages > INT_MAX ? INT_MAX : (int)pages);
  b->from->depth--;
  leave(b->to, outer);
  return answer(l, code);
}

static int backup_remaining(lua_State *l) {
  lua_pushinteger(l, sqlite3_backup_remaining(open_backup(l)->handle));
  return 1;
}

static int backup_pagecount(lua_State *l) {
  lua_pushinteger(l, sqlite3_backup_pagecount(open_backup(l)->handle));
  return 1;
}

static int backup_finish(lua_State *l) { return answer(l, finish(open_backup(l))); }

static int backup_gc(lua_State *l) {
  backup *b = luaL_checkudata(l, 1, BACKUP);
  if (b->handle) finish(b);
  return 0;
}

/* --- the library -------------------------------------------------------------------------------------------------- */

static int lib_complete(lua_State *l) {
  lua_pushboolean(l, sqlite3_complete(luaL_checkstring(l, 1)));
  return 1;
}

static int lib_version(lua_State *l) {
  lua_pushstring(l, sqlite3_libversion());
  return 1;
}

static int lib_lversion(lua_State *l) {
  lua_pushliteral(l, INTERFACE_VERSION);
  return 1;
}

/* Kept for who asks; nothing is ever written there. */
static int lib_temp_directory(lua_State *l) {
  int asked = lua_isnone(l, 1);
  if (!asked && !lua_isnil(l, 1)) luaL_checkstring(l, 1);
  lua_rawgetp(l, LUA_REGISTRYINDEX, &TEMP_DIRECTORY);
  if (asked) return 1;
  lua_pushvalue(l, 1);
  lua_rawsetp(l, LUA_REGISTRYINDEX, &TEMP_DIRECTORY);
  return 1;
}

static const luaL_Reg DATABASE_METHODS[] = {
    {"__gc", db_gc},
    {"__tostring", db_tostring},
    {"busy_handler", db_busy_handler},
    {"busy_timeout", db_busy_timeout},
    {"changes", db_changes},
    {"close", db_close},
    {"close_vm", db_close_vm},
    {"commit_hook", db_commit_hook},
    {"create_aggregate", db_create_aggregate},
    {"create_collation", db_create_collation},
    {"create_function", db_create_function},
    {"db_filename", db_filename},
    {"errcode", db_errcode},
    {"errmsg", db_errmsg},
    {"error_code", db_errcode},
    {"error_message", db_errmsg},
    {"exec", db_exec},
    {"execute", db_exec},
    {"interrupt", db_interrupt},
    {"isopen", db_isopen},
    {"last_insert_rowid", db_last_insert_rowid},
    {"load_extension", db_load_extension},
    {"nrows", db_nrows},
    {"prepare", db_prepare},
    {"progress_handler", db_progress_handler},
    {"rollback_hook", db_rollback_hook},
    {"rows", db_rows},
    {"total_changes", db_total_changes},
    {"trace", db_trace},
    {"update_hook", db_update_hook},
    {"urows", db_urows},
    {NULL, NULL},
};

static const luaL_Reg STATEMENT_METHODS[] = {
    {"__gc", stmt_gc},
    {"__tostring", stmt_tostring},
    {"bind", stmt_bind},
    {"bind_blob", stmt_bind_blob},
    {"bind_names", stmt_bind_names},
    {"bind_parameter_count", stmt_bind_parameter_count},
    {"bind_parameter_name", stmt_bind_parameter_name},
    {"bind_values", stmt_bind_values},
    {"columns", stmt_columns},
    {"data", stmt_get_named_values},
    {"finalize", stmt_finalize},
    {"get_name", stmt_get_name},
    {"get_named_types", stmt_get_named_types},
    {"get_named_values", stmt_get_named_values},
    {"get_names", stmt_get_names},
    {"get_type", stmt_get_type},
    {"get_types", stmt_get_types},
    {"get_unames", stmt_get_unames},
    {"get_utypes", stmt_get_utypes},
    {"get_uvalues", stmt_get_uvalues},
    {"get_value", stmt_get_value},
    {"get_values", stmt_get_values},
    {"idata", stmt_get_values},
    {"inames", stmt_get_names},
    {"isopen", stmt_isopen},
    {"itypes", stmt_get_types},
    {"last_insert_rowid", stmt_last_insert_rowid},
    {"nrows", stmt_nrows},
    {"reset", stmt_reset},
    {"rows", stmt_rows},
    {"step", stmt_step},
    {"type", stmt_get_named_types},
    {"urows", stmt_urows},
    {NULL, NULL},
};

static const luaL_Reg CONTEXT_METHODS[] = {
    {"__tostring", ctx_tostring},
    {"aggregate_count", ctx_aggregate_count},
    {"get_aggregate_data", ctx_get_aggregate_data},
    {"result", ctx_result},
    {"result_blob", ctx_result_blob},
    {"result_double", ctx_result_number},
    {"result_error", ctx_result_error},
    {"result_int", ctx_result_int},
    {"result_null", ctx_result_null},
    {"result_number", ctx_result_number},
    {"result_text", ctx_result_text},
    {"set_aggregate_data", ctx_set_aggregate_data},
    {"user_data", ctx_user_data},
    {NULL, NULL},
};

static const luaL_Reg BACKUP_METHODS[] = {
    {"__gc", backup_gc},
    {"finish", backup_finish},
    {"pagecount", backup_pagecount},
    {"remaining", backup_remaining},
    {"step", backup_step},
    {NULL, NULL},
};

static const luaL_Reg LIBRARY[] = {
    {"backup_init", lib_backup_init},
    {"complete", lib_complete},
    {"lversion", lib_lversion},
    {"open", lib_open},
    {"open_memory", lib_open_memory},
    {"temp_directory", lib_temp_directory},
    {"version", lib_version},
    {NULL, NULL},
};

/* clang-format off */
#define CODE(name) {#name, SQLITE_##name}
static const struct { const char *name; int value; } CODES[] = {
    CODE(OK), CODE(ERROR), CODE(INTERNAL), CODE(PERM), CODE(ABORT), CODE(BUSY), CODE(LOCKED), CODE(NOMEM),
    CODE(READONLY), CODE(INTERRUPT), CODE(IOERR), CODE(CORRUPT), CODE(NOTFOUND), CODE(FULL), CODE(CANTOPEN),
    CODE(PROTOCOL), CODE(EMPTY), CODE(SCHEMA), CODE(TOOBIG), CODE(CONSTRAINT), CODE(MISMATCH), CODE(MISUSE),
    CODE(NOLFS), CODE(FORMAT), CODE(RANGE), CODE(NOTADB), CODE(ROW), CODE(DONE),
    CODE(INTEGER), CODE(FLOAT), CODE(TEXT), CODE(BLOB), CODE(NULL),
    CODE(CREATE_INDEX), CODE(CREATE_TABLE), CODE(CREATE_TEMP_INDEX), CODE(CREATE_TEMP_TABLE),
    CODE(CREATE_TEMP_TRIGGER), CODE(CREATE_TEMP_VIEW), CODE(CREATE_TRIGGER), CODE(CREATE_VIEW), CODE(DELETE),
    CODE(DROP_INDEX), CODE(DROP_TABLE), CODE(DROP_TEMP_INDEX), CODE(DROP_TEMP_TABLE), CODE(DROP_TEMP_TRIGGER),
    CODE(DROP_TEMP_VIEW), CODE(DROP_TRIGGER), CODE(DROP_VIEW), CODE(INSERT), CODE(PRAGMA), CODE(READ), CODE(SELECT),
    CODE(TRANSACTION), CODE(UPDATE), CODE(ATTACH), CODE(DETACH), CODE(ALTER_TABLE), CODE(REINDEX), CODE(ANALYZE),
    CODE(CREATE_VTABLE), CODE(DROP_VTABLE), CODE(FUNCTION), CODE(SAVEPOINT),
    CODE(OPEN_READONLY), CODE(OPEN_READWRITE), CODE(OPEN_CREATE), CODE(OPEN_URI), CODE(OPEN_MEMORY),
    CODE(OPEN_NOMUTEX), CODE(OPEN_FULLMUTEX), CODE(OPEN_SHAREDCACHE), CODE(OPEN_PRIVATECACHE),
};
/* clang-format on */

static void make_class(lua_State *l, const char *name, const luaL_Reg *methods) {
  luaL_newmetatable(l, name);
  luaL_setfuncs(l, methods, 0);
  lua_pushvalue(l, -1);
  lua_setfield(l, -2, "__index");
  lua_pop(l, 1);
}

/* Chance differs from process to process: it begins with the process's id, which the runtime keeps in `ao.id`. */
static void seed_from_id(lua_State *l) {
  lua_pushglobaltable(l);
  lua_pushliteral(l, "ao");
  if (lua_rawget(l, -2) == LUA_TTABLE) {
    lua_pushliteral(l, "id");
    lua_rawget(l, -2);
    lua_replace(l, -2);
  }
  size_t size = 0;
  const char *id = lua_type(l, -1) == LUA_TSTRING ? lua_tolstring(l, -1, &size) : "";
  puna_sqlite_seed(id, size);
  lua_pop(l, 2);
}

int luaopen_lsqlite3(lua_State *l) {
  puna_sqlite_start();
  make_class(l, DATABASE, DATABASE_METHODS);
  make_class(l, STATEMENT, STATEMENT_METHODS);
  make_class(l, CONTEXT, CONTEXT_METHODS);
  make_class(l, BACKUP, BACKUP_METHODS);
  lua_newtable(l);
  lua_createtable(l, 0, 1);
  lua_pushliteral(l, "v");
  lua_setfield(l, -2, "__mode");
  lua_setmetatable(l, -2);
  lua_rawsetp(l, LUA_REGISTRYINDEX, &HANDLES);
  seed_from_id(l);
  luaL_newlib(l, LIBRARY);
  for (size_t i = 0; i < sizeof CODES / sizeof *CODES; i++) {
    lua_pushinteger(l, CODES[i].value);
    lua_setfield(l, -2, CODES[i].name);
  }
  return 1;
}
