import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { backOffMs } from '../src/back-off.js';

describe('the back-off', () => {
  it('begins at once, doubles, and is 10 s at most however long it takes', () => {
    const longest = [0, 1, 2, 3, 4, 5, 6, 7, 2000].map((attempt) => backOffMs(attempt, 1));
    assert.deepEqual(longest, [0, 500, 1000, 2000, 4000, 8000, 10_000, 10_000, 10_000]);
  });

  it('is half of that at least, by chance', () => {
    assert.deepEqual([backOffMs(1, 0), backOffMs(1, 0.5), backOffMs(9, 0)], [250, 375, 5000]);
  });
});
