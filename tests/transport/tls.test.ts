import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { connect as connectOldTls, type TLSSocketOptions } from "node:tls";
import type { MemblastError } from "../../src/errors.ts";
import type { Address } from "../../src/transport/address.ts";
import { systemTransport } from "../../src/transport/endpoint.ts";
import type { Listener } from "../../src/transport/link.ts";
import type { TlsOptions } from "../../src/transport/tls.ts";
import { until } from "../node/until.ts";
import { certificates } from "./certificates.ts";
import { Recorder } from "./recorder.ts";

setDefaultTimeout(30_000);

const anyPort: Address = { kind: "tls", host: "127.0.0.1", port: 0 };
const ca = certificates.authority;
const mutual: TlsOptions = { ...certificates.server, ca, clientCertificates: true };

const listeners: Listener[] = [];
afterAll(() => {
  for (const listener of listeners) listener.close();
});

async function serve(tls: TlsOptions, far = new Recorder({ onBytes: (link, bytes) => link.write([bytes]) })) {
  const listener = await systemTransport.listen(anyPort, () => far, { tls, handshakeTimeoutMs: 50 });
  listeners.push(listener);
  return { listener, far };
}

async function attempt(server: TlsOptions, client: TlsOptions) {
  const { listener, far } = await serve(server);
  const near = new Recorder();
  const error = await systemTransport.connect(listener.address, near, { tls: client }).then(
    () => null,
    (thrown: MemblastError) => thrown,
  );
  return { error, near, far, listener };
}

