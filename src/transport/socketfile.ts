import { chmodSync, linkSync, lstatSync, renameSync, type Stats, unlinkSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fail } from "../errors.ts";
import { type Address, socketPathBytesMax } from "./address.ts";
import { addressInUse, codeOf } from "./failure.ts";

const attemptsMax = 8;

type SocketAddress = Extract<Address, { kind: "unix" }>;

/**
 * The same socket wherever this process goes afterwards. As it was given, where its whole path is too long for a socket: whoever names
 * it by a short way from his folder stays there.
 */
export function fromAnywhere(address: SocketAddress): SocketAddress {
  const path = resolve(address.path);
  return longest(path, nameBeside(path)) > socketPathBytesMax ? address : { ...address, path };
}

/** A unix socket bound by this process at a path that nobody else listened on. */
export interface SocketFile<Bound> {
  readonly bound: Bound;
  /** Removes the file, unless another one has taken its place. */
  remove(): void;
}

/**
 * Binds a unix socket at `path`, with mode 0600 from the first moment it can be seen there. It is bound under a
 * temporary name and then linked to the path, which fails where there is a file already: so two processes that both
 * find a dead socket cannot take it from each other. A dead socket's file is removed; a live one, or a file that is
 * no socket, gives ADDRESS_IN_USE.
 */
export async function bindSocketFile<Bound extends { stop(): void }>(
  address: SocketAddress,
  bind: (path: string) => Bound,
): Promise<SocketFile<Bound>> {
  const name = temporaryName(address.path);
  // the system takes longer paths for files than for sockets
  const [path, temporary] = [resolve(address.path), resolve(name)];
  const bound = bind(name);
  try {
    chmodSync(temporary, 0o600);
    const made = lstatSync(temporary);
    await publish(address, path, temporary);
    return { bound, remove: () => removeIfSame(path, made) };
  } catch (error) {
    bound.stop();
    throw error;
  } finally {
    unlinkIfThere(temporary);
  }
}

async function publish(address: SocketAddress, path: string, temporary: string): Promise<void> {
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    try {
      return linkSync(temporary, path);
    } catch (error) {
      if (codeOf(error) !== "EEXIST") throw error;
    }
    const found = statOf(path);
    if (!found) continue;
    if (!found.isSocket())
      throw addressInUse(address, "a file that is no socket is there; choose another path, or remove it");
    if (await isAlive(address.path)) throw addressInUse(address, "another process listens there");
    removeIfSame(path, found);
  }
  throw addressInUse(address, "other processes keep taking it");
}

async function isAlive(path: string): Promise<boolean> {
  try {
    const socket = await Bun.connect({ unix: path, socket: { data() {}, connectError() {} } });
    socket.terminate();
    return true;
  } catch (error) {
    return !["ECONNREFUSED", "ENOENT"].includes(codeOf(error) ?? "");
  }
}

/** Moved aside before it is looked at, so that a file which has come in its place meanwhile is seen and put back. */
function removeIfSame(path: string, expected: Stats): void {
  const found = statOf(path);
  if (!found || found.ino !== expected.ino || found.dev !== expected.dev) return;
  const aside = nameBeside(path);
  try {
    renameSync(path, aside);
    const moved = lstatSync(aside);
    if (moved.ino !== expected.ino || moved.dev !== expected.dev) linkSync(aside, path);
  } catch (error) {
    if (!["ENOENT", "EEXIST"].includes(codeOf(error) ?? "")) throw error;
  } finally {
    unlinkIfThere(aside);
  }
}

function temporaryName(path: string): string {
  const temporary = nameBeside(path);
  if (longest(path, temporary) > socketPathBytesMax)
    fail(
      "INVALID_ADDRESS",
      `unix:${path} is too long for a unix socket (${socketPathBytesMax} bytes); choose a shorter path.`,
      { path },
    );
  return temporary;
}

function nameBeside(path: string): string {
  const random = crypto.getRandomValues(new Uint8Array(4)).toHex();
  return join(dirname(path), `.${random}`);
}

/** Bytes of the longer one. */
function longest(...paths: readonly string[]): number {
  return Math.max(...paths.map((path) => new TextEncoder().encode(path).length));
}

function statOf(path: string): Stats | null {
  return lstatSync(path, { throwIfNoEntry: false }) ?? null;
}

function unlinkIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw error;
  }
}
