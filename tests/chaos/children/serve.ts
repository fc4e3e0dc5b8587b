// An actor's end of its pipe: lines { id, method, args } in, { id, value } or { id, error } out.

export type Methods = Record<string, (...args: never[]) => unknown>;

export async function serve(methods: Methods): Promise<void> {
  for await (const line of console) {
    if (!line) break; // the end of the input
    const { id, method, args } = JSON.parse(line) as { id: number; method: string; args: never[] };
    void perform(methods, method, args).then((answer) => console.log(JSON.stringify({ id, ...answer })));
  }
}

async function perform(methods: Methods, method: string, args: never[]): Promise<object> {
  try {
    return { value: await methods[method]!(...args) };
  } catch (error) {
    return {
      error:
        error instanceof Error ? `${(error as { code?: string }).code ?? ""} ${error.stack}` : String(error),
    };
  }
}
