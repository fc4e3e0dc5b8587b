/** Numbers at which ranges go wrong. */
export const edges = [
  0,
  1,
  2,
  63,
  64,
  65,
  2 ** 31 - 1,
  2 ** 31,
  2 ** 32 - 1,
  2 ** 32,
  2 ** 53 - 1,
  2 ** 53,
  2 ** 63,
  -1,
  -0,
  0.5,
  NaN,
  Infinity,
];
export const limits = [0, 64, 100, 2 ** 48, 2 ** 53 - 1];

/** Whether these pairs are runs within `limit`, as whole numbers of any size would have it. */
export function areRuns(pairs: readonly number[], limit: number): boolean {
  if (pairs.length % 2 === 1 || !pairs.every(Number.isSafeInteger)) return false;
  let end = 0n;
  for (let i = 0; i < pairs.length; i += 2) {
    const [offset, length] = [BigInt(pairs[i]!), BigInt(pairs[i + 1]!)];
    if (offset < end || length <= 0n || offset + length > BigInt(limit)) return false;
    end = offset + length;
  }
  return true;
}
