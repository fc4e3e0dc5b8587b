import { type ArraySpec, makeSchema, schemaToJson } from "../../src/array/schema.ts";
import { crc32c } from "../../src/memory/digest.ts";
import { decodeFrame } from "../../src/protocol/decode.ts";
import { deltaFrame, encodeDeltaPart, encodeMessage } from "../../src/protocol/encode.ts";
import { ProtocolFault } from "../../src/protocol/fault.ts";
import { Framer } from "../../src/protocol/framer.ts";
import { defaultLimits, payloadBytesMax, protocolVersion } from "../../src/protocol/limits.ts";
import type { Message, Received, SubscribeMessage } from "../../src/protocol/messages.ts";
import type { DeltaHead, DeltaPart } from "../../src/protocol/part.ts";
import { formatAddress, parseAddress } from "../../src/transport/address.ts";
import { systemTransport } from "../../src/transport/endpoint.ts";
import type { Link, Listener } from "../../src/transport/link.ts";

const randomHex = (bytes: number) => crypto.getRandomValues(new Uint8Array(bytes)).toHex();

/** What a {@link RawServer} says besides its part of the handshake. */
export interface Script {
  readonly onWelcome?: (link: RawPublication) => void;
  readonly onSubscribe?: (link: RawPublication, request: SubscribeMessage) => void;
}

/** A link to a {@link RawServer}. */
export class RawPublication {
  /** All that has come, PINGs apart, which are answered. */
  readonly messages: Exclude<Received, DeltaPart>[] = [];
  readonly #incarnation = randomHex(16);
  readonly #nodeId = randomHex(16);
  readonly #schema: string;
  readonly #link: Link;
  readonly #framer = new Framer(crc32c);

  constructor(link: Link, schema: string) {
    this.#link = link;
    this.#schema = schema;
    this.#framer.limitPayload(payloadBytesMax);
  }

  send(...messages: readonly Message[]): void {
    this.#link.write(messages.flatMap((message) => encodeMessage(crc32c, message)));
  }

  /** Takes what is asked for, which is answered with nothing else. */
  accept({ id }: Pick<SubscribeMessage, "id">, bytes: number): void {
    this.send({ type: "SUBSCRIBED", id, incarnation: this.#incarnation, version: 1, bytes, resumed: false });
  }

  /** A delta in one part, or its first part: one run from `offset` on. */
  delta(
    subscription: number,
    head: Partial<DeltaHead> & Pick<DeltaHead, "to">,
    data = new Uint8Array(0),
    offset = 0,
    last = true,
  ): void {
    const { byteLength: totalBytes } = data;
    const base = { from: 0, full: false, repair: false, meta: undefined, root: undefined };
    const content = {
      head: { ...base, incarnation: this.#incarnation, totalBytes, ...head },
      last,
      runs: Float64Array.from(totalBytes ? [offset, totalBytes] : []),
      data: totalBytes ? [data] : [],
    };
    this.#link.write(deltaFrame(subscription, encodeDeltaPart(crc32c, content)));
  }

  of<Type extends Message["type"]>(type: Type): Extract<Received, { type: Type }>[] {
    return this.messages.filter((message) => message.type === type) as Extract<Received, { type: Type }>[];
  }

  received(bytes: Uint8Array, { onWelcome, onSubscribe }: Script): void {
    this.#framer.push(bytes);
    for (let frame = this.#framer.next(); frame !== null; frame = this.#framer.next()) {
      if (frame instanceof ProtocolFault) throw frame;
      const message = decodeFrame(frame);
      if (message === null || message.type === "DELTA") continue;
      this.messages.push(message);
      if (message.type === "HELLO") this.#challenge();
      if (message.type === "AUTH") {
        this.#welcome();
        onWelcome?.(this);
      }
      if (message.type === "PING") this.send({ type: "PONG", opaque: message.opaque.slice() });
      if (message.type === "SUBSCRIBE") onSubscribe?.(this, message);
    }
  }

  #challenge(): void {
    const about = { node: "raw", nodeId: this.#nodeId, nonce: randomHex(32) };
    this.send({ type: "CHALLENGE", protocol: [...protocolVersion], auth: "none", features: [], ...about });
  }

  #welcome(): void {
    const about = { incarnation: this.#incarnation, version: 1, schema: this.#schema, limits: defaultLimits };
    this.send({ type: "WELCOME", heartbeatMs: 5000, ...about });
  }
}

/** A publisher without any manners: it lets everybody in, and says what it is told to. */
export class RawServer implements Disposable {
  readonly links: readonly RawPublication[];
  readonly #listener: Listener;

  private constructor(listener: Listener, links: readonly RawPublication[]) {
    this.#listener = listener;
    this.links = links;
  }

  static async listen(
    specs: readonly ArraySpec[],
    script: Script,
    address = "127.0.0.1:0",
  ): Promise<RawServer> {
    const schema = schemaToJson(makeSchema([...specs], 4096));
    const links: RawPublication[] = [];
    const listener = await systemTransport.listen(parseAddress(address), (link) => {
      const publication = new RawPublication(link, schema);
      links.push(publication);
      return {
        onBytes: (_, bytes) => publication.received(bytes, script),
        onClose() {},
      };
    });
    return new RawServer(listener, links);
  }

  get address(): string {
    return formatAddress(this.#listener.address);
  }

  [Symbol.dispose](): void {
    this.#listener.close();
  }
}
