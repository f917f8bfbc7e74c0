import { browser } from './browser.js';
import { createTrtc, type Trtc } from './trtc.js';

export type { ClientBanned } from './banned.js';
export type {
  ClientConfig,
  JoinOptions,
  PlayOptions,
  Role,
  RoomId,
  SmallStreamProfile,
  StreamConfig,
  SubscribeOptions,
} from './checks.js';
export type {
  Client,
  ClientEvents,
  ConnectionState,
  ProxyServer,
  PublishOptions,
  RemoteMutedState,
  TurnServer,
} from './client.js';
export type { ErrorCodes, ErrorName, RtcError } from './errors.js';
export type { LocalStream } from './local-stream.js';
export type { RemoteStream } from './remote-stream.js';
export type {
  LocalAudioStats,
  LocalVideoStats,
  NetworkQuality,
  RemoteAudioStats,
  RemoteVideoStats,
  TransportStats,
} from './stats.js';
export type { Stream } from './stream.js';
export type { Trtc } from './trtc.js';

const TRTC: Trtc = createTrtc(browser);

export default TRTC;
