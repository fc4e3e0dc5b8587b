import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { findCompiler } from "../../ffi/build.ts";
import { catalogue } from "./catalogue.ts";
import { compileDriver, drive, driverPath } from "./driver.ts";
import { reasonToSkip, Trial } from "./fault.ts";
import { hazards, tableOf } from "./hazards.ts";
import { Session } from "./session.ts";

setDefaultTimeout(30_000);

const seed = Number(process.env["SEED"] ?? 20_261_123);
const ffi = join(import.meta.dir, "../../ffi");
const session = new Session(seed);
afterAll(() => session[Symbol.dispose]());

/** What each row gets here; `bun run faults` has the full amounts. */
const secondsEach = 0.25;
const patienceMs = 120_000;

test("the catalogue has F01 to F44, each once and in order", () => {
  const ids = catalogue.map(({ id }) => id);
  const wanted = Array.from({ length: 44 }, (_, i) => `F${String(i + 1).padStart(2, "0")}`);
  expect(ids.slice(0, 44)).toEqual(wanted);
  expect(ids).toEqual([...new Set(ids)].sort());
});

test("the table has N1 to N29, each with who measures it, or why nobody does", () => {
  expect(hazards.map(({ id }) => id)).toEqual(Array.from({ length: 29 }, (_, i) => `N${i + 1}`));
  for (const { id, row, tests, unmeasured } of hazards) {
    expect(row ?? tests ?? unmeasured, id).toBeDefined();
    if (row) expect(catalogue.some((fault) => fault.id === row)).toBe(true);
    for (const file of tests?.match(/tests\/[\w/]+\.ts/g) ?? [])
      expect(existsSync(join(import.meta.dir, "../..", file)), file).toBe(true);
  }
});

test("a hazard is reached where everything measured says so, and nothing less", () => {
  const verdictOf = (...met: (boolean | null)[]) => {
    const measures = met.map((each) => ({ hazard: "N25", text: "", met: each }));
    return tableOf([{ id: "F31", measures }]).find(({ hazard }) => hazard.id === "N25")!.verdict;
  };
  expect([verdictOf(), verdictOf(true), verdictOf(true, null), verdictOf(null, false)]).toEqual([
    "not tried",
    "reached",
    "in part",
    "not reached",
  ]);
});

describe(`a little of every fault (SEED=${seed})`, () => {
  if (findCompiler()) driverPath(); // not on the first row's time
  for (const fault of catalogue) {
    const reason = reasonToSkip(fault);
    const title = `${fault.id} ${fault.name}`;
    if (reason) console.warn(`${title}: skipped: ${reason}`);
    test.skipIf(reason !== null)(
      title,
      async () => {
        const result = await session.run(fault, fault.briefly ?? secondsEach);
        expect(result.messages).toEqual([]);
        expect(result.violations).toBe(0);
        expect(result.injections).toBeGreaterThan(0);
      },
      patienceMs,
    );
  }
});

/** Steps of the protocol: the file, the statement, what stands in its place, and the command that must notice. */
const steps = [
  ["commit.c", "  mb_store32_release(&s->hot->phase, MB_DIRTY);", "", "points"],
  ["commit.c", "  mb_stamp(s, run, version);", "", "points"],
  ["read.c", "  return mb_load_relaxed(&s->hot->seq) == latch->seq;", "return true;", "kills"],
] as const;

describe.skipIf(!findCompiler())("the oracle", () => {
  const folder = join(session.folder, "mutants");
  const executable = join(folder, "driver");

  /** A driver in which the environment can leave out any one step. */
  function compile(): void {
    cpSync(ffi, folder, { recursive: true, filter: (name) => !name.endsWith("/build") });
    for (const [i, [file, statement, instead]] of steps.entries()) {
      const source = readFileSync(join(folder, file), "utf8");
      expect(source).toContain(statement);
      const left = `  if (getenv("WITHOUT_${i}")) { ${instead} } else`;
      writeFileSync(join(folder, file), source.replace(statement, left + statement));
    }
    compileDriver(folder, executable, "-O1");
  }

  async function violationsWithout(step: number | null, command: string, tries = 0): Promise<number> {
    if (!existsSync(executable)) compile();
    const trial = new Trial(join(folder, `trial-${step}-${tries}`), seed + tries, 2);
    const env = step === null ? {} : { [`WITHOUT_${step}`]: "1" };
    await drive(trial, command, { executable, amount: 200, env });
    return trial.violationCount;
  }

  test(
    "finds nothing wrong with the whole library",
    async () => {
      expect(await violationsWithout(null, "points")).toBe(0);
    },
    patienceMs,
  );

  for (const [i, [, statement, , command]] of steps.entries())
    test(`notices a library without "${statement.trim()}"`, async () => {
      // What two processes do to each other is a matter of moments: on a loaded machine one try may miss it.
      let found = 0;
      for (let tries = 0; tries < 20 && found === 0; tries++)
        found = await violationsWithout(i, command, tries);
      expect(found).toBeGreaterThan(0);
    });
});
