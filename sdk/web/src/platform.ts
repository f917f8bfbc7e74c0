/** What this library needs of a browser. Production is `browser.ts`; the tests bring their own. */
export interface Platform {
  /** `https:` or `http:`: what the page itself came over. */
  pageProtocol(): string;
  openSocket(address: string, events: SocketEvents): Socket;
  openPeerConnection(): PeerConnection;
  /** Before the connection looks for candidates. */
  setIce(connection: PeerConnection, servers: RTCIceServer[], policy: RTCIceTransportPolicy): void;
  /** What this browser can send, to choose codecs from. Empty when it does not say. */
  sendableCodecs(kind: 'audio' | 'video'): RTCRtpCodec[];
  /** What it can decode; empty likewise. */
  receivableCodecs(kind: 'audio' | 'video'): RTCRtpCodec[];
  /** Undefined where the browser has no devices to give: no secure context. */
  captureDevices: ((constraints: MediaStreamConstraints) => Promise<MediaStream>) | undefined;
  /** Likewise; the user chooses what is shown. */
  captureScreen: ((constraints: DisplayMediaStreamOptions) => Promise<MediaStream>) | undefined;
  newMediaStream(tracks: MediaStreamTrack[]): MediaStream;
  /** Milliseconds on a clock that only goes forward. */
  now(): number;
  /** Calls again and again, less often in a tab that is hidden, until what is returned is called. */
  every(ms: number, action: () => void): () => void;
  /** At least 0 and less than 1. */
  random(): number;
  page: Pick<Document, 'createElement' | 'getElementById'>;
}

export interface SocketEvents {
  opened(): void;
  received(text: string): void;
  closed(code: number, reason: string): void;
}

export interface Socket {
  send(text: string): void;
  close(code: number): void;
}

export type PeerConnection = Pick<
  RTCPeerConnection,
  | 'addEventListener'
  | 'addTransceiver'
  | 'close'
  | 'connectionState'
  | 'createAnswer'
  | 'createDataChannel'
  | 'createOffer'
  | 'getStats'
  | 'getTransceivers'
  | 'restartIce'
  | 'setConfiguration'
  | 'setLocalDescription'
  | 'setRemoteDescription'
>;
