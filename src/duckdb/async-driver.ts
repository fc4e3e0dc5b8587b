import { fail } from "../errors.ts";
import type { AsyncConnection, AsyncDatabase } from "./async-database.ts";
import type { Layout } from "./layout.ts";
import type { LiveTable, LiveTableOptions } from "./table.ts";
import { type LiveNode, type Snapshot, Snapshots } from "./snapshot.ts";
import { catalog, WrittenTable } from "./written-table.ts";

/** The tables that show one node, written together so that one query sees one version of it. */
interface Group {
  readonly snapshots: Snapshots;
  readonly tables: Set<WrittenTable>;
  /** What the tables hold once everything that was sent is done; undefined: nobody knows. */
  written: Snapshot | undefined;
}

/** Methods of a Database, and of a statement that it prepared, that run a query. */
const promising = ["all", "arrowIPCAll", "exec", "run"] as const;
const immediate = ["each", "stream", "arrowIPCStream", "runSync"] as const;
const preparing = ["prepare", "prepareSync"] as const;

/** Transactions on their way at once. */
const sendingMax = 4;

type Methods = Record<string, ((...values: unknown[]) => unknown) | undefined>;

/** The driver for `duckdb-async`. */
export async function openWritten(
  database: AsyncDatabase,
  node: LiveNode,
  layout: Layout,
  options: LiveTableOptions,
): Promise<LiveTable> {
  let written = databases.get(database);
  if (!written) databases.set(database, (written = new WrittenDatabase(database)));
  const close = await written.open(node, layout, options);
  return { name: options.name, columns: layout.names, close, [Symbol.asyncDispose]: close };
}

const databases = new WeakMap<AsyncDatabase, WrittenDatabase>();

/**
 * A Database with live tables. It has no hook that a query passes, so its methods are replaced, on this one object and as long as it has
 * live tables: each first sends what changed since the query before. DuckDB's queue keeps the order, and one transaction keeps a version
 * whole even without it.
 */
