import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { RemoteStream } from '../src/remote-stream.js';
import { levelOf, lossBetween, type NetworkQuality } from '../src/stats.js';
import { settle } from './fake-gateway.js';
import { BOB, joined } from './joined.js';

const PAIR = [
  { id: 'T', type: 'transport', selectedCandidatePairId: 'P' },
  { id: 'P', type: 'candidate-pair', currentRoundTripTime: 0.042 },
];

async function talking() {
  const set = await joined();
  const { client, connection, platform, trtc } = set;
  const mine = trtc.createStream({ audio: true, video: true });
  await mine.initialize();
  await client.publish(mine);
  const streams: RemoteStream[] = [];
  client.on('stream-added', ({ stream }) => streams.push(stream));
  connection.say({ type: 'stream_added', ...BOB });
  const tracks = (['audio', 'video'] as const).map((kind, mid) => ({ mid: String(mid), stream: 'b1', kind }));
  connection.say({ type: 'offer', number: 1, sdp: 'offer 0=audio,1=video', tracks });
  await settle();
  const [sending, receiving] = platform.peerConnections;
  const [bob] = streams;
  assert.ok(sending && receiving && bob);
  return { ...set, sending, receiving, bob };
}

describe('statistics', () => {
  it('are those of the browser, in the shapes of the vendor', async () => {
    const { bob, client, receiving, sending } = await talking();
    sending.stats = [
      ...PAIR,
      { id: 'a', type: 'outbound-rtp', kind: 'audio', bytesSent: 10, packetsSent: 1 },
      { id: 's', type: 'outbound-rtp', kind: 'video', bytesSent: 20, packetsSent: 2, frameWidth: 160, framesSent: 9 },
      {
        ...{ id: 'b', type: 'outbound-rtp', kind: 'video', bytesSent: 300, packetsSent: 3 },
        ...{ frameWidth: 640, frameHeight: 480, framesSent: 7, framesEncoded: 8 },
      },
    ];
    receiving.stats = [
      { id: 'x', type: 'inbound-rtp', kind: 'audio', trackIdentifier: 'other', bytesReceived: 1 },
      {
        ...{ id: 'y', type: 'inbound-rtp', kind: 'video', trackIdentifier: bob.getVideoTrack()?.id },
        ...{
          bytesReceived: 50,
          packetsReceived: 5,
          packetsLost: 1,
          framesDecoded: 4,
          frameWidth: 640,
          frameHeight: 480,
        },
      },
    ];
    assert.deepEqual(await client.getTransportStats(), { rtt: 42, downlinksRTT: { bob: 0 } });
    assert.deepEqual(await client.getLocalAudioStats(), { ann: { bytesSent: 10, packetsSent: 1 } });
    const frames = { framesEncoded: 8, framesSent: 7, frameWidth: 640, frameHeight: 480 };
    assert.deepEqual(await client.getLocalVideoStats(), { ann: { bytesSent: 320, packetsSent: 5, ...frames } });
    const received = { bytesReceived: 50, packetsReceived: 5, packetsLost: 1 };
    const shown = { framesDecoded: 4, frameWidth: 640, frameHeight: 480 };
    assert.deepEqual(await client.getRemoteVideoStats(), { bob: { ...received, ...shown } });
    assert.deepEqual(await client.getRemoteVideoStats('auxiliary'), {});
  });

  it('are of a room', async () => {
    const { client } = await joined();
    assert.deepEqual(await client.getLocalVideoStats(), {});
    await client.leave();
    await assert.rejects(client.getTransportStats(), /please call join\(\) before getTransportStats\(\)/);
  });
});

describe('network-quality', () => {
  it('comes again and again while joined, with what was lost since the last', async () => {
    const { client, platform, receiving, sending } = await talking();
    const heard: NetworkQuality[] = [];
    client.on('network-quality', (quality) => heard.push(quality));
    const counts = (sent: number, lost: number) => [
      ...PAIR,
      { id: 'o', type: 'outbound-rtp', packetsSent: sent },
      { id: 'i', type: 'remote-inbound-rtp', packetsLost: lost },
    ];
    sending.stats = counts(1000, 0);
    await platform.seconds(1);
    sending.stats = counts(1100, 15);
    receiving.become('disconnected');
    await platform.seconds(1);
    const levels = heard.map((each) => [each.uplinkNetworkQuality, each.uplinkLoss, each.downlinkNetworkQuality]);
    assert.deepEqual(levels, [
      [1, 0, 1],
      [4, 15, 6],
    ]);
    assert.equal(heard[0]?.uplinkRTT, 42);
    await client.leave();
    await platform.seconds(2);
    assert.equal(heard.length, 2);
  });

  it('is as bad as the worse of loss and round trip', () => {
    assert.deepEqual([levelOf(0, 0), levelOf(3, 0), levelOf(0, 400), levelOf(60, 10)], [1, 2, 4, 6]);
    assert.equal(lossBetween({ rtt: 0, packets: 100, lost: 50 }, { rtt: 0, packets: 100, lost: 0 }), 0);
  });
});
