/* SHA-256 of messages: padding, streaming, and the two forms of RFC 6962. The rounds are in the kernels. */
#include "platform.h"

#include "hash.h"

/* FIPS 180-4 section 5.3.3. */
static const uint32_t sha256_initial[8] = {
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};

#define SHA256_TAIL_BYTES (2 * SHA256_BLOCK_BYTES)

/* Section 5.1.1: turns the last `filled` (< 64) bytes of a message into its one or two last blocks. */
static size_t sha256_pad(uint8_t *tail, size_t filled, uint64_t message_bytes) {
  const size_t blocks = filled < SHA256_BLOCK_BYTES - 8 ? 1 : 2;
  const size_t end = blocks * SHA256_BLOCK_BYTES;
  const uint64_t bits = message_bytes * 8;
  tail[filled] = 0x80;
  memset(tail + filled + 1, 0, end - 8 - (filled + 1));
  for (size_t i = 0; i < 8; i++) tail[end - 1 - i] = (uint8_t)(bits >> (8 * i));
  return blocks;
}

static void sha256_write_digest(const uint32_t *state, uint8_t *out) {
  for (int i = 0; i < 8; i++) {
    out[4 * i] = (uint8_t)(state[i] >> 24);
    out[4 * i + 1] = (uint8_t)(state[i] >> 16);
    out[4 * i + 2] = (uint8_t)(state[i] >> 8);
    out[4 * i + 3] = (uint8_t)state[i];
  }
}

/* ---- one message ---------------------------------------------------------------------------------------------- */

void sha256_start(sha256_stream *stream) {
  memcpy(stream->state, sha256_initial, sizeof sha256_initial);
  stream->bytes = 0;
  stream->filled = 0;
  stream->zero = 0;
}

void sha256_absorb(const hash_row *row, sha256_stream *stream, const uint8_t *data, size_t bytes) {
  stream->bytes += bytes;
  if (stream->filled > 0) {
    const size_t room = SHA256_BLOCK_BYTES - stream->filled;
    const size_t taken = bytes < room ? bytes : room;
    if (taken > 0) memcpy(stream->partial + stream->filled, data, taken);
    stream->filled += (uint32_t)taken;
    if (stream->filled < SHA256_BLOCK_BYTES) return;
    row->sha256_blocks(stream->state, stream->partial, 1);
    stream->filled = 0;
    data += taken;
    bytes -= taken;
  }
  const size_t rest = bytes % SHA256_BLOCK_BYTES;
  row->sha256_blocks(stream->state, data, bytes / SHA256_BLOCK_BYTES);
  if (rest > 0) memcpy(stream->partial, data + (bytes - rest), rest);
  stream->filled = (uint32_t)rest;
}

void sha256_finish(const hash_row *row, sha256_stream *stream, uint8_t *out) {
  uint8_t tail[SHA256_TAIL_BYTES];
  memcpy(tail, stream->partial, stream->filled);
  const size_t blocks = sha256_pad(tail, stream->filled, stream->bytes);
  row->sha256_blocks(stream->state, tail, blocks);
  sha256_write_digest(stream->state, out);
  memset(stream, 0, sizeof *stream);
}

/* ---- many messages of one length, each behind a prefix byte ------------------------------------------------------ */

/*
 *   message   | p | data ...................................................... |
 *   blocks    | head: p + 63 | body: whole blocks, read where they are | tail: rest, 0x80, zeros, length |
 *
 * The prefix shifts every block by one byte, so only the head and the tail are copied; the kernels take any alignment.
 */
typedef struct {
  uint8_t head[SHA256_BLOCK_BYTES];
  uint8_t tail[SHA256_TAIL_BYTES];
} sha256_ends;

typedef struct {
  bool head;          /* false: the whole message fits into the tail */
  size_t body_blocks;
  size_t tail_blocks; /* filled in by sha256_cut */
} sha256_plan;

#define SHA256_HEAD_DATA (SHA256_BLOCK_BYTES - 1)

static void sha256_cut(sha256_plan *plan, sha256_ends *ends, uint8_t prefix, const uint8_t *data, size_t bytes) {
  size_t rest = bytes;
  size_t filled = 0;
  if (plan->head) {
    ends->head[0] = prefix;
    memcpy(ends->head + 1, data, SHA256_HEAD_DATA);
    rest -= SHA256_HEAD_DATA + plan->body_blocks * SHA256_BLOCK_BYTES;
  } else {
    ends->tail[0] = prefix;
    filled = 1;
  }
  if (rest > 0) memcpy(ends->tail + filled, data + (bytes - rest), rest);
  plan->tail_blocks = sha256_pad(ends->tail, filled + rest, (uint64_t)bytes + 1);
}

