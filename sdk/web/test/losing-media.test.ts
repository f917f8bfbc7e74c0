import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { fakeTrack, settle, type FakeConnection, type FakePeerConnection } from './fake-gateway.js';
import { BOB, joined, REMOVED } from './joined.js';

const AUDIO = { mid: '0', stream: 'b1', kind: 'audio' };
const VIDEO = { mid: '1', stream: 'b1', kind: 'video' };

function offer(connection: FakeConnection, number: number): void {
  connection.say({ type: 'offer', number, sdp: 'offer 0=audio,1=video', tracks: [AUDIO, VIDEO] });
}

/** In a room with bob's stream, which is received; our own is published. */
async function inConversation() {
  const stage = await joined();
  const { client, connection, platform, trtc } = stage;
  const stream = trtc.createStream({ audioSource: fakeTrack('audio') });
  await stream.initialize();
  await client.publish(stream);
  connection.say({ type: 'stream_added', ...BOB });
  platform.room.streams.push(BOB);
  platform.resumed.published = 'mine';
  offer(connection, 1);
  await settle();
  const [publishing, subscribing] = platform.peerConnections;
  assert.ok(publishing && subscribing);
  connection.sent.length = 0;
  stage.heard.length = 0;
  return { ...stage, publishing, subscribing };
}

const states = (connections: FakePeerConnection[]) => connections.map((one) => one.connectionState);

/** The moment that the gateway has to explain itself is over. */
async function unexplained(t: TestContext, happens: () => void): Promise<void> {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  happens();
  t.mock.timers.tick(200);
  await settle();
  t.mock.timers.reset();
}

describe('when the gateway says that media is lost', () => {
  it('publishes anew, over another connection; the application hears nothing', async () => {
    const { connection, heard, platform } = await inConversation();
    connection.say({ type: 'media_lost', connection: 'publish' });
    await settle();
    assert.deepEqual(connection.typesSent(), ['publish']);
    assert.deepEqual(states(platform.peerConnections), ['closed', 'connected', 'connected']);
    assert.deepEqual(heard, []);
  });

  it('says again what it wants, and takes the next offer for another connection', async () => {
    const { connection, heard, platform } = await inConversation();
    connection.say({ type: 'media_lost', connection: 'subscribe' });
    assert.deepEqual(
      connection.sent.map(({ type, stream, audio, video }) => [type, stream, audio, video]),
      [['subscribe', 'b1', true, true]],
    );
    offer(connection, 2);
    await settle();
    assert.deepEqual(states(platform.peerConnections), ['connected', 'closed', 'connected']);
    assert.deepEqual(
      connection.sent.slice(1).map(({ type, number }) => [type, number]),
      [['answer', 2]],
    );
    assert.deepEqual(heard, []);
  });

  it('asks again where the gateway has no media for the moment', async (t) => {
    const { connection } = await inConversation();
    t.mock.timers.enable({ apis: ['setTimeout'] });
    connection.refusals.set('publish', { code: 'unavailable', message: 'not now', extra: 0, retry: true });
    connection.say({ type: 'media_lost', connection: 'publish' });
    await settle();
    connection.refusals.clear();
    t.mock.timers.tick(500);
    await settle();
    assert.deepEqual(connection.typesSent(), ['publish', 'publish']);
  });
});

describe('when nothing can flow, and the gateway does not say why', () => {
  it('hears at once that the gateway has closed a connection, and goes on over another socket', async (t) => {
    const { heard, platform, publishing } = await inConversation();
    await unexplained(t, () => publishing.transport.become('closed'));
    assert.deepEqual(platform.connection.typesSent(), ['resume', 'unpublish', 'publish']);
    assert.deepEqual(states(platform.peerConnections), ['closed', 'connected', 'connected']);
    assert.deepEqual(heard, []);
  });

  it('has the gateway let go of a connection that it believes to be well', async (t) => {
    const { platform, subscribing } = await inConversation();
    await unexplained(t, () => subscribing.transport.become('failed'));
    const second = platform.connection;
    assert.deepEqual(second.typesSent(), ['resume', 'reconnect', 'subscribe']);
    offer(second, 2);
    await settle();
    assert.deepEqual(states(platform.peerConnections), ['connected', 'closed', 'connected']);
  });

  it('tells the application of a connection that does not even come about, and tries again', async (t) => {
    const { connection, heard, platform, subscribing } = await inConversation();
    connection.say({ type: 'media_lost', connection: 'subscribe' });
    assert.equal(subscribing.connectionState, 'closed');
    platform.connectsBy = 'connecting';
    offer(connection, 2);
    await settle();
    await unexplained(t, () => platform.peerConnections.at(-1)?.become('failed'));
    assert.deepEqual(heard, ['error 0x4008']);
    assert.deepEqual(platform.connection.typesSent(), ['resume', 'reconnect', 'subscribe']);
  });

  it('ignores what is offered until the gateway has let go', async (t) => {
    const { platform, subscribing } = await inConversation();
    platform.silent = ['reconnect'];
    await unexplained(t, () => subscribing.transport.become('failed'));
    offer(platform.connection, 2);
    await settle();
    assert.equal(platform.connection.typesSent().includes('answer'), false);
  });

  it('does nothing where the reason comes with it', async (t) => {
    const { connection, heard, platform, publishing } = await inConversation();
    await unexplained(t, () => {
      publishing.transport.become('closed');
      connection.say(REMOVED);
    });
    assert.equal(platform.connections.length, 1);
    assert.equal(heard.filter((line) => line.startsWith('client-banned')).length, 1);
  });

  it('is content with a connection over which anything comes', async () => {
    const { platform, publishing, subscribing } = await inConversation();
    for (let packets = 0; packets < 20; packets++) {
      subscribing.arrived = Math.floor(packets / 3);
      publishing.arrived = undefined;
      await platform.seconds(1);
    }
    assert.equal(platform.connections.length, 1);
  });
});

