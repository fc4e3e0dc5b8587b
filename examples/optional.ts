/** Loads a package that an example needs and memblast does not. Where it is missing, the error is a sentence that says what to do. */
export async function optional<T>(name: string, load: () => T | Promise<T>): Promise<T> {
  try {
    return await load();
  } catch (cause) {
    const { code, message } = cause as Error & { code?: string };
    const isMissing = code === "ERR_MODULE_NOT_FOUND" || code === "MODULE_NOT_FOUND";
    throw new Error(
      isMissing
        ? `this example needs the package ${name}: bun add -d ${name}`
        : `this example needs the package ${name}, which is here but does not load: ${message}`,
      { cause },
    );
  }
}
