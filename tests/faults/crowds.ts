/** F36 to F38: more of them than there is room for. */
import { Actor } from "../chaos/actor.ts";
import { linksMaxOf } from "../../src/transport/descriptors.ts";
import { certificates } from "../transport/certificates.ts";
import { eager, type Report } from "../chaos/stage.ts";
import { count, type Fault, mib, ms, quantile, type Trial } from "./fault.ts";
import { windowShare } from "./silences.ts";
import { closeAll, processOf, Stranger, within } from "./strangers.ts";

const herdWanted = 1000;
const herdCells = 4096;

/** A publisher with a port of its own to come back to. */
async function publish(trial: Trial, port: number, salt: number) {
  const publisher = new Actor("publisher");
  const options = { listen: `127.0.0.1:${port}`, connectionsMax: 4096 };
  const { addresses } = await publisher.call<{ addresses: string[] }>("open", options, {
    salt: trial.seed + salt,
    cells: herdCells,
  });
  await publisher.call("commit", 10);
  return { publisher, address: addresses[0]! };
}

const herd: Fault = {
  id: "F36",
  name: "all clients back at once after kill -9 of their server",
  seconds: 45,
  async run(trial) {
    const full = trial.secondsLeft >= 30;
    const clients = full ? herdWanted : 100;
    const [a, b] = [new Actor("followers"), new Actor("followers")];
    let { publisher, address } = await publish(trial, 0, 0);
    try {
      // As many as that in one process cannot all be at the door within three seconds: that would measure this machine.
      const options = { server: address, ...(!full && { reconnect: { minMs: 200, maxMs: 1000 } }) };
      for (let i = 0; i < clients; i += 100)
        await Promise.all([a, b].map((actor) => actor.call("crowd", 50, options)));
      const steady = processOf(publisher.pid).rss;
      const since = await Promise.all([a, b].map((actor) => actor.call<number>("now")));
      await publisher.kill();
      const port = Number(address.split(":")[1]);
      ({ publisher, address } = await publish(trial, port, 1));
      let peak = 0;
      const deadline = performance.now() + 30_000;
      const lost = async () =>
        (await a.call<number>("lost")) + (await b.call<number>("lost")) + clients - (await connected(a, b));
      while ((await lost()) > 0 && performance.now() < deadline) {
        peak = Math.max(peak, processOf(publisher.pid).rss);
        await Bun.sleep(20);
      }
      const still = await lost();
      if (still > 0) trial.violate(`${still} of ${clients} are not back after 30 s`);
      peak = Math.max(peak, processOf(publisher.pid).rss);
      const back = (
        await Promise.all([a, b].map((each, i) => each.call<number[]>("backSince", since[i])))
      ).flat();
      const { encodings } = await publisher.call<{ encodings: number }>("stats");
      const { sha } = await publisher.call<{ sha: string }>("digest");
      for (const actor of [a, b])
        if (`${await actor.call<string[]>("digests")}` !== sha)
          trial.violate("not all clients have the server's bytes");
      if (encodings > 4) trial.violate(`the first state was encoded ${encodings} times`);
      trial.injections += clients;
      const share = windowShare(back);
      const text =
        `${count(clients)} clients: at most ${share} % in 100 ms, all live ${ms(Math.max(...back))} after the kill, ` +
        `memory ${mib(peak)} at most (${mib(steady)} before), ${encodings} encodings`;
      const isMet = share <= 10 && peak <= 2 * steady && still === 0;
      trial.measure("N12", text, trial.violationCount > 0 ? false : full ? isMet : null);
      return text;
    } finally {
      await Promise.all([a, b, publisher].map((actor) => actor.kill()));
    }
  },
};

async function connected(a: Actor, b: Actor): Promise<number> {
  return (await a.call<number>("connected")) + (await b.call<number>("connected"));
}

const filesMax = 128;
const besieging = 400;
/** Beside them: those who were there before, and are looked at. */
const existing = 3;
/** Until no more may stand: the siege is to cost what sending away costs, not what serving does. */
const filling = linksMaxOf(filesMax) - existing;

