import { afterAll, beforeAll, setDefaultTimeout } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemTransport } from "../../src/transport/endpoint.ts";
import { certificates } from "./certificates.ts";
import { linkContract } from "./contract.ts";

setDefaultTimeout(30_000);

let folder = "";
let files = 0;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "memblast-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const megabyte = 1024 * 1024;
const sizes = { bulkBytes: 64 * megabyte, floodBytes: 8 * megabyte };

linkContract("TCP", {
  transport: systemTransport,
  address: () => ({ kind: "tcp", host: "127.0.0.1", port: 0 }),
  ...sizes,
  tellsAborts: true,
});

linkContract("a unix socket", {
  transport: systemTransport,
  address: () => ({ kind: "unix", path: join(folder, `${++files}.sock`) }),
  ...sizes,
  tellsAborts: false,
});

linkContract("TLS", {
  transport: systemTransport,
  address: () => ({ kind: "tls", host: "127.0.0.1", port: 0 }),
  listenOptions: { tls: certificates.server },
  connectOptions: { tls: { ca: certificates.authority } },
  bulkBytes: 16 * megabyte,
  floodBytes: 8 * megabyte,
  tellsAborts: true,
});
