/** Checked by `bun check`, never run: what callers may write, and how the types of it are called. */
import {
  attach,
  type CloseOptions,
  type Conflation,
  type Crowded,
  type LibraryKind,
  libraryKind,
  type MapOption,
  type Node,
  type Overflow,
  type SecretOption,
  type SecretRights,
  type ServerOption,
  start,
  type StartOptions,
  type TlsOptions,
} from "../src/index.ts";

/** Options that nobody can change, all the way down. */
const frozen = {
  listen: ["127.0.0.1:0", 7011, "unix:/run/a.sock"],
  servers: [
    7012,
    "tls:host:7013",
    {
      address: "127.0.0.1:7014",
      maps: [
        [[0, 0], [2, 4], [2, 0], null],
        { array: "wind", start: [0], shape: [2], to: { array: null, start: [0] } },
      ],
      secret: { keyId: "ops", secret: "sixteen bytes and more" },
      mode: "every",
      maxRate: null,
    },
  ],
  arrays: { wind: { shape: [64, 64], dtype: "f32" }, rain: { shape: [64] } },
  secrets: {
    ops: {
      secret: new Uint8Array(16),
      arrays: ["wind", null],
      regions: [{ array: null, start: [0], shape: [2] }],
    },
  },
  tls: { cert: "", key: "", ca: ["", ""] },
  origins: ["https://example.org"],
  hosts: ["example.org"],
  reconnect: { minMs: 50 },
  signal: new AbortController().signal,
} as const;

const tuple: MapOption = [null, [2, 4], [2, 0], "wind"];
const named: MapOption = { array: "wind", start: [0, 0], shape: [2, 4] };
const maps: readonly MapOption[] = [tuple, named];
const secret: SecretOption = { keyId: "ops", secret: "sixteen bytes and more" };
const server: ServerOption = { address: 7012, maps, secret, overflow: "disconnect" };
const servers: ServerOption[] = [server, "127.0.0.1:7013"];
const rights: SecretRights = { secret: "sixteen bytes and more", arrays: [null, "wind"] };
const tls: TlsOptions = { ca: "" };
const absent: StartOptions = { shape: undefined, dtype: undefined, server: undefined, onUpdate: undefined };

/** And what they may not. */
// @ts-expect-error
const mistaken: StartOptions = { maps: named };
// @ts-expect-error
const nowhere: ServerOption = { address: true };
// @ts-expect-error
const numbered: SecretRights = { secret: "sixteen bytes and more", arrays: [1] };

export async function use(): Promise<void> {
  const node: Node = await start("a", frozen);
  await start("b", { ...absent, server, servers, maps, secrets: { ops: rights }, tls });
  await attach("a", { arrays: frozen.arrays, shape: [2], dtype: undefined } as const);
  node.on("crowded", (crowded: Crowded) => void crowded.refused);
  node.on("conflated", ({ cause }: Conflation) => void cause);
  node.on("overflow", ({ bytes }: Overflow) => void bytes);
  const close: CloseOptions = { retryAfterMs: 100 };
  await node.close(close);
  const kind: LibraryKind = libraryKind;
  void [kind, mistaken, nowhere, numbered];
}
