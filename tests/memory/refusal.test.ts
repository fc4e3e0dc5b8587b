import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  copyFileSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { crc32c } from "../../src/memory/digest.ts";
import { type Place, placeOf, segmentDirectory } from "../../src/memory/place.ts";
import { Segment } from "../../src/memory/segment.ts";
import { codeOf, errorOf } from "./codes.ts";
import { uniqueName } from "./names.ts";

setDefaultTimeout(30_000);

const spec = { schemaText: '{"test":true}', imageBytes: 4096, metaOffset: 0 };
const isRoot = process.geteuid!() === 0;

let folder: string;
let intact: Place;
let owner: Segment;

beforeAll(() => {
  placeOf("make-the-folder");
  folder = mkdtempSync(join(segmentDirectory(), "refusal-"));
  intact = placeOf(join(folder, "intact"));
  owner = Segment.create(intact.data, spec);
  owner.begin();
  new Float64Array(owner.buffer("working", 0, 8))[0] = 1;
  owner.touch(0, 8);
  owner.commit();
});

afterAll(() => {
  owner.close();
  rmSync(folder, { recursive: true });
});

/** A place of its own, with a lock file and a copy of the intact segment in it. */
function copy(): Place {
  const place = placeOf(join(folder, uniqueName("copy")));
  copyFileSync(intact.data, place.data);
  chmodSync(place.data, 0o600);
  writeFileSync(place.lock, "", { mode: 0o600 });
  return place;
}

/** Both ways in refuse it with this code and these words, and starting does not overwrite it. */
function expectRefused(place: Place, code: string, words: string): void {
  for (const action of [
    () => Segment.attach(place.data),
    () => Segment.attach(place.data, { mode: "rw" }),
    () => Segment.create(place.data, spec),
  ]) {
    const error = errorOf(() => action().close());
    expect([error.code, error.message]).toEqual([code, expect.stringContaining(words)]);
  }
}

describe("a file that somebody else may have prepared", () => {
  test("an intact copy is let in, so the refusals below have their reasons", () => {
    const place = copy();
    using segment = Segment.attach(place.data);
    expect(segment.version).toBe(1);
  });

  test("a symbolic link", () => {
    const place = copy();
    renameSync(place.data, `${place.data}.real`);
    symlinkSync(`${place.data}.real`, place.data);
    expectRefused(place, "UNSAFE_FILE", "it is a symbolic link");
  });

  test("a second hard link", () => {
    const place = copy();
    linkSync(place.data, `${place.data}.other`);
    expectRefused(place, "UNSAFE_FILE", "it has more than one hard link");
  });

  test.each([0o620, 0o602, 0o666])("mode %o", (mode) => {
    const place = copy();
    chmodSync(place.data, mode);
    expectRefused(place, "UNSAFE_FILE", "group or world may write to it");
  });

  test.skipIf(!isRoot)("another owner (needs root to make one)", () => {
    const place = copy();
    chownSync(place.data, 12345, 12345);
    expectRefused(place, "UNSAFE_FILE", "it belongs to another user");
  });

  test("a directory", () => {
    const place = copy();
    rmSync(place.data);
    mkdirSync(place.data);
    expect(codeOf(() => Segment.attach(place.data, { mode: "rw" }))).toBe("UNSAFE_FILE");
    expect(errorOf(() => Segment.attach(place.data)).message).toContain("it is not a regular file");
  });

  test("a FIFO, without waiting for its other end", () => {
    const place = copy();
    rmSync(place.data);
    expect(Bun.spawnSync(["mkfifo", "-m", "600", place.data]).exitCode).toBe(0);
    expectRefused(place, "UNSAFE_FILE", "it is not a regular file");
  });

  test("a device", () => {
    const place = copy();
    rmSync(place.data);
    symlinkSync("/dev/zero", place.data);
    expectRefused(place, "UNSAFE_FILE", "it is a symbolic link");
  });

  test.each([
    ["a symbolic link", (lock: string) => symlinkSync("/dev/null", lock), "it is a symbolic link"],
    ["a FIFO", (lock: string) => Bun.spawnSync(["mkfifo", "-m", "600", lock]), "it is not a regular file"],
    [
      "writable by all",
      (lock: string) => (writeFileSync(lock, ""), chmodSync(lock, 0o666)),
      "may write to it",
    ],
  ] as const)("a lock file that is %s", (_, make, words) => {
    const place = copy();
    rmSync(place.lock);
    make(place.lock);
    expectRefused(place, "UNSAFE_FILE", words);
  });

  test("a file system where locks or mappings may not work, unless told to trust it", () => {
    const error = errorOf(() => Segment.attach("/proc/self/memblast-segment"));
    expect(error.code).toBe("UNSAFE_FILE");
    expect(error.message).toContain("unsafeFilesystem: true");
    expect(codeOf(() => Segment.attach("/proc/self/memblast-segment", { unsafeFilesystem: true }))).toBe(
      "NOT_FOUND",
    );
  });

  test("a folder for segments that others can write to", () => {
    const before = process.env["MEMBLAST_DIR"];
    const open = join(folder, "open");
    mkdirSync(open);
    chmodSync(open, 0o777);
    process.env["MEMBLAST_DIR"] = open;
    try {
      expect(codeOf(() => Segment.create("x", spec))).toBe("UNSAFE_FILE");
    } finally {
      if (before === undefined) delete process.env["MEMBLAST_DIR"];
      else process.env["MEMBLAST_DIR"] = before;
    }
  });

  test("names that lead elsewhere, and folders that are not there", () => {
    for (const name of ["", ".", "..", "a b", "-x", "x.lock", "../x y", `${"x".repeat(201)}`])
      expect(codeOf(() => Segment.attach(name))).toBe("INVALID_NAME");
    expect(codeOf(() => Segment.attach("/no/such/folder/x"))).toBe("NOT_FOUND");
    expect(codeOf(() => Segment.attach(uniqueName("absent")))).toBe("NOT_FOUND");
  });
});

