import { describe, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import { nextGeneration, randomWorld } from "../../examples/life/world.ts";
import { seeded } from "../../examples/random.ts";
import { Launched } from "./launch.ts";

setDefaultTimeout(60_000);

type World = readonly (readonly number[])[];

/** The rules as Conway told them, cell by cell, with modulo at the edges. */
function oracle(world: World): number[][] {
  const [rows, columns] = [world.length, world[0]?.length ?? 0];
  return world.map((row, r) =>
    row.map((cell, c) => {
      let neighbours = 0;
      for (const dr of [-1, 0, 1])
        for (const dc of [-1, 0, 1])
          if (dr !== 0 || dc !== 0)
            neighbours += world[(r + dr + rows) % rows]?.[(c + dc + columns) % columns] ?? NaN;
      return neighbours === 3 || (neighbours === 2 && cell === 1) ? 1 : 0;
    }),
  );
}

function step(world: World, generations = 1): number[][] {
  const [rows, columns] = [world.length, world[0]?.length ?? 0];
  let cells = Uint8Array.from(world.flat());
  for (let i = 0; i < generations; i++) cells = nextGeneration(cells, rows, columns) as typeof cells;
  return Array.from({ length: rows }, (_, r) => [...cells.subarray(r * columns, (r + 1) * columns)]);
}

const parse = (text: readonly string[]) => text.map((row) => [...row].map((cell) => (cell === "#" ? 1 : 0)));
const print = (world: World) => world.map((row) => row.map((cell) => (cell ? "#" : ".")).join(""));

/** The rows of the world of `--seed seed` after `generations`, by the oracle. */
function worldOf(seed: number, width: number, generations: number): string[] {
  const cells = randomWorld(width, width, 0.3, seeded(seed));
  let world: number[][] = Array.from({ length: width }, (_, r) => [
    ...cells.subarray(r * width, (r + 1) * width),
  ]);
  for (let i = 0; i < generations; i++) world = oracle(world);
  return print(world);
}

describe("a generation", () => {
  test("is what the rules say, for worlds of any shape, however small (oracle)", () => {
    const world = fc
      .tuple(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 9 }))
      .chain(([rows, columns]) =>
        fc.array(fc.array(fc.integer({ min: 0, max: 1 }), { minLength: columns, maxLength: columns }), {
          minLength: rows,
          maxLength: rows,
        }),
      );
    fc.assert(
      fc.property(world, (world) => expect(step(world)).toEqual(oracle(world))),
      { numRuns: 500 },
    );
  });

  test("is what the rules say for 50 generations of a world of 64x40", () => {
    const cells = randomWorld(64, 40, 0.3, seeded(11));
    let world: number[][] = Array.from({ length: 64 }, (_, r) => [...cells.subarray(r * 40, (r + 1) * 40)]);
    const start = world;
    for (let i = 0; i < 50; i++) world = oracle(world);
    expect(step(start, 50)).toEqual(world);
  });

  test("lets a glider leave at the bottom right and come in at the top left", () => {
    const glider = parse([
      ".#......",
      "..#.....",
      "###.....",
      ...Array.from({ length: 5 }, () => "........"),
    ]);
    const moved = step(glider, 4);
    expect(print(moved).slice(0, 4)).toEqual(["........", "..#.....", "...#....", ".###...."]);
    // Four generations a cell down and right: after eight times that it has gone around both ways.
    expect(step(glider, 32)).toEqual(glider);
    expect(print(step(glider, 24))).not.toEqual(print(glider));
  });

  test("leaves a block alone and turns a blinker, across an edge too", () => {
    const block = parse(["#..#", "....", "....", "#..#"]);
    expect(step(block)).toEqual(block);
    const blinker = parse(["#...#", ".....", ".....", ".....", "....."]);
    const turned = parse(["#....", "#....", ".....", ".....", "#...."]);
    expect(step(parse(["##..#", ".....", ".....", ".....", "....."]))).toEqual(turned);
    expect(step(blinker)).toEqual(parse([".....", ".....", ".....", ".....", "....."]));
  });
});

interface Line {
  version: Record<string, number>;
  meta: { generation: number };
  alive: number;
  rows: string[];
}

