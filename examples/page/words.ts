/** Numbers as people read them. */

/** At most about six characters. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "–" : value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e6 || size < 1e-3)) return value.toExponential(1).replace("e+", "e");
  const digits = size >= 1000 || Number.isInteger(value) ? 0 : size >= 100 ? 1 : size >= 1 ? 2 : 3;
  return value.toFixed(digits).replace("-", "−");
}

export const whole = (value: number): string => Math.round(value).toLocaleString("en");

/** [number, unit] */
export function bytes(count: number): [string, string] {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  let rest = count;
  for (; rest >= 1000 && unit < units.length - 1; unit++) rest /= 1000;
  return [rest >= 100 || unit === 0 ? rest.toFixed(0) : rest.toFixed(1), units[unit]!];
}

export function milliseconds(ms: number): [string, string] {
  return ms >= 1000 ? [(ms / 1000).toFixed(1), "s"] : [ms < 10 ? ms.toFixed(1) : ms.toFixed(0), "ms"];
}

export function rate(perSecond: number): [string, string] {
  return [perSecond === 0 || perSecond >= 10 ? perSecond.toFixed(0) : perSecond.toFixed(1), "/ s"];
}

/** "10 × 20", "a single value". */
export function shapeText(shape: readonly number[]): string {
  return shape.length === 0 ? "a single value" : shape.map(whole).join(" × ");
}
