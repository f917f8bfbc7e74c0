import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ClientBanned } from '../src/banned.js';
import { RtcError } from '../src/errors.js';
import { bannedNotice, BOB, joined, REMOVED, stage } from './joined.js';
import { fakeTrack, settle } from './fake-gateway.js';

const GONE = 'connection-state-changed CONNECTED>DISCONNECTED';

describe('client-banned', () => {
  const causes = [
    ['replaced', 'kick', 'duplicated userId joining the room.'],
    ['removed', 'banned', 'you got banned by account admin'],
    ['dismissed', 'room-disband', 'the room has been disbanded by the admin.'],
  ] as const;
  for (const [reason, v4, message] of causes) {
    it(`says ${v4} in the gateway's words when the session was ${reason}`, async () => {
      const { client, connection } = await joined();
      const payloads: ClientBanned[] = [];
      client.on('client-banned', (payload) => payloads.push(payload));
      connection.say(bannedNotice(reason, v4, message));
      assert.equal(payloads.length, 1);
      assert.equal(payloads[0]?.message, `client was banned because of ${message}`);
      assert.equal(payloads[0].reason, v4);
      assert.equal(payloads[0].getCode(), 0x4040);
    });
  }

  it('comes after DISCONNECTED, before the acknowledgement, and once', async () => {
    const { connection, heard, client } = await joined();
    client.on('client-banned', () => heard.push(`acknowledged: ${connection.typesSent().includes('ended_ack')}`));
    connection.say(REMOVED);
    connection.say(REMOVED);
    connection.say({ type: 'peer_joined', session: 's2', user: 'late' });
    connection.lose(1000);
    assert.deepEqual(heard, [GONE, 'client-banned banned', 'acknowledged: false']);
    assert.equal(connection.typesSent().at(-1), 'ended_ack');
  });

  it('is acknowledged even if the listener throws', async (t) => {
    t.mock.method(console, 'error', () => undefined);
    const { client, connection } = await joined();
    client.on('client-banned', () => {
      throw new Error('a bug of the application');
    });
    connection.say(REMOVED);
    assert.equal(connection.typesSent().at(-1), 'ended_ack');
  });

  it('leaves the local stream alone, and leave() afterwards does nothing', async () => {
    const { client, connection, heard, trtc } = await joined();
    const track = fakeTrack('audio');
    const stream = trtc.createStream({ audioSource: track });
    await stream.initialize();
    await client.publish(stream);
    connection.say(REMOVED);
    await client.leave();
    assert.equal(track.stopped, false);
    assert.deepEqual(heard, [GONE, 'client-banned banned']);
    assert.equal(connection.typesSent().includes('leave'), false);
  });

  it('lets the same client join again at once, from within the listener', async () => {
    const { client, connection, platform } = await joined();
    const rejoined = new Promise<void>((resolve, reject) => {
      client.on('client-banned', () => void client.join({ roomId: 1 }).then(resolve, reject));
    });
    connection.say(REMOVED);
    await rejoined;
    assert.equal(platform.connections.length, 2);
    // The old session's receipt goes over the old socket.
    assert.equal(connection.typesSent().at(-1), 'ended_ack');
    assert.deepEqual(platform.connection.typesSent(), ['join']);
  });

  it('closes both peer connections and drops the tracks of the others', async () => {
    const { client, connection, platform, trtc } = await joined();
    const local = trtc.createStream({ audioSource: fakeTrack('audio') });
    await local.initialize();
    await client.publish(local);
    const remotes: { getAudioTrack(): unknown }[] = [];
    client.on('stream-added', ({ stream }) => remotes.push(stream));
    connection.say({ type: 'stream_added', ...BOB, video: false });
    connection.say({
      type: 'offer',
      number: 1,
      sdp: 'offer 0=audio',
      tracks: [{ mid: '0', stream: 'b1', kind: 'audio' }],
    });
    await settle();
    assert.ok(remotes[0]?.getAudioTrack());
    connection.say(REMOVED);
    assert.deepEqual(
      platform.peerConnections.map((one) => one.connectionState),
      ['closed', 'closed'],
    );
    assert.equal(remotes[0]?.getAudioTrack(), null);
  });

  it('closes the socket itself if the gateway does not', async (t) => {
    const { connection } = await joined();
    t.mock.timers.enable({ apis: ['setTimeout'] });
    connection.say(REMOVED);
    assert.equal(connection.closedWith, undefined);
    t.mock.timers.tick(3000);
    assert.equal(connection.closedWith, 1000);
  });
});

