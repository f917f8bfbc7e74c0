import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Emitter } from '../src/events.js';

interface Sounds {
  bell: [times: number];
  horn: [];
}

describe('events', () => {
  it('reach every listener in order, with its context, even after one that throws', (t) => {
    t.mock.method(console, 'error', () => undefined);
    const emitter = new Emitter<Sounds>();
    const heard: unknown[] = [];
    emitter.on('bell', () => {
      throw new Error('a bug of the application');
    });
    emitter.on(
      'bell',
      function (this: unknown, times) {
        heard.push(this, times);
      },
      'context',
    );
    emitter.emit('bell', 3);
    assert.deepEqual(heard.map(String), ['context', '3']);
  });

  it('stop with off, for one listener or for all', () => {
    const emitter = new Emitter<Sounds>();
    const heard: string[] = [];
    const first = () => heard.push('first');
    emitter.on('horn', first);
    emitter.on('horn', () => heard.push('second'));
    emitter.off('horn', first);
    emitter.emit('horn');
    emitter.off('*');
    emitter.emit('horn');
    assert.deepEqual(heard, ['second']);
  });
});
