/** The page of ticker_page.ts: a card for each ticker, with its prices in the window as a line. */
import { connect } from "../../../src/browser/index.ts";
import { Figures } from "../../page/figures.ts";
import { nodeUrl } from "../../page/node_url.ts";
import { decodeSymbols, inOrder, mean, readMeta } from "../window.ts";
import { Card } from "./card.ts";

/** More cards than this help nobody. */
const cardsMax = 400;

const place = document.getElementById("tickers")!;
const tick = document.getElementById("tick")!;
let cards: Card[] = [];
let symbols = "";
let frames = 0;
let isDirty = false;

// A price a second does not need more, and a stress test should not heat a phone.
const client = connect(nodeUrl(), { maxRate: 30 });
const figures = new Figures(client, () => frames);
Object.assign(globalThis, { memblast: { client } });

client.onUpdate(redraw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
new ResizeObserver(redraw).observe(place);
setInterval(() => figures.show(), 250);

function redraw(): void {
  if (isDirty) return;
  isDirty = true;
  requestAnimationFrame(() => {
    isDirty = false;
    if (client.names.includes("symbols")) draw();
  });
}

function draw(): void {
  const names = decodeSymbols(client.data("symbols") as Uint8Array).slice(0, cardsMax);
  if (names.join() !== symbols) {
    symbols = names.join();
    cards = names.map((symbol) => new Card(symbol));
    place.replaceChildren(...cards.map(({ element }) => element));
  }
  const meta = readMeta(client.meta);
  if (!meta) return;
  const prices = client.ndarray();
  cards.forEach((card, row) => {
    const line = inOrder(prices.row(row).data as Float64Array, meta);
    card.show(line, mean(line));
  });
  const date = meta.date ? `prices of ${meta.date}` : new Date(meta.time).toLocaleTimeString();
  tick.textContent = `tick ${meta.tick.toLocaleString("en")}, ${date}; the last ${prices.shape[1]} at most`;
  frames++;
}
