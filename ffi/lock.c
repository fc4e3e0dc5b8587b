/* The lock file beside a segment: one byte per right, held by open file description locks. They belong to the descriptor, so
 * closing another descriptor of the same file does not drop them (as POSIX locks do), and the kernel frees them when the holder
 * dies. The file is never mapped: a mapping would keep the description, and the lock, alive. */
#include "segment.h"

static struct flock lock_range(uint64_t from, uint64_t bytes, int type) {
  struct flock lock;
  memset(&lock, 0, sizeof lock);
  lock.l_type = (short)type;
  lock.l_whence = SEEK_SET;
  lock.l_start = (off_t)from;
  lock.l_len = (off_t)bytes;
  return lock;
}

static struct flock lock_byte(int64_t byte, int type) { return lock_range((uint64_t)byte, 1, type); }

/* With `create` a new file or -EEXIST, else an existing one. It may be without a name by the time it is open: see mb_lock_is. */
MB_EXPORT int64_t mb_lock_open(const char *path, int32_t create) {
  struct stat st;
  int fd = open(path, (create ? O_CREAT | O_EXCL : 0) | O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
  if (fd < 0) return mb_errno();
  int64_t error = mb_check_file(fd, &st);
  if (error) {
    close(fd);
    return error;
  }
  mb_own(MB_OWN_LOCK, fd);
  return fd;
}

MB_EXPORT int64_t mb_lock_close(int32_t fd) {
  mb_disown(MB_OWN_LOCK, fd);
  return close(fd) ? mb_errno() : 0;
}

/* Never waits: -EAGAIN when somebody else holds the byte. */
MB_EXPORT int64_t mb_lock_take(int32_t fd, int64_t byte, int32_t exclusive) {
  struct flock lock = lock_byte(byte, exclusive ? F_WRLCK : F_RDLCK);
  return fcntl(fd, F_OFD_SETLK, &lock) ? mb_errno() : 0;
}

MB_EXPORT int64_t mb_lock_drop(int32_t fd, int64_t byte) {
  struct flock lock = lock_byte(byte, F_UNLCK);
  return fcntl(fd, F_OFD_SETLK, &lock) ? mb_errno() : 0;
}

/* 1 when another description holds the byte in any way. */
MB_EXPORT int64_t mb_lock_held(int32_t fd, int64_t byte) {
  struct flock lock = lock_byte(byte, F_WRLCK);
  if (fcntl(fd, F_OFD_GETLK, &lock)) return mb_errno();
  return lock.l_type != F_UNLCK;
}

/* Whether `path` still names the file behind `fd`: a cleaner may have removed it between open and lock. */
MB_EXPORT int64_t mb_lock_is(int32_t fd, const char *path) {
  struct stat ours, named;
  if (mb_fstat(fd, &ours)) return mb_errno();
  int other = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (other < 0) return errno == ENOENT ? 0 : mb_errno();
  int failed = mb_fstat(other, &named);
  close(other);
  return failed ? mb_errno() : ours.st_dev == named.st_dev && ours.st_ino == named.st_ino;
}

/* Claims bytes of the image, or lets go of them. -EAGAIN where somebody else has claimed any of them: then nothing is. */
MB_EXPORT int64_t mb_lock_claim(int32_t fd, uint64_t offset, uint64_t bytes, int32_t take) {
  if (bytes == 0 || !mb_inside(offset, bytes, MB_LOCK_IMAGE)) return MB_E_RANGE;
  struct flock lock = lock_range(MB_LOCK_IMAGE + offset, bytes, take ? F_WRLCK : F_UNLCK);
  return fcntl(fd, F_OFD_SETLK, &lock) ? mb_errno() : 0;
}

/* 1 and a stretch of these bytes of the image (offset, bytes) in `out`, where another description has claimed any; else 0. */
MB_EXPORT int64_t mb_lock_claimed(int32_t fd, uint64_t offset, uint64_t bytes, double *out) {
  if (bytes == 0 || !mb_inside(offset, bytes, MB_LOCK_IMAGE)) return MB_E_RANGE;
  struct flock lock = lock_range(MB_LOCK_IMAGE + offset, bytes, F_WRLCK);
  if (fcntl(fd, F_OFD_GETLK, &lock)) return mb_errno();
  if (lock.l_type == F_UNLCK) return 0;
  uint64_t low = (uint64_t)lock.l_start - MB_LOCK_IMAGE, high = low + (uint64_t)lock.l_len;
  if (low < offset) low = offset;
  if (high > offset + bytes) high = offset + bytes;
  out[0] = (double)(int64_t)low;
  out[1] = (double)(int64_t)(high - low);
  return 1;
}
