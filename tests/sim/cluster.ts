import { drainMicrotasks } from "bun:jsc";
import { type MemblastError, type StartOptions, type Update } from "../../src/index.ts";
import { crc32c } from "../../src/memory/digest.ts";
import { Node } from "../../src/node/node.ts";
import type { World } from "../../src/node/world.ts";
import { LoopbackNetwork } from "../../src/transport/loopback_network.ts";
import type { Clock } from "./clock.ts";
import type { Random } from "./random.ts";
import type { Weather } from "./weather.ts";

/** One participant through all its lives. */
export interface Member {
  readonly index: number;
  readonly address: string;
  /** Whom it follows; null is a source. */
  readonly parent: number | null;
  readonly checkHash: boolean;
  readonly mode: "latest" | "every";
  /** What it asks of its followers, and they prove; null: nothing. */
  readonly secret: string | null;
  node: Node | null;
  life: number;
  clockOffset: number;
}

const table = [3, 40];

/** Real nodes on simulated links. Keeps the checksum of every state that any member ever had: nobody may ever see another. */
export class Cluster {
  readonly members: Member[] = [];
  readonly network: LoopbackNetwork;
  readonly weather: Weather;
  readonly #clock: Clock;
  readonly #random: Random;
  /** "address version" -> checksums of the arrays, one for each life in which there was such a version. */
  readonly #states = new Map<string, Set<number>>();
  readonly #partitioned = new Set<number>();
  /** What each member's follower last saw of its parent: versions of one incarnation only go up. */
  readonly #seen = new Map<number, number>();
  /** Jumps of followers in the mode "every" that no event has explained yet. */
  readonly #unexplained = new Map<number, string>();
  updates = 0;
  /** Commits that reached a follower in the mode "every" by themselves. */
  singles = 0;
  overflows = 0;
  mismatches = 0;
  /** The first thing that happened and must never. Kept, not thrown: it is found inside handlers, whose errors go elsewhere. */
  violation: string | null = null;

  constructor(clock: Clock, random: Random, weather: Weather) {
    this.#clock = clock;
    this.#random = random;
    this.weather = weather;
    this.network = new LoopbackNetwork({
      scheduler: clock,
      wires: () => ({ there: weather.wire(), back: weather.wire() }),
      dialMs: ({ to }) => {
        const target = this.members.find((member) => member.address === to);
        if (target && this.#partitioned.has(target.index)) return "lost";
        return weather.isCalm ? 1 : random.next() * weather.odds.delayMsMax;
      },
    });
  }

  add(
    parent: number | null,
    checkHash: boolean,
    mode: Member["mode"] = "latest",
    secret: string | null = null,
  ): void {
    const index = this.members.length;
    this.members.push({
      index,
      address: `127.0.0.1:${1000 + index}`,
      parent,
      checkHash,
      mode,
      secret,
      node: null,
      life: 0,
      clockOffset: 0,
    });
    this.start(this.members[index]!);
  }

  #world(member: Member): World {
    return {
      now: () => this.#clock.now + member.clockOffset,
      random: () => this.#random.next(),
      randomBytes: (count) => this.#random.bytes(count),
      after: (ms, action) => this.#clock.schedule(ms, action),
      soon: (action) => void this.#clock.schedule(0, action),
      transport: this.network,
    };
  }

