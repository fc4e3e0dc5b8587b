import type { Matrix, Range } from "./matrix.ts";
import { colour, type Theme } from "./palette.ts";
import { short } from "./words.ts";

/** Room around the lines, CSS pixels: numbers stand at the left. */
const left = 56;
const margin = 14;

/** Draws each row as a line over its columns. */
export function drawLines(into: CanvasRenderingContext2D, matrix: Matrix, range: Range, theme: Theme): void {
  const scale = devicePixelRatio;
  const width = into.canvas.width / scale;
  const height = into.canvas.height / scale;
  into.save();
  into.scale(scale, scale);
  into.fillStyle = theme.panel;
  into.fillRect(0, 0, width, height);
  const span = range.high - range.low || 1;
  const y = (value: number) => height - margin - ((value - range.low) / span) * (height - 2 * margin);
  drawGrid(into, range, theme, width, y);
  const { rows, columns } = matrix;
  const plot = { x0: left, x1: width - margin, y };
  into.lineJoin = "round";
  into.lineCap = "round";
  into.lineWidth = rows > 12 ? 1 : 1.6;
  into.globalAlpha = rows > 40 ? 0.5 : rows > 12 ? 0.75 : 1;
  for (let row = 0; row < rows; row++) {
    into.strokeStyle = rowColour(row, rows, theme);
    into.beginPath();
    if (columns > 2 * (plot.x1 - plot.x0)) traceDense(into, matrix, row, plot);
    else trace(into, matrix, row, plot);
    into.stroke();
  }
  into.restore();
}

/** The column at a place of the canvas, from 0 to 1 of its width; below 0 or above `columns` outside of the lines. */
export function columnAt(t: number, width: number, columns: number): number {
  return Math.round(((t * width - left) / (width - margin - left)) * Math.max(1, columns - 1));
}

/** Where a column stands, from 0 to 1 of the width. */
export function placeOf(column: number, width: number, columns: number): number {
  return (left + (column / Math.max(1, columns - 1)) * (width - margin - left)) / width;
}

interface Plot {
  readonly x0: number;
  readonly x1: number;
  readonly y: (value: number) => number;
}

function drawGrid(
  into: CanvasRenderingContext2D,
  range: Range,
  theme: Theme,
  width: number,
  y: (value: number) => number,
): void {
  into.font = "11px system-ui, sans-serif";
  into.textAlign = "right";
  into.textBaseline = "middle";
  for (const value of ticks(range.low, range.high, 5)) {
    into.strokeStyle = theme.line;
    into.lineWidth = 1;
    into.beginPath();
    into.moveTo(left, y(value));
    into.lineTo(width - margin, y(value));
    into.stroke();
    into.fillStyle = theme.muted;
    into.fillText(short(value), left - 8, y(value));
  }
}

/** About `count` round numbers between the two. */
export function ticks(low: number, high: number, count: number): number[] {
  const span = high - low;
  if (!(span > 0)) return [low];
  const rough = span / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= rough)! * power;
  const first = Math.ceil(low / step);
  const last = Math.floor(high / step);
  return Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
}

/** Of the part of the scale that stands out from the ground. */
function rowColour(row: number, rows: number, { isDark }: Theme): string {
  const [from, to] = isDark ? [0.3, 0.97] : [0.05, 0.78];
  return colour(rows === 1 ? 0.5 : from! + ((to! - from!) * row) / (rows - 1));
}

function trace(into: CanvasRenderingContext2D, { values, columns }: Matrix, row: number, plot: Plot): void {
  const step = (plot.x1 - plot.x0) / Math.max(1, columns - 1);
  let isDown = false;
  for (let column = 0; column < columns; column++) {
    const value = values[row * columns + column]!;
    if (!Number.isFinite(value)) {
      isDown = false;
      continue;
    }
    const x = plot.x0 + column * step;
    if (!isDown) into.moveTo(x - 0.01, plot.y(value)); // so that a lone point is seen, too
    into.lineTo(x, plot.y(value));
    isDown = true;
  }
}

/** More columns than pixels: at each pixel from the least to the greatest value, so that no peak is lost. */
function traceDense(
  into: CanvasRenderingContext2D,
  { values, columns }: Matrix,
  row: number,
  plot: Plot,
): void {
  const places = Math.floor(plot.x1 - plot.x0);
  let isDown = false;
  for (let place = 0; place < places; place++) {
    const start = row * columns + Math.floor((place * columns) / places);
    const end = row * columns + Math.floor(((place + 1) * columns) / places);
    let low = Infinity;
    let high = -Infinity;
    for (let i = start; i < end; i++) {
      const value = values[i]!;
      if (value < low) low = value;
      if (value > high) high = value;
    }
    const x = plot.x0 + place;
    // Through its first and last value, so that neighbours meet.
    const stops = [values[start]!, low, high, values[end - 1]!].filter(Number.isFinite);
    for (const stop of stops) {
      if (isDown) into.lineTo(x, plot.y(stop));
      else into.moveTo(x, plot.y(stop));
      isDown = true;
    }
    if (stops.length === 0) isDown = false;
  }
}
