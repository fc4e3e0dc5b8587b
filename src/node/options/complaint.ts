import { z } from "zod";
import { fail } from "../../errors.ts";
import { nearest } from "./nearest.ts";

interface Complaint {
  readonly path: readonly PropertyKey[];
  readonly message: string;
  /** There is no such option. */
  readonly isUnknown?: boolean;
}

/** An object with these properties and no others: nothing in it may be misspelt. `form` says what it looks like. */
export function exactly<Shape extends z.core.$ZodShape>(shape: Shape, form: string) {
  return z.strictObject(shape, {
    error: (issue) =>
      issue.code === "unrecognized_keys"
        ? nearest((issue.keys as string[])[0]!, Object.keys(shape))
        : inForm(form).error(issue),
  });
}

/** What to say where something else is given than that. */
export function inForm(form: string) {
  return { error: ({ code }: { readonly code?: string }) => (code === "invalid_type" ? form : undefined) };
}

/** Throws INVALID_OPTION for the first option that is wrong: which one, and what it should be. `call` as its user writes it. */
export function refuseOptions(call: string, { issues }: z.ZodError): never {
  const { path, message, isUnknown } = innermost(first(issues));
  const where = path.length > 0 ? `option ${pathText(path)}` : "the options";
  const text = isUnknown ? `${call}: there is no ${where}${message}` : `${call}: ${where}: ${message}`;
  return fail("INVALID_OPTION", text, { path });
}

/** What is misspelt is absent too, which is not what should be said of it. */
function first(issues: readonly z.core.$ZodIssue[]): z.core.$ZodIssue {
  return issues.find(({ code }) => code === "unrecognized_keys") ?? issues[0]!;
}

function pathText(path: readonly PropertyKey[]): string {
  return path.map((key) => (key === "" ? '""' : String(key))).join(".");
}

/** Of the forms that an option may have, the one that was meant is the one that fits the farthest. */
function innermost(issue: z.core.$ZodIssue): Complaint {
  if (issue.code === "invalid_key")
    return { path: issue.path, message: issue.issues[0]?.message ?? issue.message };
  if (issue.code === "unrecognized_keys")
    return { path: [...issue.path, issue.keys[0]!], message: issue.message, isUnknown: true };
  if (issue.code !== "invalid_union") return issue;
  const forms = issue.errors.map(first).filter(isInside);
  const meant = forms.map(innermost).sort((a, b) => b.path.length - a.path.length)[0];
  return meant ? { ...meant, path: [...issue.path, ...meant.path] } : issue;
}

function isInside(issue: z.core.$ZodIssue): boolean {
  return issue.path.length > 0 || issue.code === "unrecognized_keys";
}
