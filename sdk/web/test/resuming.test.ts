import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import type { FakeConnection } from './fake-gateway.js';
import { settle } from './fake-gateway.js';
import { bannedNotice, BOB, joined, REMOVED, type Stage } from './joined.js';

const AWAY = 'connection-state-changed CONNECTED>RECONNECTING';
const BACK = 'connection-state-changed RECONNECTING>CONNECTED';
const GONE = 'connection-state-changed RECONNECTING>DISCONNECTED';

const BUSY = { code: 'unavailable', message: 'not now', extra: 0, retry: true };
const UNKNOWN = { code: 'session_unknown', message: 'there is no such session', extra: 0, retry: false };

function ended(reason: string, notice?: object): object {
  return { code: 'session_ended', message: `it ended: ${reason}`, extra: 0, retry: false, reason, ...notice };
}

/** Lets this much time pass, and everything that comes of it. */
async function pass(t: TestContext, ms: number): Promise<void> {
  t.mock.timers.tick(ms);
  await settle();
}

async function resumed(stage: Stage & { connection: FakeConnection }): Promise<FakeConnection> {
  stage.connection.lose(1006);
  await settle();
  return stage.platform.connection;
}

describe('a socket that is lost', () => {
  it('was the last that had the session, as the next one says', async (t) => {
    const stage = await joined();
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const second = await resumed(stage);
    second.lose(1006);
    await settle();
    await pass(t, 1000);
    const attachments = stage.platform.connections.map(({ sent }) => sent[0]?.['attachment']);
    assert.deepEqual(attachments, [undefined, 1, 2]);
  });

  for (const code of [1001, 1005, 1006, 1011, 1012, 4409, 4410]) {
    it(`with ${code} is replaced at once, and the session goes on`, async () => {
      const { client, connection, platform, heard } = await joined();
      connection.lose(code);
      assert.deepEqual(heard, [AWAY]);
      await settle();
      assert.deepEqual(heard, [AWAY, BACK]);
      assert.equal(platform.connections.length, 2);
      const [resume] = platform.connection.sent;
      assert.deepEqual(resume, {
        type: 'resume',
        id: 1,
        protocol: 1,
        app: 1400000001,
        room: 1,
        session: 's0',
        mode: 'rtc',
        token: 'secret',
        attachment: 1,
      });
      platform.connection.say({ type: 'peer_joined', session: 's1', user: 'bob' });
      assert.equal(heard.at(-1), 'peer-join bob');
      await client.leave();
      assert.deepEqual(platform.connection.typesSent(), ['resume', 'leave']);
    });
  }

  it('has made the room another: who went is told before who came, after CONNECTED', async () => {
    const stage = await joined({ autoSubscribe: false });
    const { connection, heard, platform } = stage;
    connection.say({ type: 'peer_joined', session: 's1', user: 'bob' });
    connection.say({ type: 'stream_added', ...BOB });
    connection.say({ type: 'peer_joined', session: 's2', user: 'cid' });
    heard.length = 0;
    platform.room.peers = [
      { session: 's2', user: 'cid' },
      { session: 's3', user: 'bob' },
    ];
    platform.room.streams = [{ ...BOB, stream: 'b2', session: 's3' }];
    await resumed(stage);
    const events = ['stream-removed bob', 'peer-leave bob', 'peer-join bob', 'stream-added bob'];
    assert.deepEqual(heard, [AWAY, BACK, ...events]);
  });

  it('is sought with a back-off, for as long as it takes', async (t) => {
    const { connection, heard, platform } = await joined();
    t.mock.timers.enable({ apis: ['setTimeout'] });
    platform.resumeRefusal = BUSY;
    connection.lose(1006);
    await settle();
    for (const [step, ms] of [500, 1000, 2000, 4000, 8000, 10_000, 10_000].entries()) {
      assert.equal(platform.connections.length, step + 2);
      await pass(t, ms - 1);
      assert.equal(platform.connections.length, step + 2);
      await pass(t, 1);
    }
    platform.resumeRefusal = undefined;
    await pass(t, 10_000);
    assert.deepEqual(heard, [AWAY, BACK]);
  });

  it('is sought while no gateway can be reached, and while one is silent', async (t) => {
    const { connection, heard, platform } = await joined();
    t.mock.timers.enable({ apis: ['setTimeout'] });
    platform.opensSockets = false;
    connection.lose(1006);
    await settle();
    platform.connection.lose(1006);
    await settle();
    platform.opensSockets = true;
    platform.silent = ['resume'];
    await pass(t, 500);
    platform.silent = [];
    await pass(t, 12_000);
    await pass(t, 1000);
    assert.deepEqual(heard, [AWAY, BACK]);
    assert.equal(platform.connections.length, 4);
    // The silent one may have got the session after all: to close it would be a leave.
    assert.equal(platform.connections[2]?.closedWith, undefined);
    assert.equal(platform.connections[1]?.typesSent().length, 0);
  });

  it('is not sought at once again when the last one was of no use', async (t) => {
    const stage = await joined();
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const second = await resumed(stage);
    second.lose(1006);
    await settle();
    assert.equal(stage.platform.connections.length, 2);
    await pass(t, 500);
    assert.equal(stage.platform.connections.length, 3);
    stage.platform.time = 10_000;
    stage.platform.connection.lose(1006);
    await settle();
    assert.equal(stage.platform.connections.length, 4);
  });

  it('ends with leave(): it resolves, and nothing is sought any more', async (t) => {
    const { client, connection, heard, platform } = await joined();
    t.mock.timers.enable({ apis: ['setTimeout'] });
    platform.resumeRefusal = BUSY;
    connection.lose(1006);
    await settle();
    await client.leave();
    await pass(t, 60_000);
    assert.deepEqual(heard, [AWAY, GONE]);
    assert.equal(platform.connections.length, 2);
    platform.resumeRefusal = undefined;
    await client.join({ roomId: 1 });
  });

  it('is closed, which is a leave, when leave() crosses its resume', async () => {
    const { client, connection, heard, platform } = await joined();
    platform.silent = ['resume'];
    connection.lose(1006);
    await settle();
    await client.leave();
    assert.equal(platform.connection.closedWith, 1000);
    assert.deepEqual(heard, [AWAY, GONE]);
  });
});

