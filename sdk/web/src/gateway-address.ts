import { RtcError, wordsOf } from './errors.js';
import { invalid } from './checks.js';

const SIGNAL_PATH = '/v1/signal';
const SOCKET_PROTOCOLS: Record<string, string> = { 'http:': 'ws:', 'https:': 'wss:', 'ws:': 'ws:', 'wss:': 'wss:' };

/** From what people write (http, https, ws or wss; with or without a path) to the address of the WebSocket. */
export function signalAddress(address: unknown, pageProtocol: string, call: string): string {
  const url = parse(address, call);
  const protocol = SOCKET_PROTOCOLS[url.protocol];
  if (protocol === undefined) {
    throw invalid(
      `the gateway's address must start with wss://, https://, ws:// or http://, received: ${url.href}`,
      call,
    );
  }
  if (url.username || url.password) {
    throw invalid("the gateway's address must not contain a user name or a password.", call);
  }
  if (protocol === 'ws:' && pageProtocol === 'https:' && !isLoopback(url.hostname)) {
    throw invalid(
      `mixed content: this page came over https, so the browser will not connect to ${url.origin}. ` +
        `Give the gateway a certificate and use wss:// or https://.`,
      call,
    );
  }
  return `${protocol}//${url.host}${url.pathname.replace(/\/+$/, '')}${SIGNAL_PATH}`;
}

/**
 * The gateway that served this library, told from the address of its own <script>.
 *
 * The file name has to be ours: bundled into an application's script, the library would otherwise take the
 * application's origin for a gateway and dial it.
 */
export function gatewayOfScript(script: string | undefined): string | undefined {
  if (script === undefined || !URL.canParse(script)) return undefined;
  const url = new URL(script);
  const isOurs = /\/trtc(\.[\w-]+)*\.js$/.test(url.pathname);
  return isOurs && url.protocol in SOCKET_PROTOCOLS ? url.origin : undefined;
}

export function noGateway(call: string): RtcError {
  return new RtcError(
    'INVALID_OPERATION',
    "no gateway: give its address with TRTC.setGateway('wss://...') or client.setProxyServer('wss://...') before join().",
    { call },
  );
}

function parse(address: unknown, call: string): URL {
  if (typeof address !== 'string' || address.trim() === '') {
    throw invalid("the gateway's address must be a string that is not empty.", call);
  }
  try {
    return new URL(address);
  } catch (thrown) {
    throw invalid(`the gateway's address is not a URL: ${address} (${wordsOf(thrown)})`, call);
  }
}

// Browsers let an https page talk to its own machine in the clear.
function isLoopback(host: string): boolean {
  return host === 'localhost' || host.endsWith('.localhost') || host === '[::1]' || /^127(\.\d+){3}$/.test(host);
}
