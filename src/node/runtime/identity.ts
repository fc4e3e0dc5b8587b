/** Who a node is on the network. */
export interface Identity {
  readonly name: string;
  /** 32 hex characters, new with every start. */
  readonly id: string;
}