/* Hashes `lanes` messages (1, or as many as the row takes) that lie back to back at `data`. */
static void sha256_lanes(const hash_row *row, uint32_t lanes, uint8_t prefix, const uint8_t *data, size_t bytes,
                         uint8_t *out) {
  sha256_ends ends[SHA256_LANES_MAX];
  uint32_t states[SHA256_LANES_MAX * 8];
  const uint8_t *heads[SHA256_LANES_MAX];
  const uint8_t *bodies[SHA256_LANES_MAX];
  const uint8_t *tails[SHA256_LANES_MAX];
  sha256_plan plan = {bytes >= SHA256_HEAD_DATA, 0, 0};
  if (plan.head) plan.body_blocks = (bytes - SHA256_HEAD_DATA) / SHA256_BLOCK_BYTES;

  for (uint32_t l = 0; l < lanes; l++) {
    const uint8_t *message = data + l * bytes;
    memcpy(states + 8 * l, sha256_initial, sizeof sha256_initial);
    sha256_cut(&plan, &ends[l], prefix, message, bytes);
    heads[l] = ends[l].head;
    bodies[l] = message + SHA256_HEAD_DATA;
    tails[l] = ends[l].tail;
  }
  if (lanes == 1) {
    if (plan.head) row->sha256_blocks(states, heads[0], 1);
    if (plan.body_blocks > 0) row->sha256_blocks(states, bodies[0], plan.body_blocks);
    row->sha256_blocks(states, tails[0], plan.tail_blocks);
  } else {
    if (plan.head) row->sha256_many(states, heads, 1);
    if (plan.body_blocks > 0) row->sha256_many(states, bodies, plan.body_blocks);
    row->sha256_many(states, tails, plan.tail_blocks);
  }
  for (uint32_t l = 0; l < lanes; l++) sha256_write_digest(states + 8 * l, out + l * SHA256_DIGEST_BYTES);
}

void sha256_prefixed(const hash_row *row, uint8_t prefix, const uint8_t *data, size_t bytes, size_t count,
                     uint8_t *out) {
  while (count > 0) {
    const uint32_t lanes = count >= row->lanes ? row->lanes : 1;
    sha256_lanes(row, lanes, prefix, data, bytes, out);
    data += lanes * bytes;
    out += lanes * SHA256_DIGEST_BYTES;
    count -= lanes;
  }
}

size_t sha256_leaves(const hash_row *row, const uint8_t *data, size_t bytes, size_t leaf_bytes, uint8_t *out) {
  const size_t whole = bytes / leaf_bytes;
  const size_t rest = bytes % leaf_bytes;
  sha256_prefixed(row, SHA256_LEAF_PREFIX, data, leaf_bytes, whole, out);
  if (rest == 0) return whole;
  sha256_prefixed(row, SHA256_LEAF_PREFIX, data + whole * leaf_bytes, rest, 1, out + whole * SHA256_DIGEST_BYTES);
  return whole + 1;
}

void sha256_nodes(const hash_row *row, const uint8_t *children, size_t pairs, uint8_t *out) {
  sha256_prefixed(row, SHA256_NODE_PREFIX, children, 2 * SHA256_DIGEST_BYTES, pairs, out);
}

/* ---- exported ------------------------------------------------------------------------------------------------- */

int64_t mb_sha256(const uint8_t *data, uint64_t bytes, uint8_t *out) {
  if ((data == NULL && bytes > 0) || out == NULL) return -EINVAL;
  const hash_row *row = hash_current();
  sha256_stream stream;
  sha256_start(&stream);
  sha256_absorb(row, &stream, data, (size_t)bytes);
  sha256_finish(row, &stream, out);
  return 0;
}

int64_t mb_sha256_state_bytes(void) { return (int64_t)sizeof(sha256_stream); }

int64_t mb_sha256_init(uint8_t *state) {
  if (state == NULL) return -EINVAL;
  sha256_start((sha256_stream *)(void *)state);
  return 0;
}

int64_t mb_sha256_update(uint8_t *state, const uint8_t *data, uint64_t bytes) {
  sha256_stream *stream = (sha256_stream *)(void *)state;
  if (stream == NULL || (data == NULL && bytes > 0) || stream->filled >= SHA256_BLOCK_BYTES) return -EINVAL;
  sha256_absorb(hash_current(), stream, data, (size_t)bytes);
  return 0;
}

int64_t mb_sha256_final(uint8_t *state, uint8_t *out) {
  sha256_stream *stream = (sha256_stream *)(void *)state;
  if (stream == NULL || out == NULL || stream->filled >= SHA256_BLOCK_BYTES) return -EINVAL;
  sha256_finish(hash_current(), stream, out);
  return 0;
}

int64_t mb_sha256_leaves(const uint8_t *data, uint64_t bytes, uint64_t leaf_bytes, uint8_t *out) {
  if (leaf_bytes == 0 || (bytes > 0 && (data == NULL || out == NULL))) return -EINVAL;
  return (int64_t)sha256_leaves(hash_current(), data, (size_t)bytes, (size_t)leaf_bytes, out);
}

int64_t mb_sha256_nodes(const uint8_t *children, uint64_t pairs, uint8_t *out) {
  if (pairs > 0 && (children == NULL || out == NULL)) return -EINVAL;
  sha256_nodes(hash_current(), children, (size_t)pairs, out);
  return (int64_t)pairs;
}
