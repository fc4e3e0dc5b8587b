// Owns a segment inside a Worker, and commits until it is terminated.
import { Segment } from "../../../src/memory/segment.ts";

declare const self: Worker;

self.onmessage = async ({ data: path }: MessageEvent<string>) => {
  const spec = { schemaText: "{}", imageBytes: 4096, metaOffset: 0 };
  const segment = Segment.create(path, spec, { persist: true });
  const image = new Uint8Array(segment.buffer("working", 0, spec.imageBytes));
  self.postMessage("holds");
  for (let i = 0; ; i++) {
    segment.begin();
    image.fill(i);
    segment.touch(0, image.length);
    segment.commit();
    if (i % 64 === 0) await Bun.sleep(0);
  }
};
