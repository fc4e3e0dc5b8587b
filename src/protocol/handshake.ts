import * as z from "zod/mini"; // the same package as "zod", a quarter of its size in a browser bundle
import { ProtocolFault, refuse } from "./fault.ts";
import {
  dimensionsMax,
  featuresMax,
  nameCharactersMax,
  protocolVersion,
  textCharactersMax,
} from "./limits.ts";

/**
 * The messages whose payload is JSON: the handshake, subscribing, and the last words of a link. Keys that are not named
 * here are ignored, so that a later minor version can add some.
 */

const u32Max = 0xffffffff;
const safeInteger = z.int().check(z.minimum(0));
const identifier = z.int().check(z.minimum(1), z.maximum(u32Max));
const hex = (bytes: number) => z.string().check(z.regex(new RegExp(`^[0-9a-f]{${2 * bytes}}$`)));
const name = z.string().check(z.regex(new RegExp(`^[^\\p{C}]{1,${nameCharactersMax}}$`, "u")));
const features = list(name, 0, featuresMax);
const millis = z.int().check(z.minimum(0), z.maximum(86_400_000));
/** For people: cut rather than refused, and without the control characters a terminal would obey. */
const text = z.pipe(
  z.string(),
  z.transform((value: string) => printable(value)),
);
const u16 = z.int().check(z.minimum(0), z.maximum(0xffff));
const protocol = z.readonly(z.tuple([u16, u16]));

const hello = z.object({
  magic: z.literal("memblast"),
  protocol,
  node: name,
  nodeId: hex(16),
  features,
});

const challenge = z.object({
  protocol,
  node: name,
  nodeId: hex(16),
  auth: z.string().check(z.maxLength(nameCharactersMax)),
  nonce: hex(32),
  features,
});

const auth = z.object({
  keyId: z.optional(name),
  mac: z.optional(hex(32)),
  nonce: hex(32),
});

const welcome = z.object({
  incarnation: hex(16),
  version: safeInteger,
  schema: z.string(),
  heartbeatMs: z.int().check(z.minimum(10), z.maximum(3_600_000)),
  limits: z.object({
    subscriptionsMax: safeInteger,
    regionsMax: safeInteger,
    subscriptionBytesMax: safeInteger,
  }),
});

const region = z
  .object({
    array: z.nullable(z.string().check(z.maxLength(nameCharactersMax))),
    start: u32s(0),
    shape: u32s(1),
  })
  .check(z.refine((box) => box.start.length === box.shape.length));

const subscribe = z.object({
  id: identifier,
  regions: list(region, 1),
  mode: z.enum(["latest", "every"]),
  verify: z.boolean(),
  maxRate: z.nullable(z.number().check(z.positive(), z.maximum(1e6))),
  have: z.nullable(z.object({ incarnation: hex(16), version: safeInteger })),
});

const subscribed = z.object({
  id: identifier,
  incarnation: hex(16),
  version: safeInteger,
  bytes: safeInteger,
  resumed: z.boolean(),
  reason: z.optional(text),
});

const error = z.object({
  code: z.string().check(z.maxLength(nameCharactersMax)),
  text,
  subscription: z.optional(identifier),
});

const bye = z.object({ reason: text, retryAfterMs: z.optional(millis) });

export type HelloMessage = { readonly type: "HELLO" } & Readonly<z.infer<typeof hello>>;
export type ChallengeMessage = { readonly type: "CHALLENGE" } & Readonly<z.infer<typeof challenge>>;
export type AuthMessage = { readonly type: "AUTH" } & Readonly<z.infer<typeof auth>>;
export type WelcomeMessage = { readonly type: "WELCOME" } & Readonly<z.infer<typeof welcome>>;
export type SubscribeMessage = { readonly type: "SUBSCRIBE" } & Readonly<z.infer<typeof subscribe>>;
export type SubscribedMessage = { readonly type: "SUBSCRIBED" } & Readonly<z.infer<typeof subscribed>>;
/** Ends the link, or only the subscription that it names. */
export type ErrorMessage = { readonly type: "ERROR" } & Readonly<z.infer<typeof error>>;
export type ByeMessage = { readonly type: "BYE" } & Readonly<z.infer<typeof bye>>;

