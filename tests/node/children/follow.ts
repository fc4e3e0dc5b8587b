// Follows an address and prints each version it gets.
import { start } from "../../../src/index.ts";

const address = process.argv[2]!;
await using follower = await start("slow", { server: address });
await follower.ready;
console.log("ready");
follower.onUpdate((update) => console.log(`version ${update.sourceVersion}`));
await new Promise(() => {});
