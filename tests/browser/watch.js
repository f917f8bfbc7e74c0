// Put into every page before its own scripts: lets a test see the connections and devices that the page uses, and gives
// pages without an application of their own a client of the SDK whose events are written down.
(() => {
  const connections = [];
  const sockets = [];
  const captured = [];
  const heard = [];
  let asked = 0;
  let keepConnections = false;
  let devicesAnswer = Promise.resolve();
  let releaseDevices = () => undefined;

  window.RTCPeerConnection = class extends window.RTCPeerConnection {
    constructor(...args) {
      super(...args);
      connections.push(this);
    }
    // A page that does not hang up by itself shows whether the gateway does.
    close() {
      if (!keepConnections) super.close();
    }
  };

  window.WebSocket = class extends window.WebSocket {
    constructor(...args) {
      super(...args);
      sockets.push(this);
    }
  };

  const devices = navigator.mediaDevices;
  if (devices) {
    const getUserMedia = devices.getUserMedia.bind(devices);
    devices.getUserMedia = async (constraints) => {
      asked++;
      await devicesAnswer;
      const stream = await getUserMedia(constraints);
      captured.push(...stream.getTracks());
      return stream;
    };
  }

  async function reports(type) {
    const all = await Promise.all(connections.map((connection) => connection.getStats()));
    return all.flatMap((one) => [...one.values()]).filter((report) => report.type === type);
  }

  // The media that comes in: {track id: {kind, packets, frames}}.
  async function incoming() {
    const inbound = await reports('inbound-rtp');
    const entries = inbound.map((one) => [
      one.trackIdentifier,
      { kind: one.kind, packets: one.packetsReceived, frames: one.framesDecoded ?? 0 },
    ]);
    return Object.fromEntries(entries);
  }

  // Packets sent by this page, whether anybody takes them or not.
  async function sentPackets() {
    return (await reports('outbound-rtp')).reduce((sum, one) => sum + one.packetsSent, 0);
  }

  async function receivedPackets() {
    return (await reports('inbound-rtp')).reduce((sum, one) => sum + one.packetsReceived, 0);
  }

  // Whatever arrives, media or not, and whether this page expects it or not.
  async function arrivedPackets() {
    return (await reports('transport')).reduce((sum, one) => sum + one.packetsReceived, 0);
  }

  // The ways that media takes: [{local, protocol, address}], the gateway's address being a relay's peer, too.
  async function ways() {
    const all = await Promise.all(connections.map((connection) => connection.getStats()));
    return all.flatMap((stats) => {
      const transport = [...stats.values()].find((one) => one.type === 'transport');
      const pair = stats.get(transport?.selectedCandidatePairId);
      if (pair?.state !== 'succeeded') return [];
      const local = stats.get(pair.localCandidateId);
      const { protocol, address } = stats.get(pair.remoteCandidateId);
      return [{ local: [local.candidateType, local.relayProtocol].filter(Boolean).join(' over '), protocol, address }];
    });
  }

  // What plays in an element of the page: {audio: {packets, ...}, video: {...}}, null where nothing does.
  async function playing(selector) {
    const stats = await incoming();
    const of = (kind) => {
      const track = document.querySelector(`${selector} ${kind}`)?.srcObject?.getTracks()[0];
      return (track && stats[track.id]) ?? null;
    };
    return { audio: of('audio'), video: of('video') };
  }

  // A client of the SDK, for tests of the API itself.
  const remote = new Map();
  let client = null;
  let local = null;

  function createClient(config) {
    client = TRTC.createClient(config);
    const note = (event, ...details) => heard.push([event, ...details]);
    client.on('connection-state-changed', ({ prevState, state }) => note('connection-state-changed', prevState, state));
    client.on('peer-join', ({ userId }) => note('peer-join', userId));
    client.on('peer-leave', ({ userId }) => note('peer-leave', userId));
    client.on('stream-added', ({ stream }) => {
      remote.set(stream.getUserId(), stream);
      note('stream-added', stream.getUserId());
    });
    client.on('stream-removed', ({ stream }) => note('stream-removed', stream.getUserId()));
    client.on('client-banned', (error) => note('client-banned', error.reason, error.getCode(), error.message));
    client.on('error', (error) => note('error', error.getCode()));
  }

  async function publish(userId) {
    local = TRTC.createStream({ userId, audio: true, video: true });
    await local.initialize();
    await client.publish(local);
  }

  // What comes in of a user's stream.
  async function receiving(userId) {
    const stats = await incoming();
    const stream = remote.get(userId);
    return {
      audio: stats[stream?.getAudioTrack()?.id] ?? null,
      video: stats[stream?.getVideoTrack()?.id] ?? null,
    };
  }

  // An error as a value, for rejections that a test wants to look at.
  async function outcome(promise) {
    try {
      await promise;
      return { resolved: true };
    } catch (error) {
      return { name: error.name, code: error.getCode?.(), extra: error.getExtraCode?.(), message: error.message };
    }
  }

  window.watch = {
    heard,
    connections,
    sockets,
    incoming,
    sentPackets,
    receivedPackets,
    arrivedPackets,
    ways,
    playing,
    createClient,
    publish,
    receiving,
    streamOf: (userId) => remote.get(userId),
    outcome,
    get client() {
      return client;
    },
    get local() {
      return local;
    },
    get asked() {
      return asked;
    },
    captured: () => captured.map(({ kind, readyState }) => ({ kind, readyState })),
    // As long as the user has not answered the browser's question.
    holdDevices: () => (devicesAnswer = new Promise((resolve) => (releaseDevices = resolve))) && undefined,
    releaseDevices: () => releaseDevices(),
    keepConnections: () => (keepConnections = true),
  };
})();
