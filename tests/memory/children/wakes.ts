// Attaches for reading and prints a line at each call of the doorbell; on a line of stdin, how often each of its threads woke up.
import { readdirSync, readFileSync } from "node:fs";
import { Doorbell } from "../../../src/memory/notify.ts";
import { Segment } from "../../../src/memory/segment.ts";

using segment = Segment.attach(process.argv[2]!);
using _bell = await Doorbell.open(segment, () => console.log(`woken: version ${segment.version}`));
console.log("ready");
for await (const _ of console) {
  const threads: Record<string, number> = {};
  for (const thread of readdirSync("/proc/self/task")) {
    const status = readFileSync(`/proc/self/task/${thread}/status`, "utf8");
    threads[`${/^Name:\s*(.*)$/m.exec(status)![1]} ${thread}`] = Number(
      /^voluntary_ctxt_switches:\s*(\d+)$/m.exec(status)![1],
    );
  }
  console.log(JSON.stringify(threads));
}
