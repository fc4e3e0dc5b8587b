/** F16, F25, F26, F27, F28: what somebody else put in the place of a segment. */
import {
  chmodSync,
  chownSync,
  linkSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { MemblastError } from "../../src/errors.ts";
import { attach, start } from "../../src/index.ts";
import { Segment } from "../../src/memory/segment.ts";
import { drive } from "./driver.ts";
import { amount, count, type Fault, type Trial } from "./fault.ts";
import { Forgery, type HeaderField } from "./header.ts";

const filesWanted = 10_000;

const rubbish: Fault = {
  id: "F16",
  name: "rubbish as a segment: random, flipped, forged",
  seconds: 20,
  needs: ["compiler"],
  async run(trial) {
    const found = await drive(trial, "forged", { amount: filesWanted });
    trial.injections += found["files"] ?? 0;
    return (
      `${amount(found["files"] ?? 0, filesWanted)} files, ${count(found["refused"] ?? 0)} refused, ` +
      `${count(found["attached"] ?? 0)} attached and used to the full; crashes or hangs ${trial.violationCount}`
    );
  },
};

/** "ok", or the code and message of the error. */
async function outcome(action: () => unknown): Promise<{ code: string; message: string }> {
  try {
    await action();
    return { code: "ok", message: "" };
  } catch (error) {
    if (error instanceof MemblastError) return error;
    return { code: "unnamed", message: String(error) };
  }
}

/** Every way to open what stands at `path`. */
async function openings(path: string): Promise<{ code: string; message: string }[]> {
  const spec = { schemaText: "{}", imageBytes: 4096, metaOffset: 0 };
  return [
    await outcome(() => Segment.attach(path).close()),
    await outcome(() => Segment.attach(path, { mode: "rw" }).close()),
    await outcome(() => Segment.create(path, spec).close()),
  ];
}

interface Trap {
  readonly name: string;
  readonly needsRoot?: boolean;
  /** What creating may say instead: the name is taken, by whatever. */
  readonly orCreate?: "EXISTS";
  /** What it returns takes down what is more than a file. */
  set(path: string, good: string): void | (() => void);
}

const nobody = 65_534;

const traps: readonly Trap[] = [
  { name: "symlink", set: (path, good) => symlinkSync(good, path) },
  {
    name: "dangling symlink",
    orCreate: "EXISTS",
    set: (path) => symlinkSync(`${path}-nowhere`, path),
  },
  { name: "hard link", set: (path, good) => linkSync(good, path) },
  { name: "FIFO", set: (path) => void Bun.spawnSync(["mkfifo", "-m", "600", path]) },
  { name: "directory", set: (path) => mkdirSync(path, { mode: 0o700 }) },
  {
    name: "socket",
    set(path) {
      const listener = Bun.listen({ unix: path, socket: { data() {} } });
      return () => listener.stop(true);
    },
  },
  {
    name: "other owner",
    needsRoot: true,
    set(path, good) {
      writeFileSync(path, readFileSync(good), { mode: 0o600 });
      chownSync(path, nobody, nobody);
    },
  },
  {
    name: "group may write",
    set(path, good) {
      writeFileSync(path, readFileSync(good));
      chmodSync(path, 0o660);
    },
  },
  {
    name: "world may write",
    set(path, good) {
      writeFileSync(path, readFileSync(good));
      chmodSync(path, 0o606);
    },
  },
];

/** Everything that opens the trap says UNSAFE_FILE, without waiting, and touches nothing behind it. */
async function trapped(trial: Trial, trap: Trap, where: "data" | "lock", good: string): Promise<void> {
  const path = trial.path(`trap-${where}`);
  const before = readFileSync(good);
  if (where === "lock") writeFileSync(path, before, { mode: 0o600 });
  const takeDown = trap.set(where === "data" ? path : `${path}.lock`, good);
  if (where === "data") writeFileSync(`${path}.lock`, "", { mode: 0o600 });
  for (const [i, { code, message }] of (await openings(path)).entries())
    if (code !== "UNSAFE_FILE" && !(i === 2 && code === trap.orCreate))
      trial.violate(`${trap.name} as ${where}, opened in way ${i}: ${code} ${message}`);
  if (Buffer.compare(before, readFileSync(good)) !== 0)
    trial.violate(`${trap.name} as ${where}: the file behind it changed`);
  takeDown?.();
  for (const file of [path, `${path}.lock`, `${path}-nowhere`])
    rmSync(file, { recursive: true, force: true });
}

const wrongFiles: Fault = {
  id: "F25",
  name: "links, FIFOs, folders and other users' files",
  seconds: 1,
  async run(trial) {
    const good = trial.path("good");
    Segment.create(good, { schemaText: "{}", imageBytes: 4096, metaOffset: 0 }, { persist: true }).close();
    const isRoot = process.geteuid!() === 0;
    const possible = traps.filter((trap) => isRoot || !trap.needsRoot);
    for (const trap of possible)
      for (const where of ["data", "lock"] as const) {
        await trapped(trial, trap, where, good);
        trial.injections++;
      }
    const left = isRoot ? "" : "; other owner not tried, it takes root";
    return `${possible.map(({ name }) => name).join(", ")}; as data and as lock file, ${trial.injections} of ${2 * possible.length} refused${left}`;
  },
};

interface Patch {
  readonly name: string;
  patch(forgery: Forgery): Forgery;
  /** What reading and writing come to; "ok" where it must work all the same. */
  readonly read: string;
  readonly write: string;
  /** What the message must name. */
  readonly says?: RegExp;
}

/** A field with another value, under a right checksum: nothing but the field itself can tell. */
function field(name: HeaderField, change: (value: bigint) => bigint, expected: string, says?: RegExp): Patch {
  const patch = (forgery: Forgery) => forgery.set(name, change(forgery.get(name))).seal();
  return { name, patch, read: expected, write: expected, ...(says ? { says } : {}) };
}

const layoutFields: readonly HeaderField[] = [
  "headerBytes",
  "imageBytes",
  "hotOffset",
  "redoOffset",
  "tableOffset",
  "tableBytes",
  "workingOffset",
  "committedOffset",
  "fileBytes",
  "blockBytes",
  "blockCount",
  "schemaOffset",
  "schemaBytes",
];

const patches: readonly Patch[] = [
  field("magic", (value) => value ^ 1n, "FORMAT", /not a memblast segment/),
  field("endian", () => 0x04030201n, "FORMAT", /byte order/),
  field("major", (value) => value + 1n, "FORMAT", /release|version/),
  field("minor", (value) => value + 1n, "ok"),
  field("incompat", () => 1n << 40n, "FORMAT", /release|version/),
  { ...field("roCompat", () => 1n << 40n, "FORMAT"), name: "unknown feature for writers", read: "ok" },
  field("compat", (value) => value | (1n << 40n), "ok"),
  ...layoutFields.flatMap((name) => [
    field(name, (value) => value + 8n, "refused"),
    field(name, () => 0n, "refused"),
    field(name, () => 2n ** 63n, "refused"),
    field(name, () => 2n ** 64n - 1n, "refused"),
  ]),
  field("metaOffset", () => 2n ** 40n, "FORMAT"),
  {
    name: "checksum",
    patch: (forgery) => forgery.set("created", 1n),
    read: "FORMAT",
    write: "FORMAT",
    says: /checksum/,
  },
  {
    name: "dtype in the schema",
    patch: (forgery) => forgery.replace('"f64"', '"f16"').seal(),
    read: "FORMAT",
    write: "FORMAT",
  },
  {
    name: "shape in the schema",
    patch: (forgery) => forgery.replace("[3,390]", "[4,390]").seal(),
    read: "FORMAT",
    write: "FORMAT",
  },
];

/** FORMAT, TRUNCATED and TOO_LARGE all say that the header does not fit; which of them is the field's matter. */
function isExpected(expected: string, code: string): boolean {
  return expected === "refused" ? ["FORMAT", "TRUNCATED", "TOO_LARGE"].includes(code) : expected === code;
}

/** What a program asks for, and what the error's message must name. */
const otherArrays: readonly [object, RegExp][] = [
  [{ shape: [3, 390], dtype: "f32" }, /dtype|f32/],
  [{ shape: [3, 391] }, /shape|391/],
  [{ shape: [3, 390], arrays: { extra: { shape: [2] } } }, /extra/],
  [{ shape: [1170] }, /shape|1170/],
];

const patchedHeaders: Fault = {
  id: "F26",
  name: "headers changed under a right checksum",
  seconds: 1,
  async run(trial) {
    const path = trial.path("patched");
    await (await start(path, { share: true, persist: true, shape: [3, 390] })).close();
    const good = readFileSync(path);
    for (const { name, patch, read, write, says } of patches) {
      patch(new Forgery(good)).write(path);
      const reading = await outcome(async () => (await attach(path)).close());
      const writing = await outcome(async () => (await attach(path, { mode: "rw" })).close());
      if (!isExpected(read, reading.code))
        trial.violate(`${name}: reading gives ${reading.code}: ${reading.message}`);
      if (!isExpected(write, writing.code))
        trial.violate(`${name}: writing gives ${writing.code}: ${writing.message}`);
      if (says && !says.test(writing.message))
        trial.violate(`${name}: the message does not say so: ${writing.message}`);
      trial.injections++;
    }
    writeFileSync(path, good);
    for (const [options, says] of otherArrays) {
      const { code, message } = await outcome(async () =>
        (await start(path, { share: true, ...options })).close(),
      );
      if (code !== "SCHEMA_MISMATCH" || !says.test(message))
        trial.violate(`${JSON.stringify(options)}: ${code}: ${message}`);
      trial.injections++;
    }
    return `${patches.length} patched headers, ${otherArrays.length} other arrays; the difference named in ${trial.injections - trial.violationCount}`;
  },
};

const mixesWanted = 10_000;

/** A file whose pages are some from before a commit and some from after it, as a machine leaves them that lost its power. */
const powerMixes: Fault = {
  id: "F27",
  name: "pages of two versions after a restart",
  seconds: 4,
  async run(trial) {
    const path = trial.path("mixed");
    const imageBytes = 32 * 1024;
    const [before, after] = twoStates(path, imageBytes);
    let mixes = 0;
    for (; trial.more(mixes, mixesWanted); mixes++) {
      const mixed = new Forgery(after);
      for (let page = 0; page < after.length; page += 4096)
        if (trial.random.between(0, 1)) mixed.bytes.set(before.subarray(page, page + 4096), page);
      const boot = mixed.get("bootId");
      mixed
        .set("bootId", mixes % 3 === 0 ? ~boot : boot ^ BigInt(1 + trial.random.between(0, 2 ** 30)))
        .seal();
      mixed.write(path);
      for (const { code, message } of await openings(path))
        if (code !== "FORMAT" || !message.includes("restart"))
          trial.violate(`mix ${mixes}: ${code}: ${message}`);
    }
    trial.injections += mixes;
    return `${amount(mixes, mixesWanted)} mixes with another boot id, each opened in three ways; served ${trial.violationCount}`;
  },
};

/** The file before and after a commit that changes every page. */
function twoStates(path: string, imageBytes: number): [Buffer, Buffer] {
  using segment = Segment.create(path, { schemaText: "{}", imageBytes, metaOffset: 0 }, { persist: true });
  const working = new Uint8Array(segment.buffer("working", 0, imageBytes));
  return [1, 2].map((value) => {
    segment.begin();
    working.fill(value);
    segment.touch(0, imageBytes);
    segment.commit();
    return readFileSync(path);
  }) as [Buffer, Buffer];
}

const powerLoss: Fault = {
  id: "F28",
  name: "power loss under the durable mode",
  seconds: 0,
  skipped:
    "there is no durable mode: after a restart a file on disk is refused by its boot id (F27), so nothing torn is served",
  run: async () => "",
};

export const hostile: readonly Fault[] = [rubbish, wrongFiles, patchedHeaders, powerMixes, powerLoss];
