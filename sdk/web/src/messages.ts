// The gateway's side of docs/protocol.md, as far as this library reads it.

import type { Role, RoomId } from './checks.js';

export interface JoinFields {
  protocol: 1;
  app: number;
  user: string;
  sig: string;
  room: RoomId;
  role: Role;
  mode: 'rtc' | 'live';
  /** Asks not to replace another session of the user. */
  yields?: true;
}

export interface PeerInfo {
  session: string;
  user: string;
}

export type Kind = 'audio' | 'video';
export type StreamKind = 'main' | 'auxiliary';

export interface StreamInfo extends PeerInfo {
  stream: string;
  kind: string;
  audio: boolean;
  video: boolean;
  /** The codecs' names, as SDP writes them. */
  codecs?: Partial<Record<Kind, string>>;
  /** Whether there is a small picture beside the big one. */
  small?: boolean;
  /** What its publisher has muted. */
  muted?: Kind[];
}

export interface RoomView {
  peers: PeerInfo[];
  streams: StreamInfo[];
}

/** Absent: the gateway has none. */
export interface IceServers {
  ice_servers?: RTCIceServer[];
  /** How long their credentials are good. */
  ice_seconds?: number;
}

export interface JoinResult extends RoomView, IceServers {
  session: string;
  attachment: number;
  /** A secret: whoever shows it may take the session over. */
  token: string;
  /** What may be published, the preferred first. */
  codecs?: string[];
}

export interface ResumeResult extends RoomView, IceServers {
  attachment: number;
  role: Role;
  /** Whether both peer connections of the former socket live on. */
  media: boolean;
  published: string | null;
  auxiliary?: string | null;
  codecs?: string[];
}

export interface PublishResult {
  stream: string;
  sdp: string;
}

/** Of an ICE restart of what is published. */
export interface RestartResult {
  sdp: string;
}

export interface OfferedTrack {
  mid: string;
  stream: string;
  kind: Kind;
}

export interface Offer {
  number: number;
  sdp: string;
  tracks: OfferedTrack[];
}

export interface BannedNotice {
  v4_reason: string;
  message: string;
}

export interface RequestFailure {
  code: string;
  extra: number;
  message: string;
  retry: boolean;
  /** How the session ended, if the code is `session_ended`. */
  reason?: string;
  client_banned?: BannedNotice;
}

/** What happened in the room. */
export type RoomMessage =
  | ({ type: 'peer_joined' } & PeerInfo)
  | ({ type: 'peer_left' } & PeerInfo)
  | ({ type: 'stream_added' } & StreamInfo)
  | ({ type: 'stream_muted'; stream: string; muted: Kind[] } & PeerInfo)
  | ({ type: 'stream_removed'; stream: string } & PeerInfo);

/** Nothing will flow any more over one of our two peer connections. */
export interface MediaLost {
  type: 'media_lost';
  connection: 'publish' | 'subscribe';
}

/** The session has ended. */
export interface Ended {
  type: 'ended';
  reason: string;
  correlation?: string;
  client_banned?: BannedNotice;
}

export type GatewayMessage =
  | RoomMessage
  | ({ type: 'offer' } & Offer)
  | MediaLost
  | { type: 'move' }
  | Ended
  | { type: 'error'; code: string; message: string };

export interface Reply {
  type: 'reply';
  id: number;
  result?: unknown;
  error?: RequestFailure;
}

/** What came over the socket, or undefined if it is not one of the protocol's objects. */
export function parseMessage(text: string): GatewayMessage | Reply | undefined {
  try {
    const parsed: unknown = JSON.parse(text);
    const isMessage = typeof parsed === 'object' && parsed !== null && 'type' in parsed;
    return isMessage && typeof parsed.type === 'string' ? (parsed as GatewayMessage | Reply) : undefined;
  } catch {
    return undefined;
  }
}