export type JsonMessage =
  | HelloMessage
  | ChallengeMessage
  | AuthMessage
  | WelcomeMessage
  | SubscribeMessage
  | SubscribedMessage
  | ErrorMessage
  | ByeMessage;

const formats = {
  HELLO: hello,
  CHALLENGE: challenge,
  AUTH: auth,
  WELCOME: welcome,
  SUBSCRIBE: subscribe,
  SUBSCRIBED: subscribed,
  ERROR: error,
  BYE: bye,
} as const;

export type JsonType = keyof typeof formats;

export function isJsonType(type: string): type is JsonType {
  return Object.hasOwn(formats, type);
}

const greeting = z.object({ magic: z.literal("memblast"), protocol });
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/** Throws BAD_MESSAGE with the path of the first thing that is wrong; VERSION where a greeting names another major version. */
export function decodeJson(type: JsonType, payload: Uint8Array): JsonMessage {
  const value = jsonOf(type, payload);
  // The version is looked at first: what else a future HELLO holds is not for this code to judge.
  if (type === "HELLO" || type === "CHALLENGE") {
    const start = (type === "HELLO" ? greeting : z.object({ protocol })).safeParse(value);
    if (start.success) checkMajor(start.data.protocol[0]);
  }
  const parsed = formats[type].safeParse(value);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const path = issue?.path.map(String).join(".") || "the payload";
    refuse("BAD_MESSAGE", `${type}: ${path} is not as the protocol has it.`);
  }
  return { type, ...parsed.data } as JsonMessage;
}

export function encodeJson(message: JsonMessage): Uint8Array {
  const { type: _, ...fields } = message;
  return encoder.encode(JSON.stringify(fields));
}

/** One line that a terminal or a log can show, whoever wrote it. */
export function printable(value: string): string {
  return value.slice(0, textCharactersMax).replace(/\p{C}+/gu, " ");
}

/**
 * A list that is given up at its first wrong element, and before it where it is too long: of a quarter of a megabyte that is wrong all
 * through, zod's own would tell everything, which takes a second.
 */
function list<Element extends z.ZodMiniType>(element: Element, lengthMin: number, lengthMax = Infinity) {
  return z.pipe(
    z.custom<readonly unknown[]>((value) => isList(value, lengthMin, lengthMax)),
    z.transform((values, context) => {
      const good: z.output<Element>[] = [];
      for (const value of values) {
        const { data, error } = z.safeParse(element, value);
        if (error) {
          const path = [good.length, ...(error.issues[0]?.path ?? [])];
          context.issues.push({ code: "custom", input: value, path });
          break;
        }
        good.push(data as z.output<Element>);
      }
      return good as readonly z.output<Element>[];
    }),
  );
}

/** One number for each dimension. */
function u32s(least: number) {
  const isFit = (value: unknown) =>
    Number.isInteger(value) && (value as number) >= least && (value as number) <= u32Max;
  return z.custom<readonly number[]>((value) => isList(value, 0, dimensionsMax) && value.every(isFit));
}

function isList(value: unknown, lengthMin: number, lengthMax: number): value is readonly unknown[] {
  return Array.isArray(value) && value.length >= lengthMin && value.length <= lengthMax;
}

function jsonOf(type: JsonType, payload: Uint8Array): unknown {
  try {
    return JSON.parse(decoder.decode(payload));
  } catch {
    throw new ProtocolFault("BAD_MESSAGE", `${type}: the payload is not JSON in UTF-8.`);
  }
}

function checkMajor(major: number): void {
  if (major === protocolVersion[0]) return;
  refuse(
    "VERSION",
    `The peer speaks protocol ${major}, this side ${protocolVersion[0]}: use matching releases.`,
  );
}
