import { z } from "zod";
import type { Dtype } from "../../array/dtype.ts";
import { fail, type MemblastError } from "../../errors.ts";
import { metaBytesMax as wireMetaBytesMax, nameCharactersMax } from "../../protocol/limits.ts";
import type { TlsOptions } from "../../transport/tls.ts";
import { isHost, isOrigin } from "../../transport/upgrade.ts";
import { exactly, inForm, refuseOptions } from "./complaint.ts";
import { tlsOption } from "./credentials.ts";
import { paceOptions } from "./pace.ts";
import { defaultBackoff, waitMsMax } from "./reconnect.ts";
import { secretOption, secretsOption } from "./secrets.ts";
import { sharingOptions } from "./sharing.ts";

const anAddress = {
  error:
    "an address is a port (0 to 65535) or a text like 127.0.0.1:7011, unix:/path, tls:host:port or ws://host:port",
};
const addressOption = z.union(
  [z.string().min(1, anAddress), z.int().min(0, anAddress).max(65_535, anAddress)],
  anAddress,
);
const indices = z.array(z.int().min(0));
/** [serverStart, shape, clientStart, name]: a region of the source's main array, and where it lands. */
const mapTuple = z.tuple([indices.nullable(), indices, indices.nullable(), z.string().nullable()]);
const mapForm =
  "a map is [serverStart, shape, clientStart, name], whole numbers from 0 in each list, or { array?, start, shape, to?: { array, start } }";
const mapObject = exactly(
  {
    /** Array of the source; null or absent is its main one. */
    array: z.string().nullable().optional(),
    start: indices,
    shape: indices,
    /** Array of this node, and where in it; without, a named source array lands in the one of the same name. */
    to: exactly({ array: z.string().nullable(), start: indices }, "it is { array, start }").optional(),
  },
  mapForm,
);
const mapOption = z.union([mapTuple, mapObject], { error: mapForm });
/** How to follow: for all servers, or for one. */
const followingOptions = {
  /** What to follow, and where it lands. Without: each array of this node follows the server's equal one. */
  maps: z.array(mapOption, inForm(`it is a list: ${mapForm}`)).optional(),
  /** What to prove to a server that asks for it. */
  secret: secretOption.optional(),
  ...paceOptions,
};
const serverOption = z.union(
  [addressOption, exactly({ address: addressOption, ...followingOptions }, anAddress.error)],
  anAddress,
);

const originOption = z.string().refine(isOrigin, {
  error:
    'an origin is scheme://host or scheme://host:port, as "https://example.org", without a path; "null" is that of pages without one, ' +
    '"*" stands for all',
});
const hostOption = z.string().refine(isHost, {
  error:
    'a host is a name or an address without scheme, port and brackets, as "vm.example", "10.0.0.5" or "::1"; there is no "*", because ' +
    "any page may give its own name to this machine",
});

