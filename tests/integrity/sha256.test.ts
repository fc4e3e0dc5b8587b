import { describe, expect, test } from "bun:test";
import { leafBytes } from "../../src/integrity/merkle.ts";
import { hmacSha256, scriptHasher, sha256 } from "../../src/integrity/sha256.ts";
import { bunHasher } from "../../src/memory/digest.ts";
import { Random, seed } from "../transport/random.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

describe("SHA-256 in JavaScript gives the known answers", () => {
  // NIST, "Examples with intermediate values" and the Secure Hash Algorithm validation system.
  test.each<[string, Uint8Array, string]>([
    ["nothing", bytes(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"],
    ["abc", bytes("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"],
    [
      "448 bits",
      bytes("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
    ],
    [
      "896 bits",
      bytes(
        "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
      ),
      "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1",
    ],
    [
      "a million a",
      bytes("a".repeat(1_000_000)),
      "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
    ],
    ["one byte", Uint8Array.of(0xbd), "68325720aabd7c82f30f554b313d0570c95accbb7dc4b5aae11204c08ffe732b"],
    [
      "four bytes",
      Uint8Array.fromHex("c98c8e55"),
      "7abc22c0ae5af26ce93dbb94433a0e0b2e119d014f8e7f65bd56c61ccccd9504",
    ],
    ["55 zeros", new Uint8Array(55), "02779466cdec163811d078815c633f21901413081449002f24aa3e80f0b88ef7"],
    ["56 zeros", new Uint8Array(56), "d4817aa5497628e7c77e6b606107042bbba3130888c5f47a375e6179be789fbb"],
    ["57 zeros", new Uint8Array(57), "65a16cb7861335d5ace3c60718b5052e44660726da4cd13bb745381b235a1785"],
    ["64 zeros", new Uint8Array(64), "f5a5fd42d16a20302798ef6ed309979b43003d2320d9f0e8ea9831a92759fb4b"],
  ])("%s", (_, data, digest) => {
    expect(sha256(data).toHex()).toBe(digest);
  });
});

test(`it agrees with Bun's at every length and alignment (seed ${seed})`, () => {
  const random = new Random();
  const source = random.bytes(600);
  for (let length = 0; length <= 300; length++) {
    const data = source.subarray(length % 7, (length % 7) + length);
    expect(sha256(data).toHex()).toBe(new Bun.CryptoHasher("sha256").update(data).digest("hex"));
  }
});

test(`leaves and nodes are those of the other hashers (seed ${seed})`, () => {
  const random = new Random();
  for (const length of [0, 1, 2, 3, 62, 63, 64, 4095, 4096, 4097, 3 * 4096, 50_001]) {
    const data = random.bytes(length + 5).subarray(5);
    expect(scriptHasher.leaves(data, leafBytes)).toEqual(bunHasher.leaves(data, leafBytes));
  }
  for (const pairs of [0, 1, 2, 17]) {
    const children = random.bytes(64 * pairs);
    expect(scriptHasher.nodes(children)).toEqual(bunHasher.nodes(children));
  }
});

describe("HMAC-SHA-256 gives the answers of RFC 4231", () => {
  const key = (byte: number, count: number) => new Uint8Array(count).fill(byte);
  test.each<[string, Uint8Array, Uint8Array, string]>([
    [
      "1",
      key(0x0b, 20),
      bytes("Hi There"),
      "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7",
    ],
    [
      "2",
      bytes("Jefe"),
      bytes("what do ya want for nothing?"),
      "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
    ],
    ["3", key(0xaa, 20), key(0xdd, 50), "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"],
    [
      "6",
      key(0xaa, 131),
      bytes("Test Using Larger Than Block-Size Key - Hash Key First"),
      "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
    ],
  ])("test case %s", (_, secret, message, mac) => {
    expect(hmacSha256(secret, message).toHex()).toBe(mac);
  });
});
