import type { MemblastError, Update } from "../../src/index.ts";
import type { Conflation } from "../../src/node/runtime/events.ts";
import type { Fault } from "./faults.ts";
import { type Box, checksum, type Member, type Parent } from "./member.ts";
import type { Trace } from "./trace.ts";

/** One server of one member: what was seen of it. */
interface Sight {
  readonly parent: Parent;
  /** Which of the server's selections it follows. */
  readonly selection: number;
  /** Its newest version that was seen: in one incarnation they only go up. */
  seen: number;
  /** In the mode "every": a jump that no event has explained yet. */
  jump: string | null;
  /** The server has begun anew, and what it had before was seen. */
  isOld: boolean;
  /** Since the life began. */
  updates: number;
  /** Updates that no rate holds up: of first states and repairs. */
  free: number;
}

/**
 * Knows every state that any member ever had, and says what may never be: a member whose bytes are no version of what it follows,
 * versions that go back, or commits that are missing without a word.
 */
export class Oracle {
  /** The first thing that happened and must never. Kept, not thrown: it is found inside handlers, whose errors go elsewhere. */
  violation: string | null = null;
  /** The storm is over: rates no longer hold. */
  isCalm = false;
  updates = 0;
  /** Commits that reached a follower in the mode "every" by themselves. */
  singles = 0;
  overflows = 0;
  mismatches = 0;
  readonly #members: readonly Member[];
  /** What followers want of each member; null: everything. */
  readonly #selections: (readonly Box[] | null)[][] = [];
  readonly #sights: Sight[][] = [];
  /** By member, version and selection: checksums, one for each life in which there was such a version. */
  readonly #states = new Map<string, Set<number>>();
  readonly #now: () => number;
  readonly #trace: Trace | null;
  readonly #bornAt: number[] = [];

  constructor(members: readonly Member[], now: () => number, trace: Trace | null = null) {
    this.#members = members;
    this.#trace = trace;
    this.#now = now;
  }

