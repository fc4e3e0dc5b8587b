import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "../../src/browser/index.ts";
import { clean, type MemblastError, start, type StartOptions, type Update } from "../../src/index.ts";
import { certificates } from "../transport/certificates.ts";
import { codeOf, until } from "./until.ts";

setDefaultTimeout(30_000);

function freePort(): number {
  using listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  return listener.port;
}

async function refusal(options: object | string): Promise<MemblastError> {
  try {
    await using node = await start("n", options as StartOptions);
    return node as never;
  } catch (error) {
    return error as MemblastError;
  }
}

const secret = "0123456789abcdef";
const wrong: [options: object | string, says: RegExp][] = [
  [{ shape: [1], listen: {} }, /^INVALID_OPTION start\(\): option listen: an address is a port/],
  [{ shape: [1], listen: [1, null] }, /option listen\.1: an address is/],
  [{ shape: [1], server: { adress: 1 } }, /no option server\.adress: did you mean address\?$/],
  [{ shape: [1], server: { address: 1, mode: "x" } }, /option server\.mode: .*"latest"\|"every"/],
  [{ shape: [1], server: { address: 1, maps: [7] } }, /option server\.maps\.0: a map is \[/],
  [{ shape: [1], server: 1, maps: [[1, 2]] }, /option maps\.0: a map is \[/],
  [{ shape: [1], server: 1, maps: [[[0], [1], [-1], null]] }, /option maps\.0\.2\.0: .*>=0/],
  [{ shape: [1], maps: [[[0], [1], [0], null]] }, /maps say what to follow, but there is no server/],
  [{ shape: [1], mode: "every" }, /^INVALID_OPTION .*mode says how to follow, but there is no server: give/],
  [{ shape: [1], overflow: "disconnect" }, /^INVALID_OPTION .*overflow says how to follow/],
  [{ shape: [1], maxRate: 5, servers: [] }, /^INVALID_OPTION .*maxRate says how to follow/],
  [{ shape: [1], checkHash: true }, /^INVALID_OPTION .*checkHash says how to follow/],
  [{ shape: [1], secret: { keyId: "k", secret } }, /^INVALID_OPTION .*secret says how to follow/],
  [{ shape: [1], secrets: { k: { secret } } }, /^INVALID_OPTION .*secrets say who may follow.*: give listen/],
  [{ shape: [1], listen: [], secrets: { k: { secret } } }, /secrets say who may follow/],
  [{ shape: [1], listen: 0, secrets: { "": { secret } } }, /option secrets\."": a key is called by 1 to 128/],
  [
    { shape: [1], listen: 0, secrets: { "a\n": { secret } } },
    /option secrets\.a\n: a key is called by 1 to 128/,
  ],
  ...["insecure", "uniqueNames"].map((option): [object, RegExp] => [
    { shape: [1], [option]: true },
    new RegExp(`^INVALID_OPTION .*: ${option} is about those who follow, but this node does not listen`),
  ]),
  [{ shape: [1], checkhash: true }, /no option checkhash: did you mean checkHash\?$/],
  [{ shap: [1] }, /no option shap: did you mean shape\?$/],
  [{ server: { address: 1, map: [] } }, /no option server\.map: did you mean maps\?$/],
  [
    { shape: [1], server: 1, maps: [{ start: [0], shape: [1], too: {} }] },
    /no option maps\.0\.too: did you mean to\?$/,
  ],
  ["127.0.0.1:7011", /the options: they are an object, as \{ shape: /],
  [{ server: 1, secret }, /option secret: it is \{ keyId, secret \}: what the server calls it/],
  [
    { shape: [1], listen: 0, secrets: secret },
    /option secrets: they are \{ key: \{ secret, arrays\?, regions\? \} \}, /,
  ],
  [
    { shape: [1], listen: 0, secrets: { k: secret } },
    /option secrets\.k: what is behind a key is \{ secret, arrays\?/,
  ],
  [{ shape: [1], listen: 0, secrets: {} }, /option secrets: it holds none/],
  [{ server: 1, reconnect: 50 }, /option reconnect: it is \{ minMs\?, maxMs\? \}/],
  [{ arrays: [{ shape: [1] }] }, /option arrays: they are \{ name: \{ shape, dtype\? \}/],
  [{ arrays: { a: [2] } }, /option arrays\.a: an array is \{ shape, dtype\? \}/],
  [{ servers: "127.0.0.1:1" }, /option servers: it is a list/],
  [{ shape: [1], origins: "https://a.b" }, /option origins: it is a list/],
  [{ shape: [1], listen: 70_000 }, /option listen: an address is a port/],
  [
    { shape: [1], listen: [1, 2], server: "127.0.0.1:2" },
    /: server is 127\.0\.0\.1:2, where this node itself/,
  ],
  [
    { mesh: true, shape: [1], listen: 1, servers: [2, { address: 1 }] },
    /: servers\.1 is .*, where this node/,
  ],
  [{}, /say what to hold/],
  [{ shape: [1], listen: "0.0.0.0:0" }, /nothing asks who comes/],
  [{ shape: [1], servers: [1, 2] }, /would write the same elements/],
  [{ server: 1, maps: [[[0], [1], [0], null]] }, /give its shape, or give the map a name/],
  [{ server: 1, queueBytesMax: 100 }, /^INVALID_OPTION .*: queueBytesMax is about .* does not listen/],
  [{ server: 1, listen: [], connectionsMax: 5 }, /^INVALID_OPTION .*: connectionsMax is about .* does not/],
  [{ shape: [1], listen: 0, origins: ["https://a.b"] }, /^INVALID_OPTION .*: origins say who .* ws: or wss:/],
  [{ shape: [1], listen: "tls:127.0.0.1:0", hosts: ["a.b"] }, /^INVALID_OPTION .*: hosts say who .* ws: or/],
  [{ server: 1, overflow: "disconnect" }, /^INVALID_OPTION .*: overflow is for servers .* mode "every"/],
  [
    { servers: [1, { address: 2, overflow: "disconnect", mode: "latest" }], mode: "every" },
    /^INVALID_OPTION .*: servers\.1\.overflow is for servers .* mode "every"/,
  ],
  [
    { servers: [{ address: 1, mode: "every", overflow: "latest" }], overflow: "disconnect" },
    /^INVALID_OPTION .*: overflow is for servers/,
  ],
  [{ shape: [1], dtype: null }, /^INVALID_DTYPE no such dtype: null; take one of bool/],
  [{ arrays: { a: { shape: [1], dtype: null } } }, /^INVALID_DTYPE no such dtype: null/],
  [{ shape: [1], reconnect: { minMs: 10, maxMs: 1 } }, /option reconnect: minMs is above maxMs/],
  [{ shape: [1], reconnect: { minMs: 1e10, maxMs: 1e10 } }, /option reconnect.minMs: .*86400000/],
  [{ shape: [1], colour: "red" }, /: there is no option colour, only listen, server, .* onError$/],
  [{ shape: [2], server: 1, maps: [[[0], [3], [0], null]] }, /^INVALID_REGION .*main array/],
  [{ shape: [2], server: 1, maps: [[[0], [1], [0, 0], null]] }, /^INVALID_REGION .*main array/],
  [
    {
      server: 1,
      maps: [
        [[0], [3], null, "part"],
        [[4], [2], null, "part"],
      ],
    },
    /maps make array "part" both \[3\] and \[2\]/,
  ],
  [{ arrays: { "a@stamps": { shape: [1] } } }, /^INVALID_NAME .*cannot end so/],
  [{ listen: 0, arrays: { ["a".repeat(129)]: { shape: [1] } } }, /^INVALID_NAME .*1 to 128 letters/],
  [{ mesh: true, arrays: { ["a".repeat(121)]: { shape: [1] } } }, /^INVALID_NAME .*120 characters/],
];

for (const host of ["vm:8080", "ws://vm", "*", "", "vm/x", "[::1]", "a b", "user@vm", "vm?", "*.vm"])
  wrong.push([{ shape: [1], hosts: ["vm", host] }, /^INVALID_OPTION .*option hosts\.1: a host is a name/]);
for (const origin of [
  "x",
  "",
  "vm:80",
  "//vm",
  "http://",
  "http://vm/app",
  "https://*.vm",
  "file:///",
  "http://a b",
])
  wrong.push([{ shape: [1], origins: ["*", origin] }, /^INVALID_OPTION .*option origins\.1: an origin is/]);

const { server: own, client: other, authority, listing } = certificates;
const broken = authority.replaceAll(/[a-z]{3}/g, "!!!");
const atOnce = { shape: [1], server: "tls:127.0.0.1:1" };
const untrue = { clientCertificates: "true" } as object;

wrong.push(
  [
    { server: 1, tls: { ca: authority } },
    /^INVALID_OPTION .*: tls encrypts .* begin with tls: or wss:.*is none/,
  ],
  [{ listen: "127.0.0.1:0", shape: [1], tls: own }, /^INVALID_OPTION .*: tls encrypts/],
  [{ ...atOnce, tls: [] }, /option tls: it is \{ cert\?, key\?, ca\? /],
  [
    { ...atOnce, tls: { ca: authority, clientCertificate: true } },
    /no option tls\.clientCertificate: did you mean clientCertificates\?$/,
  ],
  [{ ...atOnce, tls: { minVersion: "TLSv1.3" } }, /there is no option tls\.minVersion, only cert, key, /],
  [
    { ...atOnce, tls: { caFile: "ca.pem", rejectUnauthorized: false } },
    /there is no option tls\.caFile, only cert, /,
  ],
  [{ ...atOnce, tls: { ca: authority, ...untrue } }, /option tls\.clientCertificates: .*boolean/],
  [{ ...atOnce, tls: { insecure: 1 } }, /option tls\.insecure: .*boolean/],
  [{ ...atOnce, tls: { serverName: 5 } }, /option tls\.serverName: .*string/],
  [{ ...atOnce, tls: { passphrase: 5 } }, /option tls\.passphrase: .*string/],
  [{ ...atOnce, tls: { ca: 5 } }, /option tls\.ca: .*PEM text/],
  [{ ...atOnce, tls: { ca: "" } }, /option tls\.ca: .*PEM text/],
  [{ ...atOnce, tls: { ca: [] } }, /option tls\.ca: .*PEM text/],
  [{ ...atOnce, tls: { ca: [authority, "/etc/ca.pem"] } }, /option tls\.ca\.1: .*PEM.*file/],
  [{ ...atOnce, tls: { ca: own.key } }, /option tls\.ca: .*PEM text/],
  [{ ...atOnce, tls: { crl: listing } }, /option tls\.crl: .*PEM text/],
  [{ ...atOnce, tls: { cert: 5, key: 6 } }, /option tls\.cert: .*BEGIN CERTIFICATE/],
  [{ ...atOnce, tls: { cert: own.key, key: own.cert } }, /option tls\.cert: .*BEGIN CERTIFICATE/],
  [{ ...atOnce, tls: { cert: own.cert } }, /option tls: cert and key need each other/],
  [{ ...atOnce, tls: { ca: broken } }, /^INVALID_OPTION .*`tls` cannot be used/],
  [{ ...atOnce, tls: { cert: own.cert, key: other.key } }, /^INVALID_OPTION .*KEY_VALUES_MISMATCH/],
  [{ server: 1, listen: "tls:127.0.0.1:0" }, /^INVALID_OPTION .*needs `tls: { cert, key }`/],
  [{ server: 1, listen: "wss://127.0.0.1:0/", tls: { ca: authority } }, /^INVALID_OPTION .*cert, key/],
);

for (const [options, says] of wrong)
  test(`start() says what is wrong with ${JSON.stringify(options).slice(0, 110)}`, async () => {
    const { code, message, details } = await refusal(options);
    expect(`${code} ${message}`).toMatch(says);
    const path = typeof options === "string" ? [] : [expect.any(String)];
    if (code === "INVALID_OPTION") expect((details["path"] as PropertyKey[]).slice(0, 1)).toEqual(path);
  });

test("a node is not called like its server: node.version has both", async () => {
  const called = start("127.0.0.1:1", { shape: [2], server: 1 });
  expect(await called.catch(({ code }: MemblastError) => code)).toBe("INVALID_NAME");
});

test.each([null, 100, [], { retryAfter: 5 }, { retryAfterMs: "5" }])(
  "close(%j) is refused",
  async (options) => {
    await using node = await start("n", { shape: [1] });
    expect(await codeOf(() => node.close(options as object))).toBe("INVALID_OPTION");
    expect(node.version).toEqual({ n: 0 });
  },
);

const misspelt = [null, "x", { directroy: "/tmp" }, { directory: 5 }, { names: "n" }, { persistent: 1 }];
test.each(misspelt)("clean(%j) is refused", async (options) => {
  expect(await codeOf(() => clean(options as object))).toBe("INVALID_OPTION");
});

test("what changes nothing may be said: defaults, where there is nothing to follow", async () => {
  await using node = await start("n", { shape: [1], mode: "latest", maxRate: null, checkHash: false });
  expect(node.version).toEqual({ n: 0 });
});

test.each([
  [false, 128],
  [true, 120],
])("the longest name of an array can be followed (mesh: %p, %i characters)", async (mesh, length) => {
  const name = "n".repeat(length);
  const arrays = { [name]: { shape: [3] } };
  await using server = await start("s", { listen: [0, "ws://127.0.0.1:0/"], mesh, arrays });
  server.write((_, tx) => tx.array(name).set(1, 5));
  await using node = await start("f", { server: server.addresses[0]!, mesh });
  await node.ready;
  expect(node.ndarray(name).get(1)).toBe(5);
  using client = connect(server.addresses[1]!);
  await client.ready;
  expect(client.ndarray(name).get(1)).toBe(5);
});

test("a signal calls off the wait for a server that is not there", async () => {
  const reason = new Error("not today");
  const calledOff = new AbortController();
  const started = start("n", { server: "unix:/nowhere/at/all", signal: calledOff.signal });
  calledOff.abort(reason);
  expect(await started.catch((error: unknown) => error)).toBe(reason);
  const before = start("n", { server: "unix:/nowhere/at/all", signal: calledOff.signal });
  expect(await before.catch((error: unknown) => error)).toBe(reason);
});

test("a node that comes to its own door by another name gives that server up", async () => {
  const port = freePort();
  const told: MemblastError[] = [];
  const options = { shape: [1], listen: port, onError: (error: MemblastError) => told.push(error) };
  for (const mesh of [false, true]) {
    await using node = await start("n", { ...options, mesh, server: `localhost:${port}` });
    const error = (await node.ready.catch((reason: unknown) => reason)) as MemblastError;
    expect([error.code, error.details["reason"]]).toEqual(["REFUSED", "UNSUPPORTED"]);
    expect(error.message).toEndWith("this one, and a node does not follow itself.");
    expect(node.stats().links.map(({ state }) => state)).toContain("given up");
    expect(told).toContain(error);
    node.write((a) => a.set(0, 1));
  }
});

test("a unix socket is the one that the path meant at the start, for both sides", async () => {
  const folder = mkdtempSync(join(tmpdir(), "memblast-"));
  const before = process.cwd();
  process.chdir(folder);
  try {
    const server = await start("s", { listen: "unix:s", shape: [1] });
    await using node = await start("f", { server: "unix:s", shape: [1], reconnect: { minMs: 1, maxMs: 20 } });
    await node.ready;
    process.chdir("/");
    await server.close();
    expect(readdirSync(folder)).toEqual([]);
    await using again = await start("s", { listen: `unix:${folder}/s`, shape: [1] });
    again.write((a) => a.set(0, 3));
    await until(() => node.ndarray().get(0) === 3, "the server, found again");
    expect(Object.keys(node.version)).toEqual(["f", "unix:s"]); // called as its user calls it
    node.setRate("unix:s", 5);
  } finally {
    process.chdir(before);
    rmSync(folder, { recursive: true });
  }
});

test("an update that was merged for a slow consumer names all its sources", async () => {
  await using a = await start("a", { listen: 0, shape: [8] });
  await using b = await start("b", { listen: 0, shape: [8] });
  const server = (address: string, from: number) => ({
    address,
    maps: [[[from], [4], [from], null] as [number[], number[], number[], null]],
  });
  const [first, second] = [a.addresses[0]!, b.addresses[0]!];
  await using node = await start("n", { shape: [8], servers: [server(first, 0), server(second, 4)] });
  await node.ready;
  const updates = node.updates();
  a.write((m) => m.set(1, 1));
  await until(() => node.ndarray().get(1) === 1, "the first");
  b.write((m) => m.set(5, 1));
  await until(() => node.ndarray().get(5) === 1, "the second");
  const { value } = (await updates.next()) as { value: Update };
  expect(value.sources.toSorted()).toEqual([first, second].toSorted());
  expect(value.source).toBe(second);
});