  start(member: Member): void {
    const parent = member.parent === null ? null : this.members[member.parent]!;
    const options: StartOptions = {
      listen: member.address,
      shape: [this.weather.odds.cells],
      arrays: { table: { shape: table, dtype: "i16" } },
      checkHash: member.checkHash,
      heartbeatMs: 500,
      reconnect: { minMs: 20, maxMs: 500 },
      queueBytesMax: this.weather.odds.queueBytes,
      ...(member.secret && { secrets: { key: { secret: member.secret } } }),
      ...(parent && { server: parent.address, mode: member.mode }),
      ...(parent?.secret && { secret: { keyId: "key", secret: parent.secret } }),
    };
    const life = ++member.life;
    const started = Node.start(`n${member.index}`, options, this.#world(member));
    started.then(
      (node) => {
        if (member.life !== life) return void node.close();
        member.node = node;
        node.on("error", (error) => this.#onError(error));
        node.on("mismatch", () => void this.mismatches++);
        if (parent) node.onUpdate((update) => this.#onUpdate(member, parent, update));
        node.on("conflated", ({ from, version }) => this.#onConflated(member, from, version));
        node.on("overflow", () => void this.overflows++);
        this.record(member);
      },
      (error: unknown) => {
        throw error;
      },
    );
    drainMicrotasks();
  }

  /** A death without a word: links break, memory is gone. */
  kill(member: Member): void {
    const { node } = member;
    if (!node) return;
    member.node = null;
    member.life++;
    for (const pair of [...this.network.pairs]) if (pair.to === member.address) pair.cut();
    void node.close();
    this.#seen.delete(member.index);
  }

  partition(member: Member, ms: number): void {
    this.#partitioned.add(member.index);
    for (const pair of [...this.network.pairs]) if (pair.to === member.address) pair.cut();
    this.#clock.schedule(ms, () => this.#partitioned.delete(member.index));
  }

  heal(): void {
    this.#partitioned.clear();
  }

  write(member: Member): void {
    const { node } = member;
    if (!node) return;
    const random = this.#random;
    node.write((a, tx) => {
      if (random.chance(this.weather.odds.fill)) a.fill(random.below(5));
      for (let i = random.below(4); i >= 0; i--) a.set(random.below(a.size), random.below(1000));
      if (random.chance(0.3)) tx.array("table").set(random.below(3), random.below(40), random.below(100));
      if (random.chance(0.3)) tx.meta = { n: random.below(10) };
    });
    this.record(member);
  }

  /** The state that a member has now is one that its followers may see. */
  record(member: Member): void {
    const node = member.node!;
    const key = `${member.address} ${node.version[node.name]}`;
    const checksums = this.#states.get(key) ?? new Set();
    this.#states.set(key, checksums.add(checksum(node)));
  }

  #onUpdate(member: Member, parent: Member, { sourceVersion: version, full }: Update): void {
    this.updates++;
    const node = member.node;
    if (!node) return;
    this.record(member);
    const committed = this.#states.get(`${parent.address} ${version}`);
    const what = `n${member.index}, at version ${version} of ${parent.address},`;
    if (!committed) return this.#violate(`${what} has what never was`);
    if (!committed.has(checksum(node))) return this.#violate(`${what} does not have its bytes`);
    const seen = this.#seen.get(member.index) ?? 0;
    if (version < seen && parent.life === 1) return this.#violate(`${what} had ${seen} before`);
    this.#seen.set(member.index, version);
    if (member.mode === "every" && !full && version - seen > 1)
      this.#unexplained.set(member.index, `${seen} ${version}`);
    else this.singles += member.mode === "every" ? 1 : 0;
  }

  /** It comes right after the update that it explains. */
  #onConflated(member: Member, from: number, version: number): void {
    if (this.#unexplained.get(member.index) === `${from} ${version}`) this.#unexplained.delete(member.index);
  }

  /** In the mode "every" no version may be missing without a word. */
  checkExplained(): void {
    for (const [index, gap] of this.#unexplained)
      this.#violate(`n${index} went from version ${gap.replace(" ", " to ")} without a word`);
  }

  #violate(what: string): void {
    this.violation ??= what;
  }

  #onError(error: MemblastError): void {
    if (["CONNECT_FAILED", "PROTOCOL"].includes(error.code)) return;
    if (error.details.reason === "NAME_TAKEN") return; // of its former life, until that has missed its heartbeats
    return this.#violate(`unexpected error ${error.code}: ${error.message}`);
  }

  /** Why the cluster has not come to rest with equal bytes; null if it has. */
  difference(): string | null {
    for (const member of this.members) {
      if (!member.node) return `n${member.index} is not running`;
      if (member.parent === null) continue;
      const parent = this.members[member.parent]!;
      if (checksum(member.node) !== checksum(parent.node!))
        return `n${member.index} is not like n${parent.index}, which it follows`;
      if (JSON.stringify(member.node.meta) !== JSON.stringify(parent.node!.meta))
        return `n${member.index} has other metadata than n${parent.index}`;
    }
    return null;
  }

  /** Bytes that wait anywhere. */
  get queuedBytes(): number {
    let most = 0;
    for (const { node } of this.members)
      for (const link of node?.stats().links ?? []) most = Math.max(most, link.queuedBytes);
    return most;
  }

  /** Bytes of commits that wait for one follower. */
  get waitingBytes(): number {
    let most = 0;
    for (const { node } of this.members)
      for (const link of node?.stats().links ?? []) most = Math.max(most, link.waitingBytes);
    return most;
  }
}

function checksum(node: Node): number {
  const main = node.ndarray().data;
  const bytes = node.ndarray("table").data;
  const crc = crc32c(new Uint8Array(main.buffer, main.byteOffset, main.byteLength));
  return crc32c(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength), crc);
}
