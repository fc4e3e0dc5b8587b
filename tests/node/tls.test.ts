import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { connect as connectOldTls, createServer as createOldTls } from "node:tls";
import { type MemblastError, type Node, start } from "../../src/index.ts";
import { parseAddress } from "../../src/transport/address.ts";
import type { TlsOptions } from "../../src/transport/tls.ts";
import { certificates } from "../transport/certificates.ts";
import { codeOf, until } from "./until.ts";

setDefaultTimeout(30_000);

// Seven ways to get TLS wrong, over both kinds of links that have it. Each is refused, and each by a name of its own.

const fast = { reconnect: { minMs: 5, maxMs: 50 } };
const ca = certificates.authority;
const listed = { ca: certificates.listing, crl: certificates.revocations };
const { listing } = certificates;

const refusals: [why: string, server: TlsOptions, follower: TlsOptions, systemCode: string][] = [
  ["expired", certificates.expired, { ca }, "CERT_HAS_EXPIRED"],
  ["for another host", certificates.elsewhere, { ca }, "ERR_TLS_CERT_ALTNAME_INVALID"],
  ["self-signed", certificates.selfSigned, { ca }, "DEPTH_ZERO_SELF_SIGNED_CERT"],
  ["of another authority", certificates.stranger, { ca }, "UNABLE_TO_VERIFY_LEAF_SIGNATURE"],
  ["revoked", certificates.revokedServer, listed, "CERT_REVOKED"],
];

const demanding: TlsOptions = { ...certificates.listedServer, ca: listing, clientCertificates: true };
const revoking: TlsOptions = { ...demanding, ...listed };
const intruders: [why: string, server: TlsOptions, follower: TlsOptions, systemCode: string][] = [
  ["no certificate", demanding, {}, "PEER_DID_NOT_RETURN_A_CERTIFICATE"],
  ["one of another authority", demanding, certificates.stranger, "UNABLE_TO_VERIFY_LEAF_SIGNATURE"],
  ["a self-signed one", demanding, certificates.selfSigned, "DEPTH_ZERO_SELF_SIGNED_CERT"],
  ["a revoked one", revoking, certificates.revokedClient, "CERT_REVOKED"],
];

function serve(kind: string, tls: TlsOptions): Promise<Node> {
  return start("s", { listen: kind === "tls" ? "tls:127.0.0.1:0" : "wss://127.0.0.1:0/", shape: [8], tls });
}

function follow(server: Node | string, tls: TlsOptions): Promise<Node> {
  const address = typeof server === "string" ? server : server.addresses[0]!;
  return start("f", { server: address, shape: [8], tls, ...fast });
}

function errorsOf(node: Node): MemblastError[] {
  const errors: MemblastError[] = [];
  node.on("error", (error) => errors.push(error));
  return errors;
}

const seen = new Set<string>();
afterAll(() => {
  // five of the server's certificate, two of what only the server can see: each can be told from all others
  expect([...seen].sort()).toEqual(
    [
      ...refusals.map(([, , , code]) => code),
      "PEER_DID_NOT_RETURN_A_CERTIFICATE",
      "TLSV1_ALERT_PROTOCOL_VERSION",
      "UNSUPPORTED_PROTOCOL",
    ].sort(),
  );
});

