import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { RtcError } from '../src/errors.js';
import type { RemoteStream } from '../src/remote-stream.js';
import { fakeTrack, settle, type FakeConnection } from './fake-gateway.js';
import { BOB, joined, REMOVED, stage } from './joined.js';

const hasCode = (code: number) => (error: unknown) => error instanceof RtcError && error.getCode() === code;

const AUDIO = { mid: '0', stream: 'b1', kind: 'audio' };
const VIDEO = { mid: '1', stream: 'b1', kind: 'video' };

function offer(connection: FakeConnection, number: number, tracks: object[]): void {
  connection.say({ type: 'offer', number, sdp: 'offer 0=audio,1=video', tracks });
}

async function withBob(autoSubscribe: boolean) {
  const set = await joined({ autoSubscribe });
  const streams: RemoteStream[] = [];
  set.client.on('stream-added', ({ stream }) => streams.push(stream));
  set.connection.say({ type: 'stream_added', ...BOB });
  const bob = streams[0];
  assert.ok(bob);
  set.heard.length = 0;
  return { ...set, bob };
}

describe('publish()', () => {
  it('sends its offer at once, with opus and VP8, and resolves when connected', async () => {
    const { client, connection, platform, trtc } = await joined();
    const codec = (mimeType: string) => ({ mimeType, clockRate: 90000 });
    platform.codecs = ['audio/opus', 'audio/PCMU', 'video/H264', 'video/VP8', 'video/rtx'].map(codec);
    const stream = trtc.createStream({ audio: true, video: true });
    await stream.initialize();
    await client.publish(stream);
    const request = connection.sent.at(-1);
    assert.deepEqual([request?.type, request?.['kind'], request?.['sdp']], ['publish', 'main', 'client offer']);
    const [publishing] = platform.peerConnections;
    assert.deepEqual(publishing?.steps, ['local offer', 'remote answer']);
    assert.deepEqual(
      publishing.transceivers.map((one) => one.codecs.map((each) => each.mimeType)),
      [['audio/opus'], ['video/VP8', 'video/rtx']],
    );
    assert.deepEqual(
      publishing.transceivers.map(({ init }) => [init?.direction, init?.sendEncodings?.[0]?.maxBitrate]),
      [
        ['sendonly', undefined],
        ['sendonly', 500_000],
      ],
    );
  });

  it('is refused before join, for audience, without tracks, and twice', async () => {
    const { client, trtc } = stage({ mode: 'live' });
    const stream = trtc.createStream({ audioSource: fakeTrack('audio') });
    await assert.rejects(client.publish(stream), /^RtcError: please call join\(\) before publish\(\)\./);
    await client.join({ roomId: 1, role: 'audience' });
    await assert.rejects(client.publish(stream), /no permission to publish\(\) under live\/audience/);
    await client.leave();
    await client.join({ roomId: 1 });
    await assert.rejects(client.publish(stream), /initialize\(\) it first/);
    await stream.initialize();
    await client.publish(stream);
    await assert.rejects(client.publish(stream), hasCode(0x1001));
    // Nor beside itself.
    await assert.rejects(client.publish(stream, { isAuxiliary: true }), hasCode(0x1001));
  });

  it('is taken back by unpublish, and can be repeated', async () => {
    const { client, connection, platform, trtc } = await joined();
    const stream = trtc.createStream({ audioSource: fakeTrack('audio') });
    await stream.initialize();
    await client.publish(stream);
    await client.unpublish(stream);
    assert.deepEqual(connection.sent.at(-1)?.['stream'], 'mine');
    assert.equal(platform.peerConnections[0]?.connectionState, 'closed');
    await client.publish(stream);
  });

  it('rejects when media cannot reach the gateway, and takes the stream back', async () => {
    const { client, connection, platform, trtc } = await joined();
    const stream = trtc.createStream({ audioSource: fakeTrack('audio') });
    await stream.initialize();
    const outcome = assert.rejects(client.publish(stream), hasCode(0x4003));
    if (platform.peerConnections[0]) platform.peerConnections[0].connectsBy = 'failed';
    await outcome;
    await settle();
    assert.equal(connection.sent.at(-1)?.type, 'unpublish');
  });

  it('rejects when the session ends meanwhile', async () => {
    const { client, connection, trtc } = await joined();
    connection.silent.add('publish');
    const stream = trtc.createStream({ audioSource: fakeTrack('audio') });
    await stream.initialize();
    const outcome = assert.rejects(client.publish(stream), hasCode(0x404d));
    await client.leave();
    await outcome;
  });

  it('takes back what the gateway accepts only after unpublish()', async () => {
    const { client, connection, trtc } = await joined();
    const stream = trtc.createStream({ audioSource: fakeTrack('audio') });
    await stream.initialize();
    const outcome = assert.rejects(client.publish(stream), hasCode(0x404d));
    await client.unpublish(stream);
    await outcome;
    await settle();
    assert.deepEqual(connection.typesSent(), ['join', 'publish', 'unpublish']);
  });

  it('says nothing more once the session has ended', async () => {
    const { client, connection, platform, trtc } = await joined();
    const stream = trtc.createStream({ audioSource: fakeTrack('audio') });
    await stream.initialize();
    const outcome = assert.rejects(client.publish(stream), hasCode(0x4002));
    if (platform.peerConnections[0]) platform.peerConnections[0].connectsBy = 'connecting';
    await settle();
    connection.say(REMOVED);
    await outcome;
    await settle();
    assert.deepEqual(connection.typesSent(), ['join', 'publish', 'ended_ack']);
  });
});

