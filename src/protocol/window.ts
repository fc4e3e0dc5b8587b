/**
 * How many deltas may be on their way that the follower has not read. What the system has taken is sent, and its buffers hold thousands
 * of small deltas: a follower that stood still for a while would get them all, the oldest first. So every few deltas are followed by a
 * PING, and its PONG says that those before it have been read.
 */
export interface Window {
  /** Deltas of subscriptions in the mode "latest" that were sent on this link, and how many of them have been read for all that is known. */
  readonly sent: number;
  readonly read: number;
  /** PINGs that are not answered. */
  readonly marks: readonly Mark[];
}

export interface Mark {
  /** The number of the PING, and when it was sent. */
  readonly ping: number;
  readonly at: number;
  /** What had been sent before it. */
  readonly sent: number;
}

/** Deltas that may be unread. Over a long way that is all that one round trip brings: more commits than these go together. */
export const unreadMax = 32;
/** Twice a window, so that it opens again before it has closed. */
const markEvery = unreadMax / 2;

export const freshWindow: Window = Object.freeze({ sent: 0, read: 0, marks: Object.freeze([]) });

export function isOpen({ sent, read }: Window): boolean {
  return sent - read < unreadMax;
}

export function oneMore(window: Window): Window {
  return { ...window, sent: window.sent + 1 };
}

/** Whether a PING is to follow what was sent last. */
export function isMarkDue({ sent, read, marks }: Window): boolean {
  return sent - (marks.at(-1)?.sent ?? read) >= markEvery;
}

export function withMark(window: Window, ping: number, at: number): Window {
  return { ...window, marks: [...window.marks, { ping, at, sent: window.sent }] };
}

/** The last mark that is reached where the PING of that number has been answered, and so every one before it; undefined: none. */
export function reachedBy({ marks }: Window, ping: number): Mark | undefined {
  return marks.findLast((mark) => mark.ping <= ping);
}

export function readUntil(window: Window, { ping, sent }: Mark): Window {
  return { ...window, read: sent, marks: window.marks.filter((mark) => mark.ping > ping) };
}
