// The other process of the network benches. `bulk ADDRESS` follows a node and says when an update came; `pong ADDRESS` answers each
// update with a commit of its own; `sink BYTES` and `echo` do the same with bare sockets.
import { start } from "../../src/index.ts";

const [mode, address] = process.argv.slice(2) as [string, string];

/** Where to connect, or that something is there. */
const tell = (message: { address?: string; arrived?: true }) => process.send!(message);

if (mode === "sink") {
  let received = 0;
  const wanted = Number(address);
  const server = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data(_, bytes) {
        received += bytes.length;
        if (received < wanted) return;
        received -= wanted;
        tell({ arrived: true });
      },
    },
  });
  tell({ address: `127.0.0.1:${server.port}` });
} else if (mode === "echo") {
  const server = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      open: (socket) => void socket.setNoDelay(true),
      data: (socket, bytes) => void socket.write(bytes),
    },
  });
  tell({ address: `127.0.0.1:${server.port}` });
} else if (mode === "bulk") {
  const follower = await start("bench-follower", { server: address });
  await follower.ready;
  follower.onUpdate(() => tell({ arrived: true }));
  tell({});
} else {
  const answer = await start("bench-answer", { listen: 0, shape: [64] });
  const follower = await start("bench-follower", { server: address });
  await follower.ready;
  follower.onUpdate((update) => answer.write((a) => a.set(0, update.sourceVersion)));
  tell({ address: answer.addresses[0]! });
}
process.on("disconnect", () => process.exit());
