import { FakePage } from './fake-page.js';
import type { JoinResult, ResumeResult } from '../src/messages.js';
import type { PeerConnection, Platform, Socket, SocketEvents } from '../src/platform.js';

export type Sent = Record<string, unknown> & { type: string; id: number };

/** Lets everything that is due run: promises and messages, but no timers. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** The gateway's end of one socket. Answers joins and other requests by itself; tests say the rest. */
export class FakeConnection implements Socket {
  readonly sent: Sent[] = [];
  closedWith: number | undefined;
  /** Types of requests that get no reply. */
  readonly silent = new Set<string>();
  readonly refusals = new Map<string, object>();
  readonly results = new Map<string, object>();

  constructor(
    readonly address: string,
    private readonly events: SocketEvents,
  ) {}

  send(text: string): void {
    const message = JSON.parse(text) as Sent;
    this.sent.push(message);
    if (!('id' in message) || this.silent.has(message.type)) return;
    const error = this.refusals.get(message.type);
    const answer = error ? { error } : { result: this.results.get(message.type) ?? {} };
    setImmediate(() => this.say({ type: 'reply', id: message.id, ...answer }));
  }

  close(code: number): void {
    this.closedWith ??= code;
  }

  open(): void {
    this.events.opened();
  }

  say(message: object): void {
    this.events.received(JSON.stringify(message));
  }

  lose(code: number, reason = ''): void {
    this.events.closed(code, reason);
  }

  typesSent(): string[] {
    return this.sent.map((message) => message.type);
  }
}

/** DTLS. */
export class FakeTransport extends EventTarget {
  state: RTCDtlsTransportState = 'connected';

  become(state: RTCDtlsTransportState): void {
    this.state = state;
    this.dispatchEvent(new Event('statechange'));
  }
}

export class FakeTransceiver {
  codecs: RTCRtpCodec[] = [];
  readonly sender: { transport: FakeTransport };

  constructor(
    transport: FakeTransport,
    readonly mid: string | null,
    readonly receiver: { track: MediaStreamTrack },
    readonly init?: RTCRtpTransceiverInit,
  ) {
    this.sender = { transport };
  }

  setCodecPreferences(codecs: RTCRtpCodec[]): void {
    this.codecs = codecs;
  }
}

/** The page's end of a data channel. */
export class FakeDataChannel extends EventTarget {
  readonly sent: string[] = [];

  constructor(
    readonly label: string,
    readonly init: RTCDataChannelInit,
  ) {
    super();
  }

  send(text: string): void {
    this.sent.push(text);
  }

  say(data: unknown): void {
    this.dispatchEvent(new MessageEvent('message', { data }));
  }

  close(): void {
    this.dispatchEvent(new Event('close'));
  }
}

/** Understands SDP of the form `offer mid=kind,mid=kind`. */
export class FakePeerConnection extends EventTarget {
  connectionState: RTCPeerConnectionState = 'new';
  readonly transceivers: FakeTransceiver[] = [];
  readonly transport = new FakeTransport();
  /** Answers to connectivity checks; undefined: the browser does not count them. */
  arrived: number | undefined;
  readonly steps: string[] = [];
  connectsBy: RTCPeerConnectionState = 'connected';
  stats: object[] = [];
  restarts = 0;
  channel: FakeDataChannel | undefined;
  #held: Promise<void> | undefined;

  addTransceiver(track: MediaStreamTrack, init: RTCRtpTransceiverInit): FakeTransceiver {
    const transceiver = new FakeTransceiver(this.transport, null, { track }, init);
    this.transceivers.push(transceiver);
    return transceiver;
  }

  getTransceivers(): FakeTransceiver[] {
    return this.transceivers;
  }

  getStats(): Promise<Map<string, object>> {
    const stats = new Map<string, object>([['T1', { type: 'transport', packetsReceived: 100 }]]);
    stats.set('CP1', { type: 'candidate-pair', responsesReceived: this.arrived });
    return Promise.resolve(this.stats.length > 0 ? new Map(Object.entries(this.stats)) : stats);
  }

  createDataChannel(label: string, init: RTCDataChannelInit): FakeDataChannel {
    this.channel = new FakeDataChannel(label, init);
    return this.channel;
  }

  createOffer(): Promise<RTCSessionDescriptionInit> {
    return Promise.resolve({ type: 'offer', sdp: 'client offer' });
  }

  createAnswer(): Promise<RTCSessionDescriptionInit> {
    return Promise.resolve({ type: 'answer', sdp: 'client answer' });
  }

  restartIce(): void {
    this.restarts += 1;
  }

  setLocalDescription(description: RTCSessionDescriptionInit): Promise<void> {
    this.steps.push(`local ${description.type}`);
    return Promise.resolve();
  }

  setRemoteDescription(description: RTCSessionDescriptionInit): Promise<void> {
    this.steps.push(`remote ${description.type}`);
    for (const part of description.sdp?.split(' ')[1]?.split(',') ?? []) {
      const [mid, kind] = part.split('=');
      if (mid && kind && !this.transceivers.some((one) => one.mid === mid)) {
        this.transceivers.push(new FakeTransceiver(this.transport, mid, { track: fakeTrack(kind) }));
      }
    }
    setImmediate(() => this.become(this.connectsBy));
    return this.#held ?? Promise.resolve();
  }

