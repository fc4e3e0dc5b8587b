/* The half of a DuckDB table function that DuckDB's own threads run: filling vectors from a copy of an image. The other half, which
 * copy and which columns, is decided in JavaScript, once for each scan.
 *
 * Nothing here links against DuckDB: its functions are found in the library that the process has loaded already. A table function
 * wholly in JavaScript was rejected: DuckDB asks for one vector of 2,048 rows at a time, and 489 calls onto the JavaScript thread take
 * 25 us each; a million rows took 10 to 30 times as long as from a table of DuckDB's. */
#include "held.h"

#include "segment.h"

#define DUCKDB_MORSEL 122880 /* rows that a thread takes at once: a row group of DuckDB's own tables */

#define DUCKDB_FUNCTIONS(F)                                                        \
  F(void, table_function_set_local_init, (void *function, void (*init)(void *)))   \
  F(void, table_function_set_function, (void *function, void (*)(void *, void *))) \
  F(void, init_set_init_data, (void *info, void *data, void (*destroy)(void *)))   \
  F(void, init_set_max_threads, (void *info, uint64_t threads))                    \
  F(void, init_set_error, (void *info, const char *error))                         \
  F(void *, function_get_init_data, (void *info))                                  \
  F(void *, function_get_local_init_data, (void *info))                            \
  F(void, data_chunk_set_size, (void *chunk, uint64_t rows))                       \
  F(void *, data_chunk_get_vector, (void *chunk, uint64_t column))                 \
  F(void *, vector_get_data, (void *vector))                                       \
  F(uint64_t, vector_size, (void))

#define DUCKDB_POINTER(result, name, parameters) result(*name) parameters;
static struct { DUCKDB_FUNCTIONS(DUCKDB_POINTER) } duckdb;
static uint32_t duckdb_is_open;

/* What a column is made of. Widths are plain copies. */
enum duckdb_source { DUCKDB_BOOL = 16, DUCKDB_HALF, DUCKDB_ROW, DUCKDB_SEEN };

typedef struct {
  uint32_t source;       /* 1, 2, 4, 8: bytes of an element; or one of duckdb_source */
  uint64_t offset, step; /* bytes in the copy: of row 0, and from one row to the next */
} duckdb_column;

/* One scan, shared by the threads that work at it. */
typedef struct {
  mb_held *copy;
  uint64_t rows;
  int64_t seen;   /* which version this is, for whoever asks */
  uint32_t taken; /* morsels that have gone to a thread */
  uint32_t column_count;
  duckdb_column column[];
} duckdb_scan;

/* What one thread has taken and not produced yet. */
typedef struct { uint64_t at, end; } duckdb_part;

