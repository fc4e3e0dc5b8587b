/** F03, F20: every system call of an operation fails once, or is the last one. */
import { existsSync, readdirSync, rmSync } from "node:fs";
import { drive, driverCommand, readReport } from "./driver.ts";
import type { Fault, Trial } from "./fault.ts";
import { bunChild, type Ended, howItEnded } from "./programs.ts";
import { type Call, failEach, killAtEach, type Marks, releasing, trace } from "./strace.ts";

const operations = ["create", "attach", "commit", "recover", "lock", "turn", "bell"] as const;
/** Calls of children/calls.c that nothing else makes. */
const driverMarks: Marks = { start: /getpgid\(1835139073\)/, end: /getpgid\(1835139074\)/ };

/** Brings the file into the state that `operation` starts from. */
async function prepare(trial: Trial, operation: string): Promise<void> {
  await drive(trial, `prepare-${operation}`);
}

/** Afterwards the segment recovers and is whole. */
async function check(trial: Trial, operation: string, what: string): Promise<void> {
  const before = trial.violationCount;
  await drive(trial, `check-${operation}`);
  if (trial.violationCount > before) trial.violate(`... after ${operation}: ${what}`);
}

/** The calls of one operation, by a run in which nothing fails. */
async function callsOf(trial: Trial, operation: string): Promise<readonly Call[]> {
  await prepare(trial, operation);
  const { calls, ended } = await trace(
    trial,
    driverCommand(trial, `call-${operation}`, trial.path("driver")),
    driverMarks,
  );
  if (calls.length === 0) throw new Error(`strace sees no calls of ${operation}: ${howItEnded(ended)}`);
  return shuffled(trial, calls);
}

/** In any order: where the time is too short for all, others come first with another seed. */
function shuffled<T>(trial: Trial, list: readonly T[]): T[] {
  const result = [...list];
  for (let i = result.length - 1; i > 0; i--) {
    const j = trial.random.between(0, i);
    [result[i], result[j]] = [result[j]!, result[i]!];
  }
  return result;
}

function judgeCall(trial: Trial, operation: string, call: Call, what: string, ended: Ended): void {
  const complain = (text: string) => trial.violate(`${operation}: ${what}: ${text}`);
  if (ended.status !== 0) return complain(`the process ${howItEnded(ended)}`);
  const { figures } = readReport(trial, ended.stdout);
  const { result = Number.NaN, descriptors, mappings } = figures;
  if (!(result <= 0)) complain(`the result is ${result}`);
  if (releasing.has(call.name)) return;
  if (descriptors !== 0) complain(`${descriptors} descriptors leak`);
  if (mappings !== 0) complain(`${mappings} mappings leak`);
  if (operation === "create" && result < 0 && existsSync(trial.path("driver")))
    complain("it failed, and left a file");
}

/** Every call in C, with every error that it can give. Returns how many calls that were. */
async function failInC(trial: Trial): Promise<number> {
  const tried = new Set<string>();
  for (const operation of operations) {
    if (!trial.more(tried.size, 1e6)) break;
    const calls = await callsOf(trial, operation);
    const command = driverCommand(trial, `call-${operation}`, trial.path("driver"));
    await prepare(trial, operation);
    for await (const { call, what, ended } of failEach(trial, calls, command)) {
      judgeCall(trial, operation, call, what, ended);
      tried.add(`${operation} ${call.name} ${call.nth}`);
      await check(trial, operation, what);
      trial.injections++;
      if (trial.secondsLeft < 0) break;
      await prepare(trial, operation);
    }
  }
  return tried.size;
}

const bunOperations = ["create", "attach", "write"] as const;

/** What children/operate.ts prints. */
interface Operated {
  readonly first: string;
  readonly second: string;
  readonly descriptors: number;
  readonly mappings: number;
}

function judgeBun(trial: Trial, call: Call, what: string, ended: Ended): void {
  if (ended.status !== 0) return trial.violate(`${what}: the process ${howItEnded(ended)}`);
  const { first, second, descriptors, mappings } = JSON.parse(ended.stdout) as Operated;
  if (first.startsWith("unnamed")) trial.violate(`${what}: ${first}`);
  if (second !== "ok" && !releasing.has(call.name)) trial.violate(`${what}: the next try gives ${second}`);
  if (releasing.has(call.name)) return;
  if (descriptors > 0) trial.violate(`${what}: ${descriptors} descriptors leak`);
  if (mappings > 0) trial.violate(`${what}: ${mappings} mappings leak`);
}

/** The calls of Bun on the segment's own files: openat, fcntl, fstat, linkat, unlink and the like. */
async function failInBun(trial: Trial): Promise<number> {
  const tried = new Set<string>();
  const name = trial.path("bun");
  const paths = [name, `${name}.lock`, trial.folder, trial.path("mark-1"), trial.path("mark-2")];
  for (const operation of bunOperations) {
    if (!trial.more(tried.size, 1e6)) break;
    const command = bunChild("operate", operation, name);
    const { calls, ended } = await trace(trial, command, { start: /mark-1/, end: /mark-2/ }, paths);
    if (calls.length === 0)
      throw new Error(`strace sees no calls of ${operation} in Bun: ${howItEnded(ended)}`);
    for await (const { call, what, ended: end } of failEach(trial, shuffled(trial, calls), command, paths)) {
      judgeBun(trial, call, `Bun, ${operation}: ${what}`, end);
      tried.add(`${operation} ${call.name} ${call.nth}`);
      trial.injections++;
      const left = readdirSync(trial.folder).filter((file) => file.startsWith("bun"));
      if (left.length > 0 && !releasing.has(call.name))
        trial.violate(`Bun, ${operation}: ${what}: ${left.join(" ")} left`);
      for (const file of left) rmSync(trial.path(file));
      if (trial.secondsLeft < 0) break;
    }
  }
  return tried.size;
}

const failed: Fault = {
  id: "F20",
  name: "every system call of attach and commit fails once",
  seconds: 35,
  needs: ["compiler", "strace"],
  async run(trial) {
    const inC = await trial.part(0.6, () => failInC(trial));
    const inBun = await failInBun(trial);
    return `${inC} calls of ${operations.join(", ")} in C, ${inBun} of Bun on its files, each with the errors it can give; leaks ${trial.violationCount}`;
  },
};

const killed: Fault = {
  id: "F03",
  name: "kill -9 at every system call",
  seconds: 6,
  needs: ["compiler", "strace"],
  async run(trial) {
    for (const operation of ["create", "commit", "recover", "turn"]) {
      if (!trial.more(trial.injections, 1e6)) break;
      const calls = await callsOf(trial, operation);
      const command = driverCommand(trial, `call-${operation}`, trial.path("driver"));
      await prepare(trial, operation);
      for await (const { what, ended } of killAtEach(trial, calls, command)) {
        if (ended.signal !== "SIGKILL" && ended.status !== 137)
          trial.violate(`${operation}: ${what}: it ${howItEnded(ended)}`);
        await check(trial, operation, what);
        trial.injections++;
        if (trial.secondsLeft < 0) break;
        await prepare(trial, operation);
      }
    }
    return `${trial.injections} calls of create, commit, recover and a turn; the file whole or not there, and recovered, after each`;
  },
};

export const syscalls: readonly Fault[] = [killed, failed];
