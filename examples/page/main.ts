/** The page of examples/client_ws.ts: one array of a node, or a part of it, as it changes. */
import { connect, type Schema } from "../../src/browser/index.ts";
import { Drag, type Box } from "./drag.ts";
import { Figures } from "./figures.ts";
import { HeatMap } from "./heat_map.ts";
import { columnAt, drawLines, placeOf } from "./line_plot.ts";
import { type Matrix, matrixOf, Range } from "./matrix.ts";
import { nodeUrl } from "./node_url.ts";
import { isPart, nameOf, type Pick, regionOf, renewed, titleOf, whole2d, within } from "./pick.ts";
import { colour, steps, theme } from "./palette.ts";
import { shapeText, short } from "./words.ts";

const element = <T extends HTMLElement = HTMLElement>(id: string) => document.getElementById(id) as T;
const canvas = element<HTMLCanvasElement>("plot");
const context = canvas.getContext("2d", { alpha: false })!;
const frame = element("frame");
const heatMap = new HeatMap();
const range = new Range();

const wholeHint = "Drag over the picture to follow a part of it.";
const partHint = "Only this part is sent now. A double click or Escape brings back all.";
/** Screens show no more. */
const maxRate = 60;

let kind: "heat" | "lines" | null = null;
let pick: Pick | null = null;
/** What the picture is of; `pick` is ahead of it until its first state has come. */
let shown: Pick | null = null;
let colours = theme();
let isDirty = false;
let frames = 0;

const client = connect(nodeUrl(), {
  maxRate,
  regions: (schema) => {
    choose(renewed(pick, schema));
    return [regionOf(pick!)];
  },
});
const figures = new Figures(client, () => frames);
// For whoever opens the console: memblast.client.ndarray("view").toArray()
Object.assign(globalThis, { memblast: { client } });

client.on("connect", () => listArrays(client.schema!));
client.onUpdate(() => {
  if (shown !== pick) {
    shown = pick;
    range.restart();
    layOut();
  }
  redraw();
});

// ---- choosing ----

function choose(next: Pick): void {
  const isOther = next.array.name !== pick?.array.name;
  pick = next;
  if (isOther || kind === null)
    drawAs(next.array.shape.length < 2 && next.array.shape[0] !== 1 ? "lines" : "heat");
  element("title").textContent = titleOf(next);
  element("all").hidden = !isPart(next);
  element("cell").textContent = isPart(next) ? partHint : wholeHint;
  showLead(next);
  if (client?.schema) listArrays(client.schema);
}

function follow(next: Pick): void {
  choose(next);
  client
    .follow((schema) => [regionOf(renewed(next, schema))])
    .catch((error: Error) => (element("cell").textContent = error.message));
}

function listArrays(schema: Schema): void {
  const buttons = schema.arrays.map((array) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = nameOf(array);
    const small = document.createElement("small");
    small.textContent = `${array.dtype} ${shapeText(array.shape)}`;
    button.append(small);
    button.setAttribute("aria-current", String(array.name === pick?.array.name));
    button.onclick = () => follow(whole2d(array));
    return button;
  });
  element("arrays").replaceChildren(...buttons);
}

/** Fields for the axes before the last two. */
function showLead({ array, lead }: Pick): void {
  const fields = lead.map((index, axis) => {
    const label = document.createElement("label");
    const input = document.createElement("input");
    Object.assign(input, {
      type: "number",
      min: "0",
      max: String(array.shape[axis]! - 1),
      value: String(index),
    });
    input.onchange = () => {
      const last = array.shape[axis]! - 1;
      const wanted = Math.min(last, Math.max(0, Math.round(Number(input.value)) || 0));
      follow({ ...pick!, lead: pick!.lead.map((other, i) => (i === axis ? wanted : other)) });
    };
    label.append(`axis ${axis}`, input);
    return label;
  });
  element("lead").hidden = fields.length === 0;
  element("lead").replaceChildren(...fields);
}

element("all").onclick = () => follow(whole2d(pick!.array, pick!.lead));
element("heat").onclick = () => drawAs("heat");
element("lines").onclick = () => drawAs("lines");

