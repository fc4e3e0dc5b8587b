import { expect, test } from "bun:test";
import { type Head, HeadReader, NotHttp } from "../../src/transport/http_head.ts";

function headOf(...lines: string[]): Head {
  const text = ["GET / HTTP/1.1", ...lines, "", ""].join("\r\n");
  return new HeadReader().push(new TextEncoder().encode(text))!;
}

test("a field's value is what stands between the blanks around it", () => {
  const { fields } = headOf("a:1", "b: \t 2 \t ", "c:", "d: \t ", "e: x  y", "f:::", "a: 2 ");
  expect(Object.fromEntries(fields)).toEqual({ a: "1, 2", b: "2", c: "", d: "", e: "x  y", f: "::" });
});

test("a frame of memblast's is no HTTP, also where its length begins with the code of a letter", () => {
  for (const bytes of [
    [12, 0, 0, 0],
    [71, 0, 0, 0],
    [71, 69, 0],
    [22, 3, 1],
  ])
    expect(() => new HeadReader().push(Uint8Array.from(bytes))).toThrow(NotHttp);
  expect(new HeadReader().push(new TextEncoder().encode("G"))).toBeNull();
});

test("blanks cost no more than letters, wherever they stand", () => {
  const best = (value: string) =>
    Math.min(
      ...Array.from({ length: 20 }, () => {
        const begun = performance.now();
        headOf(`a:${value}`);
        return performance.now() - begun;
      }),
    );
  const letters = best("x".repeat(8000));
  for (const value of [`${" ".repeat(8000)}x`, `x${" ".repeat(8000)}x`, "\t x".repeat(2600)])
    expect(best(value) / letters).toBeLessThan(40);
});
