/** F14, F15: bytes that change behind the library's back, and whether verify() names them. */
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { MemblastError } from "../../src/errors.ts";
import type { Damage, Verification } from "../../src/index.ts";
import { Segment } from "../../src/memory/segment.ts";
import { amount, count, type Fault, ms, type Trial } from "./fault.ts";
import { Forgery, type HeaderField } from "./header.ts";
import { Puppet } from "./puppet.ts";

/** Where the parts of a segment's file are. */
function partsOf(path: string) {
  const file = Forgery.of(path);
  const field = (name: HeaderField) => Number(file.get(name));
  return {
    blockBytes: field("blockBytes"),
    blockCount: field("blockCount"),
    imageBytes: field("imageBytes"),
    header: field("headerBytes"),
    hot: field("hotOffset"),
    redo: field("redoOffset"),
    table: field("tableOffset"),
    working: field("workingOffset"),
    committed: field("committedOffset"),
  };
}

type Parts = ReturnType<typeof partsOf>;

const cells = 4096;

/** A process that owns a segment of random-looking values, and has looked at it once. */
async function openOwner(trial: Trial, name: string): Promise<Puppet> {
  const owner = await Puppet.open(trial);
  await owner.tell(`start ${name} ${cells}`);
  for (let i = 1; i < 6; i++) await owner.tell(`scatter ${trial.random.between(1, 1e9)}`);
  const first = await owner.tell<Verification>("verify");
  if (first.damage.length > 0) trial.violate(`${name}: damage before any: ${JSON.stringify(first.damage)}`);
  return owner;
}

/** Whether `damage` names bytes [from, to) of the image. */
function names(damage: readonly Damage[], from: number, to: number): boolean {
  const inImage = damage.filter(({ part }) => part.endsWith("image") || part === "both images");
  let at = from;
  for (const { offset, bytes } of inImage.toSorted((a, b) => a.offset - b.offset))
    if (offset <= at && at < offset + bytes) at = offset + bytes;
  return at >= to;
}

const holesWanted = 200;

const holes: Fault = {
  id: "F14",
  name: "holes punched into the file",
  seconds: 3,
  needs: ["fallocate"],
  async run(trial) {
    await using owner = await openOwner(trial, "holes");
    const path = trial.path("holes");
    const parts = partsOf(path);
    const fd = openSync(path, "r+");
    const detect: number[] = [];
    let punched = 0;
    let changed = 0;
    for (; trial.more(punched, holesWanted); punched++) {
      await owner.tell(`scatter ${trial.random.between(1, 1e9)}`);
      await owner.tell("verify");
      const inCommitted = trial.random.between(0, 1) === 1;
      const from = trial.random.between(0, parts.imageBytes - 1);
      const bytes = trial.random.between(1, Math.min(9000, parts.imageBytes - from));
      const offset = (inCommitted ? parts.committed : parts.working) + from;
      const before = readFileSync(path).subarray(offset, offset + bytes);
      Bun.spawnSync(["fallocate", "-p", "-o", String(offset), "-l", String(bytes), path]);
      const start = performance.now();
      const { damage } = await owner.tell<Verification>("verify");
      detect.push(performance.now() - start);
      const lost = [...before.keys()].filter((i) => before[i] !== 0);
      changed += lost.length;
      if (lost.length > 0 && !names(damage, from + lost[0]!, from + lost.at(-1)! + 1))
        trial.violate(`hole of ${bytes} bytes at ${from}: ${JSON.stringify(damage)}`);
      writeSync(fd, before, 0, bytes, offset);
    }
    closeSync(fd);
    trial.injections += punched;
    await owner.tell("close");
    detect.sort((a, b) => a - b);
    return `${amount(punched, holesWanted)} holes, ${count(changed)} bytes lost, holes not named ${trial.violationCount}; verify() p50 ${ms(detect[detect.length >> 1])}`;
  },
};

