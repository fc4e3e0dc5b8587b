import type { Socket } from "bun";

/** A TCP relay between a follower and its server that counts, and cuts every connection after so many bytes of the server's. */
export class Proxy implements Disposable {
  cutAfterBytes = Infinity;
  /** Bytes from the server on the newest connection. */
  servedBytes = 0;
  connections = 0;
  /** Where connections go; null: nowhere, they end at once. */
  target: string | null;
  readonly #listener;
  readonly #pairs = new Set<Pair>();

  constructor(target: string | null) {
    this.target = target;
    this.#listener = Bun.listen<Pair>({
      hostname: "127.0.0.1",
      port: 0,
      socket: {
        open: (near) => {
          this.connections++;
          this.servedBytes = 0;
          const port = Number(this.target?.split(":").at(-1) ?? 0);
          near.data = new Pair(near, port, (bytes) => this.#allowed(bytes));
          this.#pairs.add(near.data);
          if (this.target === null) near.data.end();
        },
        data: (near, bytes) => near.data.toServer(bytes),
        drain: (near) => near.data.flush(),
        close: (near) => {
          near.data.end();
          this.#pairs.delete(near.data);
        },
      },
    });
  }

  get address(): string {
    return `127.0.0.1:${this.#listener.port}`;
  }

  #allowed(bytes: number): number {
    const allowed = Math.max(0, Math.min(bytes, this.cutAfterBytes - this.servedBytes));
    this.servedBytes += allowed;
    return allowed;
  }

  cutAll(): void {
    for (const pair of this.#pairs) pair.end();
  }

  [Symbol.dispose](): void {
    this.cutAll();
    this.#listener.stop(true);
  }
}

class Pair {
  readonly #near: Socket<Pair>;
  #far: Socket | null = null;
  #toServer: Uint8Array[] = [];
  #toClient: Uint8Array[] = [];
  #isCut = false;

  constructor(near: Socket<Pair>, port: number, allowed: (bytes: number) => number) {
    this.#near = near;
    if (port === 0) return;
    void Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: {
        open: (far) => {
          this.#far = far;
          for (const bytes of this.#toServer.splice(0)) far.write(bytes);
        },
        data: (_, bytes) => {
          if (this.#isCut) return;
          const count = allowed(bytes.length);
          this.#toClient.push(bytes.slice(0, count));
          this.flush();
          if (count < bytes.length) this.end();
        },
        close: () => this.end(),
      },
    }).catch(() => this.end());
  }

  toServer(bytes: Uint8Array): void {
    if (this.#far) this.#far.write(bytes);
    else this.#toServer.push(bytes.slice());
  }

  flush(): void {
    for (let bytes = this.#toClient.shift(); bytes; bytes = this.#toClient.shift()) {
      const written = this.#near.write(bytes);
      if (written < 0) return;
      if (written === bytes.length) continue;
      this.#toClient.unshift(bytes.subarray(written));
      return;
    }
  }

  end(): void {
    this.#isCut = true;
    this.#near.terminate();
    this.#far?.terminate();
  }
}
