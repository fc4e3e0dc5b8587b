import { connectStream } from "./dialler.ts";
import type { Transport } from "./link.ts";
import { listenStream } from "./listener.ts";
import { connectWebSocket } from "./websocket_dialler.ts";
import { listenWebSocket } from "./websocket_listener.ts";

/** The machine's real network: every kind of address. */
export const systemTransport: Transport = {
  async listen(address, accept, options) {
    switch (address.kind) {
      case "tcp":
      case "tls":
      case "unix":
        return listenStream(address, accept, options);
      case "ws":
      case "wss":
        return listenWebSocket(address, accept, options);
    }
  },
  async connect(address, handler, options) {
    switch (address.kind) {
      case "tcp":
      case "tls":
      case "unix":
        return connectStream(address, handler, options);
      case "ws":
      case "wss":
        return connectWebSocket(address, handler, options);
    }
  },
};
