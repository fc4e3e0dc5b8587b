import type { Node } from "../src/index.ts";

/** Watches the links of a client's node: what to tell a person about them, and what the runner should know. */
export class Links {
  /** How it stands with the server, in a few words. */
  state = "connected";
  /** What must not happen in an example. */
  readonly problems: string[] = [];

  /** `changed` is called when `state` is another. */
  constructor(node: Node, changed: () => void) {
    const become = (state: string) => {
      this.state = state;
      changed();
    };
    node.on("connect", () => become("connected"));
    node.on("disconnect", ({ reason }) => become(`disconnected (${reason}), tries again`));
    node.on("error", ({ message }) => become(message));
    node.on("mismatch", ({ version }) => this.problems.push(`the hash of version ${version} did not match`));
  }
}
