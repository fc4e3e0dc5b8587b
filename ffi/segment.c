/* Creating, attaching and closing a segment. */
#include "segment.h"

static const int segment_read_write = PROT_READ | PROT_WRITE;

/* The incarnation as this file has it now. */
static void segment_name_life(mb_segment *s, const uint8_t *incarnation) {
  uint64_t half;
  memcpy(s->incarnation, incarnation, sizeof s->incarnation);
  memcpy(&half, s->incarnation + 8, 8);
  half ^= mb_load_relaxed(&s->hot->renewal);
  memcpy(s->incarnation + 8, &half, 8);
}

static void segment_place(mb_segment *s, const mb_header *h) {
  s->hot = (mb_hot *)(s->base + h->hot_offset);
  s->redo = (mb_redo *)(s->base + h->redo_offset);
  s->working = s->base + h->working_offset;
  s->committed = s->base + h->committed_offset;
  s->image_bytes = h->image_bytes;
  s->meta_offset = h->meta_offset;
  s->schema_bytes = h->schema_bytes;
  s->block_count = h->block_count;
  while ((1ull << s->block_shift) < h->block_bytes) s->block_shift++;
  s->features = h->feature_compat | h->feature_ro_compat << 32;
  segment_name_life(s, h->incarnation);
  memcpy(s->boot_id, h->boot_id, sizeof s->boot_id);
  uint64_t *entry = (uint64_t *)(s->base + h->table_offset);
  uint32_t entries = h->block_count;
  for (;;) {
    s->level[s->level_count] = entry;
    s->level_entries[s->level_count++] = entries;
    if (entries == 1) break;
    entry += entries;
    entries = (entries + 63) >> MB_FANOUT_SHIFT;
  }
}

static int64_t segment_notes(mb_segment *s) {
  s->touched_words = (s->block_count + 31) / 32;
  s->summary_words = (s->touched_words + 31) / 32;
  s->run_capacity = MB_REDO_RUNS;
  s->touched = calloc(s->touched_words, sizeof *s->touched);
  s->touched_summary = calloc(s->summary_words, sizeof *s->touched_summary);
  s->differing = calloc(s->touched_words, sizeof *s->differing);
  s->runs = malloc(s->run_capacity * sizeof *s->runs);
  return s->touched && s->touched_summary && s->differing && s->runs ? 0 : -ENOMEM;
}

static int64_t segment_seal(mb_segment *s) {
  struct stat st;
  if (s->fd < 0) return 0;
  if (mb_fstat(s->fd, &st)) return mb_errno();
  s->hot->inode = st.st_ino;
  mb_note_use(s);
  return 0;
}

static uint64_t segment_overlay_bytes(const mb_segment *s) { return s->bytes - s->overlay_offset; }

MB_EXPORT int64_t mb_segment_close(mb_segment *s) {
  mb_disown(MB_OWN_SEGMENT, (int64_t)(uintptr_t)s);
  mb_guard_remove(s->guard_slot);
  mb_guard_remove(s->overlay_slot);
  if (s->overlay) munmap(s->overlay, segment_overlay_bytes(s));
  if (s->base) munmap(s->base, s->bytes);
  if (s->fd >= 0) close(s->fd);
  free(s->schema);
  free(s->touched);
  free(s->touched_summary);
  free(s->differing);
  free(s->runs);
  free(s->known_crc);
  free(s->known_stamp);
  mb_exact_close(s);
  free(s);
  return 0;
}

/* Leaves the memory mapped when the segment is closed: somebody else holds a view of it that nobody can take back. */
MB_EXPORT int64_t mb_segment_keep_mapped(mb_segment *s) {
  s->base = s->overlay = NULL;
  s->guard_slot = s->overlay_slot = -1;
  return 0;
}

static int64_t segment_abandon(mb_segment *s, int64_t error) {
  mb_segment_close(s);
  return error;
}

static mb_segment *segment_new(void) {
  mb_segment *s = calloc(1, sizeof *s);
  if (s) s->fd = s->guard_slot = s->overlay_slot = -1;
  return s;
}

static int64_t segment_map(mb_segment *s, uint64_t bytes, int protection) {
  int flags = s->fd < 0 ? MAP_SHARED | MAP_ANONYMOUS : MAP_SHARED;
  void *base = mmap(NULL, bytes, protection, flags, s->fd, 0);
  if (base == MAP_FAILED) return mb_errno();
  s->base = base;
  s->bytes = bytes;
  madvise(base, bytes, MADV_DONTFORK); /* a child must not keep the memory, or write it */
  if (s->fd < 0) return 0;
  s->guard_slot = mb_guard_add(base, bytes);
  return s->guard_slot < 0 ? -ENOMEM : 0; /* unguarded, the first lost page would kill the process */
}

