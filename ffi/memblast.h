/* memblast: a shared segment of memory with atomic commits. The public interface of the C library, and the bytes of a segment.
 *
 * Every function returns int64_t: >= 0 is success, -1 .. -4095 a negated errno, <= -10001 one of mb_error. Offsets and lengths
 * are bytes; versions count commits; all integers in the file are little-endian. */
#ifndef MEMBLAST_H
#define MEMBLAST_H

#include "platform.h"

#define MB_ABI 5 /* checked by the loader: rises with every change of a signature below */

enum mb_error {
  MB_E_NOT_WRITER = -10001,   /* the segment was attached for reading */
  MB_E_IN_WRITE = -10002,     /* begin inside a transaction */
  MB_E_NOT_IN_WRITE = -10003, /* commit or rollback outside of one */
  MB_E_BUSY = -10004,         /* no consistent copy within the bound on retries */
  MB_E_TRUNCATED = -10005,    /* the file lost pages under the mapping */
  MB_E_RANGE = -10006,        /* offset or length outside of the image */
  MB_E_NOT_REGULAR = -10007,  /* not a regular file */
  MB_E_OWNER = -10008,        /* owned by somebody else */
  MB_E_MODE = -10009,         /* writable by group or world */
  MB_E_LINKS = -10010,        /* more or fewer than one name */
  MB_E_MAGIC = -10011,        /* not a memblast segment */
  MB_E_ENDIAN = -10012,       /* other byte order */
  MB_E_VERSION = -10013,      /* other major format version, or a feature this build does not know */
  MB_E_HEADER_CRC = -10014,   /* header bytes changed since creation */
  MB_E_LAYOUT = -10015,       /* offsets or sizes that contradict each other or the file */
  MB_E_LIMIT = -10016,        /* more than the library can hold */
  MB_E_LOCKED = -10017,       /* another process writes */
  MB_E_STALE = -10018,        /* the file has lost its name: whoever opens it now finds another one, or none */
  MB_E_DAMAGED = -10019,      /* the words that say which version it holds were overwritten */
};

/* The file of a segment (and the memory of an unnamed one):
 *
 *   header_bytes      4096           4096          table_bytes       image_bytes      image_bytes     (each on a page)
 *  +----------------+--------------+-------------+-----------------+----------------+----------------+
 *  | header, schema | hot page     | redo page   | version table   | working image  | committed image|
 *  | immutable, CRC | seq begin .. | runs, CRC   | u64 per block,  | writer's       | readers'       |
 *  |                |              |             | maxima above    |                |                |
 *  +----------------+--------------+-------------+-----------------+----------------+----------------+
 */
#define MB_PAGE 4096
#define MB_MAGIC "MEMBLAST"
#define MB_ENDIAN 0x01020304u
#define MB_MAJOR 1
#define MB_MINOR 0
#define MB_BLOCK_MIN 64
#define MB_BLOCKS_MAX (1u << 20) /* the block grows until the table has no more entries than this */
#define MB_FANOUT_SHIFT 6        /* 64 entries of the version table under one of the level above */
#define MB_IMAGE_MAX (1ull << 48)
#define MB_SCHEMA_MAX (16u << 20)
#define MB_SEQ_MAX (1ull << 54) /* versions are JavaScript numbers: exact up to 2^53 */
#define MB_FEATURE_PERSIST 1      /* compat: the last user leaves the file where it is */
#define MB_FEATURE_MANY_WRITERS 1 /* ro_compat: the lock is taken for each write; whoever does not know that may only read */

/* Bytes of the lock file, each a right; from 16 on, places in the queue of writers (turn.c). */
#define MB_LOCK_WRITER 0 /* exclusive: the one writer, or the creator; shared: one of many writers */
#define MB_LOCK_USER 1   /* shared: has it open; exclusive: about to remove it */
#define MB_LOCK_TURN 2   /* exclusive: writes now, where many may */
#define MB_LOCK_IMAGE ((uint64_t)1 << 40) /* from here on a byte for each of the image; exclusive: alone writes it, where many write others */

/*  0        8      12   14   16        24         32          40            56           64
 *  | magic  | endian|maj |min | compat  | ro_compat| incompat  | incarnation | file_bytes | ...
 */
