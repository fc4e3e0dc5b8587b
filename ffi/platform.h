/* What the sources need from the compiler, the CPU and the system, and nothing else.
 *
 * Two compilers build them: the system's (gcc or clang, with its headers) and TinyCC inside Bun (`cc()` of bun:ffi), which
 * runs where there is no header at all, knows no <stdatomic.h> and no intrinsics. For the second the few types, constants and
 * prototypes are written down here; they are those of Linux on x86-64, and the first build asserts that they are right. */
#ifndef MB_PLATFORM_H
#define MB_PLATFORM_H

#if defined(__TINYC__)
#define MB_TCC 1
#endif

#ifndef MB_TCC

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#define MB_EXPORT __attribute__((visibility("default")))
#define mb_fstat fstat

static inline uint64_t mb_load_acquire(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
static inline uint64_t mb_load_relaxed(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }
static inline void mb_store_release(uint64_t *p, uint64_t v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }
static inline void mb_store_relaxed(uint64_t *p, uint64_t v) { __atomic_store_n(p, v, __ATOMIC_RELAXED); }
static inline uint32_t mb_load32_acquire(const uint32_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
static inline void mb_store32_release(uint32_t *p, uint32_t v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }
static inline uint32_t mb_add32(uint32_t *p, uint32_t v) { return __atomic_fetch_add(p, v, __ATOMIC_ACQ_REL); }
static inline bool mb_swap32(uint32_t *p, uint32_t from, uint32_t to) {
  return __atomic_compare_exchange_n(p, &from, to, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}
static inline void mb_fence_acquire(void) { __atomic_thread_fence(__ATOMIC_ACQUIRE); }
static inline void mb_fence_release(void) { __atomic_thread_fence(__ATOMIC_RELEASE); }
static inline unsigned mb_lowest_bit(uint32_t word) { return (unsigned)__builtin_ctz(word); }

#ifdef __x86_64__ /* what the other half of this file says by hand */
_Static_assert(O_NOFOLLOW == 0400000 && O_CLOEXEC == 02000000 && O_TMPFILE == (020000000 | 0200000) && O_NONBLOCK == 04000, "open");
_Static_assert(MADV_DONTFORK == 10 && F_OFD_GETLK == 36 && F_OFD_SETLK == 37 && SYS_fstat == 5 && SYS_futex == 202, "calls");
_Static_assert(RTLD_NOW == 2 && RTLD_NOLOAD == 4 && MADV_HUGEPAGE == 14 && MAP_NORESERVE == 0x4000, "memory and libraries");
_Static_assert(SA_SIGINFO == 4 && SA_ONSTACK == 0x08000000 && SA_NODEFER == 0x40000000 && SIG_SETMASK == 2, "signals");
_Static_assert(sizeof(struct stat) == 144 && offsetof(struct stat, st_mode) == 24 && offsetof(struct stat, st_size) == 48, "stat");
_Static_assert(sizeof(struct flock) == 32 && offsetof(struct flock, l_start) == 8, "flock");
_Static_assert(sizeof(struct sigaction) == 152 && offsetof(struct sigaction, sa_flags) == 136, "sigaction");
_Static_assert(offsetof(siginfo_t, si_addr) == 16 && sizeof(sigset_t) == 128, "siginfo");
_Static_assert(offsetof(struct stat, st_nlink) == 16 && sizeof(((struct stat *)0)->st_nlink) == 8, "stat");
_Static_assert(RLIMIT_FSIZE == 1 && sizeof(struct rlimit) == 16 && sizeof(pthread_key_t) == 4, "limits");
_Static_assert(sizeof(struct pollfd) == 8 && POLLIN == 1 && PR_SET_NAME == 15, "poll");
_Static_assert(IN_MODIFY == 2 && IN_ATTRIB == 4 && IN_CLOSE_WRITE == 8 && IN_NONBLOCK == 04000 && IN_CLOEXEC == 02000000, "inotify");
_Static_assert(ETIMEDOUT == 110 && EFBIG == 27 && CLOCK_MONOTONIC_COARSE == 6, "numbers");
#endif

#else /* TinyCC: x86-64 Linux, no headers */

#ifndef __x86_64__
#error "the run-time compiled form of the library is for x86-64; elsewhere build it with the system's compiler"
#endif

typedef signed char int8_t;
typedef unsigned char uint8_t;
typedef short int16_t;
typedef unsigned short uint16_t;
typedef int int32_t;
typedef unsigned int uint32_t;
typedef long int64_t;
typedef unsigned long uint64_t;
typedef unsigned long size_t;
typedef long ssize_t;
typedef long off_t;
typedef unsigned long uintptr_t;
typedef unsigned char bool;
#define true 1
#define false 0
#define NULL ((void *)0)
#define offsetof(type, field) ((size_t) & ((type *)0)->field)
#define MB_EXPORT
#define inline __inline__

enum { EPERM = 1, ENOENT = 2, EINTR = 4, EBADF = 9, EAGAIN = 11, ENOMEM = 12, EACCES = 13, EFAULT = 14, EEXIST = 17, EINVAL = 22,
       EFBIG = 27, ENOSPC = 28, ENOSYS = 38, ELOOP = 40, EOPNOTSUPP = 95, ETIMEDOUT = 110 };
#define O_RDONLY 0
#define O_RDWR 02
#define O_CREAT 0100
#define O_EXCL 0200
#define O_NONBLOCK 04000
#define O_NOFOLLOW 0400000
#define O_CLOEXEC 02000000
#define O_TMPFILE (020000000 | 0200000)
#define AT_FDCWD (-100)
#define AT_SYMLINK_FOLLOW 0x400
#define PROT_READ 1
#define PROT_WRITE 2
#define MAP_SHARED 1
#define MAP_PRIVATE 2
#define MAP_FIXED 16
#define MAP_ANONYMOUS 32
#define MAP_NORESERVE 0x4000
#define MAP_FAILED ((void *)-1)
#define MADV_DONTFORK 10
#define MADV_HUGEPAGE 14
#define F_RDLCK 0
#define F_WRLCK 1
#define F_UNLCK 2
#define F_OFD_GETLK 36
#define F_OFD_SETLK 37
#define SEEK_SET 0
#define SIGBUS 7
#define SIGKILL 9
#define SA_SIGINFO 4
#define SA_ONSTACK 0x08000000
#define SA_NODEFER 0x40000000
#define SIG_DFL ((void (*)(int))0)
#define SIG_IGN ((void (*)(int))1)
#define SIG_SETMASK 2
#define S_IFMT 0170000
#define S_ISREG(mode) (((mode) & S_IFMT) == 0100000)
#define AF_UNIX 1
#define SOCK_STREAM 1
#define SOCK_NONBLOCK 04000
#define SOCK_CLOEXEC 02000000
#define MSG_DONTWAIT 0x40
#define MSG_NOSIGNAL 0x4000
#define CLOCK_MONOTONIC 1
#define CLOCK_REALTIME 0
#define CLOCK_MONOTONIC_COARSE 6
#define RLIMIT_FSIZE 1
#define POLLIN 1
#define PR_SET_NAME 15
#define IN_MODIFY 2
#define IN_ATTRIB 4
#define IN_CLOSE_WRITE 8
#define IN_NONBLOCK 04000
#define IN_CLOEXEC 02000000
#define RTLD_NOW 2
#define RTLD_NOLOAD 4
#define FUTEX_WAIT 0
#define FUTEX_WAKE 1
#define FUTEX_PRIVATE_FLAG 128
#define SYS_fstat 5
#define SYS_futex 202

struct timespec { long tv_sec; long tv_nsec; };
struct stat {
  uint64_t st_dev, st_ino, st_nlink;
  uint32_t st_mode, st_uid, st_gid, mb_pad;
  uint64_t st_rdev;
  int64_t st_size, st_blksize, st_blocks;
  struct timespec st_atim, st_mtim, st_ctim;
  int64_t mb_reserved[3];
};
struct flock { short l_type, l_whence; off_t l_start, l_len; int l_pid; };
typedef struct { unsigned long bits[16]; } sigset_t;
typedef struct { int si_signo, si_errno, si_code, mb_pad; void *si_addr; char mb_rest[104]; } siginfo_t;
struct sigaction {
  union { void (*sa_handler)(int); void (*sa_sigaction)(int, siginfo_t *, void *); };
  sigset_t sa_mask;
  int sa_flags;
  void (*sa_restorer)(void);
};
struct pollfd { int fd; short events, revents; };
struct rlimit { uint64_t rlim_cur, rlim_max; };
typedef unsigned long pthread_t;
typedef unsigned int pthread_key_t;

void *malloc(size_t);
void *calloc(size_t, size_t);
void *realloc(void *, size_t);
void free(void *);
void *memcpy(void *, const void *, size_t);
void *memmove(void *, const void *, size_t);
void *memset(void *, int, size_t);
int memcmp(const void *, const void *, size_t);
size_t strlen(const char *);
void *dlopen(const char *, int);
void *dlsym(void *, const char *);
int *__errno_location(void);
#define errno (*__errno_location())
int open(const char *, int, ...);
int close(int);
int fcntl(int, int, ...);
int unlink(const char *);
int linkat(int, const char *, int, const char *, int);
ssize_t pread(int, void *, size_t, off_t);
int posix_fallocate(int, off_t, off_t);
void *mmap(void *, size_t, int, int, int, off_t);
int munmap(void *, size_t);
int madvise(void *, size_t, int);
int fchmod(int, unsigned);
long syscall(long, ...);
int sigaction(int, const struct sigaction *, struct sigaction *);
int sigfillset(sigset_t *);
int sigdelset(sigset_t *, int);
int pthread_sigmask(int, const sigset_t *, sigset_t *);
int raise(int);
int getpid(void);
unsigned geteuid(void);
int sched_yield(void);
int clock_gettime(int, struct timespec *);
int nanosleep(const struct timespec *, struct timespec *);
int socketpair(int, int, int, int *);
ssize_t send(int, const void *, size_t, int);
int pthread_create(pthread_t *, const void *, void *(*)(void *), void *);
int pthread_join(pthread_t, void **);
int pthread_key_create(pthread_key_t *, void (*)(void *));
int pthread_setspecific(pthread_key_t, const void *);
void *pthread_getspecific(pthread_key_t);
int getrlimit(int, struct rlimit *);
int poll(struct pollfd *, unsigned long, int);
int inotify_init1(int);
int inotify_add_watch(int, const char *, uint32_t);
int prctl(int, ...);
ssize_t read(int, void *, size_t);

/* glibc before 2.33 has no fstat symbol, so the system call itself. */
#define mb_fstat(fd, st) ((int)syscall(SYS_fstat, (long)(fd), (st)))

/* On x86-64 every aligned load acquires and every store releases; TinyCC moves no memory access, but say so all the same. */
#define mb_compiler_fence() __asm__ volatile("" ::: "memory")
static inline uint64_t mb_load_acquire(const uint64_t *p) { uint64_t v = *(const volatile uint64_t *)p; mb_compiler_fence(); return v; }
static inline uint64_t mb_load_relaxed(const uint64_t *p) { return *(const volatile uint64_t *)p; }
static inline void mb_store_release(uint64_t *p, uint64_t v) { mb_compiler_fence(); *(volatile uint64_t *)p = v; }
static inline void mb_store_relaxed(uint64_t *p, uint64_t v) { *(volatile uint64_t *)p = v; }
static inline uint32_t mb_load32_acquire(const uint32_t *p) { uint32_t v = *(const volatile uint32_t *)p; mb_compiler_fence(); return v; }
static inline void mb_store32_release(uint32_t *p, uint32_t v) { mb_compiler_fence(); *(volatile uint32_t *)p = v; }
static inline uint32_t mb_add32(uint32_t *p, uint32_t v) {
  __asm__ volatile("lock; xaddl %0, %1" : "+r"(v), "+m"(*p) : : "memory");
  return v;
}
static inline bool mb_swap32(uint32_t *p, uint32_t from, uint32_t to) {
  uint32_t seen = from;
  __asm__ volatile("lock; cmpxchgl %2, %1" : "+a"(seen), "+m"(*p) : "r"(to) : "memory");
  return seen == from;
}
static inline void mb_fence_acquire(void) { mb_compiler_fence(); }
static inline void mb_fence_release(void) { mb_compiler_fence(); }
static inline unsigned mb_lowest_bit(uint32_t word) {
  unsigned bit = 0;
  while (!(word & 1)) { word >>= 1; bit++; }
  return bit;
}

#endif

/* One error convention: >= 0 is success, -1 .. -4095 is a negated errno, below -10000 a code of the library. */
static inline int64_t mb_errno(void) { return -(int64_t)errno; }

#endif