describe("a file that is not what it should be", () => {
  test("cut anywhere", () => {
    const { length } = readFileSync(intact.data);
    for (const bytes of [0, 1, 255, 256, 4095, 4096, 8192, length - 4096, length - 1]) {
      const place = copy();
      truncateSync(place.data, bytes);
      const code = bytes < 256 ? "FORMAT" : "TRUNCATED";
      expect(codeOf(() => Segment.attach(place.data))).toBe(code);
      expect(codeOf(() => Segment.attach(place.data, { mode: "rw" }))).toBe(code);
    }
  });

  test("any byte of the header changed", () => {
    const place = copy();
    const bytes = readFileSync(place.data);
    const headerBytes = 4096;
    const codes = new Set<string>();
    for (let at = 0; at < headerBytes; at += at < 320 ? 1 : 61) {
      bytes[at]! ^= 0x5a;
      writeFileSync(place.data, bytes);
      codes.add(codeOf(() => Segment.attach(place.data).close()));
      bytes[at]! ^= 0x5a;
    }
    expect([...codes]).toEqual(["FORMAT"]);
    writeFileSync(place.data, bytes);
    Segment.attach(place.data).close();
  });

  test("a header that was forged, with a checksum that fits", () => {
    const place = copy();
    const original = readFileSync(place.data);
    const forge = (change: (view: DataView) => void) => {
      const bytes = Uint8Array.from(original);
      const view = new DataView(bytes.buffer);
      change(view);
      view.setUint32(252, 0, true);
      const rest = crc32c(bytes.subarray(256, 4096), crc32c(bytes.subarray(0, 256)));
      view.setUint32(252, rest, true);
      writeFileSync(place.data, bytes);
      return errorOf(() => Segment.attach(place.data).close());
    };
    const says = (change: (view: DataView) => void) => {
      const { code, message } = forge(change);
      return [code, message.split(": ").slice(1).join(": ")];
    };
    expect(says((view) => view.setUint8(0, 0x4e))).toEqual(["FORMAT", "it is not a memblast segment"]);
    expect(says((view) => view.setUint32(8, 0x01020304))).toEqual([
      "FORMAT",
      "it was written on a machine of the other byte order",
    ]);
    const unknown = ["FORMAT", "it was written by a release whose format this one does not know"];
    expect(says((view) => view.setUint16(12, 2, true))).toEqual(unknown);
    expect(says((view) => view.setBigUint64(32, 1n, true))).toEqual(unknown); // incompatible feature
    const contradiction = ["FORMAT", "the offsets and sizes in its header contradict each other"];
    for (const field of [64, 72, 80, 88, 96, 104, 112, 120, 128]) {
      for (const value of [0n, 1n, 4096n * 7n, 2n ** 40n, 2n ** 63n, 2n ** 64n - 1n]) {
        if (field === 80 && value < 4096n) continue; // metaOffset may be anywhere in the image
        expect(says((view) => view.setBigUint64(field, value, true))).toEqual(contradiction);
      }
    }
    for (const field of [136, 140, 168, 172])
      for (const value of field === 172 ? [0, 4096, 0xffffffff] : [0, 1, 63, 0xffffffff])
        expect(says((view) => view.setUint32(field, value, true))).toEqual(contradiction);
    expect(forge((view) => view.setBigUint64(56, 2n ** 40n, true)).code).toBe("FORMAT"); // fileBytes
  });

  test("a segment of a newer release that only readers can use", () => {
    const place = copy();
    const bytes = readFileSync(place.data);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    view.setBigUint64(24, 4n, true); // a feature that writers must know
    view.setUint32(252, 0, true);
    view.setUint32(252, crc32c(bytes.subarray(256, 4096), crc32c(bytes.subarray(0, 256))), true);
    writeFileSync(place.data, bytes);
    using reader = Segment.attach(place.data);
    expect(reader.version).toBe(1);
    expect(codeOf(() => Segment.attach(place.data, { mode: "rw" }))).toBe("FORMAT");
  });

  test("one of before this machine's restart", () => {
    const place = copy();
    const bytes = readFileSync(place.data);
    bytes.fill(7, 152, 168);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    view.setUint32(252, 0, true);
    view.setUint32(252, crc32c(bytes.subarray(256, 4096), crc32c(bytes.subarray(0, 256))), true);
    writeFileSync(place.data, bytes);
    expectRefused(place, "FORMAT", "before this machine's restart");
  });
});
