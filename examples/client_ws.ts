/** Follows any node and serves a web page on which its arrays are seen as they change. */
import { commandLine } from "./options.ts";
import { pageFlags, showPage } from "./page/show.ts";
import { program } from "./program.ts";

const options = commandLine({
  command: "bun examples/client_ws.ts",
  about:
    "Follows a node and serves a page on which its arrays are seen live: http://127.0.0.1:5000/.\n" +
    "The page follows this program over a WebSocket, by deltas, as this program follows the node.",
  flags: pageFlags("127.0.0.1:7010", 5000),
  examples: [
    "bun examples/client_ws.ts",
    "bun examples/client_ws.ts --server 127.0.0.1:7050 --port 5001",
    "bun examples/client_ws.ts --host 0.0.0.0 --node-port 5080",
  ],
});

await program(options, (self) => showPage(self, { ...options, name: "client_ws", entry: "index.html" }));
