import { type Address, formatAddress } from "./address.ts";
import { addressInUse, connectFailed } from "./failure.ts";
import type { Scheduler, Wire } from "./flight.ts";
import {
  type Accept,
  type ConnectOptions,
  defaultConnectionsMax,
  defaultConnectTimeoutMs,
  type Link,
  type LinkHandler,
  type Listener,
  type ListenOptions,
  type Transport,
} from "./link.ts";
import { type LoopbackPair, loopbackPair } from "./loopback.ts";
import { Places } from "./places.ts";

/** Who dials whom; the dialler's name counts up from "loopback:1". */
export interface LoopbackRoute {
  readonly from: string;
  readonly to: string;
}

export interface LoopbackNetworkOptions {
  readonly scheduler: Scheduler;
  /** The wires of a new link: there carries what the dialler sends, back what the listener sends. */
  wires?(route: LoopbackRoute): { readonly there?: Wire; readonly back?: Wire };
  /** How long a connect takes before it is answered; "lost" means that no answer ever comes. Default 0. */
  dialMs?(route: LoopbackRoute): number | "lost";
}

/** A whole network in memory: any address may be listened on, whatever its kind; ports for 0 are handed out in order. */
export class LoopbackNetwork implements Transport {
  /** The links that stand, to cut them from outside. */
  readonly pairs = new Set<LoopbackPair & LoopbackRoute>();
  readonly #options: LoopbackNetworkOptions;
  readonly #doors = new Map<string, Door>();
  #lastPort = 0;
  #lastDialler = 0;

  constructor(options: LoopbackNetworkOptions) {
    this.#options = options;
  }

  async listen(address: Address, accept: Accept, options: ListenOptions = {}): Promise<Listener> {
    const real = "port" in address && address.port === 0 ? { ...address, port: ++this.#lastPort } : address;
    const key = formatAddress(real);
    if (this.#doors.has(key)) throw addressInUse(real, "another listener of this network has it");
    const door = new Door(real, accept, options, () => this.#doors.delete(key));
    this.#doors.set(key, door);
    return door;
  }

  connect(address: Address, handler: LinkHandler, options: ConnectOptions = {}): Promise<Link> {
    const { scheduler, dialMs } = this.#options;
    const { signal, timeoutMs = defaultConnectTimeoutMs } = options;
    const route = { from: `loopback:${++this.#lastDialler}`, to: formatAddress(address) };
    return new Promise((resolve, reject) => {
      const settle = () => {
        for (const cancel of cancels) cancel();
        signal?.removeEventListener("abort", aborted);
      };
      const refuse = (reason: "refused" | "timeout" | "aborted", cause?: unknown) => {
        settle();
        reject(connectFailed(address, reason, cause));
      };
      const answer = () => {
        const door = this.#doors.get(route.to);
        if (!door) return refuse("refused");
        settle();
        this.#join(door, route, watched(handler, { opened: resolve }), options);
      };
      const aborted = () => refuse("aborted", signal?.reason);
      const takes = dialMs?.(route) ?? 0;
      const cancels = [scheduler.schedule(timeoutMs, () => refuse("timeout"))];
      if (takes !== "lost") cancels.push(scheduler.schedule(takes, answer));
      signal?.addEventListener("abort", aborted, { once: true });
      if (signal?.aborted) aborted();
    });
  }

  #join(door: Door, route: LoopbackRoute, handler: LinkHandler, options: ConnectOptions): void {
    const { there, back } = this.#options.wires?.(route) ?? {};
    const entrant = door.admit();
    const pair = loopbackPair(
      this.#options.scheduler,
      {
        handler: watched(handler, { closed: () => this.pairs.delete(standing) }),
        description: `loopback to ${route.to}`,
        remote: route.to,
        ...(there && { wire: there }),
        ...(options.closeTimeoutMs !== undefined && { closeTimeoutMs: options.closeTimeoutMs }),
      },
      {
        handler: entrant.handler,
        description: `loopback from ${route.from}`,
        remote: route.from,
        ...(back && { wire: back }),
        ...(door.closeTimeoutMs !== undefined && { closeTimeoutMs: door.closeTimeoutMs }),
      },
    );
    const standing = { ...pair, ...route };
    this.pairs.add(standing);
    entrant.enter(pair.far);
  }
}

/** A listener: turns an arriving link into what its accept function says, once the link exists. */
class Door implements Listener {
  readonly address: Address;
  readonly closeTimeoutMs: number | undefined;
  connections = 0;
  refused = 0;
  readonly #accept: Accept;
  readonly #places: Places;
  readonly #onRefused: ListenOptions["onRefused"];
  readonly #shut: () => void;

  constructor(address: Address, accept: Accept, options: ListenOptions, shut: () => void) {
    this.address = address;
    this.closeTimeoutMs = options.closeTimeoutMs;
    this.#accept = accept;
    this.#places = options.places ?? new Places(options.connectionsMax ?? defaultConnectionsMax);
    this.#onRefused = options.onRefused;
    let isShut = false;
    this.#shut = () => {
      if (!isShut) shut();
      isShut = true;
    };
  }

  admit(): { handler: LinkHandler; enter(link: Link): void } {
    const place = this.#places.take(() => {});
    const isCrowded = place === null;
    place?.settle();
    if (isCrowded) this.refused++;
    else this.connections++;
    let chosen: LinkHandler | null = null;
    const handler: LinkHandler = {
      // Only now, so that the dialler sees an open link first, as it does on a real network.
      onOpen: (link) => (chosen ? chosen.onOpen?.(link) : link.abort()),
      onBytes: (link, bytes) => chosen?.onBytes(link, bytes),
      onDrain: (link) => chosen?.onDrain?.(link),
      onClose: (link, cause) => {
        if (!isCrowded) this.connections--;
        place?.leave();
        chosen?.onClose(link, cause);
      },
    };
    const enter = (link: Link) => {
      try {
        if (isCrowded) this.#onRefused?.("connections");
        else chosen = this.#accept(link);
      } catch (thrown) {
        reportError(thrown);
      }
    };
    return { handler, enter };
  }

  close(): void {
    this.#shut();
  }
}

function watched(handler: LinkHandler, watch: { opened?(link: Link): void; closed?(): void }): LinkHandler {
  return {
    onOpen(link) {
      watch.opened?.(link);
      handler.onOpen?.(link);
    },
    onBytes: (link, bytes) => handler.onBytes(link, bytes),
    onDrain: (link) => handler.onDrain?.(link),
    onClose(link, cause) {
      watch.closed?.();
      handler.onClose(link, cause);
    },
  };
}
