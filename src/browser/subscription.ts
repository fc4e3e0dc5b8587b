import { Lease } from "../array/lease.ts";
import { NdArray } from "../array/ndarray.ts";
import type { Schema } from "../array/schema.ts";
import { Mapping } from "../delta/mapping.ts";
import { contains } from "../delta/runs.ts";
import { fail } from "../errors.ts";
import { scriptHasher } from "../integrity/sha256.ts";
import type { Region } from "../delta/region.ts";
import { Gaps } from "../node/following/gaps.ts";
import { Replica } from "../node/following/replica.ts";
import type { SubscriptionRequest } from "../protocol/follower_state.ts";
import { Image } from "../node/following/image.ts";
import { planOf, type Regions } from "./regions.ts";

/** One choice of regions: the arrays in which they land, and how far they have come. */
export class Subscription {
  readonly key: number;
  readonly options: Regions;
  readonly image: Image;
  readonly replica: Replica;
  readonly arrays: ReadonlyMap<string | null, NdArray>;
  readonly gaps: Gaps;
  readonly #regions: readonly Region[];
  readonly #mode: SubscriptionRequest["mode"];
  readonly #verify: boolean;

  /** INVALID_REGION, INVALID_NAME where the regions do not fit the node's arrays. */
  constructor(
    key: number,
    sourceName: string,
    source: Schema,
    options: Regions,
    { mode, verify }: Pick<SubscriptionRequest, "mode" | "verify">,
  ) {
    this.key = key;
    this.options = options;
    this.#mode = mode;
    this.#verify = verify;
    this.gaps = new Gaps(mode);
    const { local, links } = planOf(source, options);
    const mapping = new Mapping(source, local, links);
    this.#regions = links.map((link) => link.source);
    this.image = new Image(local);
    this.replica = new Replica(sourceName, this.image, mapping, { hasher: verify ? scriptHasher : null });
    const lease = Lease.readOnly();
    this.arrays = new Map(
      local.arrays.map((array) => [array.name, NdArray.over(array, this.image.buffer, lease)] as const),
    );
  }

  /** What to ask the node for, going on from what is here. */
  request(incarnation: string, maxRate: number | null): SubscriptionRequest {
    const { mapping, version, hasState } = this.replica;
    return {
      key: this.key,
      regions: this.#regions,
      mode: this.#mode,
      verify: this.#verify,
      maxRate,
      have: hasState ? { incarnation, version } : null,
      bytes: mapping.space.size,
      stretches: mapping.sourceRuns.length / 2,
      inside: (offset, bytes) => contains(mapping.sourceRuns, offset, bytes),
    };
  }

  array(name: string | null): NdArray {
    const known = [...this.arrays.keys()].map((each) => each ?? "the main array").join(", ");
    return (
      this.arrays.get(name) ??
      fail(
        "INVALID_NAME",
        `There is no ${name === null ? "main array" : `array "${name}"`} here, only ${known}`,
        {
          name,
        },
      )
    );
  }
}
