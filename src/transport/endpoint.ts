import { fail } from "../errors.ts";
import { type Address, formatAddress } from "./address.ts";
import { connectStream } from "./dialler.ts";
import type { Transport } from "./link.ts";
import { listenStream } from "./listener.ts";

/** The machine's real network: `tcp`, `tls` and `unix` addresses. */
export const systemTransport: Transport = {
  async listen(address, accept, options) {
    switch (address.kind) {
      case "tcp":
      case "tls":
      case "unix":
        return listenStream(address, accept, options);
      default:
        return unsupported(address);
    }
  },
  async connect(address, handler, options) {
    switch (address.kind) {
      case "tcp":
      case "tls":
      case "unix":
        return connectStream(address, handler, options);
      default:
        return unsupported(address);
    }
  },
};

function unsupported(address: Address): never {
  return fail(
    "INVALID_ADDRESS",
    `${formatAddress(address)} cannot be opened by this version; use host:port, tls:host:port or unix:path.`,
    { address: formatAddress(address) },
  );
}