describe('a resume that is refused', () => {
  it('tells a removal once, acknowledges it, and does not join again', async () => {
    const stage = await joined();
    stage.platform.resumeRefusal = ended('removed', REMOVED);
    const second = await resumed(stage);
    assert.deepEqual(stage.heard, [AWAY, GONE, 'client-banned banned']);
    assert.deepEqual(second.typesSent(), ['resume', 'ended_ack']);
    second.lose(4403);
    await settle();
    assert.equal(stage.heard.length, 3);
    assert.equal(stage.platform.connections.length, 2);
  });

  it('is not asked for when the notice came over the socket before', async () => {
    const { connection, heard, platform } = await joined();
    connection.say(REMOVED);
    connection.lose(1006);
    await settle();
    assert.equal(heard.filter((line) => line === 'client-banned banned').length, 1);
    assert.equal(platform.connections.length, 1);
  });

  const over: [string, object][] = [
    ['a session that is unknown', UNKNOWN],
    ['a session that has left', ended('left')],
    ['what the gateway does not understand', { code: 'bad_request', message: 'no', extra: 0, retry: false }],
  ];
  for (const [what, refusal] of over) {
    it(`is the end as 0x4006 for ${what}`, async () => {
      const stage = await joined();
      stage.platform.resumeRefusal = refusal;
      const second = await resumed(stage);
      assert.deepEqual(stage.heard, [AWAY, GONE, 'error 0x4006']);
      assert.deepEqual(second.typesSent(), ['resume']);
      assert.equal(stage.platform.connections.length, 2);
    });
  }
});

