import { realWorld, type World } from "../../src/node/runtime/world.ts";

/** A world in which everybody who comes in seems to come from there. */
export function comingFrom(remote: string, world: World = realWorld): World {
  const { transport } = world;
  return {
    ...world,
    transport: {
      ...transport,
      listen: (address, accept, options) =>
        transport.listen(
          address,
          (link) => accept(Object.defineProperty(link, "remote", { value: remote })),
          options,
        ),
    },
  };
}
