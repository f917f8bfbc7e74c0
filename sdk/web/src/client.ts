import { ClientBanned } from './banned.js';
import {
  checkIcePolicy,
  checkJoinOptions,
  checkRole,
  checkSubscribeOptions,
  checkTurnServer,
  invalid,
  type ClientConfig,
  type JoinOptions,
  type Role,
  type SubscribeOptions,
} from './checks.js';
import { RtcError, wordsOf } from './errors.js';
import { Emitter } from './events.js';
import { noGateway, signalAddress } from './gateway-address.js';
import { LocalStream } from './local-stream.js';
import type { Page } from './page.js';
import { RemoteStream } from './remote-stream.js';
import { Session, type Ending, type SessionEvents } from './session.js';

export type ConnectionState = 'DISCONNECTED' | 'CONNECTING' | 'RECONNECTING' | 'CONNECTED';

export interface ClientEvents {
  'stream-added': [{ stream: RemoteStream }];
  'stream-removed': [{ stream: RemoteStream }];
  'stream-subscribed': [{ stream: RemoteStream }];
  'peer-join': [{ userId: string }];
  'peer-leave': [{ userId: string }];
  'connection-state-changed': [{ prevState: ConnectionState; state: ConnectionState }];
  'client-banned': [ClientBanned];
  error: [RtcError];
}

export interface ProxyServer {
  websocketProxy?: string;
  /** `relay`: media goes through TURN servers only. The vendor's v5 has it here, too. */
  iceTransportPolicy?: RTCIceTransportPolicy;
}

export interface TurnServer extends Omit<RTCIceServer, 'urls'> {
  /** With or without `turn:` before it. */
  url: string;
}

export interface PublishOptions {
  isAuxiliary?: boolean;
}

/**
 * What of a class everybody sees. Parameters have this type, because a class with private fields is compatible with
 * nothing but itself, and applications have the vendor's types around.
 */
type Public<Class> = Pick<Class, keyof Class>;

/** One user of one page: in at most one room at a time, as often as it likes. Made by TRTC.createClient(). */
export class Client {
  readonly #page: Page;
  readonly #config: ClientConfig;
  readonly #emitter = new Emitter<ClientEvents>();
  #gateway: string | undefined;
  #turnServers: RTCIceServer[] | undefined;
  #icePolicy: RTCIceTransportPolicy | undefined;
  #session: Session | null = null;
  #state: ConnectionState = 'DISCONNECTED';

  constructor(page: Page, config: ClientConfig) {
    this.#page = page;
    this.#config = { ...config };
  }

  on<Name extends keyof ClientEvents>(
    event: Name,
    handler: (...args: ClientEvents[Name]) => void,
    context?: unknown,
  ): void {
    this.#emitter.on(event, handler, context);
  }

  off<Name extends keyof ClientEvents>(
    event: Name | '*',
    handler?: (...args: ClientEvents[Name]) => void,
    context?: unknown,
  ): void {
    this.#emitter.off(event, handler, context);
  }

  /** The gateway of this client, where it is not the page's. */
  setProxyServer(proxyServer: string | ProxyServer): void {
    const call = 'setProxyServer()';
    const isObject = typeof proxyServer === 'object' && (proxyServer as unknown) !== null;
    const { websocketProxy, iceTransportPolicy } = isObject
      ? proxyServer
      : { websocketProxy: proxyServer, iceTransportPolicy: undefined };
    checkIcePolicy(iceTransportPolicy, call);
    if (websocketProxy !== undefined || iceTransportPolicy === undefined) {
      this.#gateway = signalAddress(websocketProxy, this.#page.platform.pageProtocol(), call);
    }
    this.#icePolicy = iceTransportPolicy;
  }

  /** TURN servers of the application's own, in place of those that the gateway names; for the next join(). */
  setTurnServer(config: TurnServer | TurnServer[]): void {
    const call = 'setTurnServer()';
    this.#turnServers = [config].flat().map((server: unknown) => checkTurnServer(server, call));
  }

