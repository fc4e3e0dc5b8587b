import { describe, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { MemblastError } from "../../src/errors.ts";
import { type Address, formatAddress, isLoopback, parseAddress } from "../../src/transport/address.ts";

setDefaultTimeout(30_000);

const tcp = (host: string, port: number): Address => ({ kind: "tcp", host, port });

const accepted: [string | number, Address, string][] = [
  [7010, tcp("127.0.0.1", 7010), "127.0.0.1:7010"],
  ["7010", tcp("127.0.0.1", 7010), "127.0.0.1:7010"],
  [":7010", tcp("127.0.0.1", 7010), "127.0.0.1:7010"],
  ["0", tcp("127.0.0.1", 0), "127.0.0.1:0"],
  [" 10.0.0.5:7011 ", tcp("10.0.0.5", 7011), "10.0.0.5:7011"],
  ["0.0.0.0:65535", tcp("0.0.0.0", 65535), "0.0.0.0:65535"],
  ["Quotes.Example:1", tcp("quotes.example", 1), "quotes.example:1"],
  ["tcp:host_a-1:80", tcp("host_a-1", 80), "host_a-1:80"],
  ["tcp://host:80", tcp("host", 80), "host:80"],
  ["[::1]:7010", tcp("::1", 7010), "[::1]:7010"],
  ["[FE80::1%eth0]:7010", tcp("fe80::1%eth0", 7010), "[fe80::1%eth0]:7010"],
  ["[::ffff:1.2.3.4]:7", tcp("::ffff:1.2.3.4", 7), "[::ffff:1.2.3.4]:7"],
  ["unix:/run/a.sock", { kind: "unix", path: "/run/a.sock" }, "unix:/run/a.sock"],
  ["unix:a b:7", { kind: "unix", path: "a b:7" }, "unix:a b:7"],
  ["tls:host:7010", { kind: "tls", host: "host", port: 7010 }, "tls:host:7010"],
  ["tls:[::]:1", { kind: "tls", host: "::", port: 1 }, "tls:[::]:1"],
  ["tls:7010", { kind: "tls", host: "127.0.0.1", port: 7010 }, "tls:127.0.0.1:7010"],
  ["ws://host:81", { kind: "ws", host: "host", port: 81, path: "/" }, "ws://host:81/"],
  ["ws://host", { kind: "ws", host: "host", port: 80, path: "/" }, "ws://host:80/"],
  ["ws://:81/x", { kind: "ws", host: "127.0.0.1", port: 81, path: "/x" }, "ws://127.0.0.1:81/x"],
  ["WSS://[::1]/a/b", { kind: "wss", host: "::1", port: 443, path: "/a/b" }, "wss://[::1]:443/a/b"],
];

const refused: [unknown, RegExp][] = [
  ["", /no port/],
  ["host", /no port/],
  ["host:", /no usable host and port/],
  ["host:x", /no port/],
  ["host:65536", /outside 0 to 65535/],
  [65536, /outside 0 to 65535/],
  [-1, /outside/],
  [70.5, /outside/],
  [Number.NaN, /outside/],
  ["1.2.3:80", /whole IPv4/],
  ["1.2.3.256:80", /whole IPv4/],
  ["127.0.0.01:80", /whole IPv4/],
  ["::1:7010", /brackets/],
  ["fe80::1", /brackets/],
  ["[1:2]:80", /no IPv6/],
  ["[1::2::3]:80", /no IPv6/],
  ["[1:2:3:4:5:6:7:8:9]:80", /no IPv6/],
  ["[::12345]:80", /no IPv6/],
  ["[]:80", /no IPv6/],
  ["-a:80", /no name/],
  ["a..b:80", /no name/],
  ["a b:80", /no name/],
  [`${"a".repeat(64)}:80`, /no name/],
  ["http://127.0.0.1:80", /http: is not a scheme of memblast: write ws:\/\/127\.0\.0\.1:80;/],
  ["HTTPS://host/path", /HTTPS: is not a scheme of memblast: write wss:\/\/host\/path;/],
  ["redis://host:80", /redis: is not a scheme of memblast;/],
  ["unix:", /names no file/],
  ["unix:/a\0b", /zero byte/],
  [`unix:/${"x".repeat(107)}`, /107/],
  [`unix:/${"ü".repeat(54)}`, /107/],
  ["ws:host:80", /two slashes/],
  ["ws://", /no host/],
  ["ws://user:secret@host/", /logs/],
  ["ws://host/?token=1", /query/],
  ["ws://host/a b", /blank/],
  [null, /neither/],
  [{}, /neither/],
];

describe("addresses", () => {
  test.each(accepted)("%p is read, and written in one way", (text, address, canonical) => {
    expect(parseAddress(text)).toEqual(address);
    expect(formatAddress(address)).toBe(canonical);
    expect(parseAddress(canonical)).toEqual(address);
  });

  test.each(refused)("%p is refused, with what was expected", (text, why) => {
    let error: unknown;
    try {
      parseAddress(text as string);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(MemblastError);
    expect((error as MemblastError).code).toBe("INVALID_ADDRESS");
    expect((error as MemblastError).message).toMatch(why);
    expect((error as MemblastError).message).toContain("host:port");
  });

  test("whatever is read can be written and read again", () => {
    const piece = fc.constantFrom(
      "tls:",
      "ws://",
      "unix:",
      "[::1]",
      "::",
      "host",
      "1.2.3.4",
      ":",
      "7010",
      "/",
      "%",
      "]",
      "a",
    );
    fc.assert(
      fc.property(fc.array(fc.oneof(piece, fc.string({ maxLength: 3 })), { maxLength: 6 }), (pieces) => {
        let address: Address;
        try {
          address = parseAddress(pieces.join(""));
        } catch (error) {
          expect((error as MemblastError).code).toBe("INVALID_ADDRESS");
          return;
        }
        expect(parseAddress(formatAddress(address))).toEqual(address);
      }),
      { numRuns: 2000 },
    );
  });
});

describe("loopback", () => {
  const local = ["7010", "127.0.0.1:1", "127.255.3.4:1", "localhost:1", "[::1]:1", "[0:0:0:0:0:0:0:1]:1"];
  const mapped = [
    "[::ffff:127.0.0.1]:1",
    "[::ffff:7f00:1]:1",
    "unix:/x",
    "tls:localhost:1",
    "ws://127.0.0.1",
  ];
  test.each([...local, ...mapped])("%s cannot be reached from elsewhere", (text) => {
    expect(isLoopback(parseAddress(text))).toBe(true);
  });

  const foreign = [
    "0.0.0.0:1",
    "[::]:1",
    "128.0.0.1:1",
    "localhost.example:1",
    "127.0.0.1.example:1",
    "[::2]:1",
  ];
  const foreignToo = ["[::ffff:8.8.8.8]:1", "[1::1]:1", "[::127.0.0.1]:1", "wss://host", "tls:10.0.0.1:1"];
  test.each([...foreign, ...foreignToo])("%s can", (text) => {
    expect(isLoopback(parseAddress(text))).toBe(false);
  });
});
