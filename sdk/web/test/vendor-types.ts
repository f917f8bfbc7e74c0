// Compiled, never run: what we claim of the vendor's API must fit where its own types are expected.

import type Vendor from 'trtc-js-sdk';
import type {
  Client as VendorClient,
  ClientConfig as VendorClientConfig,
  ClientEventMap,
  JoinOptions as VendorJoinOptions,
  LocalStream as VendorLocalStream,
  RemoteStream as VendorRemoteStream,
  RtcError as VendorError,
  StreamConfig as VendorStreamConfig,
} from 'trtc-js-sdk';
import type { ClientEvents } from '../src/client.js';
import type {
  Client,
  ClientConfig,
  JoinOptions,
  LocalStream,
  RemoteStream,
  RtcError,
  StreamConfig,
} from '../src/index.js';
import TRTC from '../src/index.js';

type StreamMember =
  | 'play'
  | 'stop'
  | 'resume'
  | 'getId'
  | 'getUserId'
  | 'hasAudio'
  | 'hasVideo'
  | 'getAudioTrack'
  | 'getVideoTrack'
  | 'muteAudio'
  | 'unmuteAudio'
  | 'muteVideo'
  | 'unmuteVideo';
type ClientMember =
  | 'setProxyServer'
  | 'setTurnServer'
  | 'join'
  | 'leave'
  | 'publish'
  | 'unpublish'
  | 'subscribe'
  | 'unsubscribe'
  | 'switchRole'
  | 'enableSmallStream'
  | 'disableSmallStream'
  | 'setSmallStreamProfile'
  | 'setRemoteVideoStreamType'
  | 'getRemoteMutedState'
  | 'getTransportStats'
  | 'getLocalAudioStats'
  | 'getLocalVideoStats'
  | 'getRemoteAudioStats'
  | 'getRemoteVideoStats';

type ClaimedClient = Pick<VendorClient, ClientMember>;
type ClaimedLocalStream = Pick<VendorLocalStream, StreamMember | 'initialize' | 'close'>;
type ClaimedRemoteStream = Pick<VendorRemoteStream, StreamMember | 'getType'>;

/** Compiles only if Ours can stand where Theirs is expected. */
type Fits<Theirs, Ours extends Theirs> = [Theirs, Ours];

export type Claims = [
  Fits<ClaimedClient, Client>,
  Fits<ClaimedLocalStream, LocalStream>,
  Fits<ClaimedRemoteStream, RemoteStream>,
  Fits<VendorError, RtcError>,
  // What an application hands in.
  Fits<ClientConfig, VendorClientConfig>,
  Fits<JoinOptions, VendorJoinOptions>,
  Fits<StreamConfig, VendorStreamConfig>,
];

// The module itself. Method by method: the whole of the vendor's client is more than we claim.
export const version: typeof Vendor.VERSION = TRTC.VERSION;
export const createClient: (config: VendorClientConfig) => ClaimedClient = (config) => TRTC.createClient(config);
export const createStream: (config: VendorStreamConfig) => ClaimedLocalStream = (config) => TRTC.createStream(config);

// Events: handlers as an application of the vendor's has them. A remote stream is what we claim of one.
type WithOurStream<Payload> = Payload extends { stream: VendorRemoteStream }
  ? { stream: ClaimedRemoteStream }
  : Payload;
type TheirHandlers = { [Name in keyof ClientEvents]: (event: WithOurStream<ClientEventMap[Name]>) => void };

export function registersTheirHandlers(client: Client, theirs: TheirHandlers): void {
  client.on('stream-added', theirs['stream-added']);
  client.on('stream-removed', theirs['stream-removed']);
  client.on('stream-subscribed', theirs['stream-subscribed']);
  client.on('peer-join', theirs['peer-join']);
  client.on('peer-leave', theirs['peer-leave']);
  client.on('mute-audio', theirs['mute-audio']);
  client.on('unmute-audio', theirs['unmute-audio']);
  client.on('mute-video', theirs['mute-video']);
  client.on('unmute-video', theirs['unmute-video']);
  client.on('network-quality', theirs['network-quality']);
  client.on('connection-state-changed', theirs['connection-state-changed']);
  client.on('client-banned', theirs['client-banned']);
  client.on('error', theirs.error, {});
  client.off('error', theirs.error);
  client.off('*');
}
