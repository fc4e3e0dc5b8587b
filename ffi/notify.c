/* The doorbell: a thread sleeps on the segment's notify word and puts a byte into a socket pair whose other end the event loop
 * reads. A thread-safe callback into JavaScript has the same latency and is known to corrupt the heap. Works on a mapping for
 * reading; while nothing is committed nobody wakes up. */
#include "segment.h"

typedef struct {
  const uint32_t *word;
  uint32_t seen, stop, stopped;
  int fd;
  pthread_t thread;
} mb_doorbell;

static void *doorbell_run(void *argument) {
  mb_doorbell *bell = argument;

  while (!mb_load32_acquire(&bell->stop)) {
    uint32_t now = mb_load32_acquire(bell->word);
    if (now != bell->seen) {
      bell->seen = now;
      send(bell->fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL); /* full: the loop has a byte to read already */
      continue;
    }
    syscall(SYS_futex, bell->word, FUTEX_WAIT, bell->seen, NULL, NULL, 0);
  }
  mb_store32_release(&bell->stopped, 1);
  return NULL;
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
  bell->word = &s->hot->notify;
  bell->seen = mb_load32_acquire(bell->word); /* a commit from here on rings, however late the thread starts */
  bell->fd = ends[1];
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before); /* signals belong to the runtime's threads */
  int error = pthread_create(&bell->thread, NULL, doorbell_run, bell);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  if (error) {
    close(ends[0]);
    close(ends[1]);
    free(bell);
    return -(int64_t)error;
  }
  out[0] = (int64_t)(uintptr_t)bell;
  out[1] = ends[0];
  return 0;
}

MB_EXPORT int64_t mb_doorbell_close(mb_doorbell *bell) {
  const struct timespec moment = {0, 50000};
  mb_store32_release(&bell->stop, 1);
  while (!mb_load32_acquire(&bell->stopped)) { /* the thread may be just about to sleep: wake it until it says goodbye */
    syscall(SYS_futex, bell->word, FUTEX_WAKE, 0x7fffffff, NULL, NULL, 0);
    nanosleep(&moment, NULL);
  }
  pthread_join(bell->thread, NULL);
  close(bell->fd);
  free(bell);
  return 0;
}
