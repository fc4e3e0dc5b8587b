/* The C library's own tests. Each runs in a child of its own, so that what one breaks is not another's fault.
 *
 *   main            all of them: "ok NAME" or "FAIL NAME" for each; exit status 1 if one failed
 *   main NAME ...   these
 *
 * SEED chooses the random cases, and is printed where one fails. Built by c.test.ts. */
#include "check.h"

#include "blocks.h"
#include "crashing.h"
#include "damage.h"
#include "exact.h"
#include "hostile.h"
#include "layout.h"
#include "memory.h"
#include "merge.h"
#include "reading.h"

#include <glob.h>

uint64_t check_seed;

static const struct {
  const char *name;
  void (*run)(void);
} tests[] = {
    {"layout", test_layout},
    {"header: every flip", test_header_flips},
    {"header: every length", test_header_lengths},
    {"header: forged fields", test_header_forged},
    {"diff", test_diff},
    {"touched beyond the image", test_touched_beyond},
    {"version table", test_table},
    {"gather", test_gather},
    {"scatter", test_scatter},
    {"merge", test_merge},
    {"merge refuses", test_merge_refuses},
    {"clips", test_clips},
    {"snapshot beside commits", test_snapshot_beside_commits},
    {"refresh beside commits", test_refresh_beside_commits},
    {"deltas beside commits", test_deltas_beside_commits},
    {"crash points", test_crash_points},
    {"crash points of the recovery", test_crash_points_of_recovery},
    {"crash points of turns", test_crash_points_of_turns},
    {"no memory to open", test_no_memory_to_open},
    {"no memory in commit", test_no_memory_in_commit},
    {"no memory to listen and verify", test_no_memory_to_listen_and_verify},
    {"a thread ends", test_thread_ends},
    {"truncation", test_truncation},
    {"foreign bus error", test_foreign_bus_error},
    {"truncation under a doorbell", test_truncation_under_a_doorbell},
    {"redo page changes under recovery", test_redo_page_changes_under_recovery},
    {"hostile words", test_hostile_words},
    {"exact changes", test_exact_changes},
    {"exact changes are small", test_exact_is_small},
    {"exact changes end", test_exact_ends},
    {"exact changes and a rollback", test_exact_rolled_back},
    {"exact changes without memory", test_exact_without_memory},
    {"begin past an odd seq", test_begin_past_an_odd_seq},
    {"redo page of no use", test_redo_page_of_no_use},
    {"redo page changes under a look", test_redo_page_changes_under_a_look},
    {"metadata beyond the image", test_metadata_beyond_the_image},
    {"many mappings", test_many_mappings},
};

static bool is_wanted(const char *name, int argc, char **argv) {
  for (int i = 1; i < argc; i++)
    if (strcmp(argv[i], name) == 0) return true;
  return argc < 2;
}

/* A test that is cut off leaves its files. */
static void clean_up(pid_t child) {
  char pattern[64];
  glob_t files;
  snprintf(pattern, sizeof pattern, "/dev/shm/memblast-c-*-%d*", (int)child);
  if (glob(pattern, 0, NULL, &files) != 0) return;
  for (size_t i = 0; i < files.gl_pathc; i++) unlink(files.gl_pathv[i]);
  globfree(&files);
}

static bool passes(void (*run)(void)) {
  fflush(NULL);
  const pid_t child = fork();
  if (child == 0) {
    run();
    exit(0); /* not _exit: leaks are looked for on the way out */
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (child > 0) clean_up(child);
  if (child > 0 && WIFSIGNALED(status)) fprintf(stderr, "killed by signal %d\n", WTERMSIG(status));
  return child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

int main(int argc, char **argv) {
  const char *seed = getenv("SEED");
  int failed = 0;
  check_seed = seed ? strtoull(seed, NULL, 10) : 1;
  for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
    if (!is_wanted(tests[i].name, argc, argv)) continue;
    const uint64_t start = turn_now();
    const bool ok = passes(tests[i].run);
    failed += !ok;
    printf("%s %s (%llu ms)\n", ok ? "ok" : "FAIL", tests[i].name, (unsigned long long)((turn_now() - start) / 1000000));
  }
  return failed != 0;
}
