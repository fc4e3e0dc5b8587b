/** What is run: every model whole, and every model without one of its steps, orders, checks or fences. */

export type Reader = "snapshot" | "mending" | "changes" | "verify" | "bell";

export interface Case {
  readonly tool: "spin" | "relacy";
  readonly reader: Reader;
  /** What is taken away; null: nothing, and then no fault may be found. */
  readonly removed: string | null;
  readonly about: string;
  /** Macros of commit.pml, or takeover and switches of commit_relacy.cpp. */
  readonly bounds: Readonly<Record<string, number>>;
  /** Also in the short form that `bun test` runs. */
  readonly quick: boolean;
}

type Row = readonly [removed: string, reader: Reader, about: string, bounds?: Record<string, number>];

const relacySwitches = 2;
const bellIterations = 200_000;

/** Steps, orders and checks that Spin must miss. */
const spinRows: readonly Row[] = [
  ["LOCK", "snapshot", "two writers at a time"],
  ["BEGIN", "snapshot", "mb_begin: begin is not raised"],
  ["DIRTY", "snapshot", "mb_begin: phase is not set"],
  ["ORDER_DIRTY_WRITE", "snapshot", "mb_begin: phase is set after the first write to working"],
  ["ODD", "snapshot", "mb_commit: seq stays even during the copy"],
  ["ROLLBACK", "snapshot", "mb_rollback: working stays as it is"],
  ["ORDER_ROLLBACK_CLEAN", "snapshot", "rollback_runs: clean before working is restored"],
  ["FORWARD", "snapshot", "mb_recover: an odd seq is left"],
  ["BACK", "snapshot", "mb_recover: a dirty phase is left"],
  ["SEQ_CHECK", "snapshot", "read_valid: seq is not looked at again"],
  ["BEGIN_CHECK", "snapshot", "read_valid: begin is not looked at"],
  ["PAST_ODD", "snapshot", "read_past: turns away at an even seq"],
  ["PAST_EQUAL", "snapshot", "read_past: turns away where begin has come to seq"],
  ["ODD_READ", "snapshot", "read_open: waits for an even seq, as a plain seqlock does"],
  ["MEND_EVEN", "mending", "read_mending: mends from working too"],
  ["BASED_RESET", "mending", "read_mending: mends a copy of working", { READS: 3 }],
  ["SINCE_BEFORE", "mending", "read_mending: mends from the version after the pass"],
  ["STAMP", "changes", "mb_stamp: no block is stamped"],
  ["STAMP_MAX", "changes", "mb_stamp: the level above is not"],
  ["RECOVER_STAMP", "changes", "recover_forward: copies and does not stamp"],
  [
    "REDO",
    "changes",
    "recover_forward: by diff, where blocks are copied before they are stamped",
    { ORDER: 1 },
  ],
  ["REDO_READ", "changes", "mb_changed_since: no redo page at an odd seq"],
  ["REDO_SINCE", "changes", "read_redo: takes the page of a version that the caller has"],
  ["REDO_CRC", "changes", "mb_redo_valid: takes a page of rubbish", { SPOILS: 1 }],
  ["REDO_SEQ", "changes", "mb_redo_valid: takes the page of the commit before", { SPOILS: 1 }],
  ["ORDER_REDO_ODD", "changes", "mb_commit: the redo page after seq is odd"],
  ["PAST_EQUAL", "changes", "read_past: turns away where begin has come to seq"],
  ["SEQ_CHECK", "changes", "read_valid: seq is not looked at again"],
  ["BEGIN_CHECK", "changes", "read_valid: begin is not looked at"],
  ["ORDER_STAMP_COPY", "verify", "commit_copy: copies before it stamps"],
  ["NOTIFY_BACK", "bell", "recover_back: does not count the bell up"],
  ["WAKE_RECOVER", "bell", "mb_segment_recover: wakes nobody where all was clean"],
  ["SEEN_FIRST", "bell", "mb_doorbell_open: looks at the version before the bell"],
  ["FUTEX_COMPARE", "bell", "doorbell_run: sleeps without a look at the bell"],
];

