/** Cells of the picture: rows from `row`, columns from `column`. */
export interface Box {
  readonly row: number;
  readonly column: number;
  readonly rows: number;
  readonly columns: number;
}

export interface DragOwner {
  /** The cell at a place given in parts of width and height, and how many there are; null where nothing is drawn. */
  cellAt(x: number, y: number): Box | null;
  placeOf(box: Box): { x: number; y: number; width: number; height: number };
  onPoint(row: number, column: number): void;
  onPick(box: Box): void;
  onReset(): void;
}

/** Further than this the pointer means a box, not a cell. CSS pixels. */
const dragPixelsMin = 5;

/** Picks a box of cells with the mouse, a pen or a finger; a double click or Escape takes it back. */
export class Drag {
  readonly #canvas: HTMLElement;
  readonly #band: HTMLElement;
  readonly #owner: DragOwner;
  #from: { x: number; y: number; row: number; column: number } | null = null;
  #box: Box | null = null;

  constructor(canvas: HTMLElement, band: HTMLElement, owner: DragOwner) {
    this.#canvas = canvas;
    this.#band = band;
    this.#owner = owner;
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("pointerup", () => this.#up());
    canvas.addEventListener("pointercancel", () => this.#drop());
    canvas.addEventListener("dblclick", () => owner.onReset());
    document.addEventListener("keydown", ({ key }) => {
      if (key !== "Escape") return;
      if (this.#from) this.#drop();
      else owner.onReset();
    });
  }

  #down(event: PointerEvent): void {
    const cell = event.button === 0 ? this.#cellOf(event) : null;
    if (!cell) return;
    this.#canvas.setPointerCapture(event.pointerId);
    this.#from = { x: event.clientX, y: event.clientY, ...cell };
  }

  #move(event: PointerEvent): void {
    const cell = this.#cellOf(event);
    if (!cell) return;
    this.#owner.onPoint(cell.row, cell.column);
    const from = this.#from;
    if (!from) return;
    const distance = Math.max(Math.abs(event.clientX - from.x), Math.abs(event.clientY - from.y));
    if (distance < dragPixelsMin && !this.#box) return;
    this.#box = {
      row: Math.min(from.row, cell.row),
      column: Math.min(from.column, cell.column),
      rows: Math.abs(from.row - cell.row) + 1,
      columns: Math.abs(from.column - cell.column) + 1,
    };
    this.#showBand(this.#box);
  }

  #up(): void {
    const box = this.#box;
    this.#drop();
    if (box) this.#owner.onPick(box);
  }

  #drop(): void {
    this.#from = null;
    this.#box = null;
    this.#band.hidden = true;
  }

  #showBand(box: Box): void {
    const { x, y, width, height } = this.#owner.placeOf(box);
    const { style } = this.#band;
    style.left = `${100 * x}%`;
    style.top = `${100 * y}%`;
    style.width = `${100 * width}%`;
    style.height = `${100 * height}%`;
    this.#band.hidden = false;
  }

  #cellOf(event: PointerEvent): { row: number; column: number } | null {
    const { left, top, width, height } = this.#canvas.getBoundingClientRect();
    const box = this.#owner.cellAt((event.clientX - left) / width, (event.clientY - top) / height);
    if (!box) return null;
    const inside = (at: number, count: number) => Math.min(count - 1, Math.max(0, at));
    return { row: inside(box.row, box.rows), column: inside(box.column, box.columns) };
  }
}