const siege: Fault = {
  id: "F37",
  name: "400 clients at a server with 128 descriptors, and none left at all",
  seconds: 15,
  async run(trial) {
    const seconds = Math.min(4, Math.max(1, trial.secondsLeft / 5));
    await using publisher = new Actor("publisher", {
      under: ["sh", "-c", `ulimit -n ${filesMax}; exec "$0" "$@"`],
    });
    await using inside = new Actor("followers");
    await using others = new Actor("followers");
    await using outside = new Actor("followers");
    const { addresses } = await publisher.call<{ addresses: string[] }>(
      "open",
      {},
      { salt: trial.seed, cells: 64 },
    );
    const server = addresses[0]!;
    const port = Number(server.split(":")[1]);
    for (let i = 0; i < existing; i++) await inside.call("follow", `f${i}`, { server, ...eager });
    await publisher.call("tick", 10);
    const alone = await cpuOf(publisher, seconds);
    const arrays = { shape: [64], arrays: { bytes: { shape: [256], dtype: "u8" } } };
    await others.call("crowd", filling, { server, ...arrays });
    await Bun.sleep(300);
    await inside.call("takeAges", "f0");
    const full = await cpuOf(publisher, seconds);
    const before = await inside.call<number[]>("takeAges", "f0");

    await outside.call(
      "crowd",
      besieging,
      { server, ...arrays, reconnect: { minMs: 500, maxMs: 2000 } },
      false,
    );
    await Bun.sleep(500);
    const besieged = (await cpuOf(publisher, seconds)) - full;
    const during = await inside.call<number[]>("takeAges", "f0");
    await Promise.all([others, outside].map((actor) => actor.call("closeAll")));
    const afterSiege = await letIn(inside, server, "g");

    const hoarded = await publisher.call<number>("hoard");
    const waiting = await Promise.all(Array.from({ length: 40 }, () => Stranger.open(port)));
    await Bun.sleep(500);
    const exhausted = (await cpuOf(publisher, seconds)) - alone;
    closeAll(waiting);
    await publisher.call("letGo");
    const afterHoard = await letIn(inside, server, "h");

    const version = await publisher.call<number>("tick", 0);
    for (let i = 0; i < existing; i++) {
      await inside.call("reaches", `f${i}`, version);
      const report = await inside.call<Report>("report", `f${i}`);
      for (const wrong of report.wrong) trial.violate(wrong);
      for (const what of Object.keys(report.tally)) trial.violate(`a client that was there before: ${what}`);
    }
    trial.injections += besieging + hoarded;
    const worst = Math.max(besieged, exhausted);
    const text =
      `processor ${signed(besieged)} % besieged, ${signed(exhausted)} % without descriptors; ` +
      `a client that was there p99 ${ms(quantile(before, 0.99))} -> ${ms(quantile(during, 0.99))}; ` +
      `next client in ${ms(afterSiege)} and ${ms(afterHoard)} after`;
    if (worst > 50) trial.violate(`the processor was at ${worst.toFixed(0)} %: it spins`);
    const isMet = worst <= 10 && Math.max(afterSiege, afterHoard) <= 1000;
    trial.measure("N24", text, trial.violationCount > 0 ? false : isMet);
    return text;
  },
};

/** Of one processor, per cent. */
async function cpuOf(actor: Actor, seconds: number): Promise<number> {
  const before = processOf(actor.pid).cpuMs;
  await Bun.sleep(1000 * seconds);
  return (processOf(actor.pid).cpuMs - before) / (10 * seconds);
}

function signed(value: number): string {
  return `${value < 0 ? "" : "+"}${value.toFixed(0)}`;
}

/** How long a new follower needs from now on, ms. */
async function letIn(followers: Actor, server: string, name: string): Promise<number> {
  const begun = performance.now();
  await followers.call("follow", name, { server, reconnect: { minMs: 20, maxMs: 50 } });
  return performance.now() - begun;
}

const slowWanted = 1000;
const shutWithinMs = 3000;
const doors = ["tcp", "tls", "ws"] as const;

/** How the strangers of a door behave: some say nothing, some speak as slowly as they can. */
function behaviour(door: (typeof doors)[number], i: number) {
  const head = new TextEncoder().encode(
    "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nX-Padding: ".padEnd(4000, "x"),
  );
  const isTls = door === "tls" && i % 2 === 0; // the others do not even begin to shake hands
  if (i % 3 === 0) return { tls: isTls };
  return { tls: isTls, trickle: { bytes: door === "ws" ? head : new Uint8Array([1]), everyMs: 100 } };
}

