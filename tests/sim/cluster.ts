import { drainMicrotasks } from "bun:jsc";
import type { MemblastError } from "../../src/index.ts";
import { Node } from "../../src/node/node.ts";
import type { World } from "../../src/node/runtime/world.ts";
import { LoopbackNetwork } from "../../src/transport/loopback_network.ts";
import type { Transport } from "../../src/transport/link.ts";
import type { Clock } from "./clock.ts";
import { Ledger } from "./ledger.ts";
import { checksum, type Member, type Plan, startOptions, tableShape, viewsOf } from "./member.ts";
import { Oracle } from "./oracle.ts";
import type { Random } from "./random.ts";
import type { Route, Weather } from "./weather.ts";

type Pair = LoopbackNetwork["pairs"] extends Set<infer P> ? P : never;

const noViews = { main: new Uint8Array(0), table: new Uint8Array(0), stamps: [] };
/** Some day in 2026. */
const epochMs = 1.77e12;

/** Real nodes on simulated links, born, killed and brought back. */
export class Cluster {
  readonly members: Member[] = [];
  readonly network: LoopbackNetwork;
  readonly weather: Weather;
  readonly oracle: Oracle;
  readonly ledger = new Ledger();
  readonly #prefix: string;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #routes = new Map<string, Route>();
  #dialler = 0;
  /** Links that died without a word: what was on them stays for ever. */
  quietRoutes = 0;
  /** Nodes that were killed and still hold what they had; a process that dies holds nothing. */
  dying = 0;

  constructor(prefix: string, clock: Clock, random: Random, weather: Weather) {
    this.#prefix = prefix;
    this.#clock = clock;
    this.#random = random;
    this.weather = weather;
    this.oracle = new Oracle(this.members, () => clock.now, weather.trace);
    this.network = new LoopbackNetwork({
      scheduler: clock,
      wires: ({ from }) => {
        const route = this.#routes.get(from)!;
        const { dialler, listener } = route;
        return {
          there: weather.wire(route, dialler, listener),
          back: weather.wire(route, listener, dialler),
        };
      },
      dialMs: ({ from, to }) => {
        const listener = this.members.findIndex((member) => member.address === to);
        this.#routes.set(from, { dialler: this.#dialler, listener, isDead: false });
        const parted = weather.partedMs(this.#dialler, listener);
        if (parted > 0 && random.chance(weather.odds.lostDial)) return "lost";
        return 1 + weather.delayMs() + Math.max(parted, weather.frozenMs(listener));
      },
    });
  }

  add(plan: Plan): void {
    const index = this.members.length;
    const member: Member = {
      index,
      name: `${this.#prefix}n${index}`,
      address: `127.0.0.1:${1000 + index}`,
      plan,
      node: null,
      views: noViews,
      life: 0,
      wallOffsetMs: 0,
      left: null,
    };
    this.members.push(member);
    this.oracle.add(member);
  }

  get imageBytes(): number {
    return Math.max(...this.members.map(({ node }) => node?.stats().imageBytes ?? 0));
  }

  #world(member: Member): World {
    const clock = this.#clock;
    const life = member.life;
    const transport: Transport = {
      listen: (...args) => this.network.listen(...args),
      connect: (...args) => {
        this.#dialler = member.index; // asked for at once, as the network draws how long it takes
        return this.network.connect(...args);
      },
    };
    return {
      now: () => clock.now,
      wallMs: () => epochMs + clock.now + member.wallOffsetMs,
      random: () => this.#random.next(),
      randomBytes: (count) => this.#bytes(count),
      after: (ms, action) => this.#after(member, life, ms, action),
      soon: (action) => void clock.schedule(0, action),
      transport,
    };
  }