function drawAs(next: "heat" | "lines"): void {
  kind = next;
  for (const id of ["heat", "lines"]) element(id).setAttribute("aria-pressed", String(id === next));
  element("legend").hidden = next === "lines";
  layOut();
  redraw();
}

// ---- drawing ----

function matrix(): Matrix | null {
  return client?.names.includes("view") ? matrixOf(client.ndarray("view")) : null;
}

function layOut(): void {
  const seen = matrix();
  if (!seen) return;
  const width = frame.clientWidth;
  const highest = Math.max(260, Math.round(innerHeight * 0.62));
  const square = (width * seen.rows) / seen.columns;
  const height =
    kind === "lines"
      ? Math.min(highest, Math.max(260, width * 0.5))
      : Math.min(highest, Math.max(96, square));
  canvas.style.height = `${height}px`;
  canvas.width = Math.round(width * devicePixelRatio);
  canvas.height = Math.round(height * devicePixelRatio);
}

function redraw(): void {
  if (isDirty) return;
  isDirty = true;
  requestAnimationFrame(() => {
    isDirty = false;
    draw();
  });
}

function draw(): void {
  const seen = matrix();
  if (!seen) return;
  range.take(seen);
  if (kind === "lines") drawLines(context, seen, range, colours);
  else heatMap.draw(context, seen, range, colours);
  frames++;
  element("low").textContent = short(range.low);
  element("high").textContent = short(range.high);
}

function drawScale(): void {
  const scale = element<HTMLCanvasElement>("scale").getContext("2d")!;
  for (let i = 0; i < steps; i++) {
    scale.fillStyle = colour(i / (steps - 1));
    scale.fillRect(i, 0, 1, 1);
  }
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  colours = theme();
  redraw();
});
new ResizeObserver(() => {
  layOut();
  redraw();
}).observe(frame);
drawScale();

// ---- pointing ----

new Drag(canvas, element("band"), {
  cellAt(x, y) {
    const seen = matrix();
    if (!seen) return null;
    const { rows, columns } = seen;
    if (kind !== "lines")
      return { row: Math.floor(y * rows), column: Math.floor(x * columns), rows, columns };
    return { row: 0, column: columnAt(x, frame.clientWidth, columns), rows, columns };
  },
  /** In parts of the picture's width and height. */
  placeOf({ row, column, rows, columns }: Box) {
    const seen = matrix()!;
    if (kind !== "lines")
      return {
        x: column / seen.columns,
        y: row / seen.rows,
        width: columns / seen.columns,
        height: rows / seen.rows,
      };
    const x = placeOf(column, frame.clientWidth, seen.columns);
    return { x, y: 0, width: placeOf(column + columns - 1, frame.clientWidth, seen.columns) - x, height: 1 };
  },
  onPoint(row, column) {
    const seen = matrix();
    if (seen && shown)
      element("cell").textContent = kind === "lines" ? columnText(seen, column) : cellText(seen, row, column);
  },
  onPick({ row, column, rows, columns }) {
    if (!shown || shown !== pick) return;
    const all = matrix()!.rows;
    follow(
      kind === "lines" ? within(shown, 0, column, all, columns) : within(shown, row, column, rows, columns),
    );
  },
  onReset: () => pick && isPart(pick) && follow(whole2d(pick.array, pick.lead)),
});

function cellText(seen: Matrix, row: number, column: number): string {
  const place = seen.rows === 1 && shown!.shape.length < 2 ? [column] : [row, column];
  const index = place.map((at, axis) => at + shown!.start[axis]!);
  return `[${[...shown!.lead, ...index].join(", ")}] = ${short(seen.values[row * seen.columns + column] ?? NaN)}`;
}

function columnText(seen: Matrix, column: number): string {
  const rows = Math.min(seen.rows, 6);
  const values = Array.from({ length: rows }, (_, row) =>
    short(seen.values[row * seen.columns + column] ?? NaN),
  );
  return `${column + (shown!.start.at(-1) ?? 0)}: ${values.join("  ")}${seen.rows > rows ? "  …" : ""}`;
}

setInterval(() => figures.show(), 250);
void figures.show();