/** Fences and orders that Relacy must miss. */
const relacyRows: readonly Row[] = [
  ["FENCE_BEGIN", "snapshot", "mb_begin: between begin and the writes to working"],
  ["RELEASE_ODD", "snapshot", "mb_commit: seq odd after working"],
  ["RELEASE_EVEN", "snapshot", "commit_finish: seq even after committed"],
  ["ACQUIRE_OPEN", "snapshot", "read_open: seq before the bytes"],
  ["FENCE_VALID", "snapshot", "read_valid: the bytes before begin and seq"],
  ["FENCE_FINISH", "changes", "commit_finish: seq odd before the stamps, whoever made it odd"],
  ["FENCE_STAMP", "verify", "commit_copy: the stamp before the bytes"],
  ["ACQUIRE_VERIFY", "verify", "verify_still: seq before the bytes"],
  ["FENCE_VERIFY", "verify", "verify_still: the bytes before the second look at the stamp"],
  ["RELEASE_NOTIFY", "bell", "commit_finish, recover_back: the version before the bell", { takeover: 1 }],
  ["ACQUIRE_NOTIFY", "bell", "doorbell_run: the bell before the version"],
];

const spinWhole: readonly (readonly [Reader, string, Record<string, number>])[] = [
  ["snapshot", "every copy is one committed version, and a dead writer stops nobody", { CRASHES: 2 }],
  ["mending", "so is every copy that was mended", { READS: 3 }],
  ["changes", "no delta is lost, and none is too large but where a writer goes on, after a recovery too", {}],
  ["changes", "no delta is lost where the redo page is", { SPOILS: 1, WRITERS: 1 }],
  ["verify", "a block is still while its stamp is", { CRASHES: 2 }],
  ["bell", "nobody sleeps over a version", { CRASHES: 2 }],
];

const relacyReaders: readonly Reader[] = ["snapshot", "mending", "changes", "verify", "bell"];

const quickSpin = new Set(["BEGIN", "REDO_READ", "NOTIFY_BACK"]);
const quickWhole = new Set<Reader>(["changes", "bell"]);

function spinCases(deep: boolean): Case[] {
  const base = { WRITERS: 2, TRANSACTIONS: 2, CRASHES: 1, READS: 2 };
  const deeper = deep ? { TRANSACTIONS: 3, CRASHES: 2, READS: 3 } : {};
  return [
    ...spinWhole.map(([reader, about, bounds]): Case => {
      const quick = !bounds["SPOILS"] && quickWhole.has(reader);
      const spoilt = bounds["SPOILS"] ? { TRANSACTIONS: 2 } : {};
      return {
        tool: "spin",
        reader,
        removed: null,
        about,
        quick,
        bounds: { ...base, ...bounds, ...deeper, ...spoilt },
      };
    }),
    ...spinRows.map(([removed, reader, about, bounds]): Case => {
      return {
        tool: "spin",
        reader,
        removed,
        about,
        quick: quickSpin.has(removed),
        bounds: { ...base, ...bounds },
      };
    }),
  ];
}

function relacyCases(deep: boolean): Case[] {
  const base = { switches: 1, iterations: bellIterations };
  const about = ["one writer", "a second writer takes over"];
  const whole = relacyReaders.flatMap((reader) =>
    [0, 1].map((takeover): Case => {
      const switches = deep ? relacySwitches : 1;
      const bounds = { ...base, takeover, switches };
      const quick = takeover === 1 || reader === "snapshot";
      return { tool: "relacy", reader, removed: null, about: about[takeover]!, quick, bounds };
    }),
  );
  return [
    ...whole,
    ...relacyRows.map(([removed, reader, about, bounds]): Case => {
      return {
        tool: "relacy",
        reader,
        removed,
        about,
        quick: true,
        bounds: { ...base, takeover: 0, ...bounds },
      };
    }),
  ];
}

/** All cases; `deep` searches the whole models further, which takes minutes. */
export function cases(deep: boolean): Case[] {
  return [...spinCases(deep), ...relacyCases(deep)];
}
