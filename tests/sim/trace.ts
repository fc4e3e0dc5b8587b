import type { Node } from "../../src/node/node.ts";
import type { Fault } from "./faults.ts";
import type { Member, Parent, Plan } from "./member.ts";

/** What happens to nodes, besides faults. */
type Event =
  | "start"
  | "write"
  | "connect"
  | "disconnect"
  | "update"
  | "conflated"
  | "overflow"
  | "mismatch"
  | "error"
  | "rate"
  | "calm"
  | "violation";

export interface Happening {
  /** Virtual time. */
  readonly ms: number;
  readonly kind: Fault | Event;
  /** The number of the node that it happened to; null: the network, or all. */
  readonly node: number | null;
  readonly text: string;
}

/** One world, to be read. */
export interface Story {
  /** Who each node is, by its number. */
  readonly nodes: readonly string[];
  /** How many happenings came before those that are here. */
  readonly forgotten: number;
  readonly happenings: readonly Happening[];
}

/** As many as a reader may want to go back from the end. */
const happeningsMax = 400;

/** What happened in one world, in the order of virtual time. What came late, out of order or in pieces is only counted: it is nearly all. */
export class Trace {
  #forgotten = 0;
  readonly #happenings: Happening[] = [];
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  storyOf(plans: readonly Plan[]): Story {
    return { nodes: plans.map(planText), forgotten: this.#forgotten, happenings: [...this.#happenings] };
  }

  note(kind: Happening["kind"], node: number | null, text: string): void {
    this.#happenings.push({ ms: Math.round(this.#now() * 10) / 10, kind, node, text });
    if (this.#happenings.length <= happeningsMax) return;
    this.#happenings.shift();
    this.#forgotten++;
  }

  /** Notes what comes to this life of a member; what it does when it is dead is nobody's concern. */
  follow(node: Node, member: Member, members: readonly Member[]): void {
    const nameOf = (address: string) => {
      const server = members.find((each) => each.address === address);
      return server ? `n${server.index}` : address;
    };
    const note = (kind: Event, text: string) => {
      if (member.node === node) this.note(kind, member.index, text);
    };
    node.on("connect", ({ direction, peer, address }) =>
      note("connect", direction === "in" ? `${short(peer)} comes` : `to ${nameOf(address)}`),
    );
    node.on("disconnect", ({ direction, peer, address, reason }) =>
      note(
        "disconnect",
        `${direction === "in" ? `${short(peer)} goes` : `from ${nameOf(address)}`}: ${reason}`,
      ),
    );
    node.onUpdate(({ source, sourceVersion, from, version, full }) =>
      note(
        "update",
        `version ${sourceVersion} of ${nameOf(source)}${full ? ", whole" : ""}: from ${from} to ${version} here`,
      ),
    );
    node.on("mismatch", ({ source, version }) => note("mismatch", `version ${version} of ${nameOf(source)}`));
    node.on("conflated", ({ source, from, version, cause }) =>
      note("conflated", `versions ${from} to ${version} of ${nameOf(source)}: ${cause}`),
    );
    node.on("overflow", ({ peer, bytes }) => note("overflow", `${bytes} bytes waited for ${short(peer)}`));
    node.on("error", ({ code, message }) => note("error", `${code}: ${message}`));
  }
}

/** Names of nodes begin with their world's. */
function short(peer: string): string {
  return peer.replace(/^s\d+-/, "");
}

/** Who a member is, in words. */
function planText({ parents, writes, checkHash, keeps, mesh, secret }: Plan): string {
  const words = [
    mesh && "of the mesh",
    writes && "writes",
    parents.length > 0 && `follows ${parents.map(parentText).join(", ")}`,
    checkHash && parents.length > 0 && "verifies",
    keeps && "keeps its memory",
    secret && "asks for a secret",
  ];
  return words.filter((word) => word).join("; ");
}

function parentText({ index, boxes, mode, maxRate }: Parent): string {
  const how = [boxes && "parts", mode === "every" && "every", maxRate !== null && `${maxRate}/s`];
  const words = how.filter((word) => word);
  return words.length > 0 ? `n${index} (${words.join(", ")})` : `n${index}`;
}

export function storyText({ nodes, forgotten, happenings }: Story): string {
  const cast = nodes.map((text, index) => `n${index}  ${text}`);
  const lines = happenings.map(({ ms, kind, node, text }) => {
    const who = node === null ? "" : `n${node}`;
    return `${ms.toFixed(1).padStart(8)}  ${who.padEnd(3)}  ${kind.padEnd(10)}  ${text}`;
  });
  if (forgotten > 0) lines.unshift(`     ...  ${forgotten} before`);
  return [...cast, "", "      ms  node what", ...lines].join("\n");
}