describe('a session that ends without a ban', () => {
  it('is DISCONNECTED and error 0x4002 when the gateway says that it has left', async () => {
    const { connection, heard } = await joined();
    connection.say({ type: 'ended', reason: 'left', correlation: 'c' });
    assert.deepEqual(heard, [GONE, 'error 0x4002']);
    assert.equal(connection.typesSent().at(-1), 'ended_ack');
  });

  for (const code of [1000, 1008, 4400, 4429]) {
    it(`is DISCONNECTED and error 0x4002 when the socket closes with ${code}, and can be joined again`, async () => {
      const { client, connection, heard } = await joined();
      connection.lose(code);
      await settle();
      assert.deepEqual(heard, [GONE, 'error 0x4002']);
      await client.join({ roomId: 1 });
      assert.equal(heard.at(-1), 'connection-state-changed CONNECTING>CONNECTED');
    });
  }
});

describe('leave()', () => {
  it('resolves before join and twice', async () => {
    const { client, heard } = stage();
    await client.leave();
    await client.join({ roomId: 1 });
    await Promise.all([client.leave(), client.leave()]);
    await client.leave();
    assert.equal(heard.filter((line) => line === GONE).length, 1);
  });

  it('tells the gateway, then closes with 1000; the application hears no ban', async () => {
    const { client, connection, heard } = await joined();
    await client.leave();
    assert.deepEqual(connection.typesSent(), ['join', 'leave']);
    assert.equal(connection.closedWith, 1000);
    assert.deepEqual(heard, [GONE]);
  });

  it('acknowledges a notice that crosses it, without telling the application', async () => {
    const { client, connection, heard } = await joined();
    connection.silent.add('leave');
    const left = client.leave();
    connection.say(REMOVED);
    assert.equal(connection.typesSent().at(-1), 'ended_ack');
    connection.lose(1000);
    await left;
    assert.deepEqual(heard, [GONE]);
  });

  it('resolves although the gateway is silent', async (t) => {
    t.mock.method(console, 'warn', () => undefined);
    const { client, connection } = await joined();
    connection.silent.add('leave');
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const left = client.leave();
    t.mock.timers.tick(2000);
    await left;
    assert.equal(connection.closedWith, 1000);
  });

  it('calls off a join that is under way', async () => {
    const { client, platform, heard } = stage();
    const joining = client.join({ roomId: 1 });
    const outcome = assert.rejects(joining, (error) => error instanceof RtcError && error.getCode() === 0x404d);
    await client.leave();
    await outcome;
    assert.equal(platform.connection.closedWith, 1000);
    assert.equal(heard.at(-1), 'connection-state-changed CONNECTING>DISCONNECTED');
    await client.join({ roomId: 1 });
  });
});

describe('the notice over a data channel', () => {
  const receiving = async () => {
    const stage = await joined();
    stage.connection.say({ type: 'stream_added', ...BOB });
    stage.connection.say({ type: 'offer', number: 1, sdp: 'offer 0=audio,1=video', tracks: [] });
    await settle();
    stage.heard.length = 0;
    const media = stage.platform.peerConnections.at(-1);
    assert.ok(media?.channel);
    assert.deepEqual(media.channel.init, { negotiated: true, id: 0 });
    return { ...stage, media, channel: media.channel };
  };

  it('is heard where the socket is lost, and answered before the connection is closed', async () => {
    const { channel, connection, heard, media } = await receiving();
    connection.lose(1006);
    channel.say(JSON.stringify(REMOVED));
    assert.deepEqual(heard, [
      'connection-state-changed CONNECTED>RECONNECTING',
      'connection-state-changed RECONNECTING>DISCONNECTED',
      'client-banned banned',
    ]);
    assert.deepEqual(channel.sent, ['{"type":"ended_ack"}']);
    assert.equal(media.connectionState, 'connected');
    channel.close();
    assert.equal(media.connectionState, 'closed');
  });

  it('is heard once, whichever way comes first, and answered both ways', async () => {
    const { channel, connection, heard } = await receiving();
    channel.say(JSON.stringify(REMOVED));
    connection.say(REMOVED);
    channel.say(JSON.stringify(REMOVED));
    assert.deepEqual(heard, [GONE, 'client-banned banned']);
    assert.equal(connection.typesSent().filter((type) => type === 'ended_ack').length > 0, true);
  });

  it('is all that is heard that way', async () => {
    const { channel, client, heard, media } = await receiving();
    for (const said of ['', '{"type":"move"}', '{"type":"stream_removed","stream":"b1"}', 7]) channel.say(said);
    assert.deepEqual([heard, channel.sent], [[], []]);
    await client.leave();
    assert.equal(media.connectionState, 'closed');
  });

  it('lets go of a connection that the gateway does not end', async (t) => {
    const { channel, media } = await receiving();
    t.mock.timers.enable({ apis: ['setTimeout'] });
    channel.say(JSON.stringify(REMOVED));
    t.mock.timers.tick(3_000);
    assert.equal(media.connectionState, 'closed');
  });
});
