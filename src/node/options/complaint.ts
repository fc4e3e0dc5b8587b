import type { z } from "zod";
import { fail } from "../../errors.ts";

interface Complaint {
  readonly path: readonly PropertyKey[];
  readonly message: string;
}

/** Throws INVALID_OPTION for the first option that is wrong: which one, and what it should be. `call` as its user writes it. */
export function refuseOptions(call: string, { issues }: z.ZodError): never {
  const { path, message } = innermost(issues[0]!);
  const where = path.length > 0 ? `option ${pathText(path)}` : "the options";
  return fail("INVALID_OPTION", `${call}: ${where}: ${message}`, { path });
}

function pathText(path: readonly PropertyKey[]): string {
  return path.map((key) => (key === "" ? '""' : String(key))).join(".");
}

/** Of the forms that an option may have, the one that was meant is the one that fits the farthest. */
function innermost(issue: z.core.$ZodIssue): Complaint {
  if (issue.code === "invalid_key")
    return { path: issue.path, message: issue.issues[0]?.message ?? issue.message };
  if (issue.code !== "invalid_union") return issue;
  const forms = issue.errors.flatMap((form) => form.slice(0, 1)).filter(isInside);
  const meant = forms.map(innermost).sort((a, b) => b.path.length - a.path.length)[0];
  return meant ? { path: [...issue.path, ...meant.path], message: meant.message } : issue;
}

function isInside(issue: z.core.$ZodIssue): boolean {
  return issue.path.length > 0 || issue.code === "unrecognized_keys";
}
