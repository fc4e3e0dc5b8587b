/** Whether the models still are models of the C sources: the same stores, fences and calls in the same functions, in the same order. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

const ffi = join(import.meta.dir, "../../ffi");

/** Functions that commit_relacy.cpp repeats operation by operation. */
export const fencedFunctions = {
  "commit.c": [
    "commit_copy",
    "commit_finish",
    "mb_begin",
    "mb_commit",
    "rollback_runs",
    "mb_rollback",
    "recover_forward",
    "recover_back",
    "mb_recover",
  ],
  "read.c": ["read_open", "read_past", "read_valid"],
} as const;

const words = "seq|begin|notify|phase";
const calls = [
  "mb_stamp",
  "redo_fill",
  "mb_redo_valid",
  "mb_collect_touched",
  "mb_collect_all",
  "commit_copy",
  "commit_wake",
  "commit_finish",
  "rollback_runs",
  "recover_forward",
  "recover_back",
].join("|");

function withoutComments(source: string): string {
  return source.replace(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, "");
}

/** The text between the braces of the definition that `head` finds. */
function bodyOf(source: string, head: RegExp): string | null {
  const found = head.exec(source);
  if (!found) return null;
  const open = source.indexOf("{", found.index + found[0].length - 1);
  let depth = 0;
  for (let i = open; i < source.length; i++) {
    if (source[i] === "{") depth++;
    if (source[i] === "}" && --depth === 0) return source.slice(open + 1, i);
  }
  return null;
}

function definition(name: string): RegExp {
  return new RegExp(`^[ \\t]*(?:MB_EXPORT )?[a-z][\\w \\t*]*[ *]${name}\\([^;{}]*\\)\\s*\\{`, "m");
}

function operationsIn(body: string, pattern: RegExp, name: (match: RegExpExecArray) => string): string[] {
  return [...body.matchAll(pattern)].map((match) => name(match as RegExpExecArray));
}

const cPattern = new RegExp(
  `mb_(load|store)(?:32)?_(acquire|release|relaxed)\\(&s->hot->(${words})\\b|mb_fence_(acquire|release)|(MB_POINT)` +
    `|memcpy\\(s->(working|committed)\\b|\\b(${calls})\\(`,
  "g",
);
const relacyPattern = new RegExp(
  `mb_(load|store)_(acquire|release|relaxed)\\((${words})\\b|mb_fence_(acquire|release)|(MB_POINT)` +
    `|mb_store_relaxed\\((working|committed)\\[|\\b(${calls})\\(`,
  "g",
);

/** Relaxed loads order nothing and are left out. */
function operations(body: string, pattern: RegExp): string[] {
  return operationsIn(body, pattern, ([, verb, order, word, fence, point, image, call]) => {
    if (verb) return `${verb} ${word} ${order}`;
    if (fence) return `fence ${fence}`;
    return point ?? (image ? `write ${image}` : `${call}()`);
  }).filter((operation) => !/^load \w+ relaxed$/.test(operation));
}

function read(path: string): string {
  return withoutComments(readFileSync(path, "utf8"));
}

export interface Pair {
  readonly name: string;
  readonly c: readonly string[] | null;
  readonly model: readonly string[] | null;
}

/** What each fenced function does, in C and in commit_relacy.cpp. */
export function fencedPairs(): Pair[] {
  const relacy = read(join(import.meta.dir, "commit_relacy.cpp"));
  return Object.entries(fencedFunctions).flatMap(([file, names]) => {
    const source = read(join(ffi, file));
    return names.map((name) => {
      const [c, model] = [bodyOf(source, definition(name)), bodyOf(relacy, definition(name))];
      return {
        name,
        c: c ? operations(c, cPattern) : null,
        model: model ? operations(model, relacyPattern) : null,
      };
    });
  });
}

const spinPattern = new RegExp(
  `\\b(seq|begin|notify|dirty|working|committed)(?:\\[\\w+\\])?\\s*(?:=(?!=)|\\+\\+)|\\b(${calls})\\(`,
  "g",
);

/** What is left of an operation where order is not the matter, each once where it stands several times in a row. */
function plain(operation: string): string | null {
  if (/^(fence|load)|^MB_POINT$|^mb_redo_valid/.test(operation)) return null;
  return operation.replace(/^store (\w+) .*/, "write $1");
}

function squeezed(list: readonly (string | null)[]): string[] {
  return list.filter((item) => item !== null).filter((item, i, all) => item !== all[i - 1]);
}

/** What each function does, in C and in commit.pml, from which nothing is removed. Marking dirty and clean is writing phase. */
export function stepPairs(): Pair[] {
  const path = join(import.meta.dir, "commit.pml");
  const expanded = Bun.spawnSync(["cpp", "-P", "-DREADS_BELL", path]).stdout.toString();
  return fencedPairs()
    .filter(({ name }) => !name.startsWith("read_"))
    .map(({ name, c }) => {
      const body = bodyOf(expanded, new RegExp(`^inline ${name}\\([^)]*\\)\\s*\\{`, "m"));
      const steps = !body
        ? null
        : operationsIn(body, spinPattern, ([, word, call]) =>
            call ? `${call}()` : `write ${word === "dirty" ? "phase" : word}`,
          );
      return { name, c: c && squeezed(c.map(plain)), model: steps && squeezed(steps) };
    });
}

/** Fences in files and functions of the protocol that no model has. */
export function unknownFences(): string[] {
  const known = new Set<string>(Object.values(fencedFunctions).flat());
  return ["commit.c", "read.c", "table.c", "diff.c", "verify.c"].flatMap((file) => {
    const source = read(join(ffi, file));
    return [...source.matchAll(/^[ \t]*(?:MB_EXPORT )?[a-z][\w \t*]*[ *](\w+)\([^;{}]*\)\s*\{/gm)]
      .map((match) => match[1]!)
      .filter((name) => !known.has(name) && /mb_fence_/.test(bodyOf(source, definition(name)) ?? ""))
      .map((name) => `${file}: ${name}`);
  });
}
