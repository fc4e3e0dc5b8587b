/* Rubbish as a segment: random bytes, headers with flipped bytes, headers that contradict themselves under a right checksum, and
 * good headers before rubbish. Attaching says no or works; it never crashes, hangs or takes memory by the file's word. */

#include <sys/resource.h>

#define FORGED_CELLS 256

static uint8_t *forged_good;
static uint64_t forged_bytes;

static void forged_prepare(void) {
  segment_fresh(FORGED_CELLS * sizeof(cell));
  hold h = hold_take();
  author a = author_new(h.s, 1);
  for (int i = 0; i < 5; i++) author_commit(&a);
  forged_bytes = h.s->bytes;
  forged_good = malloc(forged_bytes);
  memcpy(forged_good, h.s->base, forged_bytes);
  hold_drop(&h);
}

static void forged_flip(uint8_t *at, uint64_t bytes, dice *d, uint64_t count) {
  for (uint64_t i = 0; i < count; i++) at[below(d, bytes)] ^= (uint8_t)(1u << below(d, 8));
}

static void forged_number(uint8_t *header, dice *d) {
  static const uint64_t odd[] = {0, 1, 63, 64, 4095, 4096, 4097, 1ull << 31, (1ull << 32) - 1, 1ull << 32, 1ull << 48, 1ull << 63, ~0ull};
  uint64_t value = odd[below(d, sizeof odd / sizeof *odd)], at = 8 * below(d, offsetof(mb_header, reserved) / 8);
  memcpy(header + at, &value, below(d, 2) ? 8 : 4);
}

/* A redo page with a right checksum that leads out of the image. */
static void forged_redo(uint8_t *file, dice *d) {
  const mb_header *header = (const mb_header *)file;
  mb_hot *hot = (mb_hot *)(file + header->hot_offset);
  mb_redo *redo = (mb_redo *)(file + header->redo_offset);
  hot->seq |= 1;
  redo->seq = hot->seq;
  redo->count = (uint32_t)below(d, MB_REDO_RUNS + 2);
  for (uint32_t i = 0; i < MB_REDO_RUNS; i++) {
    redo->run[i].block = (uint32_t)(below(d, 4) ? below(d, header->block_count) : roll(d));
    redo->run[i].count = (uint32_t)(below(d, 4) ? 1 + below(d, 3) : roll(d));
  }
  if (redo->count <= MB_REDO_RUNS) redo->crc = redo_crc(redo);
}

/* Returns how many bytes the forged file has, in `file`. */
static uint64_t forged_make(uint8_t *file, dice *d) {
  uint64_t bytes = forged_bytes, page = MB_PAGE;
  memcpy(file, forged_good, bytes);
  switch (below(d, 7)) {
    case 0:
      bytes = below(d, forged_bytes);
      for (uint64_t i = 0; i < bytes; i++) file[i] = (uint8_t)roll(d);
      return bytes;
    case 1: forged_flip(file, sizeof(mb_header), d, 1 + below(d, 4)); return bytes;
    case 2: return below(d, forged_bytes);
    case 3:
      forged_number(file, d);
      if (below(d, 3) == 0) forged_number(file, d);
      break;
    case 4: forged_flip(file + page, 2 * page, d, 1 + below(d, 64)); break; /* hot and redo page */
    case 5: forged_redo(file, d); break;
    default:
      for (uint64_t i = page + below(d, bytes - page); i < bytes; i++) file[i] = (uint8_t)roll(d);
  }
  uint32_t crc = mb_header_crc(file, page);
  memcpy(file + offsetof(mb_header, crc), &crc, sizeof crc);
  return bytes;
}

/* Uses what could be attached for everything. 1: attached, 0: refused. */
static int forged_use(bool writable) {
  static uint8_t copy[FORGED_CELLS * sizeof(cell)];
  static double runs[2 * FORGED_CELLS + 2];
  double info;
  int64_t handle;
  if (mb_segment_attach(path_data, writable, &handle)) return 0;
  mb_segment *s = (mb_segment *)handle;
  mb_snapshot(s, copy, 0, s->image_bytes < sizeof copy ? s->image_bytes : sizeof copy);
  mb_changed_since(s, 0, NULL, 0, runs, FORGED_CELLS, &info);
  mb_changed_since(s, 3, NULL, 0, runs, FORGED_CELLS, &info);
  if (writable) {
    mb_segment_recover(s);
    mb_begin(s);
    mb_touch_range(s, 0, s->image_bytes);
    s->working[0] ^= 1;
    mb_commit(s);
    mb_snapshot(s, copy, 0, s->image_bytes < sizeof copy ? s->image_bytes : sizeof copy);
  }
  mb_segment_close(s);
  return 1;
}

static int forged_try(uint64_t number) {
  static uint8_t *file;
  dice d = {mix(seed ^ mix(number))};
  if (!file) file = malloc(forged_bytes);
  uint64_t bytes = forged_make(file, &d);
  int fd = open(path_data, O_RDWR | O_TRUNC | O_CLOEXEC);
  if (fd < 0 || write(fd, file, bytes) != (ssize_t)bytes) give_up("cannot write %s", path_data);
  close(fd);
  return forged_use(below(&d, 2));
}

typedef struct { uint64_t next, attached, refused; } forged_t;

static void run_forged(uint32_t count, uint64_t deadline) {
  forged_t *f = shared_memory(sizeof *f);
  forged_prepare();
  while (f->next < count && now_us() < deadline) { /* a child for as long as it lives; whoever follows goes on behind the one it died of */
    pid_t pid = fork();
    if (pid == 0) {
      struct rlimit little = {2048ull << 20, 2048ull << 20};
      setrlimit(RLIMIT_AS, &little);
      while (f->next < count && now_us() < deadline) {
        alarm(20);
        if (forged_try(f->next++)) f->attached++;
        else f->refused++;
      }
      _exit(descriptor_count() > 16 ? 4 : 0);
    }
    int status;
    waitpid(pid, &status, 0);
    if (WIFSIGNALED(status)) violation("forged file %lu: signal %d%s", f->next - 1, WTERMSIG(status), WTERMSIG(status) == SIGALRM ? " (hangs)" : "");
    else if (WEXITSTATUS(status)) violation("descriptors leak");
  }
  figure("files", (double)f->next);
  figure("attached", (double)f->attached);
  figure("refused", (double)f->refused);
}
