/** One ticker: symbol, last price, movement, mean, and its line. */
export class Card {
  readonly element = document.createElement("article");
  readonly #last = span("last");
  readonly #move = span("move");
  readonly #mean = span("mean");
  readonly #canvas = document.createElement("canvas");

  constructor(symbol: string) {
    const name = document.createElement("h2");
    name.textContent = symbol;
    this.element.append(row(name, this.#move), this.#canvas, row(this.#last, this.#mean));
  }

  /** `prices` from the oldest to the newest; NaN is a missing one. */
  show(prices: readonly number[], mean: number): void {
    const known = prices.filter(Number.isFinite);
    const last = known.at(-1);
    this.#last.textContent = last === undefined ? "–" : last.toFixed(2);
    this.#mean.textContent = Number.isNaN(mean) ? "" : `mean ${mean.toFixed(2)}`;
    const change = last === undefined ? 0 : (100 * (last - known[0]!)) / known[0]!;
    this.#move.textContent = `${change < 0 ? "▼" : change > 0 ? "▲" : ""} ${Math.abs(change).toFixed(2)} %`;
    this.#move.className = `move ${change > 0 ? "up" : change < 0 ? "down" : ""}`;
    this.#draw(prices, known, mean, change);
  }

  #draw(prices: readonly number[], known: readonly number[], mean: number, change: number): void {
    const canvas = this.#canvas;
    const width = canvas.clientWidth * devicePixelRatio;
    const height = canvas.clientHeight * devicePixelRatio;
    if (canvas.width !== Math.round(width)) canvas.width = Math.round(width);
    if (canvas.height !== Math.round(height)) canvas.height = Math.round(height);
    const context = canvas.getContext("2d")!;
    context.clearRect(0, 0, width, height);
    if (known.length === 0) return;
    const style = getComputedStyle(this.element);
    const low = Math.min(...known);
    const span = Math.max(...known) - low || 1;
    const edge = 2 * devicePixelRatio;
    const x = (i: number) => edge + (i / Math.max(1, prices.length - 1)) * (width - 2 * edge);
    const y = (price: number) => height - edge - ((price - low) / span) * (height - 2 * edge);
    context.lineWidth = devicePixelRatio;
    context.strokeStyle = style.getPropertyValue("--line");
    context.beginPath();
    context.moveTo(0, y(mean));
    context.lineTo(width, y(mean));
    context.stroke();
    context.lineWidth = 1.6 * devicePixelRatio;
    context.lineJoin = "round";
    context.strokeStyle = style.getPropertyValue(change < 0 ? "--away" : "--live");
    context.beginPath();
    prices.forEach((price, i) => {
      if (!Number.isFinite(price)) return;
      // A missing price is a gap.
      if (Number.isFinite(prices[i - 1])) context.lineTo(x(i), y(price));
      else context.moveTo(x(i), y(price));
    });
    context.stroke();
  }
}

function span(name: string): HTMLSpanElement {
  const element = document.createElement("span");
  element.className = name;
  return element;
}

function row(...children: HTMLElement[]): HTMLDivElement {
  const element = document.createElement("div");
  element.append(...children);
  return element;
}
