/** Colours for values. */

/** Viridis: even steps look even, in grey too and to the colour-blind. The polynomials are Matt Zucker's fit (public domain). */
function viridis(t: number): [number, number, number] {
  const red = [0.2777, 0.105, -0.3308, -4.6342, 6.2282, 4.7763, -5.4354];
  const green = [0.0054, 1.4046, 0.2148, -5.7991, 14.1799, -13.7451, 4.6458];
  const blue = [0.334, 1.3845, 0.095, -19.3324, 56.6905, -65.353, 26.3124];
  const at = (powers: number[]) => powers.reduceRight((sum, factor) => sum * t + factor, 0);
  return [at(red), at(green), at(blue)];
}

export const steps = 256;

/** The scale as pixels of an ImageData: red in the lowest byte. */
export const pixels = Uint32Array.from({ length: steps }, (_, i) => {
  const [r, g, b] = viridis(i / (steps - 1)).map((part) => Math.round(255 * Math.min(1, Math.max(0, part))));
  return (0xff000000 | (b! << 16) | (g! << 8) | r!) >>> 0;
});

/** A CSS colour of the scale, `t` from 0 to 1. */
export function colour(t: number): string {
  const pixel = pixels[Math.round(t * (steps - 1))]!;
  return `rgb(${pixel & 255} ${(pixel >> 8) & 255} ${(pixel >> 16) & 255})`;
}

/** Whether dark letters are read better on it. */
export function isBright(t: number): boolean {
  return t > 0.6;
}

/** The colours of the page in force: it follows dark and light. */
export interface Theme {
  readonly ink: string;
  readonly muted: string;
  readonly line: string;
  readonly panel: string;
  readonly isDark: boolean;
  /** Where there is no value, as a pixel. */
  readonly empty: number;
}

export function theme(): Theme {
  const style = getComputedStyle(document.documentElement);
  const value = (name: string) => style.getPropertyValue(name).trim();
  const empty = value("--empty");
  const part = (at: number) => Number.parseInt(empty.slice(at, at + 2), 16);
  return {
    ink: value("--ink"),
    muted: value("--muted"),
    line: value("--line"),
    panel: value("--panel"),
    isDark: matchMedia("(prefers-color-scheme: dark)").matches,
    empty: (0xff000000 | (part(5) << 16) | (part(3) << 8) | part(1)) >>> 0,
  };
}
