/* Runs files through a target, with any compiler: replay TARGET FILE ... */
#include "apply.h"
#include "attach.h"
#include "diff.h"

static int replay_file(int (*target)(const uint8_t *, size_t), const char *path) {
  FILE *file = fopen(path, "rb");
  uint8_t *data = malloc(FILE_MAX);
  if (!file || !data) return 1;
  const size_t bytes = fread(data, 1, FILE_MAX, file);
  fclose(file);
  uint8_t *exact = realloc(data, bytes ? bytes : 1);
  const int result = target(exact, bytes);
  free(exact);
  return result;
}

int main(int argc, char **argv) {
  if (argc < 2) return 2;
  int (*target)(const uint8_t *, size_t) = strcmp(argv[1], "attach") == 0 ? fuzz_attach : strcmp(argv[1], "apply") == 0 ? fuzz_apply : fuzz_diff;
  for (int i = 2; i < argc; i++) {
    fprintf(stderr, "%s\n", argv[i]); /* the last one named is the one that broke it */
    if (replay_file(target, argv[i])) return 1;
  }
  printf("%d files\n", argc - 2);
  return 0;
}