  async join(options: JoinOptions): Promise<void> {
    const call = 'join()';
    checkJoinOptions(options, this.#config.useStringRoomId ?? false);
    if (this.#session) {
      throw this.#session.isJoined
        ? new RtcError('INVALID_OPERATION', 'duplicate join() called.', { call })
        : new RtcError('API_CALL_ABORTED', 'previous join() is ongoing, please avoid repeated calls.', { call });
    }
    const address = this.#gateway ?? this.#page.gateway;
    if (address === undefined) throw noGateway(call);

    const { sdkAppId: app, userId: user, userSig: sig, mode } = this.#config;
    const { roomId: room, role = 'anchor' } = options;
    const place = JSON.stringify([app, room, user]);
    if (this.#page.occupied.has(place)) {
      const text = `[${user}] is calling client.join api or has already joined room, please avoid repeated join.`;
      throw new RtcError('INVALID_OPERATION', text, { call });
    }
    const session = this.#openSession(address, place);
    await session.join({ protocol: 1, app, user, sig, room, role, mode });
  }

  /** Always resolves. Local streams go on: closing them is the application's business. */
  async leave(): Promise<void> {
    await this.#session?.leave();
  }

  async publish(localStream: Public<LocalStream>, options: PublishOptions = {}): Promise<void> {
    const call = 'publish()';
    if (options.isAuxiliary) throw new RtcError('NOT_SUPPORTED', 'Auxiliary streams are not supported yet.', { call });
    const session = this.#joined(call);
    if (!(localStream instanceof LocalStream)) throw invalid("'stream' must be a LocalStream.", call);
    if (this.#config.mode === 'live' && session.role === 'audience') {
      const advice = 'please call switchRole("anchor") firstly before publish().';
      throw new RtcError('INVALID_OPERATION', `no permission to publish() under live/audience, ${advice}`, { call });
    }
    if (session.publishedStream) {
      throw new RtcError('INVALID_OPERATION', 'a stream is published already: unpublish() it first.', { call });
    }
    if (!localStream.hasAudio() && !localStream.hasVideo()) {
      throw new RtcError('INVALID_OPERATION', 'the stream has no tracks: initialize() it first.', { call });
    }
    await session.publish(localStream);
  }

  async unpublish(localStream: Public<LocalStream>): Promise<void> {
    if (!this.#session || this.#session.publishedStream !== localStream) {
      console.warn('unpublish(): the stream is not published');
      return;
    }
    await this.#session.unpublish();
  }

  async subscribe(remoteStream: Public<RemoteStream>, options?: SubscribeOptions): Promise<void> {
    const call = 'subscribe()';
    const session = this.#joined(call);
    const stream = checkRemote(remoteStream, call);
    await session.subscribe(stream, checkSubscribeOptions(options));
    this.#emitter.emit('stream-subscribed', { stream });
  }

  async unsubscribe(remoteStream: Public<RemoteStream>): Promise<void> {
    const call = 'unsubscribe()';
    const session = this.#joined(call);
    await session.unsubscribe(checkRemote(remoteStream, call));
  }

  /** In mode `live` only. Who becomes audience publishes nothing any more. */
  async switchRole(role: Role): Promise<void> {
    const call = 'switchRole()';
    checkRole(role, this.#config.mode);
    const session = this.#joined(call);
    if (session.role !== role) await session.switchRole(role);
  }

  #joined(call: string): Session {
    if (!this.#session?.isJoined) {
      throw new RtcError('INVALID_OPERATION', `please call join() before ${call}.`, { call });
    }
    return this.#session;
  }

  #openSession(address: string, place: string): Session {
    const { platform, occupied } = this.#page;
    const way = { servers: this.#turnServers, policy: this.#icePolicy };
    let session: Session;
    try {
      session = new Session(platform, address, way, this.#config.autoSubscribe ?? true, this.#sessionEvents(place));
    } catch (thrown) {
      const text = `the gateway cannot be dialled: ${wordsOf(thrown)}`;
      throw new RtcError('SIGNAL_CHANNEL_SETUP_FAILED', text, { call: 'join()', cause: thrown });
    }
    this.#session = session;
    occupied.add(place);
    this.#moveTo('CONNECTING');
    return session;
  }

  #sessionEvents(place: string): SessionEvents {
    return {
      connected: () => this.#moveTo('CONNECTED'),
      reconnecting: () => this.#moveTo('RECONNECTING'),
      peerJoined: (userId) => this.#emitter.emit('peer-join', { userId }),
      peerLeft: (userId) => this.#emitter.emit('peer-leave', { userId }),
      streamAdded: (stream) => this.#emitter.emit('stream-added', { stream }),
      streamRemoved: (stream) => this.#emitter.emit('stream-removed', { stream }),
      error: (error) => this.#emitter.emit('error', error),
      ended: (ending) => {
        // Free before anybody hears of it: a listener may join again at once.
        this.#session = null;
        this.#page.occupied.delete(place);
        this.#onEnded(ending);
      },
    };
  }

  #onEnded(ending: Ending): void {
    this.#moveTo('DISCONNECTED');
    if (ending.how === 'banned') this.#emitter.emit('client-banned', new ClientBanned(ending.notice));
    if (ending.how === 'lost') this.#emitter.emit('error', ending.error);
  }

  #moveTo(state: ConnectionState): void {
    const prevState = this.#state;
    if (state === prevState) return;
    this.#state = state;
    this.#emitter.emit('connection-state-changed', { prevState, state });
  }
}

function checkRemote(stream: unknown, call: string): RemoteStream {
  if (stream instanceof RemoteStream) return stream;
  throw invalid("'stream' must be a RemoteStream.", call);
}
