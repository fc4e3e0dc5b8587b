import { expect, setDefaultTimeout, test } from "bun:test";
import { connect } from "../../src/browser/index.ts";
import { attach, type MemblastError, start } from "../../src/index.ts";
import { uniqueName } from "../memory/names.ts";

setDefaultTimeout(30_000);

async function refusal(action: () => unknown): Promise<string> {
  try {
    await action();
  } catch (error) {
    return `${(error as MemblastError).code} ${(error as Error).message}`;
  }
  return "taken";
}

interface Listener {
  on(event: string, handler: unknown): void;
  onUpdate(handler: unknown): void;
}

test("what is no event or no handler is refused at once, and so are options that are no handlers", async () => {
  const name = uniqueName("events");
  await using node = await start(name, { listen: "ws://127.0.0.1:0/", shape: [2], share: true });
  await using local = await attach(name);
  using client = connect(node.addresses[0]!);
  const all = "connect, disconnect, mismatch, conflated, overflow, crowded, error";
  for (const [each, events] of [
    [node, all],
    [local, all],
    [client, "connect, disconnect, mismatch, conflated, error"],
  ] as [Listener, string][]) {
    const called = async (event: string) => refusal(() => each.on(event, () => {}));
    expect(await called("updated")).toBe(`INVALID_OPTION on(): there is no event "updated": only ${events}`);
    expect(await called("update")).toMatch(/^INVALID_OPTION .*"update": for updates there is onUpdate\(/);
    expect(await called("toString")).toMatch(/^INVALID_OPTION .*no event "toString"/);
    for (const handler of ["x", undefined, null, {}])
      for (const call of [() => each.on("connect", handler), () => each.onUpdate(handler)])
        expect(await refusal(call)).toMatch(/^INVALID_OPTION on.*: a handler is a function, not /);
    expect(await called("connect")).toBe("taken");
  }
  for (const option of ["onUpdate", "onError"]) {
    const options = { shape: [2], [option]: "x" } as object;
    expect(await refusal(() => start("n", options))).toMatch(`INVALID_OPTION start(): option ${option}: `);
    expect(await refusal(() => attach(name, options))).toMatch(`INVALID_OPTION attach(): option ${option}: `);
  }
});
