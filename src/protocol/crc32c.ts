/**
 * CRC-32C (Castagnoli), as iSCSI has it (RFC 3720, appendix B.4). This is the readable definition and what browsers use;
 * where the C library is loaded its kernel is passed in instead.
 *
 * `seed` is the checksum of what came before (0 at the start): crc32c(b, crc32c(a)) is the checksum of a followed by b.
 */
export type Crc32c = (bytes: Uint8Array, seed?: number) => number;

const polynomial = 0x82f63b78; // reflected

/** Eight tables of 256: entry [k][b] is the effect of byte b followed by k zero bytes ("slicing by 8"). */
const tables = makeTables();

function makeTables(): Int32Array {
  const made = new Int32Array(8 * 256);
  for (let byte = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ polynomial : crc >>> 1;
    made[byte] = crc;
  }
  for (let index = 256; index < made.length; index++) {
    const before = made[index - 256]!;
    made[index] = made[before & 255]! ^ (before >>> 8);
  }
  return made;
}

/** x^(8 * 2^k) modulo the polynomial: what a second part of 2^k bytes does to the first. */
const powers = makePowers();

function makePowers(): Int32Array {
  const made = new Int32Array(53);
  let power = 0x40000000; // x^1
  for (let k = 0; k < 3; k++) power = multiply(power, power);
  for (let k = 0; k < made.length; k++) {
    made[k] = power;
    power = multiply(power, power);
  }
  return made;
}

export function crc32c(bytes: Uint8Array, seed = 0): number {
  return crc32cRange(bytes, 0, bytes.length, seed);
}

/** The checksum of bytes[start, end), without making a view of them. */
export function crc32cRange(bytes: Uint8Array, start: number, end: number, seed = 0): number {
  const t = tables;
  let crc = ~seed;
  let at = start;
  for (; at + 8 <= end; at += 8) {
    crc ^= bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24);
    crc =
      t[1792 + (crc & 255)]! ^
      t[1536 + ((crc >>> 8) & 255)]! ^
      t[1280 + ((crc >>> 16) & 255)]! ^
      t[1024 + (crc >>> 24)]! ^
      t[768 + bytes[at + 4]!]! ^
      t[512 + bytes[at + 5]!]! ^
      t[256 + bytes[at + 6]!]! ^
      t[bytes[at + 7]!]!;
  }
  for (; at < end; at++) crc = t[(crc ^ bytes[at]!) & 255]! ^ (crc >>> 8);
  return ~crc >>> 0;
}

/**
 * What {@link crc32cJoin} needs to know about the second part: x^(8 * bytes) modulo the polynomial.
 * Made once for a part that follows many different first parts.
 */
export function crc32cShift(bytes: number): number {
  let shift = 1 << 31; // x^0: bit 31 is the lowest power
  for (let k = 0, rest = bytes; rest > 0; k++, rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) shift = multiply(powers[k]!, shift);
  }
  return shift;
}

/** The checksum of a followed by b, from crc32c(a), crc32c(b) and crc32cShift(b.length): b is not read again. */
export function crc32cJoin(first: number, second: number, secondShift: number): number {
  return (multiply(secondShift, first) ^ second) >>> 0;
}

/** a * b modulo the polynomial, both reflected. */
function multiply(a: number, b: number): number {
  let product = 0;
  for (let rest = a; rest !== 0; rest <<= 1) {
    product ^= b & (rest >> 31);
    b = (b >>> 1) ^ (polynomial & -(b & 1));
  }
  return product;
}
