import type { NdArray, Node } from "../src/index.ts";

/** SHA-256 of the bytes of the main array and of the named ones, all of one version: what is compared between programs. */
export function digests(node: Node, ...names: readonly string[]): Record<string, string> {
  return node.read((main, view) => {
    const arrays: [string, NdArray][] = [
      ["main", main],
      ...names.map((name) => [name, view.array(name)] as [string, NdArray]),
    ];
    return Object.fromEntries(arrays.map(([name, { data }]) => [name, sha256(data)]));
  });
}

/** Of the bytes as they lie in memory. */
export function sha256(view: ArrayBufferView): string {
  const bytes = new Uint8Array(view.buffer as ArrayBuffer, view.byteOffset, view.byteLength);
  return new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
}