  /** From now on nothing comes to an end, until what this returns is called. */
  hold(): () => void {
    let release: () => void = () => undefined;
    this.#held = new Promise((resolve) => (release = resolve));
    return release;
  }

  become(state: RTCPeerConnectionState): void {
    if (this.connectionState === 'closed') return;
    this.connectionState = state;
    this.dispatchEvent(new Event('connectionstatechange'));
  }

  close(): void {
    this.connectionState = 'closed';
  }
}

export type FakeTrack = MediaStreamTrack & { stopped: boolean };

let tracksMade = 0;

export function fakeTrack(kind: string): FakeTrack {
  const track = {
    id: `track ${++tracksMade}`,
    kind,
    stopped: false,
    enabled: true,
    getSettings: () => ({ height: 480 }),
    stop() {
      track.stopped = true;
    },
  };
  return track as unknown as FakeTrack;
}

/** A browser without a browser, connected to a gateway without a gateway. */
export class FakePlatform implements Platform {
  readonly connections: FakeConnection[] = [];
  readonly peerConnections: FakePeerConnection[] = [];
  readonly room: JoinResult = { session: 's0', attachment: 1, token: 'secret', peers: [], streams: [] };
  /** What a resume finds: of the media, and (if not as it was) of the room. */
  readonly resumed: Partial<ResumeResult> = { role: 'anchor', media: true, published: null };
  joinRefusal: object | undefined;
  resumeRefusal: object | undefined;
  publishRefusal: object | undefined;
  subscribeRefusal: object | undefined;
  readonly refusals = new Map<string, object>();
  /** What every connection is silent about from its beginning. */
  silent: string[] = [];
  chance = 1;
  time = 0;
  protocol = 'http:';
  opensSockets = true;
  connectsBy: RTCPeerConnectionState = 'connected';
  codecs: RTCRtpCodec[] = [];
  decodable: RTCRtpCodec[] = [];
  captureScreen: Platform['captureScreen'];
  captureDevices: Platform['captureDevices'] = (constraints) =>
    Promise.resolve(
      this.newMediaStream(
        (['audio', 'video'] as const).filter((kind) => constraints[kind]).map((kind) => fakeTrack(kind)),
      ),
    );
  page = new FakePage().asDocument();
  readonly #everySecond = new Set<() => void>();

  get connection(): FakeConnection {
    const last = this.connections.at(-1);
    if (!last) throw new Error('nothing was dialled');
    return last;
  }

  pageProtocol(): string {
    return this.protocol;
  }

  openSocket(address: string, events: SocketEvents): Socket {
    const connection = new FakeConnection(address, events);
    connection.results.set('join', this.room);
    connection.results.set('publish', { stream: 'mine', sdp: 'gateway answer' });
    connection.results.set('resume', { ...this.room, ...this.resumed, attachment: this.connections.length + 1 });
    if (this.joinRefusal) connection.refusals.set('join', this.joinRefusal);
    if (this.resumeRefusal) connection.refusals.set('resume', this.resumeRefusal);
    if (this.publishRefusal) connection.refusals.set('publish', this.publishRefusal);
    if (this.subscribeRefusal) connection.refusals.set('subscribe', this.subscribeRefusal);
    for (const [type, error] of this.refusals) connection.refusals.set(type, error);
    for (const type of this.silent) connection.silent.add(type);
    this.connections.push(connection);
    if (this.opensSockets) setImmediate(() => connection.open());
    return connection;
  }

  openPeerConnection(): PeerConnection {
    const connection = new FakePeerConnection();
    connection.connectsBy = this.connectsBy;
    this.peerConnections.push(connection);
    return connection as unknown as PeerConnection;
  }

  setIce(connection: PeerConnection, servers: RTCIceServer[], policy: RTCIceTransportPolicy): void {
    const names = servers.map((server) => `${String(server.urls)} ${server.username ?? ''}`.trim());
    (connection as unknown as FakePeerConnection).steps.push(`ice ${[...names, policy].join(' ')}`);
  }

  sendableCodecs(): RTCRtpCodec[] {
    return this.codecs;
  }

  receivableCodecs(): RTCRtpCodec[] {
    return this.decodable;
  }

  /** Who looks once a second. */
  get looks(): number {
    return this.#everySecond.size;
  }

  every(_ms: number, action: () => void): () => void {
    this.#everySecond.add(action);
    return () => this.#everySecond.delete(action);
  }

  /** Lets seconds go by, for those who look once a second. */
  async seconds(count: number): Promise<void> {
    for (let second = 0; second < count; second++) {
      for (const action of Array.from(this.#everySecond)) action();
      await settle();
    }
  }

  now(): number {
    return this.time;
  }

  random(): number {
    return this.chance;
  }

  newMediaStream(tracks: MediaStreamTrack[]): MediaStream {
    return { getTracks: () => tracks } as unknown as MediaStream;
  }
}
