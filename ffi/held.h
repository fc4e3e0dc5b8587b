/* Memory with several holders, inside the library. */
#ifndef MB_HELD_H
#define MB_HELD_H

#include "memblast.h"

typedef struct {
  uint32_t holders;
  uint64_t bytes;
  uint8_t *data;
} mb_held;

/* For other holders than the thread that made it. */
void mb_hold(mb_held *held);
void mb_let_go(mb_held *held);

int64_t mb_held_release(mb_held *held);
#endif
