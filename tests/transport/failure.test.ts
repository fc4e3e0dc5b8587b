import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Address, parseAddress } from "../../src/transport/address.ts";
import { connectFailed, type ConnectReason, connectReasons, reasonOf } from "../../src/transport/failure.ts";

const address: Address = parseAddress("127.0.0.1:7010");

test("what the system says is told in words", () => {
  const cause = Object.assign(new Error("EACCES: permission denied, connect"), { code: "EACCES" });
  expect(connectFailed(address, "system", cause)).toMatchObject({
    message: "No connection to 127.0.0.1:7010: the system refuses it (EACCES: permission denied, connect).",
    details: { address: "127.0.0.1:7010", reason: "system", systemCode: "EACCES" },
  });
});

test.each([
  ["ECONNREFUSED", "refused"],
  ["ECONNRESET", "closed"],
  ["EPIPE", "closed"],
  ["EACCES", "system"],
])("%s while connecting is %p", (code, reason) => {
  expect(reasonOf(Object.assign(new Error("no"), { code }))).toBe(reason as ConnectReason);
});

test("every reason is explained", () => {
  const page = readFileSync(join(import.meta.dir, "../../docs/errors.md"), "utf8");
  for (const reason of connectReasons) expect(page).toContain(`- "${reason}": `);
});

test.each([
  ["127.0.0.1:1", /many links, or speak TLS \(then its address begins with tls: or wss:\)\.$/],
  ["ws://127.0.0.1:1/", /many links, or speak TLS \(then its address begins with wss: or tls:\)\.$/],
  ["unix:/run/a", /it may have too many links\.$/],
  ["tls:127.0.0.1:1", /it may have too many links, or not speak TLS\.$/],
])("one that closes at once, %s", (text, says) => {
  expect(connectFailed(parseAddress(text), "closed").message).toMatch(says);
});
