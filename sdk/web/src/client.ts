import { ClientBanned } from './banned.js';
import {
  checkIcePolicy,
  checkJoinOptions,
  checkRole,
  checkSmallStreamProfile,
  checkSubscribeOptions,
  checkTurnServer,
  checkVideoSize,
  invalid,
  type ClientConfig,
  type JoinOptions,
  type Role,
  type SmallStreamProfile,
  type SubscribeOptions,
  type VideoSize,
} from './checks.js';
import { RtcError, wordsOf } from './errors.js';
import { Emitter } from './events.js';
import { noGateway, signalAddress } from './gateway-address.js';
import { LocalStream } from './local-stream.js';
import type { StreamKind } from './messages.js';
import type { Page } from './page.js';
import { RemoteStream } from './remote-stream.js';
import { Session, type Ending, type SessionEvents } from './session.js';
import type {
  LocalAudioStats,
  LocalVideoStats,
  NetworkQuality,
  RemoteAudioStats,
  RemoteVideoStats,
  TransportStats,
} from './stats.js';

export type ConnectionState = 'DISCONNECTED' | 'CONNECTING' | 'RECONNECTING' | 'CONNECTED';

export interface ClientEvents {
  'stream-added': [{ stream: RemoteStream }];
  'stream-removed': [{ stream: RemoteStream }];
  'stream-subscribed': [{ stream: RemoteStream }];
  'peer-join': [{ userId: string }];
  'peer-leave': [{ userId: string }];
  'mute-audio': [{ userId: string }];
  'unmute-audio': [{ userId: string }];
  'mute-video': [{ userId: string }];
  'unmute-video': [{ userId: string }];
  'connection-state-changed': [{ prevState: ConnectionState; state: ConnectionState }];
  'network-quality': [NetworkQuality];
  'client-banned': [ClientBanned];
  error: [RtcError];
}

export interface RemoteMutedState {
  userId: string;
  hasAudio: boolean;
  hasVideo: boolean;
  hasSmall: boolean;
  audioMuted: boolean;
  videoMuted: boolean;
}

/** The vendor's. */
const SMALL_PROFILE: SmallStreamProfile = { width: 160, height: 120, bitrate: 100, frameRate: 15 };

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
  #hasSmallStream = false;
  #smallProfile = SMALL_PROFILE;

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
    const kind = options.isAuxiliary ? 'auxiliary' : 'main';
    const session = this.#joined(call);
    if (!(localStream instanceof LocalStream)) throw invalid("'stream' must be a LocalStream.", call);
    if (this.#config.mode === 'live' && session.role === 'audience') {
      const advice = 'please call switchRole("anchor") firstly before publish().';
      throw new RtcError('INVALID_OPERATION', `no permission to publish() under live/audience, ${advice}`, { call });
    }
    if (session.published(kind) || this.#kindOf(localStream)) {
      throw new RtcError('INVALID_OPERATION', 'a stream is published already: unpublish() it first.', { call });
    }
    if (!localStream.hasAudio() && !localStream.hasVideo()) {
      throw new RtcError('INVALID_OPERATION', 'the stream has no tracks: initialize() it first.', { call });
    }
    // What is on a screen is read: there is no small one.
    await session.publish(localStream, kind, this.#hasSmallStream && kind === 'main' ? this.#smallProfile : null);
  }

  async unpublish(localStream: Public<LocalStream>): Promise<void> {
    const kind = this.#kindOf(localStream);
    if (!this.#session || !kind) {
      console.warn('unpublish(): the stream is not published');
      return;
    }
    await this.#session.unpublish(kind);
  }

  #kindOf(localStream: Public<LocalStream>): StreamKind | undefined {
    return (['main', 'auxiliary'] as const).find((kind) => this.#session?.published(kind) === localStream);
  }

  /** What is published from now on comes in two sizes, where the gateway has a codec for that. */
  async enableSmallStream(): Promise<void> {
    this.#setSmallStream(true, 'enableSmallStream()');
    await Promise.resolve();
  }

  async disableSmallStream(): Promise<void> {
    this.#setSmallStream(false, 'disableSmallStream()');
    await Promise.resolve();
  }

  #setSmallStream(isOn: boolean, call: string): void {
    if (isOn !== this.#hasSmallStream && this.#session?.published('main')) {
      throw new RtcError('INVALID_OPERATION', `a stream is published already: call ${call} before publish().`, {
        call,
      });
    }
    this.#hasSmallStream = isOn;
  }

  /** Counts for what is published from now on. */
  setSmallStreamProfile(options: SmallStreamProfile): void {
    checkSmallStreamProfile(options);
    this.#smallProfile = { ...options };
  }

  /** A stream that has no small picture stays as it is. */
  async setRemoteVideoStreamType(remoteStream: Public<RemoteStream>, status: VideoSize): Promise<void> {
    const call = 'setRemoteVideoStreamType()';
    checkVideoSize(status);
    const session = this.#joined(call);
    await session.prefer(checkRemote(remoteStream, call), status);
  }

  /** What of the others' main streams is there, and what of it is muted. */
  getRemoteMutedState(): RemoteMutedState[] {
    const streams = this.#session?.streams ?? [];
    return streams
      .filter(({ kind }) => kind === 'main')
      .map(({ user, audio, video, small = false, muted = [] }) => ({
        userId: user,
        hasAudio: audio,
        hasVideo: video,
        hasSmall: small,
        audioMuted: muted.includes('audio'),
        videoMuted: muted.includes('video'),
      }));
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

  async getTransportStats(): Promise<TransportStats> {
    return this.#joined('getTransportStats()').quality.transport();
  }

  /** Of the main stream, under one's own userId; nothing where none is published. */
  async getLocalAudioStats(): Promise<Record<string, LocalAudioStats>> {
    return this.#joined('getLocalAudioStats()').quality.localAudio();
  }

  async getLocalVideoStats(): Promise<Record<string, LocalVideoStats>> {
    return this.#joined('getLocalVideoStats()').quality.localVideo();
  }

  /** By userId; of what is received. */
  async getRemoteAudioStats(): Promise<Record<string, RemoteAudioStats>> {
    return this.#joined('getRemoteAudioStats()').quality.remoteAudio();
  }

  async getRemoteVideoStats(
    remoteStreamType: 'main' | 'auxiliary' = 'main',
  ): Promise<Record<string, RemoteVideoStats>> {
    return this.#joined('getRemoteVideoStats()').quality.remoteVideo(remoteStreamType);
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
      const { userId, autoSubscribe = true } = this.#config;
      session = new Session(platform, address, way, { userId, autoSubscribe }, this.#sessionEvents(place));
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
      muted: (kind, userId, isMuted) => this.#emitter.emit(`${isMuted ? 'mute' : 'unmute'}-${kind}`, { userId }),
      quality: (quality) => this.#emitter.emit('network-quality', quality),
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
