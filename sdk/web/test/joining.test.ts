import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { RtcError } from '../src/errors.js';
import { settle } from './fake-gateway.js';
import { BOB, CONFIG, joined, stage } from './joined.js';

function isError(code: number, text: string | RegExp, extraCode = 0) {
  return (error: unknown): boolean =>
    error instanceof RtcError &&
    error.getCode() === code &&
    error.getExtraCode() === extraCode &&
    (typeof text === 'string' ? error.message.startsWith(text) : text.test(error.message));
}

describe('join()', () => {
  it('sends everything in the first message and nothing in the address', async () => {
    const { client, platform } = stage({ mode: 'live' });
    await client.join({ roomId: 7, role: 'audience' });
    const { connection } = platform;
    assert.equal(connection.address, 'ws://gateway:8080/v1/signal');
    const { type, id, ...fields } = connection.sent[0] ?? { type: '', id: 0 };
    assert.deepEqual([type, id], ['join', 1]);
    assert.deepEqual(fields, {
      protocol: 1,
      app: 1400000001,
      user: 'ann',
      sig: 'sig',
      room: 7,
      role: 'audience',
      mode: 'live',
    });
  });

  it('announces the room after CONNECTED', async () => {
    const { client, platform, heard } = stage({ autoSubscribe: false });
    platform.room.peers.push({ session: 's1', user: 'bob' });
    platform.room.streams.push(BOB);
    await client.join({ roomId: 1 });
    assert.deepEqual(heard, [
      'connection-state-changed DISCONNECTED>CONNECTING',
      'connection-state-changed CONNECTING>CONNECTED',
      'peer-join bob',
      'stream-added bob',
    ]);
  });

  it('stops announcing when a listener leaves', async () => {
    const { client, platform, heard } = stage();
    platform.room.peers.push({ session: 's1', user: 'bob' }, { session: 's2', user: 'cid' });
    client.on('peer-join', () => void client.leave());
    await client.join({ roomId: 1 });
    assert.equal(heard.includes('peer-join cid'), false);
  });

  it('rejects with 0x4004 and the gateway’s number when refused', async () => {
    const { client, platform, heard } = stage();
    platform.joinRefusal = { code: 'unauthorized', extra: 70001, message: 'userSig expired', retry: false };
    const refused = isError(0x4004, 'Failed to join room - userSig expired code: 70001', 70001);
    await assert.rejects(client.join({ roomId: 1 }), refused);
    assert.equal(heard.at(-1), 'connection-state-changed CONNECTING>DISCONNECTED');
    platform.joinRefusal = undefined;
    await client.join({ roomId: 1 });
  });

  it('rejects after 5 s without an answer', async (t) => {
    const { client, platform } = stage();
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const outcome = assert.rejects(client.join({ roomId: 1 }), isError(0x4004, 'join room timeout.'));
    platform.connection.silent.add('join');
    await settle();
    t.mock.timers.tick(5000);
    await outcome;
    assert.equal(platform.connection.closedWith, 1000);
  });

  it('rejects after 10 s without a socket', async (t) => {
    const { client, platform } = stage();
    platform.opensSockets = false;
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const outcome = assert.rejects(client.join({ roomId: 1 }), isError(0x4001, 'ws connect timeout.'));
    t.mock.timers.tick(10_000);
    await outcome;
  });

  it('rejects when the gateway cannot be reached, and when it closes before it answers', async () => {
    const { client, platform } = stage();
    platform.opensSockets = false;
    const unreachable = assert.rejects(client.join({ roomId: 1 }), isError(0x4001, /cannot be reached \(code 1006\)/));
    platform.connection.lose(1006);
    await unreachable;
    platform.opensSockets = true;
    const closed = assert.rejects(client.join({ roomId: 1 }), isError(0x4002, /code 1012, going away/));
    platform.connection.silent.add('join');
    await settle();
    platform.connection.lose(1012, 'going away');
    await closed;
  });

  it('is refused on a client that has joined, and while it joins', async () => {
    const { client } = await joined();
    await assert.rejects(client.join({ roomId: 1 }), isError(0x1001, 'duplicate join() called.'));
    const other = stage().client;
    const first = other.join({ roomId: 1 });
    await assert.rejects(
      other.join({ roomId: 1 }),
      isError(0x404d, 'previous join() is ongoing, please avoid repeated calls.'),
    );
    await first;
  });

  it('is refused for the same user in the same room of one page, until that one has left', async () => {
    const { client, trtc } = await joined();
    const twin = trtc.createClient(CONFIG);
    await assert.rejects(
      twin.join({ roomId: 1 }),
      isError(0x1001, '[ann] is calling client.join api or has already joined room, please avoid repeated join.'),
    );
    await client.leave();
    await twin.join({ roomId: 1 });
  });
});

describe('what happens in the room', () => {
  it('is told in the order of the gateway', async () => {
    const { connection, heard } = await joined();
    connection.say({ type: 'peer_joined', session: 's1', user: 'bob' });
    connection.say({ type: 'stream_added', ...BOB });
    connection.say({ type: 'stream_removed', stream: 'b1', session: 's1', user: 'bob' });
    connection.say({ type: 'peer_left', session: 's1', user: 'bob', reason: 'left' });
    assert.deepEqual(heard, ['peer-join bob', 'stream-added bob', 'stream-removed bob', 'peer-leave bob']);
  });

  it('survives nonsense and types of later versions', async (t) => {
    t.mock.method(console, 'warn', () => undefined);
    const { connection, heard } = await joined();
    connection.say({ type: 'moved', to: 'elsewhere' });
    connection.say([]);
    connection.say({ type: 'reply', id: 999, result: {} });
    connection.say({ type: 'peer_joined', session: 's1', user: 'bob', colour: 'blue' });
    assert.deepEqual(heard, ['peer-join bob']);
  });
});
