import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { RtcError } from '../src/errors.js';
import { fakeTrack, settle } from './fake-gateway.js';
import { joined, stage } from './joined.js';

const isError = (code: number, text: string) => (error: unknown) =>
  error instanceof RtcError && error.getCode() === code && error.message.startsWith(text);

async function inLive(role: 'anchor' | 'audience') {
  const set = stage({ mode: 'live' });
  await set.client.join({ roomId: 1, role });
  set.platform.resumed.role = role;
  const stream = set.trtc.createStream({ audioSource: fakeTrack('audio') });
  await stream.initialize();
  return { ...set, connection: set.platform.connection, stream };
}

describe('switchRole()', () => {
  it('is for rooms of mode live that one is in, and for the two roles', async () => {
    const { client } = await joined();
    await assert.rejects(client.switchRole('audience'), isError(0x1000, 'switchRole can only be called in live mode.'));
    const live = stage({ mode: 'live' }).client;
    await assert.rejects(live.switchRole('anchor'), isError(0x1001, 'please call join() before switchRole().'));
    await assert.rejects(live.switchRole('host' as never), isError(0x1000, "'role' must be one of anchor|audience"));
  });

  it('lets audience publish, and takes back what an anchor published', async () => {
    const { client, connection, stream } = await inLive('audience');
    await assert.rejects(client.publish(stream), /no permission to publish\(\) under live\/audience/);
    await client.switchRole('anchor');
    await client.publish(stream);
    await client.switchRole('audience');
    const requests = connection.sent.map(({ type, role }) => [type, role]);
    assert.deepEqual(requests.slice(1), [
      ['switch_role', 'anchor'],
      ['publish', undefined],
      ['unpublish', undefined],
      ['switch_role', 'audience'],
    ]);
    await assert.rejects(client.publish(stream), /no permission/);
  });

  it('asks nobody for the role that one has', async () => {
    const { client, connection } = await inLive('anchor');
    await client.switchRole('anchor');
    assert.deepEqual(connection.typesSent(), ['join']);
  });

  it('rejects with 0x404a when it is refused, and the role stays', async () => {
    const { client, connection, stream } = await inLive('audience');
    connection.refusals.set('switch_role', { code: 'invalid_state', message: 'not now', extra: 0, retry: false });
    await assert.rejects(
      client.switchRole('anchor'),
      isError(0x404a, 'switchRole failed, errCode: 0 errMsg: not now.'),
    );
    await assert.rejects(client.publish(stream), /no permission/);
  });

  it('is asked again when the socket is lost before the answer, and the role is the gateway’s', async () => {
    const { client, connection, platform, stream } = await inLive('audience');
    connection.silent.add('switch_role');
    const done = client.switchRole('anchor');
    connection.lose(1006);
    await done;
    assert.deepEqual(platform.connection.typesSent(), ['resume', 'switch_role']);
    platform.time = 10_000;
    platform.connection.lose(1006);
    await settle();
    await assert.rejects(client.publish(stream), /no permission/);
  });

  it('counts for a session that is joined anew', async () => {
    const { client, connection, platform } = await inLive('audience');
    await client.switchRole('anchor');
    connection.say({ type: 'ended', reason: 'timed_out', correlation: 'c' });
    await settle();
    assert.deepEqual([platform.connection.sent[0]?.type, platform.connection.sent[0]?.['role']], ['join', 'anchor']);
  });
});
