/*
 * An AO process: Lua 5.3 behind the `handle` call of the AO module ABI.
 *
 * The host calls `ao_init` once in a fresh memory, then `handle` once per message. Everything a process knows
 * lies in linear memory, so a copy of that memory is a copy of the process. The only imports are host.call and
 * host.take, through which Lua reaches the extensions its process asked for (`_host`).
 */
#include <stdlib.h>
#include <string.h>

#include "lauxlib.h"
#include "lua.h"
#include "lualib.h"
#include "process.h"

#define EXPORT(name) __attribute__((export_name(name)))
#define IMPORT(name) __attribute__((import_module("host"), import_name(name)))

/* Ask extension `name`: answers the length of its response, or minus the length of an error text. */
IMPORT("call")
int32_t host_call(const char *name, size_t name_size, const char *request, size_t request_size);

/* Copy the response of the last host_call to `into`. */
IMPORT("take")
void host_take(char *into);

static const char NO_MEMORY[] = "{\"ok\":false,\"response\":\"not enough memory\"}";

/* Registry keys: what a process does to its globals must not take these from us. */
static const char REQUIRE = 0, HANDLE = 0;

static lua_State *L;
static char *failure; /* the last failure's JSON, ours to free */

/* --- what Lua sees ------------------------------------------------------------------------------------------ */

/* _host(name, request) -> response, or nil and an error text */
static int ask_host(lua_State *l) {
  size_t name_size, request_size;
  const char *name = luaL_checklstring(l, 1, &name_size);
  const char *request = luaL_checklstring(l, 2, &request_size);
  int32_t answer = host_call(name, name_size, request, request_size);
  size_t size = answer < 0 ? (size_t)-answer : (size_t)answer;
  luaL_Buffer buffer;
  if (answer < 0) lua_pushnil(l);
  host_take(luaL_buffinitsize(l, &buffer, size));
  luaL_pushresultsize(&buffer, size);
  return answer < 0 ? 2 : 1;
}

/* _set_now(ms): what os.time and os.date take for the present, milliseconds since 1970; 0 for what is no time. */
static int set_now(lua_State *l) {
  lua_Number ms = lua_tonumber(l, 1);
  puna_now_ms = ms >= 0 && ms < 8.64e15 ? (int64_t)ms : 0;
  return 0;
}

static int exit_refused(lua_State *l) { return luaL_error(l, "os.exit is not available to a process"); }

static int give_loaded(lua_State *l) {
  lua_settop(l, 0);
  lua_pushvalue(l, lua_upvalueindex(1));
  return 1;
}