  /** Where nodes are alike, the first bytes of their numbers are the same, by which a mesh tells writers apart. */
  #bytes(count: number): Uint8Array {
    const bytes = this.#random.bytes(count);
    if (this.weather.odds.areAlike && count === 16) bytes.fill(0, 0, 4);
    return bytes;
  }

  /** A timer of a member that stands still rings when it goes on; one of a life that is over is of no concern. */
  #after(member: Member, life: number, ms: number, action: () => void): () => void {
    let cancel = this.#clock.schedule(ms, () => {
      const frozenMs = member.life === life ? this.weather.frozenMs(member.index) : 0;
      if (frozenMs === 0) action();
      else cancel = this.#clock.schedule(frozenMs, action);
    });
    return () => cancel();
  }

  start(member: Member): void {
    const life = ++member.life;
    const { weather, oracle } = this;
    weather.trace?.note(
      "start",
      member.index,
      `life ${(life + 1) / 2}${member.left ? ", with its memory" : ""}`,
    );
    const options = startOptions(member, this.members, weather);
    Node.start(member.name, options, this.#world(member)).then(
      (node) => {
        if (member.life !== life) return void node.close();
        member.node = node;
        member.views = viewsOf(node, member.plan.mesh);
        this.#checkLeft(member);
        weather.trace?.follow(node, member, this.members);
        node.on("error", (error) => this.#onError(error));
        node.on("mismatch", ({ source }) => {
          oracle.mismatches++;
          oracle.onFree(member, source);
        });
        node.on("connect", ({ address }) => oracle.onFree(member, address));
        node.onUpdate((update) => oracle.onUpdate(member, update));
        node.on("conflated", (conflation) => oracle.onConflated(member, conflation));
        node.on("overflow", () => void oracle.overflows++);
        oracle.record(member);
      },
      (error: unknown) => oracle.violate(`n${member.index} does not start: ${String(error)}`),
    );
    drainMicrotasks();
  }

  #onError(error: MemblastError): void {
    this.oracle.onError(error, this.weather.counts);
  }

  /** What a life finds is what the one before it left. */
  #checkLeft(member: Member): void {
    const { left, index, node, name, views } = member;
    this.oracle.born(member, left === null);
    if (left === null) return;
    const { incarnation } = node!.stats();
    if (
      incarnation !== left.incarnation ||
      node!.version[name] !== left.version ||
      checksum(views) !== left.sum
    )
      this.oracle.violate(`n${index} came back with another memory than it had`);
    this.weather.counts.restart++;
  }

  /** A death without a word: links break, or it is as if nobody had told the other ends. */
  kill(member: Member): void {
    const { node, index, plan, name, views } = member;
    if (!node) return;
    member.left = plan.keeps
      ? { version: node.version[name]!, incarnation: node.stats().incarnation, sum: checksum(views) }
      : null;
    if (!plan.keeps) {
      this.weather.counts.reboot++;
      this.ledger.forget(member);
    }
    member.node = null;
    member.views = noViews;
    member.life++;
    const isQuiet = this.#random.chance(0.5);
    this.weather.trace?.note(
      plan.keeps ? "restart" : "reboot",
      index,
      `dies${isQuiet ? ", and nobody is told" : ""}`,
    );
    for (const pair of [...this.network.pairs]) {
      const { dialler, listener } = this.#routes.get(pair.from)!;
      if (dialler === index || listener === index) this.#break(pair, isQuiet);
    }
    this.dying++;
    void node.close().finally(() => this.dying--);
  }

  cut(): void {
    const { pairs } = this.network;
    if (pairs.size === 0) return;
    this.weather.counts.cut++;
    const pair = this.#random.pick([...pairs]);
    this.weather.trace?.note("cut", null, this.#linkText(pair));
    this.#break(pair, false);
  }

  #linkText({ from }: Pair): string {
    const { dialler, listener } = this.#routes.get(from)!;
    return `the link from n${dialler} to n${listener}`;
  }

  #break(pair: Pair, isQuiet: boolean): void {
    if (!isQuiet) return pair.cut();
    this.#routes.get(pair.from)!.isDead = true;
    this.quietRoutes++;
    // Nobody carries the news that the other side has given up either.
    for (const end of [pair.near, pair.far]) Object.assign(end, { broken() {} });
  }

  /** Parts the members; links between both sides break, die quietly, or go on when it is over. */
  partition(side: ReadonlySet<number>, ms: number): void {
    this.weather.partition(side, ms);
    for (const pair of [...this.network.pairs]) {
      const { dialler, listener } = this.#routes.get(pair.from)!;
      if (this.weather.partedMs(dialler, listener) === 0) continue;
      this.weather.counts.partition++;
      const kind = this.#random.below(3);
      const fate = ["dies without a word", "breaks", "hangs"][kind];
      this.weather.trace?.note("partition", null, `${this.#linkText(pair)} ${fate}`);
      if (kind < 2) this.#break(pair, kind === 0);
    }
  }

  /** Rates change while links run, never above the one at first. */
  changeRate(member: Member): void {
    if (!member.node || member.plan.parents.length === 0) return;
    const { index, maxRate } = this.#random.pick(member.plan.parents);
    if (maxRate === null) return;
    const rate = maxRate * (1 - 0.9 * this.#random.next());
    this.weather.trace?.note("rate", member.index, `${rate.toFixed(1)} deltas a second of n${index}`);
    member.node.setRate(this.members[index]!.address, rate);
  }

  /** No more faults, and nobody asks for patience. */
  calmDown(): void {
    this.weather.trace?.note("calm", null, "no more faults");
    this.weather.calmDown();
    this.oracle.isCalm = true;
    for (const { node, plan } of this.members)
      for (const { index } of plan.parents) node?.setRate(this.members[index]!.address, null);
  }

  /** What a source does all day. */
  write(member: Member): void {
    const { node, index } = member;
    const { writes, writesTable, writesMeta } = member.plan;
    if (!node || !writes || this.weather.frozenMs(index) > 0) return;
    const random = this.#random;
    const { first, count } = writes;
    const [rows, columns] = tableShape;
    const write = () =>
      node.write((a, tx) => {
        if (random.chance(this.weather.odds.fill)) a.slice([first], [count]).fill(random.below(5));
        for (let i = random.below(4); i >= 0; i--) a.set(first + random.below(count), random.below(1000));
        if (writesTable && random.chance(0.3))
          tx.array("table").set(random.below(rows), random.below(columns), random.below(100));
        if (writesMeta && random.chance(0.3)) tx.meta = { n: random.below(10) };
      });
    if (member.plan.mesh) this.ledger.write(member, write);
    else write();
    this.weather.trace?.note("write", index, `version ${node.version[member.name]}`);
    this.oracle.record(member);
  }
}
