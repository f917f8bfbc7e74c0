import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { RemoteStream } from '../src/remote-stream.js';
import { fakeTrack, settle } from './fake-gateway.js';
import { BOB, joined } from './joined.js';

const codec = (mimeType: string, sdpFmtpLine?: string) => ({
  mimeType,
  clockRate: 90000,
  ...(sdpFmtpLine && { sdpFmtpLine }),
});
const H264 = codec('video/H264', 'level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f');

async function publishing(codecs: string[], prepare?: (client: Awaited<ReturnType<typeof joined>>['client']) => void) {
  const set = await joined();
  const { client, platform, trtc } = set;
  await client.leave();
  platform.room.codecs = codecs;
  platform.codecs = [
    codec('audio/opus'),
    codec('video/VP8'),
    codec('video/rtx'),
    codec('video/H264', 'packetization-mode=0;profile-level-id=42e01f'),
    H264,
    codec('video/VP9'),
  ];
  await client.join({ roomId: 1 });
  prepare?.(client);
  const stream = trtc.createStream({ audio: true, video: true });
  await stream.initialize();
  return { ...set, stream };
}

describe('codecs', () => {
  it('are those of the gateway, in its order', async () => {
    const { client, platform, stream } = await publishing(['opus', 'H264', 'VP9']);
    await client.publish(stream);
    const [audio, video] = platform.peerConnections[0]?.transceivers ?? [];
    assert.deepEqual(audio?.codecs, [codec('audio/opus')]);
    assert.deepEqual(video?.codecs, [H264, codec('video/VP9'), codec('video/rtx')]);
  });

  it('that this browser cannot send are told: H.264 by a code of its own', async () => {
    const av1 = await publishing(['opus', 'AV1']);
    await assert.rejects(av1.client.publish(av1.stream), hasCode(0x1002));
    const h264 = await publishing(['opus', 'H264']);
    h264.platform.codecs = [codec('audio/opus'), codec('video/VP8')];
    await assert.rejects(h264.client.publish(h264.stream), hasCode(0x4049));
  });

  it('that this browser cannot decode are told, asked for or not, and the rest is received', async () => {
    const { client, connection, heard, platform } = await joined();
    platform.decodable = [codec('audio/opus'), codec('video/VP8')];
    const streams: RemoteStream[] = [];
    client.on('stream-added', ({ stream }) => streams.push(stream));
    connection.say({ type: 'stream_added', ...BOB, codecs: { audio: 'opus', video: 'H264' } });
    await settle();
    assert.deepEqual(heard, ['stream-added bob', 'error 0x4049']);
    const asked = connection.sent.at(-1);
    assert.deepEqual([asked?.type, asked?.['audio'], asked?.['video']], ['subscribe', true, false]);
    const [bob] = streams;
    assert.ok(bob);
    await assert.rejects(client.subscribe(bob), hasCode(0x4049));
    assert.equal(connection.sent.at(-1), asked);
  });
});

describe('small streams', () => {
  it('are published beside the big one, in a codec that can be told apart', async () => {
    const { client, platform, stream } = await publishing(['opus', 'VP9', 'VP8'], (it) => {
      it.setSmallStreamProfile({ width: 320, height: 240, bitrate: 150, frameRate: 10 });
    });
    await client.enableSmallStream();
    await client.publish(stream);
    const video = platform.peerConnections[0]?.transceivers[1];
    assert.deepEqual(video?.init?.sendEncodings, [
      { rid: 'small', scaleResolutionDownBy: 2, maxBitrate: 150_000, maxFramerate: 10 },
      { rid: 'big', scaleResolutionDownBy: 1, maxBitrate: 500_000 },
    ]);
    assert.deepEqual(
      video.codecs.map(({ mimeType }) => mimeType),
      ['video/VP8', 'video/rtx'],
    );
    await assert.rejects(client.disableSmallStream(), hasCode(0x1001));
  });

  it('are not published where the gateway has no such codec', async () => {
    const { client, platform, stream } = await publishing(['opus', 'VP9']);
    await client.enableSmallStream();
    await client.publish(stream);
    assert.deepEqual(platform.peerConnections[0]?.transceivers[1]?.init?.sendEncodings, [{ maxBitrate: 500_000 }]);
  });

  it('are chosen by those who receive, now or later', async () => {
    const { client, connection } = await joined({ autoSubscribe: false });
    const streams: RemoteStream[] = [];
    client.on('stream-added', ({ stream }) => streams.push(stream));
    connection.say({ type: 'stream_added', ...BOB, small: true });
    const [bob] = streams;
    assert.ok(bob);
    await client.setRemoteVideoStreamType(bob, 'small');
    assert.deepEqual(connection.typesSent(), ['join']);
    const subscribed = client.subscribe(bob);
    await settle();
    connection.say({
      type: 'offer',
      number: 1,
      sdp: 'offer 0=audio,1=video',
      tracks: [
        { mid: '0', stream: 'b1', kind: 'audio' },
        { mid: '1', stream: 'b1', kind: 'video' },
      ],
    });
    await subscribed;
    await client.setRemoteVideoStreamType(bob, 'small');
    await client.setRemoteVideoStreamType(bob, 'big');
    const sizes = connection.sent.filter(({ type }) => type === 'subscribe').map((each) => each['size']);
    assert.deepEqual(sizes, ['small', 'big']);
    await assert.rejects(client.setRemoteVideoStreamType(bob, 'huge' as never), hasCode(0x1000));
  });
});