describe.each(["tls", "wss"])("%s", (kind) => {
  test.each(refusals)("a server's certificate that is %s", async (_, server, follower, systemCode) => {
    await using node = await serve(kind, server);
    node.write((a) => a.fill(1));
    const serverErrors = errorsOf(node);
    await using late = await follow(node, follower);
    const errors = errorsOf(late);
    await until(() => errors.length > 0, "the refusal");
    expect(errors[0]).toMatchObject({ code: "CONNECT_FAILED", details: { reason: "tls", systemCode } });
    expect(late.ndarray().get(0)).toBe(0);
    expect(serverErrors).toEqual([]);
    seen.add(errors[0]!.details["systemCode"] as string);
  });

  test.each(intruders)("a follower with %s", async (_, server, shown, systemCode) => {
    await using node = await serve(kind, server);
    node.write((a) => a.fill(1));
    const serverErrors = errorsOf(node);
    await using late = await follow(node, { ca: listing, ...shown });
    const errors = errorsOf(late);
    await until(() => serverErrors.length > 0 && errors.length > 0, "the refusal, told to both");
    expect(serverErrors[0]).toMatchObject({ code: "PROTOCOL", details: { reason: "TLS", systemCode } });
    expect(node.stats().door.untrusted).toBeGreaterThan(0);
    seen.add(serverErrors[0]!.details["systemCode"] as string);
    const details = kind === "tls" ? { reason: "AUTH" } : { reason: "upgrade", status: 403 };
    expect(errors[0]).toMatchObject({ code: "REFUSED", details });
    expect(late.stats().links[0]!.state).toBe("given up");
    expect(errors[0]!.message).toContain("certificate");
    expect(late.ndarray().get(0)).toBe(0);
    expect(node.stats().links).toEqual([]);
  });

  test("a follower with a certificate that the authority vouches for comes in", async () => {
    await using node = await serve(kind, revoking);
    node.write((a) => a.fill(1));
    await using late = await follow(node, { ca: listing, ...certificates.listedClient });
    await late.ready;
    expect(late.ndarray().get(0)).toBe(1);
    expect(node.stats().door.untrusted).toBe(0);
  });

  test("a follower that speaks only TLS 1.1", async () => {
    await using node = await serve(kind, certificates.server);
    const errors = errorsOf(node);
    const { port } = parseAddress(node.addresses[0]!) as { port: number };
    const options = { host: "127.0.0.1", port, ca, minVersion: "TLSv1", maxVersion: "TLSv1.1" };
    const socket = connectOldTls(options as object);
    socket.on("error", () => {});
    await until(() => errors.length > 0, "the refusal");
    expect(errors[0]).toMatchObject({ code: "PROTOCOL", details: { systemCode: "UNSUPPORTED_PROTOCOL" } });
    seen.add("UNSUPPORTED_PROTOCOL");
    socket.destroy();
  });

  test("a server that speaks only TLS 1.1", async () => {
    const { cert, key } = certificates.server;
    const old = createOldTls({ cert, key, minVersion: "TLSv1", maxVersion: "TLSv1.1" } as object);
    old.on("tlsClientError", () => {});
    await new Promise<void>((resolve) => void old.listen(0, "127.0.0.1", resolve));
    const { port } = old.address() as { port: number };
    await using late = await follow(kind === "tls" ? `tls:127.0.0.1:${port}` : `wss://127.0.0.1:${port}/`, {
      ca,
    });
    const errors = errorsOf(late);
    await until(() => errors.length > 0, "the refusal");
    const systemCode = "TLSV1_ALERT_PROTOCOL_VERSION";
    expect(errors[0]).toMatchObject({ code: "CONNECT_FAILED", details: { reason: "tls", systemCode } });
    seen.add(systemCode);
    old.close();
  });
});

test("a thousand wrong certificates are counted, and told once a second", async () => {
  await using node = await serve("tls", demanding);
  const errors = errorsOf(node);
  const many = await Promise.all(
    Array.from({ length: 20 }, () => follow(node, { ca: listing, ...certificates.stranger })),
  );
  for (const each of many) each.on("error", () => {});
  await until(() => node.stats().door.untrusted >= 20, "all of them");
  expect(errors.length).toBeLessThan(5);
  for (const each of many) await each.close();
});

describe("listening beyond this machine", () => {
  test("may be done where every follower has to show a certificate, and not otherwise", async () => {
    await using node = await start("s", { listen: "tls:0.0.0.0:0", shape: [2], tls: demanding });
    expect(node.addresses[0]).toStartWith("tls:0.0.0.0:");
    await using web = await start("w", { listen: "wss://0.0.0.0:0/", shape: [2], tls: demanding });
    expect(web.addresses[0]).toStartWith("wss://0.0.0.0:");
    for (const options of [
      { listen: "tls:0.0.0.0:0", tls: certificates.server },
      { listen: ["tls:0.0.0.0:0", "0.0.0.0:0"], tls: demanding },
      { listen: "ws://0.0.0.0:0/", tls: demanding },
    ])
      expect(await codeOf(() => start("x", { shape: [2], ...options }))).toBe("INVALID_OPTION");
  });
});