export const startOptions = exactly(
  {
    /** Where to accept followers: one address or several. */
    listen: z.union([addressOption, z.array(addressOption)], anAddress).optional(),
    /** A node to follow; `servers` for several. Of several, the metadata of the first become those of this node. */
    server: serverOption.optional(),
    servers: z.array(serverOption, inForm("it is a list; for one there is server")).optional(),
    /** The main array. A follower that names no array at all takes over its server's. */
    shape: z.unknown().optional(),
    dtype: z.unknown().optional(),
    /** Named arrays: same memory, same commits. */
    arrays: z
      .record(
        z.string(),
        exactly(
          { shape: z.unknown(), dtype: z.unknown().optional() },
          "an array is { shape, dtype? }, as { shape: [3, 390] }",
        ),
        inForm("they are { name: { shape, dtype? } }, as { wind: { shape: [3, 390] } }"),
      )
      .optional(),
    ...followingOptions,
    /**
     * Many nodes write the same elements: the last writer of each wins, and all nodes of the mesh that reach each other end with the same.
     * Costs 16 bytes an element, and a private copy of arrays and stamps for each server. All nodes on the way must be of it, or relays
     * without arrays of their own. Writing what is there already is no write. Default false: what a server sends, nobody writes here.
     */
    mesh: z.boolean().default(false),
    /** Verify every delta by a Merkle root before it is committed, and repair what differs. Default false. */
    checkHash: z.boolean().default(false),
    ...sharingOptions,
    /** Room for the metadata of a version, bytes, 8 of them for its head. */
    metaBytesMax: z
      .int()
      .min(8)
      .max(wireMetaBytesMax + 8)
      .default(4096),
    /** A PING this often, milliseconds, 10 to 3,600,000; a peer that is silent for twice as long is given up. Default 5000. */
    heartbeatMs: z.int().min(10).max(3_600_000).default(5000),
    /**
     * Waits between attempts to reach a server, milliseconds, 1 to 86,400,000: random up to a bound that doubles from `minMs` to `maxMs`.
     * Default 2000 and 10,000, which spreads the followers of a server that was restarted, and lets each of them wait for a second on
     * average after a cut. `minMs: 50` is for servers with few followers.
     */
    reconnect: exactly(
      {
        minMs: z.number().min(1).max(waitMsMax).optional(),
        maxMs: z.number().min(1).max(waitMsMax).default(defaultBackoff.maxMs),
      },
      "it is { minMs?, maxMs? }, milliseconds from 1 to 86,400,000",
    )
      .refine(({ minMs = 1, maxMs }) => minMs <= maxMs, "minMs is above maxMs")
      .optional(),
    /** Bytes of deltas that may wait on one link for followers in the mode "every", before they get what is new as one. Default 16 MiB. */
    queueBytesMax: z.int().min(0).default(16_777_216),
    /**
     * Links that may have come in at one time, 1 or more, all listeners together, those included that are still shaking hands. More are
     * turned away, with a `crowded` event, and so is everybody while the process has links for all but 64 of the files that it may
     * open, or fewer than 16 left. Default 1024.
     */
    connectionsMax: z.int().min(1).default(1024),
    /** Ask every follower for the proof of one of these secrets. They are by key: { secret, arrays?, regions? }; the latter are what it opens. */
    secrets: secretsOption.optional(),
    /** Let in one follower of a name at a time, where a name stands for a peer. Without, names are for people. Default false. */
    uniqueNames: z.boolean().default(false),
    /** Listen beyond this machine although nothing asks who comes: no `secrets`, and no `tls.clientCertificates`. Default false. */
    insecure: z.boolean().default(false),
    /** For `tls:` and `wss:` addresses, of both kinds: { cert, key, ca, crl, clientCertificates, serverName ... }, see {@link TlsOptions}. */
    tls: tlsOption.optional(),
    /** Origins of the web pages that may connect to a ws: or wss: listener, "*" for all. Without: pages of the same host and of this machine. */
    origins: z.array(originOption, inForm('it is a list, as ["https://example.org"]')).optional(),
    /** Names by which such a listener may be called, besides those of this machine and the host it listens on. Default none. */
    hosts: z.array(hostOption, inForm('it is a list, as ["vm.example"]')).optional(),
    /** Calls `start()` off while it waits for a server's arrays, which it does without a bound where it names none itself. */
    signal: z.instanceof(AbortSignal).optional(),
    onUpdate: z.function().optional(),
    onError: z.function().optional(),
  },
  "they are an object, as { shape: [3, 390] }",
);

/** An option as its caller may write it: lists that nobody can change are as good as those of zod, which anybody could. */
type Given<T> = T extends AbortSignal | Uint8Array | ((...args: never[]) => unknown)
  ? T
  : { readonly [Key in keyof T]: Given<T[Key]> };

/** What {@link start} takes, as its caller writes it. */
export type StartOptions<OnUpdate> = Given<
  Omit<z.input<typeof startOptions>, "shape" | "dtype" | "arrays" | "onUpdate" | "onError" | "tls">
> & {
  readonly shape?: readonly number[] | undefined;
  readonly dtype?: Dtype | undefined;
  readonly arrays?: Readonly<Record<string, GivenArray>> | undefined;
  readonly tls?: TlsOptions | undefined;
  /** After each version that came from elsewhere. */
  readonly onUpdate?: OnUpdate | undefined;
  /** The same as `node.on("error", ...)`, from the first moment: a server may be away when this node starts. */
  readonly onError?: ((error: MemblastError) => void) | undefined;
};

interface GivenArray {
  readonly shape: readonly number[];
  readonly dtype?: Dtype | undefined;
}

/** An address, or one with how to follow that server: its own `maps`, `secret`, `mode`, `overflow`, `maxRate`. */
export type GivenServer = Given<z.input<typeof serverOption>>;
/** A region of a server, and where it lands. */
export type GivenMap = Given<z.input<typeof mapOption>>;
/** What to prove to a server. */
export type GivenSecret = Given<z.input<typeof secretOption>>;
/** A secret that followers may prove, and what it opens. */
export type GivenRights = Given<z.input<typeof secretsOption>[string]>;

/** Each option as it should be by itself. */
export type ParsedOptions = z.output<typeof startOptions>;
export type ServerOption = z.output<typeof serverOption>;
export type MapOption = z.output<typeof mapOption>;
/** Those that hold for all servers, or for one. */
export type FollowingOptions = Pick<ParsedOptions, keyof typeof followingOptions>;

/** What is right by itself. @throws INVALID_OPTION, which names the option and says what it should be. */
export function checkOptions(given: unknown): ParsedOptions {
  const parsed = startOptions.safeParse(given ?? {});
  return parsed.success ? parsed.data : refuseOptions("start()", parsed.error);
}

/** INVALID_NAME where a peer could not be told this name. */
export function checkName(name: unknown): void {
  if (typeof name === "string" && name.length > 0 && name.length <= nameCharactersMax && !/\p{C}/u.test(name))
    return;
  const where = typeof name === "object" ? " as the first argument: start(name, options)" : "";
  fail("INVALID_NAME", `A node needs a name of 1 to ${nameCharactersMax} printable characters${where}`, {
    name,
  });
}
