/**
 * How many deltas may be on their way that the follower has not read. What the system has taken is sent, and its buffers hold thousands
 * of small deltas: a follower that stood still for a while would get them all, the oldest first. So every few deltas are followed by a
 * PING, and its PONG says that those before it have been read.
 */
export interface Window {
  /** Deltas sent on this link, and how many of them have been read for all that is known. */
  readonly sent: number;
  readonly read: number;
  /** Numbers of the PINGs that are not answered, and what had been sent before each. */
  readonly marks: readonly { readonly ping: number; readonly sent: number }[];
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

export function withMark(window: Window, ping: number): Window {
  return { ...window, marks: [...window.marks, { ping, sent: window.sent }] };
}

/** The PING of that number has been answered, and so is every one before it. */
export function readUntil(window: Window, ping: number): Window {
  const reached = window.marks.findLast((mark) => mark.ping <= ping);
  if (reached === undefined) return window;
  return { ...window, read: reached.sent, marks: window.marks.filter((mark) => mark.ping > ping) };
}
