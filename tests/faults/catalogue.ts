import { hugeness } from "./bombs.ts";
import { contentions } from "./contention.ts";
import { crowds } from "./crowds.ts";
import { damage } from "./damage.ts";
import type { Fault } from "./fault.ts";
import { files } from "./files.ts";
import { hostile } from "./hostile.ts";
import { kills } from "./kills.ts";
import { links } from "./links.ts";
import { locks } from "./locks.ts";
import { races } from "./races.ts";
import { probes } from "./probes.ts";
import { changes } from "./restarts.ts";
import { silences } from "./silences.ts";
import { longRuns } from "./soak.ts";
import { space } from "./space.ts";
import { stops } from "./stops.ts";
import { syscalls } from "./syscalls.ts";

/** Every row, by number. A family of faults is a file that exports its rows; it joins the catalogue here. */
export const catalogue: readonly Fault[] = [
  ...kills,
  ...stops,
  ...locks,
  ...contentions,
  ...files,
  ...damage,
  ...hostile,
  ...space,
  ...syscalls,
  ...races,
  ...links,
  ...silences,
  ...crowds,
  ...hugeness,
  ...changes,
  ...longRuns,
  ...probes,
].sort((a, b) => a.id.localeCompare(b.id));
