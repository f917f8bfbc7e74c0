import type { Platform } from './platform.js';

/** What all clients of one page share. */
export interface Page {
  readonly platform: Platform;
  /** The address of the gateway's WebSocket, if it was set for the page. */
  gateway: string | undefined;
  /** Who of this page is in which room: the same userId twice would throw itself out. */
  readonly occupied: Set<string>;
}
