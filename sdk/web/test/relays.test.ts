import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FakePlatform, settle } from './fake-gateway.js';
import { BOB, CONFIG, joined, stage } from './joined.js';
import type { LocalStream } from '../src/index.js';
import { createTrtc } from '../src/trtc.js';

const servers = (username: string) => ({
  ice_servers: [{ urls: ['turn:t'], username, credential: 'secret' }],
  ice_seconds: 300,
});
const OFFER = { type: 'offer', number: 1, sdp: 'offer 0=audio', tracks: [{ mid: '0', stream: 'b1', kind: 'audio' }] };

async function microphone(platform: FakePlatform): Promise<LocalStream> {
  const stream = createTrtc(platform).createStream({ audio: true, video: false });
  await stream.initialize();
  return stream;
}

describe('TURN servers', () => {
  it('each connection is made with the servers of the join, before it looks for candidates', async () => {
    const { platform, client } = stage();
    Object.assign(platform.room, servers('first'), { streams: [BOB] });
    await client.join({ roomId: 1 });
    platform.connection.say(OFFER);
    await client.publish(await microphone(platform));
    await settle();
    const steps = platform.peerConnections.map((one) => one.steps);
    assert.deepEqual(steps.map((each) => each.slice(0, 2)).sort(), [
      ['ice turn:t first all', 'local offer'],
      ['ice turn:t first all', 'remote offer'],
    ]);
    assert.ok(!platform.connection.typesSent().includes('ice_servers'));
  });

  it('credentials that are half over are renewed first', async () => {
    const { platform, client } = stage();
    Object.assign(platform.room, servers('first'));
    await client.join({ roomId: 1 });
    platform.connection.results.set('ice_servers', servers('second'));
    platform.time = 150_000;
    await client.publish(await microphone(platform));
    assert.equal(platform.peerConnections[0]?.steps[0], 'ice turn:t second all');
    const types = platform.connection.typesSent();
    assert.ok(types.indexOf('ice_servers') < types.indexOf('publish'));
  });

  it('where they cannot be renewed the connection is made all the same', async (t) => {
    const warn = t.mock.method(console, 'warn', () => undefined);
    const { platform, client } = stage();
    Object.assign(platform.room, servers('first'));
    await client.join({ roomId: 1 });
    platform.connection.refusals.set('ice_servers', { code: 'bad_request', extra: 0, message: 'no', retry: false });
    platform.time = 400_000;
    await client.publish(await microphone(platform));
    assert.equal(platform.peerConnections[0]?.steps[0], 'ice turn:t first all');
    assert.equal(warn.mock.callCount(), 1);
  });

  it('a resume brings fresh ones', async () => {
    const { platform, client, connection } = await joined();
    Object.assign(platform.room, servers('again'));
    connection.lose(1006);
    await settle();
    await client.publish(await microphone(platform));
    assert.equal(platform.peerConnections[0]?.steps[0], 'ice turn:t again all');
  });

  it('a gateway without servers leaves connections as they are', async () => {
    const { platform, client } = await joined();
    platform.time = 1e9;
    await client.publish(await microphone(platform));
    assert.equal(platform.peerConnections[0]?.steps[0], 'local offer');
    assert.ok(!platform.connection.typesSent().includes('ice_servers'));
  });

  it('the application may name servers of its own, and ask for relays only', async () => {
    const { platform, client } = stage();
    Object.assign(platform.room, servers('first'));
    client.setTurnServer({ url: '192.0.2.1:3478', username: 'bob', credential: 'secret' });
    client.setProxyServer({ iceTransportPolicy: 'relay' });
    await client.join({ roomId: 1 });
    platform.time = 400_000;
    await client.publish(await microphone(platform));
    assert.equal(platform.peerConnections[0]?.steps[0], 'ice turn:192.0.2.1:3478 bob relay');
    assert.ok(!platform.connection.typesSent().includes('ice_servers'));
  });

  it('what is no server and no policy is refused', () => {
    const client = createTrtc(new FakePlatform()).createClient(CONFIG);
    for (const server of [null, {}, { url: '' }, { url: 5 }, [{ url: 'a:1' }, {}]]) {
      assert.throws(() => client.setTurnServer(server as never), /turnServer/);
    }
    assert.throws(() => client.setProxyServer({ iceTransportPolicy: 'none' as never }), /iceTransportPolicy/);
    assert.throws(() => client.setProxyServer({}), /address must be a string/);
  });
});
