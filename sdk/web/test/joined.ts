import type { Client, ClientEvents } from '../src/client.js';
import { createTrtc, type Trtc } from '../src/trtc.js';
import { FakePlatform, type FakeConnection } from './fake-gateway.js';

export const CONFIG = { mode: 'rtc', sdkAppId: 1400000001, userId: 'ann', userSig: 'sig' } as const;

export const BOB = { stream: 'b1', session: 's1', user: 'bob', kind: 'main', audio: true, video: true };

const EVENTS: (keyof ClientEvents)[] = [
  'connection-state-changed',
  'peer-join',
  'peer-leave',
  'mute-audio',
  'unmute-audio',
  'mute-video',
  'unmute-video',
  'stream-added',
  'stream-removed',
  'stream-subscribed',
  'client-banned',
  'error',
];

export interface Stage {
  platform: FakePlatform;
  trtc: Trtc;
  client: Client;
  /** What the application heard, in order: event and its most telling word. */
  heard: string[];
}

export function stage(config: object = {}): Stage {
  const platform = new FakePlatform();
  const trtc = createTrtc(platform);
  trtc.setGateway('ws://gateway:8080');
  const client = trtc.createClient({ ...CONFIG, ...config });
  return { platform, trtc, client, heard: listen(client) };
}

export async function joined(config: object = {}): Promise<Stage & { connection: FakeConnection }> {
  const set = stage(config);
  await set.client.join({ roomId: 1 });
  set.heard.length = 0;
  return { ...set, connection: set.platform.connection };
}

export function listen(client: Client): string[] {
  const heard: string[] = [];
  for (const event of EVENTS) {
    client.on(event, (payload) => heard.push(`${event} ${wordOf(payload)}`));
  }
  return heard;
}

function wordOf(payload: ClientEvents[keyof ClientEvents][0]): string {
  if ('prevState' in payload) return `${payload.prevState}>${payload.state}`;
  if ('stream' in payload) return payload.stream.getUserId();
  if ('userId' in payload) return payload.userId;
  if ('uplinkRTT' in payload) return String(payload.uplinkNetworkQuality);
  return 'reason' in payload ? payload.reason : `0x${payload.getCode().toString(16)}`;
}

export function bannedNotice(reason: string, v4: string, message: string): object {
  return {
    type: 'ended',
    reason,
    correlation: 'c-1',
    client_banned: { v4_reason: v4, v5_reason: v4, message: `client was banned because of ${message}` },
  };
}

export const REMOVED = bannedNotice('removed', 'banned', 'you got banned by account admin');
