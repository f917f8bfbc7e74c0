import type { PeerConnection, Platform } from './platform.js';

/** Looks, one a second, not seconds: in a tab that is hidden the browser's timers may stand still for a minute. */
const SILENT_LOOKS = 3;
/** What the gateway has to say about a connection that it closes is said over the socket, and may be a moment later. */
const WORD_MS = 200;

/**
 * Calls back, once, when nothing will flow over a connection any more: it has failed, the gateway has closed its DTLS (which
 * `connectionState` shows 5 to 17 s later), or nothing at all has arrived for 3 s, though a live gateway answers the checks of the
 * connection. To be called when the descriptions of both sides are set. Who closes the connection hears nothing.
 */
export function whenBroken(platform: Platform, connection: PeerConnection, broken: () => void): void {
  let isReported = false;
  const report = () => {
    if (isReported) return;
    isReported = true;
    stopLooking();
    setTimeout(() => {
      if (!isClosed()) broken();
    }, WORD_MS);
  };
  const isClosed = () => connection.connectionState === 'closed';
  const listen = silenceOf(connection, report);
  const stopLooking = platform.every(1_000, () => {
    if (isClosed()) stopLooking();
    else void listen();
  });

  connection.addEventListener('connectionstatechange', () => {
    if (connection.connectionState === 'failed') report();
  });
  const transport = transportOf(connection);
  transport?.addEventListener('statechange', () => {
    if (transport.state === 'closed' || transport.state === 'failed') report();
  });
}

/** All m-lines share one. */
function transportOf(connection: PeerConnection): RTCDtlsTransport | undefined {
  for (const { sender, receiver } of connection.getTransceivers()) {
    const transport = sender.transport ?? receiver.transport;
    if (transport) return transport;
  }
  return undefined;
}

/** Looks at each call whether anything has arrived since the last one; reports when that was so too often. */
function silenceOf(connection: PeerConnection, report: () => void): () => Promise<void> {
  let arrived = 0;
  let silentLooks = 0;
  return async () => {
    const now = await arrivals(connection);
    // A browser that does not count them, or a connection that is not there yet, says nothing.
    silentLooks = now === arrived && now > 0 ? silentLooks + 1 : 0;
    arrived = now;
    if (silentLooks >= SILENT_LOOKS) report();
  };
}

/**
 * Media, feedback and answers to connectivity checks, in all. The latter are what goes on where there is no media, each 2.5 s;
 * where the browser does not count them (Firefox) it is 0.
 */
async function arrivals(connection: PeerConnection): Promise<number> {
  let packets = 0;
  let answers = 0;
  for (const report of (await connection.getStats()).values()) {
    const { type, packetsReceived, responsesReceived } = report as Arrivals;
    if (type === 'transport') packets += packetsReceived ?? 0;
    if (type === 'candidate-pair') answers += responsesReceived ?? 0;
  }
  return answers > 0 ? packets + answers : 0;
}

interface Arrivals {
  type: string;
  packetsReceived?: number;
  responsesReceived?: number;
}