describe('auxiliary streams', () => {
  it('are published beside the main one, and taken back by themselves', async () => {
    const { client, connection, platform, trtc } = await joined();
    const camera = trtc.createStream({ audio: true, video: true });
    await camera.initialize();
    await client.publish(camera);
    const screen = trtc.createStream({ screen: true });
    await assert.rejects(screen.initialize(), { name: 'NotSupportedError' });
    const asked: DisplayMediaStreamOptions[] = [];
    platform.captureScreen = (constraints) => {
      asked.push(constraints);
      const track = Object.assign(new EventTarget(), fakeTrack('video'));
      return Promise.resolve(platform.newMediaStream([track]));
    };
    let isOver = false;
    screen.on('screen-sharing-stopped', () => (isOver = true));
    await screen.initialize();
    assert.equal(asked[0]?.audio, false);
    await client.publish(screen, { isAuxiliary: true });
    const kinds = connection.sent.filter(({ type }) => type === 'publish').map((each) => each['kind']);
    assert.deepEqual(kinds, ['main', 'auxiliary']);
    screen.getVideoTrack()?.dispatchEvent(new Event('ended'));
    assert.equal(isOver, true);
    await client.unpublish(screen);
    assert.equal(platform.peerConnections[0]?.connectionState, 'connected');
    assert.equal(platform.peerConnections[1]?.connectionState, 'closed');
  });
});

describe('muting', () => {
  it('is told to the gateway once for each change, and with what is published later', async () => {
    const { client, connection, trtc } = await joined();
    const stream = trtc.createStream({ audio: true, video: true });
    assert.equal(stream.muteAudio(), false);
    await stream.initialize();
    assert.equal(stream.muteVideo(), true);
    assert.equal(stream.getVideoTrack()?.enabled, false);
    await client.publish(stream);
    assert.deepEqual(connection.sent.at(-1)?.['muted'], ['video']);
    stream.muteAudio();
    stream.muteAudio();
    stream.unmuteVideo();
    const told = connection.sent.filter(({ type }) => type === 'mute').map((each) => each['muted']);
    assert.deepEqual(told, [['video', 'audio'], ['audio']]);
    await client.unpublish(stream);
    stream.unmuteAudio();
    assert.equal(connection.sent.at(-1)?.type, 'unpublish');
  });

  it('of others is heard, of newcomers too, and is known', async () => {
    const { client, connection, heard } = await joined({ autoSubscribe: false });
    connection.say({ type: 'stream_added', ...BOB, muted: ['video'] });
    connection.say({ type: 'stream_muted', ...BOB, muted: ['audio'] });
    assert.deepEqual(heard, ['stream-added bob', 'mute-video bob', 'mute-audio bob', 'unmute-video bob']);
    const state = {
      userId: 'bob',
      hasAudio: true,
      hasVideo: true,
      hasSmall: false,
      audioMuted: true,
      videoMuted: false,
    };
    assert.deepEqual(client.getRemoteMutedState(), [state]);
    connection.say({ type: 'stream_removed', ...BOB });
    assert.deepEqual(client.getRemoteMutedState(), []);
  });
});

function hasCode(code: number): (error: unknown) => boolean {
  return (error) => (error as { getCode(): number }).getCode() === code;
}
