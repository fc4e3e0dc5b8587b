/** Of a node that does not listen. */
export const noDoor = Object.freeze({
  /** Links that have not come through the handshake yet. */
  strangers: 0,
  /** Links that did not come through it in time. */
  slow: 0,
  /** Links sent away before they had, to make room for others. */
  evicted: 0,
  /** Proofs of a secret that were wrong. */
  failedProofs: 0,
  /** Proofs that were not looked at because of ten wrong ones within a minute from the same address of another machine. */
  turnedAway: 0,
  /** Links from this machine that were heard a little later for the same reason. */
  held: 0,
  /** Links closed unseen: `connectionsMax` stood already, or the process had too few files left. */
  refused: 0,
  /**
   * Links that ended in TLS's handshake: no certificate or an untrusted one where `tls.clientCertificates` asks for it, a version below 1.2,
   * bytes that are no TLS, and clients that say that they do not trust this node's certificate.
   */
  untrusted: 0,
  /** WebSockets refused because of the name that the node was called by (`hosts`) or the web page that they came from (`origins`). */
  foreign: 0,
  /**
   * Links that ended with a fault before they had come through the handshake: bytes that are no memblast of this version, no proof or a
   * wrong one, a name that is taken. One a second is told by an `error` event.
   */
  faulty: 0,
  /**
   * Links ended because others had to wait for what was kept for them, which is twice the image at most (64 MiB at least): they stood
   * still in the middle of a delta for two heartbeats or ten seconds, or went on by so little that others had waited for three times that.
   */
  tooSlow: 0,
});

/** What comes to a node's doors. */
export type DoorStats = { readonly [Name in keyof typeof noDoor]: number };