static int64_t segment_keep_schema(mb_segment *s, const uint8_t *schema, uint64_t bytes) {
  s->schema = malloc(bytes);
  if (!s->schema) return -ENOMEM;
  memcpy(s->schema, schema, bytes);
  return 0;
}

/* An unfinished file has no name: O_TMPFILE, all of its space, the whole header, and only then the link. */
static int64_t segment_unnamed_file(const char *directory, uint64_t bytes) {
  struct rlimit limit; /* passing it would also raise SIGXFSZ, which kills */
  if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && bytes > limit.rlim_cur) return -EFBIG;
  int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd < 0) return mb_errno();
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before); /* a signal would make a large posix_fallocate start again, for ever */
  int error;
  do error = posix_fallocate(fd, 0, (off_t)bytes);
  while (error == EINTR);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (error) {
    close(fd);
    return -error;
  }
  return fd;
}

/* A path by which the system finds the open file, whatever its name; 32 bytes are enough. */
void mb_descriptor_path(int fd, char *path) {
  static const char folder[] = "/proc/self/fd/";
  char digits[12];
  int n = 0, at = sizeof folder - 1;
  memcpy(path, folder, sizeof folder);
  do digits[n++] = (char)('0' + fd % 10);
  while ((fd /= 10) > 0);
  while (n > 0) path[at++] = digits[--n];
  path[at] = 0;
}

static int64_t segment_publish(int fd, const char *path) {
  char link[32];
  mb_descriptor_path(fd, link);
  return linkat(AT_FDCWD, link, AT_FDCWD, path, AT_SYMLINK_FOLLOW) ? mb_errno() : 0;
}

/* How many bytes a segment takes, so that the caller can look for room first. */
MB_EXPORT int64_t mb_segment_bytes(uint64_t image_bytes, uint64_t schema_bytes) {
  mb_header h;
  memset(&h, 0, sizeof h);
  int64_t error = mb_layout(&h, image_bytes, schema_bytes);
  return error ? error : (int64_t)h.file_bytes;
}

/* Creates a segment of zeros at version 0: a file `path` in `directory`, or private memory where path is NULL. `identity` is 16
 * bytes of incarnation and 16 of boot id; the lower half of `features` goes into the header's feature_compat, the upper half into
 * feature_ro_compat. The handle goes to out[0]. -EEXIST when the path is taken. */
