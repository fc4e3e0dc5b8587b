import { z } from "zod";
import { fail } from "../../errors.ts";
import type { CreateOptions } from "../../memory/segment.ts";

const lockTimeoutMs = z.number().min(0).max(600_000).default(2000);

/** How a node's arrays are put into memory: a part of start()'s options. */
export const sharingOptions = {
  /** Map the arrays into a named segment that other processes can attach(name). */
  share: z.boolean().default(false),
  /** Leave the segment in place when its last user goes. Needs `share`. */
  persist: z.boolean().default(false),
  /**
   * Who may write: "one" process for as long as it lives, which costs nothing; or "many", each in turn, which costs the lock at every
   * write and a copy of the image in every process that reads. Laid down in the segment. Needs `share`.
   */
  writers: z.enum(["one", "many"]).default("one"),
  /** With many writers, how long a write waits for its turn before it is LOCKED. The thread waits. Milliseconds. */
  lockTimeoutMs,
  /** What to do where another process has the name: EXISTS, or attach: to read, or with many writers to write too. Needs `share`. */
  ifExists: z.enum(["fail", "attach"]).default("fail"),
  /** Allow file systems on which shared mappings or locks are not known to work. */
  unsafeFilesystem: z.boolean().default(false),
};

const sharing = z.object(sharingOptions);

/** Where the arrays go; null: private memory. */
export type SharingConfig = Readonly<Required<CreateOptions>> | null;

/** INVALID_OPTION for what needs `share` and has none. */
export function parseSharing(options: z.output<typeof sharing>): SharingConfig {
  const { share, persist, writers, lockTimeoutMs, ifExists, unsafeFilesystem } = options;
  if (share) return Object.freeze({ persist, writers, lockTimeoutMs, ifExists, unsafeFilesystem });
  const lone = persist
    ? "persist"
    : writers === "many"
      ? "writers"
      : ifExists === "attach"
        ? "ifExists"
        : null;
  if (lone) fail("INVALID_OPTION", `start(): ${lone} needs share: true`, { path: [lone] });
  return null;
}