describe('a session that timed out', () => {
  it('is joined anew, once and yielding, with the same words; the room is told by its differences', async () => {
    const stage = await joined({ autoSubscribe: false });
    const { connection, heard, platform } = stage;
    connection.say({ type: 'peer_joined', session: 's1', user: 'bob' });
    connection.say({ type: 'peer_joined', session: 's2', user: 'cid' });
    heard.length = 0;
    platform.resumeRefusal = ended('timed_out');
    platform.room.session = 's9';
    platform.room.token = 'another';
    platform.room.peers = [{ session: 's1', user: 'bob' }];
    await resumed(stage);
    assert.deepEqual(heard, [AWAY, BACK, 'peer-leave cid']);
    const [first, , third] = platform.connections;
    assert.deepEqual(third?.sent, [{ ...first?.sent[0], yields: true }]);
    // From here on that is the session.
    platform.resumeRefusal = undefined;
    platform.time = 10_000;
    third.lose(1006);
    await settle();
    const [resume] = platform.connection.sent;
    assert.deepEqual([resume?.['session'], resume?.['token']], ['s9', 'another']);
  });

  it('is the same when the gateway says so over the socket', async () => {
    const { connection, heard, platform } = await joined();
    connection.say({ type: 'ended', reason: 'timed_out', correlation: 'c' });
    await settle();
    assert.deepEqual(heard, [AWAY, BACK]);
    assert.equal(connection.typesSent().at(-1), 'ended_ack');
    assert.deepEqual(platform.connection.typesSent(), ['join']);
  });

  it('yields to another session of the user', async () => {
    const stage = await joined();
    stage.platform.resumeRefusal = ended('timed_out');
    const kick = bannedNotice('replaced', 'kick', 'duplicated userId joining the room.');
    stage.platform.joinRefusal = { code: 'anchor_taken', message: 'taken', extra: 0, retry: false, ...kick };
    await resumed(stage);
    assert.deepEqual(stage.heard, [AWAY, GONE, 'client-banned kick']);
    // There is no session whose end could be acknowledged.
    assert.deepEqual(stage.platform.connection.typesSent(), ['join']);
  });

  it('is lost as join() says when it cannot be joined, without a second attempt', async (t) => {
    const stage = await joined();
    t.mock.timers.enable({ apis: ['setTimeout'] });
    stage.platform.resumeRefusal = ended('timed_out');
    stage.platform.joinRefusal = { code: 'unauthorized', message: 'userSig expired', extra: 70001, retry: false };
    await resumed(stage);
    await pass(t, 60_000);
    assert.deepEqual(stage.heard, [AWAY, GONE, 'error 0x4004']);
    assert.equal(stage.platform.connections.length, 3);
  });

  it('is joined later where no gateway takes anybody now', async (t) => {
    const stage = await joined();
    t.mock.timers.enable({ apis: ['setTimeout'] });
    stage.platform.resumeRefusal = ended('timed_out');
    stage.platform.joinRefusal = BUSY;
    await resumed(stage);
    stage.platform.joinRefusal = undefined;
    await pass(t, 500);
    assert.deepEqual(stage.heard, [AWAY, BACK]);
  });
});

describe('a gateway that is about to end', () => {
  it('is left for another without a gap: the second socket first', async () => {
    const { connection, heard, platform } = await joined();
    platform.silent = ['resume'];
    connection.say({ type: 'move' });
    await settle();
    const second = platform.connection;
    assert.deepEqual(second.typesSent(), ['resume']);
    connection.say({ type: 'peer_joined', session: 's1', user: 'bob' });
    assert.equal(connection.closedWith, undefined);
    const view = { peers: [{ session: 's1', user: 'bob' }], streams: [] };
    second.say({ type: 'reply', id: 1, result: { role: 'anchor', media: false, published: null, ...view } });
    await settle();
    assert.equal(connection.closedWith, 1000);
    assert.deepEqual(heard, ['peer-join bob']);
  });

  it('may be gone before the answer, or close because of the second socket: nobody notices the latter', async () => {
    for (const [code, states] of [
      [4410, []],
      [1012, [AWAY, BACK]],
    ] as const) {
      const { connection, heard, platform } = await joined();
      platform.silent = ['resume'];
      connection.say({ type: 'move' });
      await settle();
      connection.lose(code);
      const result = { role: 'anchor', media: false, published: null, peers: [], streams: [] };
      platform.connection.say({ type: 'reply', id: 1, result });
      await settle();
      assert.deepEqual(heard, states);
      assert.equal(platform.connections.length, 2);
    }
  });

  it('goes on carrying the session while no other takes it', async (t) => {
    const { client, connection, heard, platform } = await joined();
    t.mock.timers.enable({ apis: ['setTimeout'] });
    platform.resumeRefusal = BUSY;
    connection.say({ type: 'move' });
    await settle();
    await pass(t, 500);
    connection.say(REMOVED);
    assert.deepEqual(heard, ['connection-state-changed CONNECTED>DISCONNECTED', 'client-banned banned']);
    await pass(t, 60_000);
    assert.equal(platform.connections.length, 3);
    await client.leave();
    assert.equal(connection.typesSent().at(-1), 'ended_ack');
  });
});
