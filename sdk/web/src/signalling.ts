import { RtcError } from './errors.js';
import { parseMessage, type GatewayMessage, type RequestFailure } from './messages.js';
import type { Platform, Socket } from './platform.js';

const OPEN_TIMEOUT_MS = 10_000;

/** The gateway said no. Internal: the caller turns it into the RtcError that its own caller expects. */
export class RequestRefused extends Error {
  constructor(readonly failure: RequestFailure) {
    super(failure.message);
    this.name = 'RequestRefused';
  }
}

export interface SignallingEvents {
  received(message: GatewayMessage): void;
  /** Not by us. */
  lost(code: number, reason: string): void;
}

interface Pending {
  resolve(result: unknown): void;
  reject(error: Error): void;
}

/** One WebSocket, with requests and their replies. */
export class Signalling {
  readonly #socket: Socket;
  readonly #events: SignallingEvents;
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;
  #state: 'opening' | 'open' | 'abandoned' | 'closed' = 'opening';
  #settleOpening: (error?: RtcError) => void = () => undefined;

  /** Settles when the socket is open, or will not be. */
  readonly opened: Promise<void>;

  constructor(platform: Platform, address: string, events: SignallingEvents) {
    this.#events = events;
    this.opened = new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.close(setupFailed('ws connect timeout.'));
      }, OPEN_TIMEOUT_MS);
      this.#settleOpening = (error) => {
        clearTimeout(timer);
        if (error) reject(error);
        else resolve();
      };
    });
    this.#socket = platform.openSocket(address, {
      opened: () => this.#onOpened(),
      received: (text) => this.#onText(text),
      closed: (code, reason) => this.#onClosed(code, reason),
    });
  }

  /** Resolves with the reply's result; rejects with RequestRefused, or with an RtcError when the socket ends before. */
  request<Result>(type: string, fields: object): Promise<Result> {
    const id = ++this.#lastId;
    return new Promise<Result>((resolve, reject) => {
      this.#pending.set(id, { resolve: resolve, reject });
      this.notify(type, { id, ...fields });
    });
  }

  /** A message that nobody answers. */
  notify(type: string, fields: object = {}): void {
    if (this.#state === 'open') this.#socket.send(JSON.stringify({ type, ...fields }));
  }

  /** 1000 is a leave to the gateway, if the session has not ended before. Requests still open are rejected with `cause`. */
  close(cause: RtcError): void {
    if (this.#state === 'closed') return;
    this.#settle('closed', cause);
    this.#socket.close(1000);
  }

  /** Listens no more and leaves the socket as it is, for to close it may be a leave. */
  abandon(cause: RtcError): void {
    if (this.#state === 'open') this.#settle('abandoned', cause);
    else this.close(cause);
  }

  #settle(state: 'abandoned' | 'closed', cause: RtcError): void {
    this.#state = state;
    this.#settleOpening(cause);
    for (const one of this.#pending.values()) one.reject(cause);
    this.#pending.clear();
  }

  #onOpened(): void {
    if (this.#state !== 'opening') return;
    this.#state = 'open';
    this.#settleOpening();
  }

  #onClosed(code: number, reason: string): void {
    if (this.#state === 'abandoned') this.#state = 'closed';
    if (this.#state === 'closed') return;
    const wasOpen = this.#state === 'open';
    const how = `code ${code}${reason && `, ${reason}`}`;
    this.#settle(
      'closed',
      wasOpen
        ? new RtcError('SIGNAL_CHANNEL_ERROR', `the gateway's socket was closed (${how}).`)
        : setupFailed(`the gateway cannot be reached (${how}).`),
    );
    this.#events.lost(code, reason);
  }

  #onText(text: string): void {
    if (this.#state !== 'open') return;
    const message = parseMessage(text);
    if (message === undefined) {
      console.warn('the gateway sent something that is not a message of the protocol');
    } else if (message.type === 'reply') {
      this.#onReply(message.id, message.result, message.error);
    } else {
      this.#events.received(message);
    }
  }

  #onReply(id: number, result: unknown, failure: RequestFailure | undefined): void {
    const pending = this.#pending.get(id);
    if (!pending) return;
    this.#pending.delete(id);
    if (failure) pending.reject(new RequestRefused(failure));
    else pending.resolve(result);
  }
}

function setupFailed(text: string): RtcError {
  return new RtcError('SIGNAL_CHANNEL_SETUP_FAILED', text, { call: 'join()' });
}