typedef struct {
  uint8_t magic[8];
  uint32_t endian;
  uint16_t major, minor;
  uint64_t feature_compat, feature_ro_compat, feature_incompat; /* unknown: ignore | read only | refuse */
  uint8_t incarnation[16];
  uint64_t file_bytes, header_bytes, image_bytes, meta_offset;
  uint64_t hot_offset, redo_offset, table_offset, table_bytes, working_offset, committed_offset;
  uint32_t block_bytes, block_count;
  uint64_t created_ns; /* CLOCK_REALTIME */
  uint8_t boot_id[16];
  uint32_t schema_offset, schema_bytes;
  uint8_t reserved[76];
  uint32_t crc; /* CRC-32C of header_bytes bytes with this word zero */
} mb_header;

/* One word per cache line: a reader polling `seq` must not slow the writer down in `phase`. */
typedef struct {
  uint64_t seq;    /* 2 x version; odd while committed is being brought up to working */
  uint8_t pad0[56];
  uint64_t begin;  /* seq + 1 at the start of the newest transaction: from then on working changes */
  uint8_t pad1[56];
  uint32_t notify; /* futex: counts commits */
  uint8_t pad2[60];
  uint32_t waiters; /* reserved: readers may have no write permission, so wakes do not depend on it */
  uint8_t pad3[60];
  uint32_t phase;  /* mb_phase */
  uint8_t pad4[60];
  uint64_t rollbacks, recoveries;
  uint8_t pad5[48];
  uint64_t owner_pid, owner_start_ns, lock_taken_ns; /* CLOCK_MONOTONIC; for messages only: who holds the lock, the lock says */
  uint64_t inode, used_ns;             /* this file, and when (CLOCK_REALTIME) its writer last woke readers */
  uint64_t lock_inode, lock_ctime_ns;  /* the lock file beside it, which nobody writes: of a copy put back these are others, or it was changed later */
  uint64_t renewal;                    /* makes that another incarnation: it is xored into the second half */
  uint32_t superseded; /* 1: a newer file has taken the name */
  uint8_t pad7[60];
  uint32_t turn; /* hints of turn.c: count of turns x 512 + place in the queue of who wrote last */
  uint8_t pad8[60];
  uint32_t waiting[16]; /* a bit per place: waits to write */
  uint32_t bell[512];   /* futex per place: called when it is first */
  uint8_t rest[MB_PAGE - 10 * 64 - 2048];
} mb_hot;

enum mb_phase { MB_CLEAN = 0, MB_DIRTY = 1 };

/* What the commit in progress changes, written before seq turns odd. After a crash in mid-commit working and committed no longer
 * show it: what was already copied is equal. */
#define MB_REDO_RUNS 508
typedef struct {
  uint64_t seq;   /* the odd seq that this page belongs to */
  uint32_t count; /* runs that follow */
  uint32_t crc;   /* CRC-32C of seq, count and the runs */
  struct { uint32_t block, count; } run[MB_REDO_RUNS];
  uint8_t rest[16];
} mb_redo;

_Static_assert(sizeof(mb_header) == 256, "header");
_Static_assert(offsetof(mb_header, incarnation) == 40, "header");
_Static_assert(offsetof(mb_header, file_bytes) == 56, "header");
_Static_assert(offsetof(mb_header, hot_offset) == 88, "header");
_Static_assert(offsetof(mb_header, block_bytes) == 136, "header");
_Static_assert(offsetof(mb_header, boot_id) == 152, "header");
_Static_assert(offsetof(mb_header, schema_offset) == 168, "header");
_Static_assert(offsetof(mb_header, crc) == 252, "header");
_Static_assert(sizeof(mb_hot) == MB_PAGE, "hot page");
_Static_assert(offsetof(mb_hot, begin) == 64, "hot page");
_Static_assert(offsetof(mb_hot, notify) == 128, "hot page");
_Static_assert(offsetof(mb_hot, phase) == 256, "hot page");
_Static_assert(offsetof(mb_hot, owner_pid) == 384, "hot page");
_Static_assert(offsetof(mb_hot, renewal) == 440, "hot page");
_Static_assert(offsetof(mb_hot, turn) == 512, "hot page");
_Static_assert(offsetof(mb_hot, waiting) == 576, "hot page");
_Static_assert(offsetof(mb_hot, bell) == 640, "hot page");
_Static_assert(sizeof(mb_redo) == MB_PAGE, "redo page");
#endif