describe('when the way to the gateway is lost', () => {
  const lost = async () => {
    const stage = await inConversation();
    const { platform, publishing, subscribing } = stage;
    publishing.arrived = subscribing.arrived = 10;
    await platform.seconds(1);
    return stage;
  };

  it('has the gateway offer another one, over the connection that there is', async () => {
    const { heard, platform, publishing, subscribing } = await lost();
    for (const answers of [11, 12, 13]) {
      publishing.arrived = answers;
      await platform.seconds(1);
    }
    const second = platform.connection;
    assert.deepEqual(second.typesSent(), ['resume', 'restart_ice']);
    assert.equal(second.sent[1]?.['stream'], undefined);
    subscribing.steps.length = 0;
    offer(second, 2);
    await settle();
    assert.deepEqual(subscribing.steps, ['remote offer', 'local answer']);
    assert.deepEqual(states(platform.peerConnections), ['connected', 'connected']);
    assert.deepEqual(heard, []);
  });

  it('offers what it publishes once more, over the connection that there is', async () => {
    const { heard, platform, publishing } = await lost();
    publishing.steps.length = 0;
    publishing.become('disconnected');
    await settle();
    const [, request] = platform.connection.sent;
    assert.deepEqual([request?.type, request?.['stream'], request?.['sdp']], ['restart_ice', 'mine', 'client offer']);
    assert.equal(publishing.restarts, 1);
    assert.deepEqual(publishing.steps, ['local offer', 'remote answer']);
    assert.equal(platform.peerConnections.length, 2);
    assert.deepEqual(heard, []);
  });

  it('does not ask twice while it looks, and is well again when something comes', async () => {
    const { platform, publishing, subscribing } = await lost();
    const answers = { publishing: 10, subscribing: 10 };
    for (let second = 0; second < 7; second++) {
      publishing.arrived = ++answers.publishing;
      await platform.seconds(1);
    }
    subscribing.arrived = 11;
    publishing.arrived = ++answers.publishing;
    await platform.seconds(1);
    for (let second = 0; second < 2; second++) {
      publishing.arrived = ++answers.publishing;
      await platform.seconds(1);
    }
    assert.deepEqual(platform.connection.typesSent(), ['resume', 'restart_ice']);
    assert.equal(platform.connections.length, 2);
  });

  it('makes another connection where no other way is found', async (t) => {
    const { platform, publishing } = await lost();
    t.mock.timers.enable({ apis: ['setTimeout'] });
    for (let second = 0; second < 11; second++) {
      publishing.arrived = 11 + second;
      await platform.seconds(1);
    }
    for (const ms of [200, 1_000]) {
      t.mock.timers.tick(ms);
      await settle();
    }
    assert.deepEqual(platform.connection.typesSent(), ['resume', 'reconnect', 'subscribe']);
  });

  it('makes another connection where the gateway refuses', async () => {
    const { platform, subscribing } = await lost();
    const refusal = { code: 'invalid_state', message: 'no', extra: 0, retry: false };
    platform.refusals.set('restart_ice', refusal);
    subscribing.become('failed');
    await settle();
    assert.deepEqual(platform.connection.typesSent(), ['resume', 'restart_ice', 'reconnect', 'subscribe']);
  });

  it('looks after nothing any more when it has left', async (t) => {
    const { client, platform, publishing, subscribing } = await lost();
    await client.leave();
    t.mock.timers.enable({ apis: ['setTimeout'] });
    // As in a page that keeps its connections open for a while.
    publishing.connectionState = subscribing.connectionState = 'connected';
    await platform.seconds(10);
    publishing.transport.become('closed');
    subscribing.become('failed');
    t.mock.timers.tick(500);
    assert.equal(platform.connections.length, 1);
    assert.equal(platform.looks, 0);
  });
});
