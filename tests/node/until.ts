/** Waits for `condition`, looking every few milliseconds; rejects after `ms`, because a test must end. */
export async function until(condition: () => boolean, what: string, ms = 8000): Promise<void> {
  const end = performance.now() + ms;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`waited ${ms} ms in vain: ${what}`);
    await Bun.sleep(2);
  }
}

/** The code of the error that `action` throws or rejects with; "none" where it does neither. */
export async function codeOf(action: () => unknown): Promise<string> {
  try {
    await action();
  } catch (error) {
    return (error as { code?: string }).code ?? String(error);
  }
  return "none";
}