describe('subscribe()', () => {
  it('resolves when the tracks have arrived, and tells so', async () => {
    const { client, connection, bob, heard } = await withBob(false);
    let isDone = false;
    const done = client.subscribe(bob).then(() => (isDone = true));
    await settle();
    const request = connection.sent.at(-1);
    assert.deepEqual([request?.['stream'], request?.['audio'], request?.['video']], ['b1', true, true]);
    offer(connection, 1, [AUDIO]);
    await settle();
    assert.equal(isDone, false);
    offer(connection, 2, [AUDIO, VIDEO]);
    await done;
    assert.deepEqual([bob.getAudioTrack()?.kind, bob.getVideoTrack()?.kind], ['audio', 'video']);
    assert.deepEqual(heard, ['stream-subscribed bob']);
    assert.deepEqual(
      connection.sent.filter(({ type }) => type === 'answer').map(({ number, sdp }) => [number, sdp]),
      [
        [1, 'client answer'],
        [2, 'client answer'],
      ],
    );
  });

  it('happens by itself, without its event, unless the application chooses in stream-added', async () => {
    const { connection, client, bob, heard } = await withBob(true);
    await settle();
    assert.equal(connection.typesSent().filter((type) => type === 'subscribe').length, 1);
    offer(connection, 1, [AUDIO, VIDEO]);
    await settle();
    assert.ok(bob.getVideoTrack());
    assert.deepEqual(heard, []);
    await client.subscribe(bob);
    assert.deepEqual(heard, ['stream-subscribed bob']);
    assert.equal(connection.typesSent().filter((type) => type === 'subscribe').length, 1);

    client.on('stream-added', ({ stream }) => void client.subscribe(stream, { video: false }));
    connection.say({ type: 'stream_added', ...BOB, stream: 'b2' });
    offer(connection, 2, [AUDIO, VIDEO, { ...AUDIO, stream: 'b2' }]);
    await settle();
    const choices = connection.sent.filter((message) => message['stream'] === 'b2');
    assert.deepEqual(
      choices.map(({ audio, video }) => [audio, video]),
      [[true, false]],
    );
  });

  it('of nothing is refused', async () => {
    const { client, bob } = await withBob(false);
    await assert.rejects(client.subscribe(bob, { audio: false, video: false }), hasCode(0x1000));
  });

  it('rejects when the stream is removed meanwhile, and afterwards', async () => {
    const { client, connection, bob } = await withBob(false);
    const outcome = assert.rejects(client.subscribe(bob), hasCode(0x4010));
    await settle();
    connection.say({ type: 'stream_removed', stream: 'b1', session: 's1', user: 'bob' });
    await outcome;
    await assert.rejects(client.subscribe(bob), hasCode(0x4010));
  });

  it('rejects after 10 s without an offer; a second attempt asks again', async (t) => {
    const { client, connection, bob } = await withBob(false);
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const outcome = assert.rejects(client.subscribe(bob), hasCode(0x4042));
    await settle();
    t.mock.timers.tick(10_000);
    await outcome;
    t.mock.timers.reset();
    const again = client.subscribe(bob);
    offer(connection, 1, [AUDIO, VIDEO]);
    await again;
    assert.equal(connection.typesSent().filter((type) => type === 'subscribe').length, 2);
  });

  it('is taken back by unsubscribe: the tracks go at once', async () => {
    const { client, connection, bob } = await withBob(true);
    offer(connection, 1, [AUDIO, VIDEO]);
    await settle();
    const done = client.unsubscribe(bob);
    assert.equal(bob.getAudioTrack(), null);
    await done;
    assert.equal(connection.sent.at(-1)?.type, 'unsubscribe');
    assert.equal(bob.hasAudio(), true);
  });

  it('that nobody has asked for and that goes at once is no cause for a warning', async (t) => {
    const warn = t.mock.method(console, 'warn', () => undefined);
    const { connection } = await withBob(true);
    connection.say({ type: 'stream_removed', stream: 'b1' });
    await settle();
    assert.equal(warn.mock.callCount(), 0);
  });
});