/* Finds DuckDB's functions in a library that is loaded. -ENOENT: it is not; -ENOSYS: it lacks one of them. */
MB_EXPORT int64_t mb_duckdb_open(const char *library) {
  if (mb_load32_acquire(&duckdb_is_open)) return 0;
  void *loaded = dlopen(library, RTLD_NOW | RTLD_NOLOAD);
  if (!loaded) return -ENOENT;
#define DUCKDB_FIND(result, name, parameters) \
  if (!(*(void **)&duckdb.name = dlsym(loaded, "duckdb_" #name))) return -ENOSYS;
  DUCKDB_FUNCTIONS(DUCKDB_FIND)
  mb_store32_release(&duckdb_is_open, 1);
  return 0;
}

static uint32_t duckdb_widen(uint16_t half) {
  uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31, fraction = half & 1023;
  if (exponent == 31) return sign | 0x7f800000 | fraction << 13;
  if (exponent == 0) {
    if (fraction == 0) return sign;
    for (exponent = 1; !(fraction & 1024); exponent--) fraction <<= 1;
    fraction &= 1023;
  }
  return sign | (exponent + 112) << 23 | fraction << 13;
}

#define DUCKDB_COPY(type)                                                                        \
  {                                                                                              \
    type *out = into;                                                                            \
    if (step == sizeof(type)) memcpy(out, from, count * sizeof(type));                           \
    else                                                                                         \
      for (uint64_t i = 0; i < count; i++) out[i] = *(const type *)(from + i * step);            \
    break;                                                                                       \
  }

static void duckdb_fill(const duckdb_scan *scan, const duckdb_column *column, uint64_t row, uint64_t count, void *into) {
  uint64_t step = column->step;
  const uint8_t *from = scan->copy->data + column->offset + row * step;
  switch (column->source) {
  case 1: DUCKDB_COPY(uint8_t)
  case 2: DUCKDB_COPY(uint16_t)
  case 4: DUCKDB_COPY(uint32_t)
  case 8: DUCKDB_COPY(uint64_t)
  case DUCKDB_BOOL: /* a byte of a peer's may be anything; DuckDB's booleans are 0 and 1 */
    for (uint64_t i = 0; i < count; i++) ((uint8_t *)into)[i] = from[i * step] != 0;
    break;
  case DUCKDB_HALF:
    for (uint64_t i = 0; i < count; i++) ((uint32_t *)into)[i] = duckdb_widen(*(const uint16_t *)(from + i * step));
    break;
  case DUCKDB_ROW:
    for (uint64_t i = 0; i < count; i++) ((int64_t *)into)[i] = (int64_t)(row + i);
    break;
  case DUCKDB_SEEN:
    for (uint64_t i = 0; i < count; i++) ((int64_t *)into)[i] = scan->seen;
    break;
  }
}

static bool duckdb_take(duckdb_scan *scan, duckdb_part *part) {
  uint64_t first = (uint64_t)mb_add32(&scan->taken, 1) * DUCKDB_MORSEL;
  if (first >= scan->rows) return false;
  part->at = first;
  part->end = scan->rows - first < DUCKDB_MORSEL ? scan->rows : first + DUCKDB_MORSEL;
  return true;
}

/* On a thread of DuckDB's, when it joins a scan. */
static void duckdb_join(void *info) {
  duckdb_part *part = calloc(1, sizeof *part);
  if (part) duckdb.init_set_init_data(info, part, free);
  else duckdb.init_set_error(info, "memblast: there is not enough memory");
}

/* On a thread of DuckDB's, for each batch of rows; an empty one is the end. */
static void duckdb_produce(void *info, void *chunk) {
  duckdb_scan *scan = duckdb.function_get_init_data(info);
  duckdb_part *part = duckdb.function_get_local_init_data(info);
  uint64_t count = 0;
  if (part->at < part->end || duckdb_take(scan, part)) {
    count = part->end - part->at;
    if (count > duckdb.vector_size()) count = duckdb.vector_size();
    for (uint32_t c = 0; c < scan->column_count; c++)
      if (scan->column[c].source)
        duckdb_fill(scan, scan->column + c, part->at, count, duckdb.vector_get_data(duckdb.data_chunk_get_vector(chunk, c)));
    part->at += count;
  }
  duckdb.data_chunk_set_size(chunk, count);
}

static void duckdb_end(void *scan) {
  mb_let_go(((duckdb_scan *)scan)->copy);
  free(scan);
}

/* Makes a table function's rows come from the scans that mb_duckdb_begin() starts, before it is registered. `holder` is what the
 * bindings keep of it: first of all the handle. */
MB_EXPORT int64_t mb_duckdb_adopt(void **holder) {
  duckdb.table_function_set_local_init(*holder, duckdb_join);
  duckdb.table_function_set_function(*holder, duckdb_produce);
  return 0;
}

static uint64_t duckdb_width(uint32_t source) {
  return source == DUCKDB_BOOL ? 1 : source == DUCKDB_HALF ? 2 : source < DUCKDB_BOOL ? source : 0;
}

/* False where a column does not lie within the copy. */
static bool duckdb_specify(duckdb_scan *scan, const mb_held *copy, const double *spec) {
  uint64_t source, seen;
  if (!mb_whole(spec[0], &scan->rows) || !mb_whole(spec[1], &seen)) return false;
  scan->seen = (int64_t)seen;
  for (uint32_t c = 0; c < scan->column_count; c++) {
    duckdb_column *column = scan->column + c;
    const double *given = spec + 2 + 3 * c;
    if (!mb_whole(given[0], &source) || !mb_whole(given[1], &column->offset) || !mb_whole(given[2], &column->step)) return false;
    column->source = (uint32_t)source;
    uint64_t width = duckdb_width(column->source), last = scan->rows ? (scan->rows - 1) * column->step : 0;
    if (width && !mb_inside(column->offset + last, width, copy->bytes)) return false;
  }
  return true;
}

/* Starts a scan inside the init callback of an adopted function. `spec`: rows, seen, then source, offset and step of each column that
 * the query uses. The scan holds the copy until DuckDB ends it, however it ends. */
MB_EXPORT int64_t mb_duckdb_begin(void *info, mb_held *copy, const double *spec, uint64_t columns) {
  duckdb_scan *scan = calloc(1, sizeof *scan + columns * sizeof(duckdb_column));
  if (!scan) return -ENOMEM;
  scan->column_count = (uint32_t)columns;
  if (!duckdb_specify(scan, copy, spec)) {
    free(scan);
    return MB_E_RANGE;
  }
  mb_hold(copy);
  scan->copy = copy;
  duckdb.init_set_init_data(info, scan, duckdb_end);
  duckdb.init_set_max_threads(info, scan->rows / DUCKDB_MORSEL + 1);
  return 0;
}
