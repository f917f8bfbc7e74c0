import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { RemoteStream } from '../src/remote-stream.js';
import { fakeTrack, settle, type FakeConnection, type FakePlatform } from './fake-gateway.js';
import { FakePage } from './fake-page.js';
import { BOB, joined, type Stage } from './joined.js';

const AUDIO = { mid: '0', stream: 'b1', kind: 'audio' };
const VIDEO = { mid: '1', stream: 'b1', kind: 'video' };
const CID = { ...BOB, stream: 'c1', session: 's2', user: 'cid' };

type Joined = Stage & { connection: FakeConnection };

async function local({ trtc }: Stage) {
  const stream = trtc.createStream({ audioSource: fakeTrack('audio') });
  await stream.initialize();
  return stream;
}

async function publishing(): Promise<Joined> {
  const stage = await joined();
  await stage.client.publish(await local(stage));
  stage.platform.resumed.published = 'mine';
  return stage;
}

/** In a room with bob's stream, which is received. */
async function receiving(config: object = {}) {
  const stage = await joined(config);
  const streams: RemoteStream[] = [];
  stage.client.on('stream-added', ({ stream }) => streams.push(stream));
  stage.connection.say({ type: 'stream_added', ...BOB });
  stage.platform.room.streams.push(BOB);
  const streamOf = (user: string) => streams.find((stream) => stream.getUserId() === user) ?? assert.fail(user);
  offer(stage.connection, 1);
  await settle();
  return { ...stage, bob: streamOf('bob'), streamOf };
}

function offer(connection: FakeConnection, number: number, tracks: object[] = [AUDIO, VIDEO]): void {
  connection.say({ type: 'offer', number, sdp: 'offer 0=audio,1=video', tracks });
}

async function resumed({ connection, platform }: Joined): Promise<FakeConnection> {
  connection.lose(1006);
  await settle();
  return platform.connection;
}

const states = (platform: FakePlatform) => platform.peerConnections.map((one) => one.connectionState);

describe('what is published', () => {
  it('goes on untouched where the gateway has kept it', async () => {
    const stage = await publishing();
    const second = await resumed(stage);
    assert.deepEqual(second.typesSent(), ['resume']);
    assert.deepEqual(states(stage.platform), ['connected']);
  });

  it('is published anew, over a new connection, where the gateway has no media', async () => {
    const stage = await publishing();
    Object.assign(stage.platform.resumed, { media: false, published: null });
    const second = await resumed(stage);
    assert.deepEqual(second.typesSent(), ['resume', 'publish']);
    assert.deepEqual(states(stage.platform), ['closed', 'connected']);
    assert.equal(stage.heard.includes('error 0x4007'), false);
  });

  it('is taken back and published anew when our connection is broken', async () => {
    const stage = await publishing();
    stage.platform.peerConnections[0]?.become('failed');
    const second = await resumed(stage);
    assert.deepEqual(second.typesSent(), ['resume', 'unpublish', 'publish']);
    assert.equal(second.sent[1]?.['stream'], 'mine');
    assert.deepEqual(states(stage.platform), ['closed', 'connected']);
  });

  it('is an error when it cannot be published again, and is tried again with the next socket', async () => {
    const stage = await publishing();
    Object.assign(stage.platform.resumed, { media: false, published: null });
    stage.platform.publishRefusal = { code: 'unsupported_media', message: 'no', extra: 0, retry: false };
    const second = await resumed(stage);
    assert.equal(stage.heard.at(-1), 'error 0x4007');
    stage.platform.publishRefusal = undefined;
    stage.platform.time = 10_000;
    await resumed({ ...stage, connection: second });
    assert.deepEqual(stage.platform.connection.typesSent(), ['resume', 'publish']);
  });

  for (const published of [null, 'mine']) {
    it(`and was not answered is asked again; the gateway has ${published ?? 'nothing'} of it`, async () => {
      const stage = await joined();
      stage.connection.silent.add('publish');
      const done = stage.client.publish(await local(stage));
      await settle();
      stage.platform.resumed.published = published;
      const second = await resumed(stage);
      await done;
      assert.deepEqual(second.typesSent(), ['resume', ...(published === null ? [] : ['unpublish']), 'publish']);
      assert.deepEqual(states(stage.platform), ['connected']);
    });
  }

  it('and was answered, but not connected, is published over a new connection: publish() resolves', async () => {
    const stage = await joined();
    const done = stage.client.publish(await local(stage));
    const [first] = stage.platform.peerConnections;
    assert.ok(first);
    first.connectsBy = 'connecting';
    await settle();
    Object.assign(stage.platform.resumed, { media: false, published: null });
    await resumed(stage);
    await done;
    assert.deepEqual(states(stage.platform), ['closed', 'connected']);
  });

  it('and was unpublished meanwhile is taken back afterwards', async () => {
    const stage = await joined();
    const stream = await local(stage);
    await stage.client.publish(stream);
    stage.platform.resumed.published = 'mine';
    stage.connection.lose(1006);
    await stage.client.unpublish(stream);
    assert.deepEqual(stage.platform.connection.typesSent(), ['resume', 'unpublish', 'unpublish']);
  });

  it('may be asked for while there is no socket', async () => {
    const stage = await joined();
    const stream = await local(stage);
    stage.connection.lose(1006);
    await stage.client.publish(stream);
    assert.deepEqual(stage.platform.connection.typesSent(), ['resume', 'publish']);
    await stage.client.unpublish(stream);
  });

  it('is given up after 10 s without a socket', async (t) => {
    const stage = await joined();
    const stream = await local(stage);
    t.mock.timers.enable({ apis: ['setTimeout'] });
    stage.platform.silent = ['resume'];
    stage.connection.lose(1006);
    const outcome = assert.rejects(stage.client.publish(stream), /publish timeout observed/);
    await settle();
    t.mock.timers.tick(10_000);
    await outcome;
    assert.deepEqual(states(stage.platform), ['closed']);
    await stage.client.leave();
  });
});

