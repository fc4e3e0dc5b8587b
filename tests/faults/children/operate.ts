// One operation twice, of which strace may have a call of the first fail. Prints what came of both, and what is still open.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { MemblastError } from "../../../src/errors.ts";
import { Segment } from "../../../src/memory/segment.ts";

const [operation, path] = process.argv.slice(2) as [string, string];
const folder = dirname(path);
const spec = { schemaText: "{}", imageBytes: 8192, metaOffset: 0 };
const descriptors = () => readdirSync("/proc/self/fd").length;
const mappings = () => readFileSync("/proc/self/maps", "utf8").split(path).length - 1;
const mark = (n: number) => existsSync(join(folder, `mark-${n}`));

function write(segment: Segment): void {
  const image = new Uint8Array(segment.buffer("working", 0, spec.imageBytes));
  segment.begin();
  image[0]! += 1;
  segment.touch(0, 1);
  segment.commit();
  segment.ring();
}

const operations: Record<string, () => void> = {
  create() {
    const segment = Segment.create(path, spec);
    try {
      write(segment);
    } finally {
      segment.close();
    }
  },
  attach() {
    const segment = Segment.attach(path);
    try {
      segment.snapshot(new Uint8Array(spec.imageBytes));
    } finally {
      segment.close();
    }
  },
  write() {
    const segment = Segment.attach(path, { mode: "rw" });
    try {
      write(segment);
    } finally {
      segment.close();
    }
  },
};

function attempt(): string {
  try {
    operations[operation]!();
    return "ok";
  } catch (error) {
    return error instanceof MemblastError ? error.code : `unnamed ${error}`;
  }
}

// somebody else has it open, or it would vanish with each close
const other = operation === "create" ? null : Segment.create(path, spec);
if (operation === "write") {
  other!.close();
  Segment.create(path, spec, { persist: true }).close();
}
const before = [descriptors(), mappings()] as const;
mark(1);
const first = attempt();
mark(2);
const second = attempt();
const after = [descriptors() - before[0], mappings() - before[1]] as const;
other?.close();
if (operation === "write")
  for (const file of [path, `${path}.lock`]) (await import("node:fs")).rmSync(file, { force: true });
console.log(JSON.stringify({ first, second, descriptors: after[0], mappings: after[1] }));
