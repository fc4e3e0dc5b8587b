import { Panel } from "../../examples/terminal.ts";

const refreshMs = 500;
/** Lines come at most so often where nobody looks. */
const lineMs = 1000;

/**
 * What a long run is doing: on a terminal one line that is drawn over itself, elsewhere what rows say of themselves, a line each. On
 * stderr, so that the table on stdout stays a table.
 */
export class Progress implements Disposable {
  readonly #panel = process.stderr.isTTY ? new Panel(process.stderr) : null;
  #timer: ReturnType<typeof setInterval> | null = null;
  #id = "";
  #said = "";
  #saidAt = -Infinity;

  begin(id: string, name: string, seconds: number): void {
    this.#id = id;
    this.#said = "";
    if (!this.#panel) return;
    const begun = performance.now();
    const draw = () => {
      const passed = ((performance.now() - begun) / 1000).toFixed(0);
      this.#panel!.draw([`${id}  ${name}  ${passed} s, at most ${seconds.toFixed(0)}  ${this.#said}`]);
    };
    draw();
    this.#timer = setInterval(draw, refreshMs);
  }

  say(text: string): void {
    this.#said = text;
    if (this.#panel || performance.now() < this.#saidAt + lineMs) return;
    this.#saidAt = performance.now();
    console.error(`${this.#id}: ${text}`);
  }

  end(): void {
    if (this.#timer) clearInterval(this.#timer);
    this.#timer = null;
    this.#panel?.draw([]);
  }

  [Symbol.dispose](): void {
    this.end();
    this.#panel?.[Symbol.dispose]();
  }
}
