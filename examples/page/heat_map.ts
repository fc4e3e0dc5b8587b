import type { Matrix, Range } from "./matrix.ts";
import { isBright, pixels, steps, type Theme } from "./palette.ts";
import { short } from "./words.ts";

const textWidthMin = 38;
const textHeightMin = 18;

/** Draws each value as a cell of one colour, and its number where there is room for it. */
export class HeatMap {
  readonly #small = document.createElement("canvas");
  #image: ImageData | null = null;

  draw(into: CanvasRenderingContext2D, matrix: Matrix, range: Range, theme: Theme): void {
    const { width, height } = into.canvas;
    const { rows, columns } = matrix;
    const small = this.#small.getContext("2d")!;
    if (this.#image?.width !== columns || this.#image.height !== rows) {
      this.#small.width = columns;
      this.#small.height = rows;
      this.#image = small.createImageData(columns, rows);
    }
    paint(new Uint32Array(this.#image.data.buffer), matrix.values, range, theme.empty);
    small.putImageData(this.#image, 0, 0);
    // Enlarged cells have edges; where several cells fall on a pixel, it shows their mean.
    into.imageSmoothingEnabled = columns > width || rows > height;
    into.drawImage(this.#small, 0, 0, width, height);
    const scale = devicePixelRatio;
    if (width / columns >= textWidthMin * scale && height / rows >= textHeightMin * scale)
      writeNumbers(into, matrix, range, theme);
  }
}

function paint(into: Uint32Array, values: ArrayLike<number>, range: Range, empty: number): void {
  const { low } = range;
  const scale = range.high > low ? (steps - 1) / (range.high - low) : 0;
  const last = steps - 1;
  for (let i = 0; i < into.length; i++) {
    const step = (values[i]! - low) * scale;
    into[i] = step !== step ? empty : pixels[step <= 0 ? 0 : step >= last ? last : step | 0]!;
  }
}

function writeNumbers(into: CanvasRenderingContext2D, matrix: Matrix, range: Range, theme: Theme): void {
  const { values, rows, columns } = matrix;
  const w = into.canvas.width / columns;
  const h = into.canvas.height / rows;
  into.font = `${Math.round(Math.min(13 * devicePixelRatio, w / 4))}px system-ui, sans-serif`;
  into.textAlign = "center";
  into.textBaseline = "middle";
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    const t = (value - range.low) / (range.high - range.low);
    into.fillStyle = Number.isNaN(value) ? theme.muted : isBright(t) ? "#0009" : "#fffc";
    into.fillText(short(value), ((i % columns) + 0.5) * w, (Math.floor(i / columns) + 0.5) * h);
  }
}