  add({ index, plan }: Member): void {
    this.#selections[index] = [];
    this.#sights[index] = plan.parents.map((parent) => {
      if (plan.mesh) return { parent, selection: -1, seen: 0, jump: null, isOld: false, updates: 0, free: 0 };
      const wanted = this.#selections[parent.index] ?? [];
      let selection = wanted.findIndex((boxes) => boxes === null && parent.boxes === null);
      if (selection < 0) selection = wanted.push(parent.boxes) - 1;
      return { parent, selection, seen: 0, jump: null, isOld: false, updates: 0, free: 0 };
    });
  }

  /** A life has begun; `isNew` where it has no memory of those before it. */
  born(member: Member, isNew: boolean): void {
    this.#bornAt[member.index] = this.#now();
    for (const sight of this.#sights[member.index]!) {
      sight.seen = sight.updates = sight.free = 0;
      sight.jump = null;
      sight.isOld = false;
    }
    if (!isNew) return;
    for (const sight of this.#sights.flat()) {
      if (sight.parent.index !== member.index) continue;
      sight.seen = 0;
      sight.isOld ||= sight.updates > 0;
    }
  }

  /** The state that a member has now is one that its followers may see. */
  record({ index, node, name, views }: Member): void {
    const version = node!.version[name];
    for (const [selection, boxes] of this.#selections[index]!.entries()) {
      const key = `${index} ${selection} ${version}`;
      const sums = this.#states.get(key);
      if (sums) sums.add(checksum(views, boxes));
      else this.#states.set(key, new Set([checksum(views, boxes)]));
    }
  }

  onUpdate(member: Member, update: Update): void {
    this.updates++;
    const { index, plan, node } = member;
    if (!node) return;
    this.record(member);
    const sight = this.#sights[index]!.find(
      ({ parent }) => this.#members[parent.index]!.address === update.source,
    )!;
    const { parent, selection, seen } = sight;
    const version = update.sourceVersion;
    const what = `n${index}, at version ${version} of n${parent.index},`;
    if (!plan.mesh) {
      const committed = this.#states.get(`${parent.index} ${selection} ${version}`);
      if (!committed) return this.violate(`${what} has what never was`);
      if (!committed.has(checksum(member.views, parent.boxes, "to")))
        return this.violate(`${what} does not have its bytes`);
    }
    if (version < seen) return this.violate(`${what} had ${seen} before`);
    sight.seen = version;
    this.#count(sight, update, seen, plan.mesh);
    this.#checkRate(sight, index);
  }

  #count(sight: Sight, { full, sourceVersion }: Update, seen: number, isMesh: boolean): void {
    sight.updates++;
    if (full) sight.free++;
    const { mode, boxes } = sight.parent;
    if (mode !== "every") return;
    // Of commits that concern none of the boxes, or bring a mesh nothing new, nothing is heard.
    if (full && sight.isOld) sight.jump = `0 ${sourceVersion}`;
    else if (!full && boxes === null && !isMesh && sourceVersion - seen > 1)
      sight.jump = `${seen} ${sourceVersion}`;
    else this.singles++;
    if (full) sight.isOld = false;
  }

  #checkRate({ parent: { maxRate, index: server }, updates, free }: Sight, index: number): void {
    if (maxRate === null || this.isCalm) return;
    const most = 2 + 2 * free + (maxRate * (this.#now() - this.#bornAt[index]!)) / 1000;
    if (updates > most)
      this.violate(`n${index} had ${updates} deltas of n${server}, ${Math.floor(most)} at most`);
  }

  /** A link has come, or a repair: the next delta need not wait. */
  onFree(member: Member, address: string): void {
    for (const sight of this.#sights[member.index]!)
      if (this.#members[sight.parent.index]!.address === address) sight.free++;
  }

  /** It comes right after the update that it explains. */
  onConflated(member: Member, { source, from, version }: Conflation): void {
    for (const sight of this.#sights[member.index]!)
      if (this.#members[sight.parent.index]!.address === source && sight.jump === `${from} ${version}`)
        sight.jump = null;
  }

  /** In the mode "every" no version may be missing without a word. */
  checkExplained(): void {
    for (const [index, sights] of this.#sights.entries())
      for (const { jump } of sights)
        if (jump !== null)
          this.violate(`n${index} went from version ${jump.replace(" ", " to ")} without a word`);
  }

  /** What a network may do to a link is no violation. Bytes that nobody has changed are not to be blamed, though. */
  onError(error: MemblastError, { flip, spoil }: Readonly<Record<Fault, number>>): void {
    const { code, details, message } = error;
    if (code === "CONNECT_FAILED") return;
    if (code === "PROTOCOL" && spoil > 0 && details["reason"] === "MISMATCH") return;
    if (code === "PROTOCOL" && (flip > 0 || details["reason"] === "TIMEOUT" || details["reason"] === "LIMIT"))
      return;
    this.violate(`unexpected error ${code} (${String(details["reason"])}): ${message}`);
  }

  /** Why not every member has what it follows; null if all have. */
  difference(): string | null {
    for (const member of this.#members) {
      if (!member.node) return `n${member.index} is not running`;
      if (member.plan.mesh) {
        const other = this.#members[0]!;
        if (checksum(member.views) !== checksum(other.views) || hasOtherMeta(member, other))
          return `n${member.index} is not like n${other.index}`;
        continue;
      }
      for (const { index, boxes } of member.plan.parents) {
        const parent = this.#members[index]!;
        if (!parent.node) return `n${index} is not running`;
        if (checksum(member.views, boxes, "to") !== checksum(parent.views, boxes, "start"))
          return `n${member.index} is not like n${index}, which it follows`;
        if (boxes === null && hasOtherMeta(member, parent))
          return `n${member.index} has other metadata than n${index}`;
      }
    }
    return null;
  }

  violate(what: string): void {
    if (this.violation === null) this.#trace?.note("violation", null, what);
    this.violation ??= what;
  }
}

/** Whose memory came back may have metadata of a former server's: one that has none takes none away. */
function hasOtherMeta({ node, plan, life }: Member, parent: Member): boolean {
  const [ours, theirs] = [node!.meta, parent.node!.meta];
  if (theirs === undefined && plan.keeps && life > 1 && !plan.mesh) return false;
  return JSON.stringify(ours) !== JSON.stringify(theirs);
}
