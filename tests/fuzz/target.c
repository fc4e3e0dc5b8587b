/* One target for libFuzzer: -DFUZZ_TARGET=fuzz_attach. */
#include "apply.h"
#include "attach.h"
#include "diff.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) { return FUZZ_TARGET(data, bytes); }