class WrittenDatabase {
  readonly #database: AsyncDatabase;
  readonly #groups = new Map<LiveNode, Group>();
  readonly #replaced: string[] = [];
  #writer: Promise<AsyncConnection> | null = null;
  #opened: AsyncConnection | null = null;
  #sending = 0;
  #queued = 0;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(database: AsyncDatabase) {
    this.#database = database;
  }

  /** Returns how to close it. */
  async open(node: LiveNode, layout: Layout, options: LiveTableOptions): Promise<() => Promise<void>> {
    const writer = await (this.#writer ??= this.#openWriter());
    const group = this.#groupOf(node);
    const table = new WrittenTable(layout, options, group.snapshots);
    for (const { name, type, value } of table.functions) this.#database.register_udf(name, type, value);
    group.snapshots.enter(table.array);
    const close = () => this.#close(node, group, table);
    try {
      await this.#fill(writer, group, table);
      await this.#show(table);
    } catch (error) {
      await close();
      throw error;
    }
    this.#replaceMethods();
    let closing: Promise<void> | undefined;
    return () => (closing ??= close());
  }

  #groupOf(node: LiveNode): Group {
    let group = this.#groups.get(node);
    if (!group) {
      group = { snapshots: new Snapshots(node), tables: new Set(), written: undefined };
      this.#groups.set(node, group);
    }
    return group;
  }

  async #openWriter(): Promise<AsyncConnection> {
    this.#opened = await this.#database.connect();
    await this.#opened.exec(`ATTACH IF NOT EXISTS ':memory:' AS ${catalog}`);
    return this.#opened;
  }

  /** The table as of now; the others of its node come to the same version with it. */
  #fill(writer: AsyncConnection, group: Group, table: WrittenTable): Promise<void> {
    const snapshot = group.snapshots.take(undefined);
    const others = this.#updates(group, snapshot);
    group.tables.add(table);
    return this.#send(writer, group, snapshot, [...others, ...table.create(snapshot)]);
  }

  async #show(table: WrittenTable): Promise<void> {
    try {
      await this.#plainly("exec", table.show().join("; "));
    } catch (error) {
      fail(
        "EXISTS",
        `DuckDB has no room for a live table "${table.name}"; close the one before or take another name`,
        {},
        error,
      );
    }
  }

  /** Sends what changed; undefined where nothing did. */
  #refresh(): Promise<unknown> | undefined {
    const sent: Promise<void>[] = [];
    const writer = this.#opened;
    if (!writer) return undefined;
    for (const group of this.#groups.values()) {
      if (group.tables.size === 0) continue;
      const snapshot = group.snapshots.take(undefined);
      if (snapshot === group.written) continue;
      const statements = this.#updates(group, snapshot);
      if (statements.length > 0) sent.push(this.#send(writer, group, snapshot, statements));
      else group.written = snapshot;
    }
    return sent.length > 0 ? Promise.all(sent) : undefined;
  }

  #updates(group: Group, snapshot: Snapshot): string[] {
    return [...group.tables].flatMap((table) => table.update(snapshot, group.written?.version));
  }

  /** One transaction. What it reads of the snapshot is read later, on behalf of DuckDB. */
  async #send(
    writer: AsyncConnection,
    group: Group,
    snapshot: Snapshot,
    statements: readonly string[],
  ): Promise<void> {
    this.#sending++;
    const reader = { deref: () => snapshot };
    snapshot.readers.add(reader);
    group.written = snapshot;
    try {
      await writer.exec(["BEGIN", ...statements, "COMMIT"].join("; "));
    } catch (error) {
      group.written = undefined;
      await writer.exec("ROLLBACK").catch(() => {});
      throw error;
    } finally {
      for (const table of group.tables) table.forget(snapshot);
      snapshot.readers.delete(reader);
      this.#sending--;
    }
  }

  async #close(node: LiveNode, group: Group, table: WrittenTable): Promise<void> {
    group.tables.delete(table);
    group.snapshots.leave(table.array);
    if (group.tables.size === 0) this.#groups.delete(node);
    if (this.#groups.size === 0) this.#restoreMethods();
    // A Database that is closed already has nothing to give back.
    await this.#plainly("exec", table.hide().join("; ")).catch(() => {});
    await this.#opened?.exec(table.drop().join("; ")).catch(() => {});
    for (const { name } of table.functions) await this.#database.unregister_udf(name).catch(() => {});
    if (this.#groups.size === 0) await this.#closeWriter();
  }

  async #closeWriter(): Promise<void> {
    const writer = this.#opened;
    this.#opened = this.#writer = null;
    await writer?.close().catch(() => {});
  }

  /** The Database's own method, whatever stands before it. */
  #plainly(method: string, ...values: unknown[]): Promise<unknown> {
    const own = Object.getPrototypeOf(this.#database) as Methods;
    return own[method]!.apply(this.#database, values) as Promise<unknown>;
  }

  #replaceMethods(): void {
    if (this.#replaced.length > 0) return;
    this.#replaced.push(...this.#precede(this.#database as unknown as Methods, null));
    const target = this.#database as unknown as Methods;
    for (const name of preparing) {
      const own = target[name];
      if (!own) continue;
      this.#replaced.push(name);
      target[name] = (sql, ...values) => this.#prepared(own.call(target, sql, ...values), String(sql));
    }
    const { close } = target;
    this.#replaced.push("close");
    target["close"] = async () => {
      await this.#closeWriter();
      return close!.call(target);
    };
  }

  #restoreMethods(): void {
    for (const name of this.#replaced.splice(0))
      delete (this.#database as unknown as Record<string, unknown>)[name];
  }

  #prepared(statement: unknown, sql: string): unknown {
    if (statement instanceof Promise) return statement.then((one) => this.#prepared(one, sql));
    this.#precede(statement as Methods, sql);
    return statement;
  }

  /** Puts the refresh before the methods that run a query; `prepared` is its text where they do not take it themselves. */
  #precede(target: Methods, prepared: string | null): string[] {
    const names = [...promising, ...immediate].filter((name) => typeof target[name] === "function");
    for (const name of names) {
      const own = target[name]!;
      const isPromising = (promising as readonly string[]).includes(name);
      target[name] = (...values) => {
        const call = () => own.apply(target, values);
        if (isPromising) return this.#inTurn(prepared ?? String(values[0]), call);
        this.#refresh()?.catch(() => {}); // these cannot wait: what fails here fails the next query that can
        return call();
      };
    }
    return names;
  }

  /** Refresh and query are sent in one go, so that no other query's refresh comes in between. */
  async #after(sql: string, query: () => unknown): Promise<unknown> {
    const failed = (error: unknown) => {
      // The node is gone, or a computed column throws. Queries about something else are not to suffer from that.
      if (this.#concerns(sql)) throw error;
    };
    let refreshed: Promise<unknown> | undefined;
    try {
      refreshed = this.#refresh();
    } catch (error) {
      failed(error);
    }
    const [answer] = await Promise.all([query(), refreshed?.catch(failed)]);
    return answer;
  }

  /** Who asks without waiting for answers holds a copy for each version that is still to be written: from some on they queue here. */
  #inTurn(sql: string, query: () => unknown): Promise<unknown> {
    if (this.#sending < sendingMax && this.#queued === 0) return this.#after(sql, query);
    this.#queued++;
    const asked = this.#queue.then(() => this.#after(sql, query)).finally(() => this.#queued--);
    this.#queue = asked.catch(() => {});
    return asked;
  }

  #concerns(sql: string): boolean {
    const text = sql.toLowerCase();
    for (const { tables } of this.#groups.values())
      for (const { name } of tables) if (text.includes(name.toLowerCase())) return true;
    return false;
  }
}
