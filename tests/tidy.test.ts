import { expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, statSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { rules } from "../src/browser/options.ts";
import { errorCodes } from "../src/errors.ts";
import { noDoor } from "../src/node/doors/counters.ts";
import { attachOptions } from "../src/node/options/attaching.ts";
import { startOptions } from "../src/node/options/options.ts";

setDefaultTimeout(30_000);

const root = join(import.meta.dir, "..");

/** Files of the project, relative to its root. */
function files(pattern: string): string[] {
  return [...new Bun.Glob(pattern).scanSync({ cwd: root })].filter((file) => !file.includes("node_modules"));
}

function text(file: string): string {
  return readFileSync(join(root, file), "utf8");
}

/** Each layer may import from itself and from those of a lower rank. */
const ranks: Record<string, number> = {
  errors: 0,
  memory: 1,
  array: 2,
  delta: 3,
  integrity: 3,
  protocol: 4,
  transport: 5,
  "node/runtime": 6,
  "node/options": 7,
  "node/storage": 8,
  "node/publishing": 9,
  "node/following": 9,
  "node/doors": 10,
  node: 11,
  duckdb: 12,
  onnx: 12,
  browser: 12,
  index: 13,
};

/** These know bytes and numbers only, so that they run in a browser and in a simulation. */
const pureLayers = ["array", "delta", "integrity", "protocol"];
const pureFiles = ["src/transport/loopback.ts", "src/transport/address.ts", "src/transport/link.ts"];

/** The longest path of folders that has a rank. */
function layerOf(file: string): string {
  const path = file.replace(/^src\//, "").replace(/\.ts$/, "");
  const layers = Object.keys(ranks).filter((layer) => path === layer || path.startsWith(`${layer}/`));
  return layers.sort((a, b) => b.length - a.length)[0] ?? path;
}

/** What a source file imports; relative paths as files of the project. */
function importsOf(file: string, kind: "all" | "values" = "all"): string[] {
  const code = kind === "all" ? text(file) : text(file).replace(/^(import|export) type [^;]+;$/gm, "");
  const found = code.matchAll(/(?:from|import)\s*\(?\s*"([^"]+)"/g);
  return [...found].map(([, target]) =>
    target!.startsWith(".") ? relative(root, join(root, dirname(file), target!)) : target!,
  );
}

const sources = files("src/**/*.ts").filter((file) => !file.endsWith(".d.ts"));

function isSource(file: string): boolean {
  return file.startsWith("src/");
}

test("imports point down", () => {
  const wrong = sources.flatMap((file) =>
    importsOf(file)
      .filter(isSource)
      .filter((target) => {
        const [from, to] = [ranks[layerOf(file)], ranks[layerOf(target)]];
        expect(from, `${file} is in no layer`).toBeDefined();
        return layerOf(file) !== layerOf(target) && to! >= from!;
      })
      .map((target) => `${file} -> ${target}`),
  );
  expect(wrong).toEqual([]);
});

test("no circle of imports, types apart", () => {
  const imports = new Map(sources.map((file) => [file, importsOf(file, "values").filter(isSource)]));
  const done = new Set<string>();
  const circles: string[] = [];
  const visit = (file: string, path: readonly string[]): void => {
    if (path.includes(file)) circles.push([...path.slice(path.indexOf(file)), file].join(" -> "));
    if (path.includes(file) || done.has(file)) return;
    for (const target of imports.get(file)!) visit(target, [...path, file]);
    done.add(file);
  };
  for (const file of sources) visit(file, []);
  expect(circles).toEqual([]);
});

test("pure layers know neither Bun nor node", () => {
  const wrong = sources
    .filter((file) => pureLayers.includes(layerOf(file)) || pureFiles.includes(file))
    .filter((file) => {
      const outside = importsOf(file).some((target) => /^(bun|node):|^bun$/.test(target));
      return outside || /\b(Bun|process|Buffer)\./.test(text(file).replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, ""));
    });
  expect(wrong).toEqual([]);
});

test("bun:ffi is imported in one file", () => {
  const users = sources.filter((file) => importsOf(file).includes("bun:ffi"));
  expect(users).toEqual(["src/memory/library.ts"]);
});

test("no file swallows the rest", () => {
  const code = [...sources, ...files("ffi/*.[ch]"), ...files("examples/**/*.ts")].map(
    (file) => [file, 400] as const,
  );
  const tests = files("tests/**/*.ts").map((file) => [file, 500] as const);
  const long = [...code, ...tests].filter(([file, linesMax]) => text(file).split("\n").length - 1 > linesMax);
  expect(long).toEqual([]);
});

test("nothing is left to be fixed, and nothing decompresses without a limit", () => {
  const code = [...sources, ...files("ffi/*.{c,h,ts}"), ...files("examples/**/*.ts")];
  const marks = new RegExp(["FIX" + "ME", "TO" + "DO", "XX" + "X"].join("|"));
  expect(code.filter((file) => marks.test(text(file)))).toEqual([]);
  expect(sources.filter((file) => /Bun\.(gunzipSync|inflateSync|zstdDecompress)/.test(text(file)))).toEqual(
    [],
  );
});

test("the architecture note has a line for every file of the library", () => {
  const note = text("docs/architecture.md");
  const absent = [...sources, ...files("ffi/*.{c,h,ts}")].filter(
    (file) => !new RegExp(`(^|[\\s\`])${file.split("/").at(-1)!.replaceAll(".", "\\.")}\\b`, "m").test(note),
  );
  expect(absent).toEqual([]);
});

test("every error code has a heading, and every heading is a code", () => {
  const headings = [...text("docs/errors.md").matchAll(/^### `(\w+)`/gm)].map(([, code]) => code!);
  expect(headings.toSorted()).toEqual([...errorCodes].toSorted());
});

/** Fields of an interface, as its source names them. */
function fieldsOf(file: string, name: string): string[] {
  const [, body] = text(file).match(new RegExp(`interface ${name} \\{\\n([\\s\\S]*?)^\\}`, "m")) ?? [];
  return [...body!.matchAll(/^ {2}(?:readonly )?(\w+)\??:/gm)].map(([, field]) => field!);
}

/** What the first column of the tables under a heading names, those under smaller headings included. */
function rowsUnder(heading: string): string[] {
  const page = text("docs/options.md");
  const level = heading.match(/^#+/)![0].length;
  const [, section] = page.split(`\n${heading}`);
  const [own] = section!.split(new RegExp(`^#{1,${level}} `, "m"));
  const cells = [...own!.matchAll(/^\| ([^|]+)\|/gm)].map(([, cell]) => cell!);
  return cells.flatMap((cell) => [...cell.matchAll(/`(\w+)[^`]*`/g)].map(([, name]) => name!));
}

test.each<[heading: string, names: () => string[]]>([
  ["## `start(", () => Object.keys(startOptions.shape)],
  ["### `tls`", () => fieldsOf("src/transport/tls.ts", "TlsOptions")],
  ["## `attach(", () => Object.keys(attachOptions.shape)],
  ["## `node.close(", () => fieldsOf("src/node/options/closing.ts", "CloseOptions")],
  ["## `list(", () => fieldsOf("src/memory/listing.ts", "SegmentInfo")],
  ["## `list(", () => fieldsOf("src/memory/listing.ts", "CleanOptions")],
  ["## `connect(", () => Object.keys(rules)],
  ["## Events", () => fieldsOf("src/node/runtime/events.ts", "NodeEvents")],
  ["## `node.stats()`", () => fieldsOf("src/node/stats.ts", "NodeStats")],
  ["### `links`", () => fieldsOf("src/node/stats.ts", "LinkStats")],
  ["### `door`", () => Object.keys(noDoor)],
  ["## `client.stats()`", () => fieldsOf("src/browser/client.ts", "ClientStats")],
])("the tables of options.md name all that there is: %s", (heading, names) => {
  expect(names().length).toBeGreaterThan(0);
  expect(rowsUnder(heading)).toEqual(expect.arrayContaining(names()));
});

test("what package.json exports exists", () => {
  const { exports } = JSON.parse(text("package.json")) as { exports: Record<string, string> };
  for (const target of Object.values(exports)) expect(statSync(join(root, target)).isFile()).toBe(true);
});
