import { checkClientConfig, checkStreamConfig, type ClientConfig, type StreamConfig } from './checks.js';
import { Client } from './client.js';
import { signalAddress } from './gateway-address.js';
import { LocalStream } from './local-stream.js';
import type { Page } from './page.js';
import type { Platform } from './platform.js';

export const VERSION = '0.1.0';

/** The library's front: what applications know as `TRTC`. */
export interface Trtc {
  readonly VERSION: string;
  createClient(config: ClientConfig): Client;
  createStream(config: StreamConfig): LocalStream;
  /** Ours, not the vendor's: the gateway of every client of this page that is not told another. */
  setGateway(address: string): void;
}

export function createTrtc(platform: Platform): Trtc {
  const page: Page = { platform, gateway: undefined, occupied: new Set() };
  return {
    VERSION,
    createClient(config) {
      checkClientConfig(config);
      return new Client(page, config);
    },
    createStream(config) {
      checkStreamConfig(config);
      return new LocalStream(platform, config);
    },
    setGateway(address) {
      page.gateway = signalAddress(address, platform.pageProtocol(), 'setGateway()');
    },
  };
}