/* Push a loader of what `file` already is under another of its names, so that all names mean one thing. */
static int find_loaded(lua_State *l, const puna_embedded *file) {
  luaL_getsubtable(l, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  for (const puna_embedded *other = puna_embedded_files; other->name; other++) {
    if (other->source != file->source || other == file) continue;
    if (lua_getfield(l, -1, other->name) == LUA_TTABLE) {
      lua_pushcclosure(l, give_loaded, 1);
      return 1;
    }
    lua_pop(l, 1);
  }
  return 0;
}

/* Error positions name a file by the first of its names, the one made from its path. */
static const char *first_name(const puna_embedded *file) {
  const puna_embedded *first = puna_embedded_files;
  while (first->source != file->source) first++;
  return first->name;
}

static int search_embedded(lua_State *l) {
  const char *name = luaL_checkstring(l, 1);
  for (const puna_embedded *file = puna_embedded_files; file->name; file++) {
    if (strcmp(file->name, name) != 0) continue;
    if (find_loaded(l, file)) return 1;
    int status = luaL_loadbuffer(l, (const char *)file->source, file->size, first_name(file));
    if (status != LUA_OK) return lua_error(l);
    lua_pushstring(l, name);
    return 2;
  }
  lua_pushfstring(l, "\n\tno module '%s' in this process's image", name);
  return 1;
}

/* Leave two searchers: package.preload and the embedded files. There is no file system to search. */
static void install_searchers(lua_State *l) {
  lua_getglobal(l, "package");
  lua_getfield(l, -1, "searchers");
  lua_pushcfunction(l, search_embedded);
  lua_rawseti(l, -2, 2);
  for (int i = (int)lua_rawlen(l, -1); i > 2; i--) {
    lua_pushnil(l);
    lua_rawseti(l, -2, i);
  }
  lua_pop(l, 1);
  lua_pushliteral(l, "");
  lua_setfield(l, -2, "path");
  lua_pushliteral(l, "");
  lua_setfield(l, -2, "cpath");
  lua_pop(l, 1);
}

/* Libraries are opened when first required: a process that does not ask for one has nothing of it in its memory. */
static void install_libraries(lua_State *l) {
  luaL_getsubtable(l, LUA_REGISTRYINDEX, LUA_PRELOAD_TABLE);
  for (const puna_library *library = puna_libraries; library->name; library++) {
    lua_pushcfunction(l, library->open);
    lua_setfield(l, -2, library->name);
  }
  lua_pop(l, 1);
}

static int open_everything(lua_State *l) {
  luaL_openlibs(l);
  install_searchers(l);
  install_libraries(l);
  lua_getglobal(l, "os");
  lua_pushcfunction(l, exit_refused);
  lua_setfield(l, -2, "exit");
  lua_pushcfunction(l, ask_host);
  lua_setglobal(l, "_host");
  lua_pushcfunction(l, set_now);
  lua_setglobal(l, "_set_now");
  lua_getglobal(l, "require");
  lua_rawsetp(l, LUA_REGISTRYINDEX, &REQUIRE);
  return 0;
}

/* --- one evaluation ----------------------------------------------------------------------------------------- */

static void require(lua_State *l, const char *name) {
  lua_rawgetp(l, LUA_REGISTRYINDEX, &REQUIRE);
  lua_pushstring(l, name);
  lua_call(l, 1, 1);
}

/*
 * (message JSON, environment JSON) -> result JSON; both are light userdata pointing to NUL-terminated text.
 * The function is looked up once: a process may put a `.process` of its own into package.loaded.
 */
static int evaluate(lua_State *l) {
  if (lua_rawgetp(l, LUA_REGISTRYINDEX, &HANDLE) == LUA_TNIL) {
    require(l, ".process");
    lua_getfield(l, -1, "handle_json");
    lua_rawsetp(l, LUA_REGISTRYINDEX, &HANDLE);
    lua_rawgetp(l, LUA_REGISTRYINDEX, &HANDLE);
  }
  lua_pushstring(l, lua_touserdata(l, 1));
  lua_pushstring(l, lua_touserdata(l, 2));
  lua_call(l, 2, 1);
  luaL_checkstring(l, -1);
  return 1;
}

/* The message handler of the protected call: an error value of any type becomes text. */
static int error_text(lua_State *l) {
  luaL_tolstring(l, 1, NULL);
  return 1;
}

/* Write `text` as the inside of a JSON string; bytes above 127 pass as they are. Returns the end. */
static char *write_escaped(char *out, const char *text, size_t size) {
  static const char HEX[] = "0123456789abcdef";
  for (size_t i = 0; i < size; i++) {
    unsigned char byte = (unsigned char)text[i];
    if (byte == '"' || byte == '\\') {
      *out++ = '\\';
      *out++ = (char)byte;
    } else if (byte < 0x20 || byte == 0x7f) {
      memcpy(out, "\\u00", 4);
      out[4] = HEX[byte >> 4];
      out[5] = HEX[byte & 15];
      out += 6;
    } else {
      *out++ = (char)byte;
    }
  }
  return out;
}

static const char *describe_failure(void) {
  size_t size = 0;
  const char *text = lua_isstring(L, -1) ? lua_tolstring(L, -1, &size) : NULL;
  if (!text) {
    text = "error in error handling";
    size = strlen(text);
  }
  failure = size < SIZE_MAX / 8 ? malloc(6 * size + 40) : NULL;
  if (!failure) return NO_MEMORY;
  char *end = failure;
  end += strlen(strcpy(end, "{\"ok\":false,\"response\":\""));
  end = write_escaped(end, text, size);
  strcpy(end, "\"}");
  return failure;
}

/* Reached only when even a protected call cannot be set up: stop, and let the host take the memory back. */
static int panic(lua_State *l) {
  (void)l;
  __builtin_trap();
}

/* --- what the host sees ------------------------------------------------------------------------------------- */

/* Prepare a fresh memory; answers 0, or 1 when there is too little of it. Runs no Lua. */
EXPORT("ao_init")
int32_t ao_init(void) {
  L = lua_newstate(puna_heap, NULL);
  if (!L) return 1;
  lua_atpanic(L, panic);
  lua_pushcfunction(L, open_everything);
  return lua_pcall(L, 0, 0, 0) == LUA_OK ? 0 : 1;
}

/* Memory for an argument, among the objects of its message. Its size stands before it. */
EXPORT("ao_alloc")
void *ao_alloc(size_t size) {
  size_t all = size + sizeof(uint64_t);
  uint64_t *found = all < size ? NULL : puna_heap(NULL, NULL, 0, all);
  if (!found) return NULL;
  *found = all;
  return found + 1;
}

EXPORT("ao_free")
void ao_free(void *address) {
  uint64_t *found = (uint64_t *)address - 1;
  if (address) puna_heap(NULL, found, *found, 0);
}

/*
 * Evaluate one message. Both arguments are NUL-terminated JSON (from ao_alloc); the answer is NUL-terminated
 * JSON, {"ok":true,"response":...} or {"ok":false,"response":"text"}, good until the next call.
 */
EXPORT("handle")
const char *handle(char *message, char *environment) {
  lua_settop(L, 0);
  free(failure);
  failure = NULL;
  lua_pushcfunction(L, error_text);
  lua_pushcfunction(L, evaluate);
  lua_pushlightuserdata(L, message);
  lua_pushlightuserdata(L, environment);
  int status = lua_pcall(L, 2, 1, 1);
  return status == LUA_OK ? lua_tostring(L, -1) : describe_failure();
}
