// Follows a server into a segment that many write, and stays. Arguments: the segment's name, the server's address.
import { start } from "../../../src/index.ts";

const [name, server] = process.argv.slice(2) as [string, string];
const node = await start(name, { share: true, writers: "many", shape: [8], server });
await node.ready;
console.log("follows");
setInterval(() => {}, 1000);