MB_EXPORT int64_t mb_segment_create(const char *directory, const char *path, const uint8_t *schema, uint64_t schema_bytes,
                                    uint64_t image_bytes, uint64_t meta_offset, const uint8_t *identity, uint64_t features,
                                    int64_t *out) {
  mb_header h;
  memset(&h, 0, sizeof h);
  int64_t error = mb_layout(&h, image_bytes, schema_bytes);
  if (error) return error;
  if (meta_offset >= image_bytes) return MB_E_RANGE;
  mb_segment *s = segment_new();
  if (!s) return -ENOMEM;
  if (path) {
    int64_t fd = segment_unnamed_file(directory, h.file_bytes);
    if (fd < 0) return segment_abandon(s, fd);
    s->fd = (int)fd;
  }
  if ((error = segment_map(s, h.file_bytes, segment_read_write))) return segment_abandon(s, error);
  if ((error = segment_keep_schema(s, schema, schema_bytes))) return segment_abandon(s, error);
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  memcpy(h.magic, MB_MAGIC, 8);
  h.endian = MB_ENDIAN;
  h.major = MB_MAJOR;
  h.minor = MB_MINOR;
  h.meta_offset = meta_offset;
  h.feature_compat = features & 0xffffffffu;
  h.feature_ro_compat = features >> 32;
  h.created_ns = (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
  memcpy(h.incarnation, identity, 16);
  memcpy(h.boot_id, identity + 16, 16);
  memcpy(s->base, &h, sizeof h);
  memcpy(s->base + h.schema_offset, schema, schema_bytes);
  h.crc = mb_header_crc(s->base, h.header_bytes);
  memcpy(s->base + offsetof(mb_header, crc), &h.crc, sizeof h.crc);
  segment_place(s, &h);
  s->writable = true;
  if ((error = segment_notes(s))) return segment_abandon(s, error);
  if ((error = segment_seal(s))) return segment_abandon(s, error);
  if (path && (error = segment_publish(s->fd, path))) return segment_abandon(s, error);
  mb_own(MB_OWN_SEGMENT, (int64_t)(uintptr_t)s);
  out[0] = (int64_t)(uintptr_t)s;
  return 0;
}

/* A file that nobody else can have prepared, or reaches by another name. */
int64_t mb_check_file(int fd, struct stat *st) {
  if (mb_fstat(fd, st)) return mb_errno();
  if (!S_ISREG(st->st_mode)) return MB_E_NOT_REGULAR;
  if (st->st_uid != geteuid() && st->st_uid != 0) return MB_E_OWNER;
  if (st->st_mode & 022) return MB_E_MODE;
  if (st->st_nlink > 1) return MB_E_LINKS;
  return 0;
}

static bool segment_hit(const mb_segment *s) { return mb_guard_hit(s->guard_slot) || mb_guard_hit(s->overlay_slot); }

/* 0, or for good: MB_E_TRUNCATED, the file lost pages; MB_E_STALE, it was removed from under us, and its name, if it is taken,
 * stands for another segment. One system call. */
MB_EXPORT int64_t mb_segment_lost(mb_segment *s) {
  struct stat st;
  if (s->lost || s->fd < 0) return s->lost;
  if (segment_hit(s)) return s->lost = MB_E_TRUNCATED;
  if (mb_fstat(s->fd, &st)) return mb_errno();
  if ((uint64_t)st.st_size < s->bytes) s->lost = MB_E_TRUNCATED;
  else if (st.st_nlink == 0) s->lost = MB_E_STALE;
  return s->lost;
}

/* Reads the header into private memory, checks it there, and leaves the copy in *copy (to be freed). */
static int64_t segment_read_header(int fd, uint64_t file_bytes, uint8_t **copy) {
  uint64_t bytes = MB_PAGE;
  *copy = NULL;
  for (;;) {
    uint8_t *grown = realloc(*copy, bytes);
    if (!grown) return -ENOMEM;
    *copy = grown;
    ssize_t got = pread(fd, grown, bytes, 0);
    if (got < 0) {
      if (errno == EINTR) continue;
      return mb_errno();
    }
    int64_t error = mb_check_header(grown, (uint64_t)got, file_bytes);
    if (error != MB_E_LIMIT) return error;
    uint64_t wanted = ((mb_header *)grown)->header_bytes;
    if (bytes == wanted) return MB_E_TRUNCATED;
    bytes = wanted;
  }
}

/* Attaches the file at `path`; never creates, never follows a link, never waits. The caller that wants to write holds the lock
 * and calls mb_segment_recover before its first transaction. The handle goes to out[0]. */
MB_EXPORT int64_t mb_segment_attach(const char *path, int32_t writable, int64_t *out) {
  mb_segment *s = segment_new();
  if (!s) return -ENOMEM;
  struct stat st;
  uint8_t *copy = NULL;
  s->fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
  if (s->fd < 0) return segment_abandon(s, mb_errno());
  int64_t error = mb_check_file(s->fd, &st);
  if (!error && st.st_nlink == 0) error = -ENOENT;
  if (!error) error = segment_read_header(s->fd, (uint64_t)st.st_size, &copy);
  mb_header h;
  if (!error) {
    memcpy(&h, copy, sizeof h);
    error = segment_keep_schema(s, copy + h.schema_offset, h.schema_bytes);
  }
  free(copy);
  if (!error && writable && (h.feature_ro_compat & ~(uint64_t)MB_FEATURE_MANY_WRITERS)) error = MB_E_VERSION;
  if (!error) error = segment_map(s, h.file_bytes, writable ? segment_read_write : PROT_READ);
  if (!error) {
    segment_place(s, &h);
    s->writable = writable != 0;
    if (writable) error = segment_notes(s);
  }
  if (error) return segment_abandon(s, error);
  mb_own(MB_OWN_SEGMENT, (int64_t)(uintptr_t)s);
  out[0] = (int64_t)(uintptr_t)s;
  return 0;
}

/* The committed image once more, mapped so that whatever is stored there stays with this handle: the page becomes its own, shows no
 * later commit, and nobody else sees it; all others go on showing what is committed. A typed array cannot refuse a store, and on the
 * mapping itself one would kill a reader, or change the image of everybody. Returns the address, always the same. Costs address
 * space, and page tables where it is read (8 bytes for 4 KiB). Memory without a file has none: there it is the image itself. */
MB_EXPORT int64_t mb_segment_overlay(mb_segment *s) {
  if (s->fd < 0) return (int64_t)(uintptr_t)s->committed;
  if (s->overlay) return (int64_t)(uintptr_t)s->overlay;
  s->overlay_offset = (uint64_t)(s->committed - s->base);
  uint64_t bytes = segment_overlay_bytes(s);
  void *overlay = mmap(NULL, bytes, segment_read_write, MAP_PRIVATE | MAP_NORESERVE, s->fd, (off_t)s->overlay_offset);
  if (overlay == MAP_FAILED) return mb_errno();
  s->overlay_slot = mb_guard_add(overlay, bytes);
  if (s->overlay_slot < 0) {
    munmap(overlay, bytes);
    return -ENOMEM;
  }
  madvise(overlay, bytes, MADV_DONTFORK);
  s->overlay = overlay;
  return (int64_t)(uintptr_t)overlay;
}

/* Somebody who is killed in a commit has changed the file after his last note, by so much at most if he commits now and then. */
#define SEGMENT_SLACK_NS 2000000000ull

static uint64_t segment_ctime(const struct stat *st) { return (uint64_t)st->st_ctim.tv_sec * 1000000000ull + (uint64_t)st->st_ctim.tv_nsec; }

/* Whether this file and its lock file are those that the last writer left. */
static bool segment_is_left(const mb_segment *s, const struct stat *data, const struct stat *lock) {
  const mb_hot *hot = s->hot;
  if (hot->inode != data->st_ino || segment_ctime(data) > hot->used_ns + SEGMENT_SLACK_NS) return false;
  return hot->lock_inode == 0 || (hot->lock_inode == lock->st_ino && hot->lock_ctime_ns == segment_ctime(lock));
}

/* A file that is not the one its last writer left, but a copy of it from some moment: its versions may count anew what somebody has
 * seen already, so it becomes another incarnation, by `renewal`, which is random. Under the writer's lock only, of which `lock_fd` is
 * the file. */
MB_EXPORT int64_t mb_segment_renew(mb_segment *s, int32_t lock_fd, uint64_t renewal) {
  struct stat data, lock;
  if (!s->writable) return MB_E_NOT_WRITER;
  bool known = !mb_fstat(s->fd, &data) && !mb_fstat(lock_fd, &lock);
  if (!known || !segment_is_left(s, &data, &lock)) {
    mb_store_relaxed(&s->hot->renewal, renewal);
    segment_name_life(s, ((const mb_header *)s->base)->incarnation);
  }
  s->hot->inode = known ? data.st_ino : 0;
  s->hot->lock_inode = known ? lock.st_ino : 0;
  s->hot->lock_ctime_ns = known ? segment_ctime(&lock) : 0;
  mb_note_use(s);
  return 0;
}

/* Takes over from a writer that is gone: 0: it left all whole, 1: its last commit was completed, 2: its unfinished transaction was
 * undone. Under the writer's lock only. Rings in any case: the last writer may have committed and died before it rang. */
MB_EXPORT int64_t mb_segment_recover(mb_segment *s) {
  if (!s->writable) return MB_E_NOT_WRITER;
  int64_t how = mb_recover(s);
  if (how == 0) mb_notify(s);
  return how;
}

static uint64_t segment_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return (uint64_t)now.tv_sec * 1000000000ull + (uint64_t)now.tv_nsec;
}

