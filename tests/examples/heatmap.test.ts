import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { depth, HeatPainter, shrink } from "../../examples/heatmap/heat.ts";
import { Launched } from "./launch.ts";

setDefaultTimeout(60_000);

const room = (columns: number, lines: number) => ({ columns, lines });

describe("colours", () => {
  test("are 24 bits, 256 where a terminal is known to garble them, none without colour", () => {
    expect(depth(true, { TERM: "xterm-256color" })).toBe("ansi-16m");
    expect(depth(true, { TERM: "screen", TMUX: "/tmp/tmux" })).toBe("ansi-16m");
    expect(depth(true, { TERM: "screen" })).toBe("ansi-256");
    expect(depth(true, { TERM: "linux" })).toBe("ansi-256");
    expect(depth(true, { TERM: "xterm-256color", TERM_PROGRAM: "Apple_Terminal" })).toBe("ansi-256");
    expect(depth(false, {})).toBe("none");
  });

  test("go from the cold end to the hot one, two values above each other in a character", () => {
    const painter = new HeatPainter(-1, 1, "ansi-16m");
    const [line] = painter.draw({ values: [-1, 1, 1, -1], rows: 2, columns: 2 }, room(2, 1));
    const [cold, hot] = ["13;8;135", "240;249;33"];
    expect(line).toBe(`\x1b[38;2;${cold}m\x1b[48;2;${hot}m▀\x1b[38;2;${hot}m\x1b[48;2;${cold}m▀\x1b[0m`);
  });

  test("are named only where they change, and a value outside takes the colour of the end", () => {
    const painter = new HeatPainter(0, 10, "ansi-16m");
    const [line = ""] = painter.draw({ values: [-5, 0, 0, 99], rows: 1, columns: 4 }, room(9, 9));
    expect(line.match(/\x1b\[38;2;[\d;]+m/g)).toEqual(["\x1b[38;2;13;8;135m", "\x1b[38;2;240;249;33m"]);
    expect(Bun.stripANSI(line)).toBe("▀▀▀▀");
  });

  test("are shades without colour, and 256 colours use their own sequences", () => {
    const values = [-1, -0.5, 0, 0.5, 1];
    expect(new HeatPainter(-1, 1, "none").draw({ values, rows: 1, columns: 5 }, room(9, 9))).toEqual([
      " :+#@",
    ]);
    const [line] = new HeatPainter(-1, 1, "ansi-256").draw({ values, rows: 1, columns: 5 }, room(9, 9));
    expect(line).toMatch(/^\x1b\[38;5;\d+m\x1b\[48;5;\d+m▀/);
  });

  test("a missing value is no error", () => {
    expect(new HeatPainter(0, 1, "none").draw({ values: [NaN, 1], rows: 1, columns: 2 }, room(2, 1))).toEqual(
      [" @"],
    );
  });
});

describe("shrink", () => {
  test("keeps what fits as it is", () => {
    const field = { values: [1, 2, 3, 4, 5, 6], rows: 2, columns: 3 };
    expect(shrink(field, 2, 3)).toEqual({ ...field, values: Float64Array.from(field.values) });
  });

  test("takes the mean of what falls together, and keeps the proportions", () => {
    const values = Array.from({ length: 16 }, (_, i) => i);
    expect(shrink({ values, rows: 4, columns: 4 }, 100, 2)).toEqual({
      values: Float64Array.of(2.5, 4.5, 10.5, 12.5),
      rows: 2,
      columns: 2,
    });
    expect(shrink({ values: new Float32Array(128 * 128), rows: 128, columns: 128 }, 44, 80)).toMatchObject({
      rows: 44,
      columns: 44,
    });
  });

  test("weighs every value once: the mean of a shrunk field is that of the field where sizes divide", () => {
    const values = Array.from({ length: 60 * 36 }, (_, i) => Math.sin(i * i));
    const { values: few } = shrink({ values, rows: 60, columns: 36 }, 20, 12);
    const mean = (all: ArrayLike<number>) => Array.from(all).reduce((sum, x) => sum + x, 0) / all.length;
    expect(mean(few)).toBeCloseTo(mean(values), 12);
  });
});

interface Line {
  meta: { frame: number; phase: number };
  values: number[][];
}

describe("heatmap_server.ts and heatmap_client.ts", () => {
  const serve = (...args: string[]) =>
    Launched.server("heatmap/heatmap_server.ts", "--size", "24", "--every", "40", ...args);

  test("a client prints the frames that the formula gives, each of them whole", async () => {
    const { server, address } = await serve();
    await using _ = server;
    await using client = new Launched([
      "heatmap/heatmap_client.ts",
      "--server",
      address,
      "--check-hash",
      "--json",
    ]);
    let before = -1;
    for (let i = 0; i < 8; i++) {
      const { meta, values } = await client.json<Line>();
      expect(meta.frame).toBeGreaterThan(before);
      before = meta.frame;
      expect(meta.phase).toBe(meta.frame / 10);
      const angle = (k: number) => (k / 23) * 4 * Math.PI + meta.frame / 10;
      for (let y = 0; y < 24; y++)
        for (let x = 0; x < 24; x++)
          expect(values[y]?.[x]).toBe(Math.fround(Math.sin(angle(x)) * Math.cos(angle(y))));
    }
    expect(await client.stop()).toBe(0);
    expect(await server.stop()).toBe(0);
  });

  test("on a terminal it is true colour with a scale; without colour shades; in a pipe plain lines", async () => {
    const { server, address } = await serve();
    await using _ = server;
    const command = ["heatmap/heatmap_client.ts", "--server", address];
    const terminal = { columns: 80, rows: 24 };
    await using colourful = new Launched(command, { terminal });
    await colourful.matches(/\x1b\[38;2;\d+;\d+;\d+m\x1b\[48;2;\d+;\d+;\d+m▀[^\n]*\n[^\n]*▀[^\n]*\n/);
    expect(colourful.output).toMatch(/ -1 \x1b\[38;2;13;8;135m/);
    await using plain = new Launched(command, { terminal, env: { NO_COLOR: "1" } });
    await plain.matches(/-1 [ .:\-=+*#%@]{32} 1/);
    await plain.matches(/[*#%@]{2}/);
    expect(plain.output).not.toMatch(/\x1b\[\d+(;\d+)*m/);
    await using piped = new Launched(command);
    await piped.matches(
      /^frame \d+, phase \d+\.\d, values from -\d\.\d{3} to \d\.\d{3}; follows .*, connected$/m,
    );
    expect(piped.output).not.toContain("\x1b");
    for (const program of [colourful, plain, piped]) expect(await program.stop()).toBe(0);
  });

  test("a client comes back to a server that was away", async () => {
    const folder = await mkdtemp(join(tmpdir(), "memblast-heatmap-"));
    const address = `unix:${join(folder, "socket")}`;
    const command = ["heatmap/heatmap_server.ts", "--size", "24", "--listen", address];
    await using server = new Launched(command);
    await server.matches(/listens on unix:/);
    await using client = new Launched(["heatmap/heatmap_client.ts", "--server", address]);
    await client.matches(/connected/);
    await server.stop();
    await client.matches(/disconnected \(.+\), tries again/);
    await using again = new Launched(command);
    await client.matches(/tries again\n(.*\n)*frame .*, connected/);
    expect(await again.stop()).toBe(0);
    await rm(folder, { recursive: true });
  });

  test("refuses a server of another size, and tells its options", async () => {
    const { server, address } = await serve();
    await using _ = server;
    await using client = new Launched(["heatmap/heatmap_client.ts", "--server", address, "--size", "25"]);
    expect(await client.ended()).toMatchObject({
      status: 1,
      err: expect.stringContaining("f32 [25,25] here and f32 [24,24]"),
    });
    await using help = new Launched(["heatmap/heatmap_server.ts", "--help"]);
    expect((await help.ended()).out).toContain("--size N");
  });
});