describe('what is received', () => {
  it('goes on untouched where the gateway has kept it', async () => {
    const stage = await receiving();
    const track = stage.bob.getVideoTrack();
    const second = await resumed(stage);
    assert.deepEqual(second.typesSent(), ['resume']);
    assert.equal(stage.bob.getVideoTrack(), track);
    assert.deepEqual(states(stage.platform), ['connected']);
  });

  it('is asked for again where the gateway has no media: the same stream plays on in the same elements', async () => {
    const page = new FakePage();
    const stage = await receiving();
    stage.platform.page = page.asDocument();
    await stage.bob.play('self');
    const elements = page.container.children[0]?.children ?? [];
    assert.equal(elements.length, 2);
    const shown = elements.map((one) => one.srcObject);
    const track = stage.bob.getVideoTrack();
    stage.platform.resumed.media = false;
    const second = await resumed(stage);
    assert.deepEqual(
      second.sent.slice(1).map(({ type, stream, audio, video }) => [type, stream, audio, video]),
      [['subscribe', 'b1', true, true]],
    );
    // The last picture stays until there is another.
    offer(second, 1, []);
    await settle();
    assert.equal(stage.bob.getVideoTrack(), track);
    offer(second, 2);
    await settle();
    assert.deepEqual(states(stage.platform), ['closed', 'connected']);
    assert.notEqual(stage.bob.getVideoTrack(), track);
    assert.deepEqual(page.container.children[0]?.children, elements);
    assert.notDeepEqual(
      elements.map((one) => one.srcObject),
      shown,
    );
    assert.deepEqual(
      stage.heard.filter((line) => line.startsWith('stream')),
      ['stream-added bob'],
    );
  });

  it('is chosen as before: what the application did not want is not asked for', async () => {
    const stage = await receiving();
    await stage.client.subscribe(stage.bob, { video: false });
    stage.connection.say({ type: 'stream_added', ...CID });
    stage.platform.room.streams.push(CID);
    const cid = stage.streamOf('cid');
    await stage.client.unsubscribe(cid);
    stage.platform.resumed.media = false;
    const second = await resumed(stage);
    assert.deepEqual(
      second.sent.slice(1).map(({ type, stream, video }) => [type, stream, video]),
      [['subscribe', 'b1', false]],
    );
  });

  it('is received at last if it could not be asked for before', async (t) => {
    t.mock.method(console, 'warn', () => undefined);
    const stage = await joined();
    t.mock.timers.enable({ apis: ['setTimeout'] });
    stage.connection.silent.add('subscribe');
    stage.connection.say({ type: 'stream_added', ...BOB });
    stage.platform.room.streams.push(BOB);
    stage.platform.silent = ['resume'];
    stage.connection.lose(1006);
    await settle();
    // The question is given up, then the second socket; the third is answered.
    t.mock.timers.tick(12_000);
    await settle();
    stage.platform.silent = [];
    t.mock.timers.tick(500);
    await settle();
    assert.deepEqual(stage.platform.connection.typesSent(), ['resume', 'subscribe']);
  });

  it('is answered once per socket, also where the offer comes again', async () => {
    const stage = await receiving();
    const [connection] = stage.platform.peerConnections;
    const release = connection?.hold();
    offer(stage.connection, 2);
    const second = await resumed(stage);
    offer(second, 2);
    release?.();
    await settle();
    assert.deepEqual(
      second.sent.slice(1).map(({ type, number }) => [type, number]),
      [['answer', 2]],
    );
  });

  it('is not held up by what went on at the former connection', async () => {
    const stage = await receiving();
    const [first] = stage.platform.peerConnections;
    assert.ok(first);
    first.hold();
    offer(stage.connection, 2);
    await settle();
    stage.platform.resumed.media = false;
    const second = await resumed(stage);
    offer(second, 1);
    await settle();
    assert.equal(second.typesSent().at(-1), 'answer');
  });

  it('is silent rather than frozen when it cannot be asked for', async (t) => {
    t.mock.method(console, 'warn', () => undefined);
    const stage = await receiving();
    stage.platform.resumed.media = false;
    stage.platform.subscribeRefusal = { code: 'invalid_state', message: 'no', extra: 0, retry: false };
    await resumed(stage);
    assert.equal(stage.bob.getVideoTrack(), null);
  });

  it('is gone where the stream has gone', async () => {
    const stage = await receiving();
    stage.platform.room.streams.length = 0;
    stage.platform.resumed.media = false;
    const second = await resumed(stage);
    assert.deepEqual(second.typesSent(), ['resume']);
    assert.equal(stage.bob.getVideoTrack(), null);
    assert.equal(stage.heard.at(-1), 'stream-removed bob');
  });
});