/* Addresses and sizes for the binding, by number. */
MB_EXPORT int64_t mb_segment_field(mb_segment *s, int32_t field) {
  switch (field) {
    case 0: return (int64_t)(uintptr_t)s->working;
    case 1: return (int64_t)(uintptr_t)s->committed;
    case 2: return (int64_t)s->image_bytes;
    case 3: return (int64_t)s->meta_offset;
    case 4: return (int64_t)(uintptr_t)s->schema;
    case 5: return (int64_t)s->schema_bytes;
    case 6: return (int64_t)s->block_shift;
    case 7: return (int64_t)s->block_count;
    case 8: return (int64_t)(uintptr_t)s->touched;
    case 9: return (int64_t)s->touched_words;
    case 10: return (int64_t)(uintptr_t)s->touched_summary;
    case 11: return (int64_t)s->summary_words;
    case 12: return (int64_t)(uintptr_t)s->incarnation;
    case 13: return (int64_t)s->hot->rollbacks;
    case 14: return (int64_t)s->hot->recoveries;
    case 15: return (int64_t)s->hot->owner_pid;
    case 16: return (int64_t)(segment_now() - s->hot->lock_taken_ns);
    case 17: return (int64_t)s->features;
    case 18: return (int64_t)(uintptr_t)s->boot_id;
    case 19: return segment_hit(s);
    case 20: return (int64_t)s->bytes;
    default: return MB_E_RANGE;
  }
}

/* Leaves a note of who writes, for messages; nothing is ever decided by it. */
MB_EXPORT int64_t mb_segment_sign(mb_segment *s) {
  if (!s->writable) return MB_E_NOT_WRITER;
  s->hot->owner_pid = (uint64_t)getpid();
  s->hot->lock_taken_ns = segment_now();
  return 0;
}

MB_EXPORT int64_t mb_abi(void) { return MB_ABI; }
