import { systemTransport } from "../../transport/endpoint.ts";
import type { Transport } from "../../transport/link.ts";
import { platform, type Platform } from "./platform.ts";

/** What a node cannot know by itself: time, chance and the network. A simulation passes its own. */
export interface World extends Platform {
  readonly transport: Transport;
}

export const realWorld: World = Object.freeze({ ...platform, transport: systemTransport });