describe("life_server.ts and life_client.ts", () => {
  const options = ["--width", "40", "--every", "40", "--seed", "5"];

  test("a client prints the generations that the rules give, all of the world", async () => {
    const { server, address } = await Launched.server("life/life_server.ts", ...options);
    await using _ = server;
    await using client = new Launched(["life/life_client.ts", "--server", address, "--check-hash", "--json"]);
    const seen: number[] = [];
    for (let i = 0; i < 8; i++) {
      const { meta, rows, alive, version } = await client.json<Line>();
      expect(rows).toEqual(worldOf(5, 40, meta.generation));
      expect(alive).toBe(rows.join("").split("#").length - 1);
      expect(version[address]).toBe(meta.generation + 1);
      seen.push(meta.generation);
    }
    expect(seen).toEqual(seen.toSorted((a, b) => a - b));
    expect(new Set(seen).size).toBe(8);
    expect(await client.stop()).toBe(0);
    expect(await server.stop()).toBe(0);
  });

  test("--region R,C,H,W follows that part and nothing else", async () => {
    const { server, address } = await Launched.server("life/life_server.ts", ...options);
    await using _ = server;
    const region = ["--region", "30,3,10,25"];
    await using client = new Launched(["life/life_client.ts", "--server", address, ...region, "--json"]);
    for (let i = 0; i < 5; i++) {
      const { meta, rows } = await client.json<Line>();
      expect(rows).toEqual(
        worldOf(5, 40, meta.generation)
          .slice(30)
          .map((row) => row.slice(3, 28)),
      );
    }
  });

  test("plain lines into a pipe: the generation, living cells, and the link", async () => {
    const { server, address } = await Launched.server("life/life_server.ts", ...options);
    await using _ = server;
    await using client = new Launched(["life/life_client.ts", "--server", address]);
    await client.matches(/^generation \d+, \d+ of 1600 cells alive; follows 127\.0\.0\.1:\d+, connected$/m);
    await server.stop();
    await client.matches(/disconnected \(.+\), tries again/);
    expect(client.output).not.toContain("\x1b");
  });

  test("on a terminal it is a picture in half blocks where that fits, else in braille, cut to the terminal", async () => {
    const { server, address } = await Launched.server("life/life_server.ts", ...options);
    await using _ = server;
    const command = ["life/life_client.ts", "--server", address];
    await using small = new Launched([...command, "--region", "0,0,20,40"], {
      terminal: { columns: 80, rows: 24 },
    });
    await small.matches(/[▀▄█]/);
    expect(small.output).not.toMatch(/[\u2800-\u28ff]/);
    expect(small.output).toContain("\x1b[32m");
    await using plain = new Launched(command, {
      terminal: { columns: 30, rows: 12 },
      env: { NO_COLOR: "1" },
    });
    await plain.matches(/[\u2801-\u28ff]/);
    expect(plain.output).not.toContain("\x1b[32m");
    expect(plain.output).toMatch(/generation \d+, \d+ of 1600/);
    await using cut = new Launched(command, { terminal: { columns: 100, rows: 8 } });
    await cut.matches(/the top left 20x40 of 40x40/);
    for (const program of [small, plain, cut]) expect(await program.stop()).toBe(0);
  });

  test.each([
    [["--region", "1,2,3"], 2, "--region must be 4 whole numbers with commas between them"],
    [["--region", "30,0,11,5"], 1, "outside the array's [40, 40]"],
    [["--region", "0,0,0,5"], 1, "INVALID_SHAPE"],
    [["--width", "64"], 1, "SCHEMA_MISMATCH"],
  ])("%j ends it with status %d and a sentence", async (args, status, sentence) => {
    const { server, address } = await Launched.server("life/life_server.ts", ...options);
    await using _ = server;
    await using client = new Launched(["life/life_client.ts", "--server", address, ...args]);
    expect(await client.ended()).toMatchObject({ status, err: expect.stringContaining(sentence) });
  });

  test("--help of both tells their options", async () => {
    await using server = new Launched(["life/life_server.ts", "--help"]);
    await using client = new Launched(["life/life_client.ts", "--help"]);
    expect((await server.ended()).out).toContain("--every MS");
    expect((await client.ended()).out).toContain("--region R,C,H,W");
  });
});
