// A Worker that begins to write and never ends.
import { Segment } from "../../../src/memory/segment.ts";

declare const self: Worker;

self.onmessage = ({ data }: MessageEvent<{ name: string; spin: boolean }>) => {
  const segment = Segment.attach(data.name, { mode: "rw" });
  const cells = new Float64Array(segment.buffer("working", 0, segment.imageBytes));
  segment.begin();
  cells[0] = 666;
  segment.touch(0, 8);
  postMessage("writing");
  for (let i = 0; data.spin; i++) cells[1 + (i % 7)] = i;
};
