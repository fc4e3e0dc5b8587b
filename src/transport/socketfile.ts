import { chmodSync, linkSync, lstatSync, renameSync, type Stats, unlinkSync } from "node:fs";
import { dirname, join } from "node:path";
import { fail } from "../errors.ts";
import { type Address, socketPathBytesMax } from "./address.ts";
import { addressInUse, codeOf } from "./failure.ts";

const attemptsMax = 8;

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
  address: Extract<Address, { kind: "unix" }>,
  bind: (path: string) => Bound,
): Promise<SocketFile<Bound>> {
  const temporary = temporaryBeside(address.path);
  const bound = bind(temporary);
  try {
    chmodSync(temporary, 0o600);
    const made = lstatSync(temporary);
    await publish(address, temporary);
    return { bound, remove: () => removeIfSame(address.path, made) };
  } catch (error) {
    bound.stop();
    throw error;
  } finally {
    unlinkIfThere(temporary);
  }
}

async function publish(address: Extract<Address, { kind: "unix" }>, temporary: string): Promise<void> {
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    try {
      return linkSync(temporary, address.path);
    } catch (error) {
      if (codeOf(error) !== "EEXIST") throw error;
    }
    const found = statOf(address.path);
    if (!found) continue;
    if (!found.isSocket())
      throw addressInUse(address, "a file that is no socket is there; choose another path, or remove it");
    if (await isAlive(address.path)) throw addressInUse(address, "another process listens there");
    removeIfSame(address.path, found);
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
  const aside = temporaryBeside(path);
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

function temporaryBeside(path: string): string {
  const random = crypto.getRandomValues(new Uint8Array(4)).toHex();
  const temporary = join(dirname(path), `.${random}`);
  const bytes = Math.max(...[path, temporary].map((name) => new TextEncoder().encode(name).length));
  if (bytes > socketPathBytesMax) {
    fail(
      "INVALID_ADDRESS",
      `unix:${path} is too long for a unix socket (${socketPathBytesMax} bytes); choose a shorter path.`,
      {
        path,
      },
    );
  }
  return temporary;
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