describe("TLS", () => {
  test.each<[string, TlsOptions, TlsOptions]>([
    ["a certificate from the given authority", certificates.server, { ca }],
    ["one for the given name", certificates.elsewhere, { ca, serverName: "elsewhere.example" }],
    ["a client's certificate where one is asked for", mutual, { ca, ...certificates.client }],
    ["any certificate, if told so", certificates.stranger, { insecure: true }],
  ])("takes %s", async (_, server, client) => {
    const { error, near } = await attempt(server, client);
    expect(error).toBeNull();
    near.link!.write([Uint8Array.of(42)]);
    await near.until(() => near.receivedBytes === 1);
    near.link!.close();
    expect(await near.closed.promise).toBeUndefined();
  });

  test.each<[string, TlsOptions, TlsOptions, string]>([
    ["an expired certificate", certificates.expired, { ca }, "CERT_HAS_EXPIRED"],
    ["one for another host", certificates.elsewhere, { ca }, "ERR_TLS_CERT_ALTNAME_INVALID"],
    ["one of another authority", certificates.stranger, { ca }, "UNABLE_TO_VERIFY_LEAF_SIGNATURE"],
    [
      "one for the address but not the name",
      certificates.server,
      { ca, serverName: "x" },
      "ERR_TLS_CERT_ALTNAME_INVALID",
    ],
  ])("refuses %s", async (_, server, client, systemCode) => {
    const { error, near, far } = await attempt(server, client);
    expect(error).toMatchObject({ code: "CONNECT_FAILED", details: { reason: "tls", systemCode } });
    expect(near.events).toEqual([]);
    expect(far.events).toEqual([]);
  });

  test("verifies although an environment variable says not to", async () => {
    const script = `
      const { systemTransport } = await import(${JSON.stringify(import.meta.resolve("../../src/transport/endpoint.ts"))});
      const { certificates } = await import(${JSON.stringify(import.meta.resolve("./certificates.ts"))});
      const handler = { onBytes() {}, onClose() {} };
      const listener = await systemTransport.listen({ kind: "tls", host: "127.0.0.1", port: 0 }, () => handler, { tls: certificates.stranger });
      const said = await systemTransport.connect(listener.address, handler, { tls: { ca: certificates.authority } }).then(() => "open", (error) => error.details.reason);
      console.log(said);
      process.exit(0);`;
    const child = Bun.spawn([process.execPath, "-e", script], {
      env: { ...process.env, NODE_TLS_REJECT_UNAUTHORIZED: "0" },
      stderr: "ignore",
    });
    expect((await new Response(child.stdout).text()).trim()).toBe("tls");
  });

  // In TLS 1.3 the dialler has finished its handshake before the listener has seen the certificate.
  test.each<[string, TlsOptions]>([
    ["without a certificate", { ca }],
    [
      "with one of another authority",
      { ca, cert: certificates.stranger.cert, key: certificates.stranger.key },
    ],
  ])("refuses a client %s, where one is asked for", async (_, client) => {
    const { error, near, far, listener } = await attempt(mutual, client);
    if (error) expect(error.code).toBe("CONNECT_FAILED");
    else await near.closed.promise;
    expect(near.receivedBytes).toBe(0);
    expect(far.events).toEqual([]);
    await until(() => listener.connections === 0, "the end at the other side");
  });

  test.each(["TLSv1", "TLSv1.1"] as const)("refuses a client that speaks only %s", async (version) => {
    const { listener, far } = await serve(certificates.server);
    const { port } = listener.address as { port: number };
    const options = {
      host: "127.0.0.1",
      port,
      ca,
      minVersion: "TLSv1",
      maxVersion: version,
    } as TLSSocketOptions;
    const outcome = await new Promise<string>((resolve) => {
      const socket = connectOldTls(options as object, () => resolve("connected"));
      socket.on("error", (error: Error & { code?: string }) => resolve(error.code ?? error.message));
    });
    expect(outcome).toContain("PROTOCOL_VERSION");
    expect(far.events).toEqual([]);
  });

  test("a client that says nothing is closed, and does not keep others out", async () => {
    const { listener } = await serve(certificates.server);
    const { port } = listener.address as { port: number };
    const silent = Promise.withResolvers<void>();
    await Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: { data() {}, close: () => silent.resolve(), error() {} },
    });
    const near = new Recorder();
    const link = await systemTransport.connect(listener.address, near, { tls: { ca } });
    await silent.promise;
    expect(link.state).toBe("open");
    link.abort();
  });

  test("a server that says nothing is a timeout", async () => {
    const mute = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    const near = new Recorder();
    const failed = systemTransport.connect({ kind: "tls", host: "127.0.0.1", port: mute.port }, near, {
      timeoutMs: 30,
    });
    expect(await failed.catch((error) => error)).toMatchObject({
      code: "CONNECT_FAILED",
      details: { reason: "timeout" },
    });
    expect(near.events).toEqual([]);
    mute.stop(true);
  });

  test.each<[string, TlsOptions | undefined]>([
    ["no tls options", undefined],
    ["no key", { cert: certificates.server.cert }],
    ["client certificates without an authority", { ...certificates.server, clientCertificates: true }],
    ["a key that is none", { cert: certificates.server.cert, key: "nonsense" }],
    ["a key of another certificate", { cert: certificates.server.cert, key: certificates.client.key }],
  ])("listening with %s is INVALID_OPTION", async (_, tls) => {
    const failed = systemTransport.listen(anyPort, () => null, tls && { tls });
    expect(await failed.catch((error) => error)).toMatchObject({ code: "INVALID_OPTION" });
  });

  test("connecting with an authority that is none is INVALID_OPTION", async () => {
    const { listener } = await serve(certificates.server);
    const failed = systemTransport.connect(listener.address, new Recorder(), { tls: { ca: "nonsense" } });
    expect(await failed.catch((error) => error)).toMatchObject({ code: "INVALID_OPTION" });
  });

  test("certificates may be given as bytes", async () => {
    const bytes = (text: string) => new TextEncoder().encode(text);
    const { cert, key } = certificates.server;
    const { error, near } = await attempt({ cert: bytes(cert), key: bytes(key) }, { ca: [bytes(ca)] });
    expect(error).toBeNull();
    near.link!.abort();
  });
});
