/* The doorbell: a thread sleeps on the segment's notify word and puts a byte into a socket pair whose other end the event loop
 * reads. A thread-safe callback into JavaScript has the same latency and is known to corrupt the heap. Works on a mapping for
 * reading; while nothing is committed nobody wakes up.
 *
 * A second thread listens to what the kernel tells of the files, because some things make no commit: a process that dies between
 * its last commit and its last ring (the kernel closes its lock file), somebody who removes or cuts the file. Looking every now and
 * then instead would find the same, later, and never let the machine sleep. */
#include "segment.h"

/* Waiting for two words at once, ours being the second, needs Linux 5.16. */
#define SYS_FUTEX_WAITV 449
typedef struct { uint64_t value, address; uint32_t flags, reserved; } doorbell_word;
enum { DOORBELL_SHARED = 2, DOORBELL_PRIVATE = 2 | 128 };

#define DOORBELL_PATIENCE 4000 /* moments of 50 us */

struct mb_doorbell {
  mb_segment *segment;
  const uint32_t *word;
  uint32_t seen, stop, stopped;
  bool plain; /* the system cannot wait for two */
  int fd;             /* our end of the pair */
  int listened;       /* inotify; -1: there is none */
  int quit_ends[2];   /* the listener ends when the second is closed */
  pthread_t thread, listener;
};

static void doorbell_ring(mb_doorbell *bell) { send(bell->fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL); /* full: it will be read anyway */ }

static void doorbell_sleep(mb_doorbell *bell) {
  if (!bell->plain) {
    doorbell_word words[2];
    memset(words, 0, sizeof words);
    words[0].value = bell->seen;
    words[0].address = (uint64_t)(uintptr_t)bell->word;
    words[0].flags = DOORBELL_SHARED;
    words[1].address = (uint64_t)(uintptr_t)&bell->stop;
    words[1].flags = DOORBELL_PRIVATE;
    if (syscall(SYS_FUTEX_WAITV, words, 2l, 0l, NULL, 0l) >= 0 || errno == EAGAIN || errno == EINTR || errno == EFAULT) return;
    bell->plain = true;
  }
  syscall(SYS_futex, bell->word, FUTEX_WAIT, bell->seen, NULL, NULL, 0);
}

static void *doorbell_run(void *argument) {
  mb_doorbell *bell = argument;
  prctl(PR_SET_NAME, "memblast-bell", 0l, 0l, 0l);
  while (!mb_load32_acquire(&bell->stop)) {
    uint32_t now = mb_load32_acquire(bell->word);
    if (now != bell->seen) {
      bell->seen = now;
      doorbell_ring(bell);
      continue;
    }
    doorbell_sleep(bell);
  }
  mb_store32_release(&bell->stopped, 1);
  return NULL;
}

static void *doorbell_listen(void *argument) {
  mb_doorbell *bell = argument;
  char events[4096];
  struct pollfd ready[2];
  memset(ready, 0, sizeof ready);
  ready[0].fd = bell->listened;
  ready[1].fd = bell->quit_ends[0];
  ready[0].events = ready[1].events = POLLIN;
  prctl(PR_SET_NAME, "memblast-files", 0l, 0l, 0l);
  for (;;) {
    if (poll(ready, 2, -1) < 0 && errno != EINTR) return NULL;
    if (ready[1].revents) return NULL;
    if (ready[0].revents && read(bell->listened, events, sizeof events) > 0) doorbell_ring(bell);
  }
}

/* Signals belong to the runtime's threads; but SIGBUS comes to the thread that touches a lost page, and where it is blocked it kills. */
static int doorbell_thread(pthread_t *thread, void *(*run)(void *), mb_doorbell *bell) {
  sigset_t all, before;
  sigfillset(&all);
  sigdelset(&all, SIGBUS);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = pthread_create(thread, NULL, run, bell);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return error;
}

/* out[0] = handle, out[1] = the descriptor to read. The segment must stay mapped until mb_doorbell_close. */
MB_EXPORT int64_t mb_doorbell_open(mb_segment *s, int64_t *out) {
  int ends[2];
  mb_doorbell *bell = calloc(1, sizeof *bell);
  if (!bell) return -ENOMEM;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends)) {
    int64_t error = mb_errno();
    free(bell);
    return error;
  }
  bell->segment = s;
  bell->word = &s->hot->notify;
  bell->seen = mb_load32_acquire(bell->word); /* a commit from here on rings, however late the thread starts */
  bell->fd = ends[1];
  bell->listened = -1;
  int error = doorbell_thread(&bell->thread, doorbell_run, bell);
  if (error) {
    close(ends[0]);
    close(ends[1]);
    free(bell);
    return -(int64_t)error;
  }
  mb_own(MB_OWN_DOORBELL, (int64_t)(uintptr_t)bell);
  out[0] = (int64_t)(uintptr_t)bell;
  out[1] = ends[0];
  return 0;
}

static bool doorbell_add(int listened, int fd, uint32_t events) {
  char path[32];
  mb_descriptor_path(fd, path);
  return inotify_add_watch(listened, path, events) >= 0;
}

/* Rings also for what happens to the files: users that go, removal, cutting. An error where the system has no more listeners to give
 * (fs.inotify.max_user_instances); the doorbell works all the same. */
MB_EXPORT int64_t mb_doorbell_watch(mb_doorbell *bell, int32_t lock_fd) {
  int listened = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), error = 0;
  if (listened < 0) return mb_errno();
  bell->listened = listened;
  if (!doorbell_add(listened, bell->segment->fd, IN_MODIFY | IN_ATTRIB) || !doorbell_add(listened, lock_fd, IN_CLOSE_WRITE) ||
      socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, bell->quit_ends)) {
    error = errno;
  } else if ((error = doorbell_thread(&bell->listener, doorbell_listen, bell))) {
    close(bell->quit_ends[0]);
    close(bell->quit_ends[1]);
  }
  if (!error) return 0;
  close(listened);
  bell->listened = -1;
  return -(int64_t)error;
}

static void doorbell_unlisten(mb_doorbell *bell) {
  if (bell->listened < 0) return;
  close(bell->quit_ends[1]);
  pthread_join(bell->listener, NULL);
  close(bell->quit_ends[0]);
  close(bell->listened);
}

/* On an old system nothing reaches a thread whose word was cut off the file: then it, and what it looks at, stay as they are. */
MB_EXPORT int64_t mb_doorbell_close(mb_doorbell *bell) {
  const struct timespec moment = {0, 50000};
  mb_disown(MB_OWN_DOORBELL, (int64_t)(uintptr_t)bell);
  doorbell_unlisten(bell);
  mb_store32_release(&bell->stop, 1);
  for (int i = 0; !mb_load32_acquire(&bell->stopped); i++) { /* it may be just about to sleep: wake it until it says goodbye */
    syscall(SYS_futex, &bell->stop, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0);
    if (bell->plain) syscall(SYS_futex, bell->word, FUTEX_WAKE, 0x7fffffff, NULL, NULL, 0);
    if (bell->plain && i == DOORBELL_PATIENCE) return mb_segment_keep_mapped(bell->segment);
    nanosleep(&moment, NULL);
  }
  pthread_join(bell->thread, NULL);
  close(bell->fd);
  free(bell);
  return 0;
}
