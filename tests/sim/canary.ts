import { Encoding } from "../../src/node/encoding.ts";
import { Feed } from "../../src/node/feed.ts";
import { Publishing } from "../../src/node/publishing.ts";
import { Replica } from "../../src/node/replica.ts";
import { Storage } from "../../src/node/storage.ts";

/** Bugs to plant: a simulation that does not find them proves nothing. */
export const canaries: Record<string, () => void> = {
  /** A delta on its way picks up bytes of later commits. */
  torn() {
    Encoding.prototype.freeze = () => {};
  },
  /** A restarted server is taken for the one it was. */
  incarnation() {
    Replica.prototype.forgetVersion = () => {};
  },
  /** Now and then a link is not told of a commit. */
  deaf() {
    const told = Publishing.prototype.committed;
    let count = 0;
    Publishing.prototype.committed = function (version, subscriptions) {
      if (++count % 5) told.call(this, version, subscriptions);
    };
  },
  /** Now and then a commit goes by those who want every one of them. */
  merged() {
    const told = Publishing.prototype.committedEach;
    let count = 0;
    Publishing.prototype.committedEach = function (version, subscriptions) {
      if (++count % 5) told.call(this, version, subscriptions);
    };
  },
  /** Conflation forgets what the last delta but one brought. */
  shortcut() {
    const delta = Feed.prototype.delta;
    Feed.prototype.delta = function (from, full) {
      return delta.call(this, full ? from : Math.max(from, this.newest - 1), full);
    };
  },
  /** New metadata stays where it is. */
  metadata() {
    Storage.prototype.isMetaNewer = () => false;
  },
};
