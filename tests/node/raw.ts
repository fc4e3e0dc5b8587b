import { crc32c } from "../../src/memory/digest.ts";
import { decodeFrame } from "../../src/protocol/decode.ts";
import { encodeMessage } from "../../src/protocol/encode.ts";
import { ProtocolFault } from "../../src/protocol/fault.ts";
import { Framer } from "../../src/protocol/framer.ts";
import { payloadBytesMax, protocolVersion } from "../../src/protocol/limits.ts";
import type {
  ChallengeMessage,
  HelloMessage,
  Message,
  Received,
  SubscribeMessage,
} from "../../src/protocol/messages.ts";
import type { DeltaHead, DeltaPart } from "../../src/protocol/part.ts";
import { authTranscript } from "../../src/protocol/transcript.ts";
import { parseAddress } from "../../src/transport/address.ts";
import { systemTransport } from "../../src/transport/endpoint.ts";
import type { Link, Transport } from "../../src/transport/link.ts";
import { until } from "./until.ts";

export interface RawKey {
  readonly keyId: string;
  sign(transcript: Uint8Array): Uint8Array;
}

const randomHex = (bytes: number) => crypto.getRandomValues(new Uint8Array(bytes)).toHex();

export function helloOf(node: string, nodeId = randomHex(16)): HelloMessage {
  return { type: "HELLO", magic: "memblast", protocol: [...protocolVersion], node, nodeId, features: [] };
}

/** A follower without any manners: it sends what it is told to, counts what comes, and checks nothing. */
export class RawFollower implements Disposable {
  /** All but deltas. */
  readonly messages: Exclude<Received, DeltaPart>[] = [];
  /** What the deltas say of themselves, in the order in which they began to arrive. */
  readonly heads: (Pick<DeltaHead, "from" | "to" | "repair"> & { readonly subscription: number })[] = [];
  /** Data bytes of deltas by subscription. */
  readonly dataBytes = new Map<number, number>();
  receivedBytes = 0;
  isClosed = false;
  /** Stops reading with the next data that comes. */
  stopsAtData = false;
  link!: Link;
  readonly #framer = new Framer(crc32c);

  /** As far as the link, or with `join` through the handshake. */
  static async connect(address: string, transport: Transport = systemTransport): Promise<RawFollower> {
    const raw = new RawFollower();
    raw.link = await transport.connect(parseAddress(address), {
      onBytes: (_, bytes) => raw.#received(bytes),
      onClose: () => void (raw.isClosed = true),
    });
    return raw;
  }

  /** Throws when it is not let in. */
  async join(node: string, key?: RawKey): Promise<this> {
    const hello = helloOf(node);
    this.send(hello);
    await this.seen("CHALLENGE");
    this.#framer.limitPayload(payloadBytesMax);
    const challenge = this.messages.find(({ type }) => type === "CHALLENGE") as ChallengeMessage;
    const nonce = randomHex(32);
    const proof = key && {
      keyId: key.keyId,
      mac: key.sign(transcriptOf(hello, challenge, nonce, key)).toHex(),
    };
    this.send({ type: "AUTH", nonce, ...proof });
    await this.seen("WELCOME");
    return this;
  }

  send(...messages: readonly Message[]): void {
    this.link.write(messages.flatMap((message) => encodeMessage(crc32c, message)));
  }

  subscribe(id: number, request: Partial<SubscribeMessage> & Pick<SubscribeMessage, "regions">): void {
    this.send({
      type: "SUBSCRIBE",
      id,
      mode: "latest",
      verify: false,
      maxRate: null,
      have: null,
      ...request,
    });
  }

  of<Type extends Message["type"]>(type: Type): Extract<Received, { type: Type }>[] {
    return this.messages.filter((message) => message.type === type) as Extract<Received, { type: Type }>[];
  }

  async seen(type: Message["type"], count = 1): Promise<void> {
    await until(() => this.isClosed || this.of(type).length >= count, `${count} ${type}`);
    if (this.of(type).length >= count) return;
    throw new Error(`closed before ${type}: ${this.of("ERROR")[0]?.code}`);
  }

  /** Until the other end has taken what was sent. */
  async turn(): Promise<void> {
    const { length } = this.of("PONG");
    this.send({ type: "PING", opaque: new Uint8Array(8) });
    await this.seen("PONG", length + 1);
  }

  /** Data bytes of all deltas. */
  get allDataBytes(): number {
    return [...this.dataBytes.values()].reduce((sum, bytes) => sum + bytes, 0);
  }

  #received(bytes: Uint8Array): void {
    this.receivedBytes += bytes.byteLength;
    this.#framer.push(bytes);
    for (let frame = this.#framer.next(); frame !== null; frame = this.#framer.next()) {
      if (frame instanceof ProtocolFault) throw frame;
      const message = decodeFrame(frame);
      if (message?.type === "DELTA") {
        const { subscription, data, head } = message;
        if (head) this.heads.push({ subscription, from: head.from, to: head.to, repair: head.repair });
        this.dataBytes.set(subscription, (this.dataBytes.get(subscription) ?? 0) + data.byteLength);
        if (this.stopsAtData) this.link.pause();
        this.stopsAtData = false;
      } else if (message?.type === "PING") this.send({ type: "PONG", opaque: message.opaque.slice() });
      else if (message) this.messages.push(message);
    }
  }

  [Symbol.dispose](): void {
    this.link.abort();
  }
}

export function transcriptOf(
  hello: HelloMessage,
  challenge: ChallengeMessage,
  nonce: string,
  { keyId }: RawKey,
): Uint8Array {
  return authTranscript({
    followerProtocol: hello.protocol,
    publisherProtocol: challenge.protocol,
    followerId: hello.nodeId,
    publisherId: challenge.nodeId,
    followerNonce: nonce,
    publisherNonce: challenge.nonce,
    keyId,
  });
}