/** A place to flip a byte at, and what verify() has to call it. */
interface Target {
  readonly offset: number;
  isNamed(damage: readonly Damage[]): boolean;
}

type Part = "header" | "state words" | "redo page" | "version table" | "working image" | "committed image";

function target(trial: Trial, part: Part, parts: Parts, file: Uint8Array): Target {
  const { random } = trial;
  const isPart = (damage: readonly Damage[]) => damage.some((each) => each.part === part);
  const image = (start: number): Target => {
    const at = random.between(0, parts.imageBytes - 1);
    const isNamed = (damage: readonly Damage[]) =>
      damage.some(
        ({ part: named, offset, bytes }) =>
          named === part && offset <= at && at < offset + bytes && bytes <= parts.blockBytes,
      );
    return { offset: start + at, isNamed };
  };
  switch (part) {
    case "header":
      return { offset: random.between(0, parts.header - 1), isNamed: isPart };
    case "state words": {
      // seq, begin, phase; the lowest byte of begin has two good values, and either does no harm
      const [word, first] = (
        [
          [0, 0],
          [64, 1],
          [256, 0],
        ] as const
      )[random.between(0, 2)]!;
      return { offset: parts.hot + word + random.between(first, 3), isNamed: isPart };
    }
    case "redo page": {
      const runs = new DataView(file.buffer, file.byteOffset).getUint32(parts.redo + 8, true);
      return { offset: parts.redo + random.between(0, 15 + 8 * runs), isNamed: isPart };
    }
    case "version table":
      return { offset: parts.table + random.between(0, 8 * parts.blockCount - 1), isNamed: isPart };
    case "working image":
      return image(parts.working);
    case "committed image":
      return image(parts.committed);
  }
}

const flippedParts: readonly Part[] = [
  "header",
  "state words",
  "redo page",
  "version table",
  "working image",
  "committed image",
];
const flipsWanted = 3000;

const flips: Fault = {
  id: "F15",
  name: "flipped bytes in every part of the file",
  seconds: 5,
  async run(trial) {
    await using owner = await openOwner(trial, "flips");
    const path = trial.path("flips");
    const parts = partsOf(path);
    const fd = openSync(path, "r+");
    let tried = 0;
    let inHeader = 0;
    for (; trial.more(tried, flipsWanted) || tried < flippedParts.length; tried++) {
      const part = flippedParts[tried % flippedParts.length]!;
      const file = readFileSync(path);
      const { offset, isNamed } = target(trial, part, parts, file);
      const bit = 1 << trial.random.between(0, 7);
      writeSync(fd, Uint8Array.of(file[offset]! ^ bit), 0, 1, offset);
      const { damage } = await owner.tell<Verification>("verify");
      if (!isNamed(damage))
        trial.violate(`bit ${bit} of byte ${offset} in the ${part}: ${JSON.stringify(damage).slice(0, 200)}`);
      if (part === "header") {
        inHeader++;
        if (attaches(path)) trial.violate(`a header with byte ${offset} flipped is accepted`);
      }
      writeSync(fd, Uint8Array.of(file[offset]!), 0, 1, offset);
      if (tried % 100 === 0) {
        const { damage: rest } = await owner.tell<Verification>("verify");
        if (rest.length > 0)
          trial.violate(`damage after all is mended: ${JSON.stringify(rest).slice(0, 200)}`);
      }
    }
    closeSync(fd);
    trial.injections += tried;
    await owner.tell("close");
    const detected = tried - trial.violationCount;
    return `${amount(tried, flipsWanted)} flips in ${flippedParts.join(", ")}: ${((100 * detected) / tried).toFixed(1)} % named by part and block; ${inHeader} headers refused`;
  },
};

function attaches(path: string): boolean {
  try {
    Segment.attach(path).close();
    return true;
  } catch (error) {
    if (error instanceof MemblastError) return false;
    throw error;
  }
}

export const damage: readonly Fault[] = [holes, flips];
