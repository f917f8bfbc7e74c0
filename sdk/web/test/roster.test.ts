import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { RoomView } from '../src/messages.js';
import { Roster } from '../src/roster.js';

const view = (peers: string[], streams: string[] = []): RoomView => ({
  peers: peers.map((session) => ({ session, user: session.slice(0, 3) })),
  streams: streams.map((session) => ({
    stream: `of ${session}`,
    session,
    user: session.slice(0, 3),
    kind: 'main',
    audio: true,
    video: true,
  })),
});

function told(roster: Roster, now: RoomView): string[] {
  return roster.missing(now).map((message) => {
    roster.note(message);
    return `${message.type} ${'stream' in message ? message.stream : message.session}`;
  });
}

describe('the roster', () => {
  it('is told from nothing: peers, then streams', () => {
    assert.deepEqual(told(new Roster(), view(['bob1'], ['bob1'])), ['peer_joined bob1', 'stream_added of bob1']);
  });

  it('tells who went before who came, and nothing of who stayed', () => {
    const roster = new Roster();
    told(roster, view(['bob1', 'cid1', 'dan1'], ['bob1', 'cid1']));
    assert.deepEqual(told(roster, view(['cid1', 'eve1', 'dan1'], ['eve1', 'dan1'])), [
      'stream_removed of bob1',
      'stream_removed of cid1',
      'peer_left bob1',
      'peer_joined eve1',
      'stream_added of eve1',
      'stream_added of dan1',
    ]);
    assert.deepEqual(told(roster, view(['cid1', 'eve1', 'dan1'], ['eve1', 'dan1'])), []);
  });

  it('goes by sessions: the same user again is another', () => {
    const roster = new Roster();
    told(roster, view(['bob1'], ['bob1']));
    const events = ['stream_removed of bob1', 'peer_left bob1', 'peer_joined bob2', 'stream_added of bob2'];
    assert.deepEqual(told(roster, view(['bob2'], ['bob2'])), events);
  });
});
