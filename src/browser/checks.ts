/** What a value from a caller may be: a page does without the weight of a schema library here. */
export const isText = (value: unknown): value is string => typeof value === "string";
export const isOneOf =
  (...words: readonly unknown[]) =>
  (value: unknown) =>
    words.includes(value);
export const isIn = (value: unknown, min: number, max: number) =>
  Number(value) === value && value >= min && value <= max;
export const isObject = (value: unknown): value is object =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** An object with these properties and no others. */
export function fits(value: unknown, shape: Readonly<Record<string, (value: unknown) => boolean>>): boolean {
  if (!isObject(value)) return false;
  const given: Readonly<Record<string, unknown>> = { ...value };
  return (
    Object.keys(given).every((key) => Object.hasOwn(shape, key)) &&
    Object.entries(shape).every(([key, isRight]) => isRight(given[key]))
  );
}
