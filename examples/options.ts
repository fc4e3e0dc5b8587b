/** Command lines of the examples: `util.parseArgs` splits them, zod checks them, one table gives the help text. */
import { parseArgs } from "node:util";
import { z } from "zod";

export interface Flag<T> {
  readonly schema: z.ZodType<T>;
  readonly help: string;
  /** What stands for the value in the help text; none for a flag that takes no value. */
  readonly value?: string;
}

export interface CommandLine<F extends Record<string, Flag<unknown>>> {
  readonly command: string;
  readonly about: string;
  readonly flags: F;
  /** What the arguments without a dash mean; without it there may be none. */
  readonly operand?: { readonly name: string; readonly help: string };
  readonly examples: readonly string[];
}

export type Options<F extends Record<string, Flag<unknown>>> = {
  readonly [K in keyof F]: F[K] extends Flag<infer T> ? T : never;
} & { readonly operands: readonly string[] };

/** A wrong command line: the sentence says which option, what it got and what it wants. */
export class UsageError extends Error {}

export const text = (fallback: string, help: string, value: string): Flag<string> => ({
  schema: z.string().min(1, "needs a value").default(fallback),
  help: `${help} (${fallback})`,
  value,
});

export const optionalText = (help: string, value: string): Flag<string | undefined> => ({
  schema: z.string().min(1, "needs a value").optional(),
  help,
  value,
});

export const number = (
  fallback: number,
  help: string,
  value: string,
  { min = 0, max = Number.MAX_SAFE_INTEGER, whole = true } = {},
): Flag<number> => {
  const range = max === Number.MAX_SAFE_INTEGER ? `from ${min} up` : `from ${min} to ${max}`;
  const wanted = `must be a ${whole ? "whole " : ""}number ${range}`;
  const schema = z
    .string()
    .regex(/^\d+(\.\d+)?$/, wanted)
    .transform(Number)
    .refine((n) => n >= min && n <= max && (!whole || Number.isInteger(n)), wanted)
    .default(fallback);
  return { schema, help: `${help} (${fallback})`, value };
};

export const choice = <const T extends readonly [string, ...string[]]>(
  all: T,
  help: string,
): Flag<T[number]> => ({
  schema: z
    .string()
    .pipe(z.enum(all, `must be ${all.join(" or ")}`))
    .default(all[0] as never),
  help: `${help} (${all[0]})`,
  value: all.join("|"),
});

/** Whole numbers with commas between them; as many as `value` has names, where it has several. */
export const numbers = (help: string, value: string): Flag<readonly number[] | undefined> => {
  const names = value.split(",").length;
  const wanted = `must be ${names > 1 ? `${names} ` : ""}whole numbers with commas between them`;
  const schema = z
    .string()
    .regex(/^\d+(,\d+)*$/, wanted)
    .transform((list) => list.split(",").map(Number))
    .refine((list) => (names === 1 || list.length === names) && list.every(Number.isSafeInteger), wanted)
    .optional();
  return { schema, help, value };
};

export const flag = (help: string): Flag<boolean> => ({ schema: z.boolean().default(false), help });

/** Reads `argv` by the table; throws a {@link UsageError} at the first thing that is wrong. */
export function parse<F extends Record<string, Flag<unknown>>>(
  line: CommandLine<F>,
  argv: readonly string[],
): Options<F> {
  const { values, positionals } = split(line, argv);
  const options: Record<string, unknown> = { operands: positionals };
  for (const [key, { schema }] of Object.entries(line.flags)) {
    const given = values[dashed(key)];
    const read = schema.safeParse(given);
    if (!read.success) {
      throw new UsageError(`--${dashed(key)} ${read.error.issues[0]?.message}, not ${JSON.stringify(given)}`);
    }
    options[key] = read.data;
  }
  return Object.freeze(options) as Options<F>;
}

/** Reads the command line of this process; prints help and leaves with 0 on `--help`, an error and 2 on a mistake. */
export function commandLine<F extends Record<string, Flag<unknown>>>(line: CommandLine<F>): Options<F> {
  const argv = process.argv.slice(2);
  if (argv.includes("--help") || argv.includes("-h")) {
    console.log(helpText(line));
    process.exit(0);
  }
  try {
    return parse(line, argv);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(`${line.command}: ${error.message}\nTry ${line.command} --help`);
    process.exit(2);
  }
}

export function helpText(line: CommandLine<Record<string, Flag<unknown>>>): string {
  const rows: [string, string][] = Object.entries(line.flags).map(([key, { value, help }]) => [
    `--${dashed(key)}${value ? ` ${value}` : ""}`,
    help,
  ]);
  rows.push(["--help", "shows this text"]);
  if (line.operand) rows.unshift([line.operand.name, line.operand.help]);
  const width = Math.max(...rows.map(([left]) => left.length));
  return [
    line.about,
    "",
    `usage: ${line.command}${line.operand ? ` [${line.operand.name}]` : ""} [options]`,
    ...rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`),
    "",
    "examples:",
    ...line.examples.map((example) => `  ${example}`),
  ].join("\n");
}

function split(line: CommandLine<Record<string, Flag<unknown>>>, argv: readonly string[]) {
  const options = Object.fromEntries(
    Object.entries(line.flags).map(([key, { value }]) => [
      dashed(key),
      { type: value ? ("string" as const) : ("boolean" as const) },
    ]),
  );
  try {
    return parseArgs({ args: [...argv], options, allowPositionals: line.operand !== undefined });
  } catch (error) {
    // The runtime's sentence goes on with advice about "--"; its first half is what a person needs.
    throw new UsageError(String((error as Error).message).split(/\. To specify|\. This command/)[0], {
      cause: error,
    });
  }
}

function dashed(key: string): string {
  return key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