/** More than may stand at all doors together. */
const besetWanted = 1100;

/**
 * Two ways round the clock of the handshake: to take each step of a WebSocket's in the last moment, and to be so many before the
 * first step of TLS that nobody else finds a place. How long the first stands, and an honest client waits, ms.
 */
async function sly(followers: Actor, addresses: readonly string[], ports: readonly number[]) {
  using patient = await Stranger.open(ports[2]!);
  await Bun.sleep(2000);
  patient.write(
    "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
  );
  await within(patient.ended.promise, 10_000);
  const crowd = await Promise.all(Array.from({ length: besetWanted }, () => Stranger.open(ports[1]!)));
  const begun = performance.now();
  await followers.call("follow", "beset", { server: addresses[0], ...eager });
  const waitMs = performance.now() - begun;
  closeAll(crowd);
  return { patientMs: patient.stoodMs ?? 10_000, waitMs };
}

const slow: Fault = {
  id: "F38",
  name: "silent and trickling connections at every kind of door",
  seconds: 12,
  async run(trial) {
    const full = trial.secondsLeft >= 8;
    const strangersWanted = full ? slowWanted : 300;
    await using publisher = new Actor("publisher");
    await using followers = new Actor("followers");
    const listen = ["127.0.0.1:0", "tls:127.0.0.1:0", "ws://127.0.0.1:0"];
    const { cert, key } = certificates.server;
    const { addresses } = await publisher.call<{ addresses: string[] }>(
      "open",
      { listen, tls: { cert, key } },
      { salt: trial.seed, cells: 64 },
    );
    await publisher.call("commit");
    const ports = addresses.map((address) => Number(/:(\d+)\/?$/.exec(address)![1]));
    const begun = performance.now();
    const strangers = await Promise.all(
      Array.from({ length: strangersWanted }, (_, i) => {
        const which = i % doors.length;
        return Stranger.open(ports[which]!, behaviour(doors[which]!, i));
      }),
    );
    const openedMs = performance.now() - begun;
    const waits: number[] = [];
    const honest = full ? 100 : 30;
    for (let i = 0; i < honest; i++) {
      const start = performance.now();
      await followers.call("follow", `h${i}`, { server: addresses[0], ...eager });
      waits.push(performance.now() - start);
    }
    const besideMs = performance.now() - begun;
    const allGone = Promise.all(strangers.map(({ ended }) => ended.promise));
    await within(allGone, shutWithinMs + 4000);
    const stood = strangers.map(({ stoodMs }) => stoodMs);
    const standing = stood.filter((each) => each === null).length;
    closeAll(strangers);
    if (standing > 0) trial.violate(`${standing} of ${strangersWanted} still stand at the door`);
    const longest = Math.max(...stood.map((each) => each ?? 0));
    // This process opens and watches all of them, beside the server: what it is late itself is not the server's doing.
    if (longest > shutWithinMs + openedMs + 500) trial.violate(`one stood there for ${ms(longest)}`);
    const { door } = await publisher.call<{ door: { slow: number; evicted: number } }>("stats");
    trial.injections += strangersWanted;
    const found = full ? await sly(followers, addresses, ports) : null;
    const round = found
      ? `; one that takes each step in the last moment stands ${ms(found.patientMs)}; with ${count(besetWanted)} silent at the TLS door an honest client waits ${ms(found.waitMs)}`
      : "";
    const text =
      `${count(strangersWanted)} at TCP, TLS and WebSocket doors: all closed within ${ms(longest)} (${door.slow} by the clock, ${door.evicted} sent away); ` +
      `${honest} honest clients meanwhile p50 ${ms(quantile(waits, 0.5))}, p99 ${ms(quantile(waits, 0.99))}${round}`;
    const isMet =
      Math.max(longest, found?.patientMs ?? 0) <= shutWithinMs &&
      Math.max(quantile(waits, 0.99), found?.waitMs ?? 0) <= 200 &&
      besideMs < shutWithinMs + openedMs;
    trial.measure("N2", text, trial.violationCount > 0 ? false : full ? isMet : null);
    return text;
  },
};

export const crowds: readonly Fault[] = [herd, siege, slow];
