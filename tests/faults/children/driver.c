/* The catalogue's part in C: the real library, with its crash points, in processes that cost a fork instead of a start.
 *
 *   driver COMMAND PATH SEED COUNT SECONDS [A B]
 *
 * Prints `name=value` for every figure and `violation TEXT` for what went wrong; the status is 3 where nothing could be tried. */
#include "board.h"

#include "pattern.c"
#include "actors.c"
#include "kills.c"
#include "points.c"
#include "stops.c"
#include "races.c"
#include "forged.c"
#include "calls.c"
#include "locks.c"
#include "many.c"

int main(int argc, char **argv) {
  if (argc < 6) give_up("driver COMMAND PATH SEED COUNT SECONDS [A B]");
  const char *command = argv[1];
  uint32_t count = (uint32_t)strtoul(argv[4], NULL, 10);
  uint64_t a = argc > 6 ? strtoull(argv[6], NULL, 10) : 0, b = argc > 7 ? strtoull(argv[7], NULL, 10) : 0;
  const uint64_t patience_us = 5000000;
  seed = strtoull(argv[3], NULL, 10);
  board = shared_memory(sizeof *board);
  paths_set(argv[2]);
  uint64_t deadline = now_us() + (uint64_t)(strtod(argv[5], NULL) * 1e6);
  if (!strcmp(command, "kills")) run_kills(count, deadline);
  else if (!strcmp(command, "points")) run_points(deadline);
  else if (!strcmp(command, "nested")) run_nested(deadline);
  else if (!strcmp(command, "redo")) run_redo_flips(count, deadline);
  else if (!strcmp(command, "writer-stops")) run_writer_stops(count, deadline, patience_us);
  else if (!strcmp(command, "reader-stops")) run_reader_stops(count, deadline);
  else if (!strcmp(command, "saturated")) run_saturated((uint32_t)a, (uint32_t)b, (uint64_t)count * 1000, 4 * patience_us);
  else if (!strcmp(command, "creation")) run_creation(count, deadline);
  else if (!strcmp(command, "forged")) run_forged(count, deadline);
  else if (!strcmp(command, "malloc")) run_malloc();
  else if (!strcmp(command, "many-kills")) run_many_kills(count, deadline);
  else if (!strcmp(command, "heirs")) run_heirs(count, deadline);
  else if (!strcmp(command, "heavy")) run_heavy(a << 20);
  else if (!strncmp(command, "prepare-", 8)) call_prepare(call_named(command + 8));
  else if (!strncmp(command, "call-", 5)) run_call(call_named(command + 5));
  else if (!strncmp(command, "check-", 6)) call_check(call_named(command + 6));
  else give_up("no command %s", command);
  report();
  return 0;
}
