import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { z } from "zod";
import { isStamped, metaStamps, stampsOf } from "../../array/companion.ts";
import { arraySchema, type Schema } from "../../array/schema.ts";
import { fullRegion, type Region, regionRuns } from "../../delta/region.ts";
import { contains, eachRun, type Runs } from "../../delta/runs.ts";
import { fail } from "../../errors.ts";
import { nameCharactersMax } from "../../protocol/limits.ts";
import { exactly, inForm } from "./complaint.ts";

/** Shorter ones could be guessed from one recorded proof. */
const secretBytesMin = 16;

const keyId = z.string().regex(new RegExp(`^[^\\p{C}]{1,${nameCharactersMax}}$`, "u"), {
  error: `a key is called by 1 to ${nameCharactersMax} printable characters`,
});
const secret = z.custom<string | Uint8Array>(
  (value) =>
    (typeof value === "string" || value instanceof Uint8Array) && Buffer.byteLength(value) >= secretBytesMin,
  { error: `a secret is a string or a Uint8Array of at least ${secretBytesMin} bytes` },
);
const region = exactly(
  {
    array: z.string().nullable().optional(),
    start: z.array(z.int().min(0)),
    shape: z.array(z.int().min(1)),
  },
  "a region is { array?, start, shape }",
);
/** One of them and what it opens, in messages. */
const lockForm =
  "{ secret, arrays?, regions? }, and the secret a string or a Uint8Array of at least 16 bytes";

/** Who may follow: the secrets that followers can prove to know, by key, and what each opens. */
export const secretsOption = z.record(
  keyId,
  exactly(
    {
      /** 16 bytes or more; of a text, in UTF-8. It never travels. */
      secret,
      /** Arrays that may be followed; null is the main one. Without `arrays` and `regions`: everything. */
      arrays: z.array(z.string().nullable()).optional(),
      /** Boxes that may be followed, besides the arrays: `start` and `shape` in elements of the array, null or absent the main one. */
      regions: z.array(region).optional(),
    },
    `what is behind a key is ${lockForm}`,
  ),
  inForm(`they are { key: ${lockForm}`.replace("? }", "? } }")),
);

/** What this node proves to the nodes it follows that ask for it. */
export const secretOption = exactly(
  {
    /** What that node calls the secret: 1 to 128 printable characters. */
    keyId,
    /** 16 bytes or more; of a text, in UTF-8. It never travels. */
    secret,
  },
  "it is { keyId, secret }: what the server calls it, and a string or a Uint8Array of at least 16 bytes",
);

/** A shared secret that signs and compares, and is never shown again: not by inspecting, not as JSON, not in an error. */
export class Secret {
  readonly #bytes: Uint8Array;

  constructor(value: string | Uint8Array) {
    this.#bytes = typeof value === "string" ? new TextEncoder().encode(value) : new Uint8Array(value); // a Buffer's slice() is no copy
  }

  /** HMAC-SHA-256, 32 bytes. */
  sign(transcript: Uint8Array): Uint8Array {
    return createHmac("sha256", this.#bytes).update(transcript).digest();
  }

  /** In constant time. */
  proves(transcript: Uint8Array, mac: Uint8Array): boolean {
    const expected = this.sign(transcript);
    return mac.byteLength === expected.byteLength && timingSafeEqual(expected, mac);
  }
}

/** A secret and its name: a follower's side of it. */
export interface Key {
  readonly keyId: string;
  readonly secret: Secret;
}

/** What a key opens. */
interface Rights {
  readonly arrays: readonly (string | null)[];
  readonly regions: readonly Region[];
}

/** A secret and what it opens; null: everything. */
interface Lock {
  readonly secret: Secret;
  readonly rights: Rights | null;
}

/** The secrets of a node that others follow, and what each of them opens. */
export class Keyring {
  readonly #locks: ReadonlyMap<string, Lock>;
  /** Stands in for keys that are not there, so that these take as long as a wrong proof. */
  readonly #none = new Secret(randomBytes(32));

  private constructor(locks: ReadonlyMap<string, Lock>) {
    this.#locks = locks;
  }

  static of(option: z.output<typeof secretsOption>): Keyring {
    const locks = Object.entries(option).map(([id, { secret: value, arrays, regions }]): [string, Lock] => {
      const boxes = regions?.map((box) => ({ ...box, array: box.array ?? null }));
      const rights = arrays || boxes ? { arrays: arrays ?? [], regions: boxes ?? [] } : null;
      return [id, { secret: new Secret(value), rights }];
    });
    if (locks.length === 0)
      fail("INVALID_OPTION", "start(): option secrets: it holds none, so nobody could follow", {
        path: ["secrets"],
      });
    return new Keyring(new Map(locks));
  }

  /** Whether `mac` proves the secret of this key. An unknown key takes the same time as a wrong proof. */
  proves(id: string, transcript: Uint8Array, mac: Uint8Array): boolean {
    const lock = this.#locks.get(id);
    const isRight = (lock?.secret ?? this.#none).proves(transcript, mac);
    return lock !== undefined && isRight;
  }

  /**
   * Bytes of the image that each key opens; null: all of them.
   * @throws INVALID_REGION where a right names what the schema does not have
   */
  rightsIn(schema: Schema): ReadonlyMap<string, Runs | null> {
    return new Map([...this.#locks].map(([id, { rights }]) => [id, rights && runsOf(schema, rights)]));
  }
}

function runsOf(schema: Schema, { arrays, regions }: Rights): Runs {
  const boxes = [...arrays.map((array) => fullRegion(arraySchema(schema, array))), ...regions];
  return regionRuns(schema, [...boxes, ...stampsBeside(schema, boxes)]);
}

/** In a mesh, whoever may follow elements may know when they were written. */
function stampsBeside(schema: Schema, boxes: readonly Region[]): Region[] {
  if (!isStamped(schema)) return [];
  const stamps = boxes.map((box) => ({ ...box, array: stampsOf(box.array) }));
  return [...stamps, fullRegion(arraySchema(schema, metaStamps))];
}

/** Whether these bytes are all among those. */
export function covers(rights: Runs, runs: Runs): boolean {
  for (const [offset, bytes] of eachRun(runs)) if (!contains(rights, offset, bytes)) return false;
  return true;
}
