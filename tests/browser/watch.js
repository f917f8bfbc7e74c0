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
      const isMain = stream.getType() === 'main';
      remote.set(isMain ? stream.getUserId() : `${stream.getUserId()} auxiliary`, stream);
      note('stream-added', stream.getUserId());
    });
    for (const event of ['mute-audio', 'unmute-audio', 'mute-video', 'unmute-video']) {
      client.on(event, ({ userId }) => note(event, userId));
    }
    client.on('stream-removed', ({ stream }) => note('stream-removed', stream.getUserId()));
    client.on('client-banned', (error) => note('client-banned', error.reason, error.getCode(), error.message));
    client.on('error', (error) => note('error', error.getCode()));
  }

  async function publish(userId) {
    local = TRTC.createStream({ userId, audio: true, video: true });
    await local.initialize();
    await client.publish(local);
  }

  // Something that moves, as the picture of a screen.
  async function publishDrawing(userId) {
    const canvas = document.createElement('canvas');
    const context = canvas.getContext('2d');
    let turn = 0;
    setInterval(() => {
      context.fillStyle = `hsl(${(turn += 20)} 80% 50%)`;
      context.fillRect(0, 0, canvas.width, canvas.height);
    }, 100);
    const [videoSource] = canvas.captureStream(10).getTracks();
    const drawing = TRTC.createStream({ userId, videoSource });
    await drawing.initialize();
    await client.publish(drawing, { isAuxiliary: true });
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

  // As a browser that can encode no other video.
  function sendOnly(codec) {
    const all = RTCRtpSender.getCapabilities.bind(RTCRtpSender);
    const isWanted = ({ mimeType }) => [`video/${codec}`, 'video/rtx'].includes(mimeType);
    RTCRtpSender.getCapabilities = (kind) =>
      kind === 'video' ? { ...all(kind), codecs: all(kind).codecs.filter(isWanted) } : all(kind);
  }

  // As a browser that cannot decode one.
  function showNo(codec) {
    const all = RTCRtpReceiver.getCapabilities.bind(RTCRtpReceiver);
    const isKnown = ({ mimeType }) => mimeType !== `video/${codec}`;
    RTCRtpReceiver.getCapabilities = (kind) => ({ ...all(kind), codecs: all(kind).codecs.filter(isKnown) });
  }

  // How a user's picture comes in.
  async function picture(userId) {
    const all = await Promise.all(connections.map((connection) => connection.getStats()));
    const id = remote.get(userId)?.getVideoTrack()?.id;
    for (const stats of all) {
      const one = [...stats.values()].find(
        (report) => report.type === 'inbound-rtp' && report.trackIdentifier === id && report.kind === 'video',
      );
      if (!one) continue;
      const { framesDecoded, framesReceived, freezeCount, packetsLost, packetsReceived, nackCount, pliCount } = one;
      const codec = stats.get(one.codecId)?.mimeType;
      const counts = { framesDecoded, framesReceived, freezeCount, packetsLost, packetsReceived, nackCount, pliCount };
      const { frameWidth, keyFramesDecoded, totalFreezesDuration } = one;
      return { codec, frameWidth, keyFramesDecoded, totalFreezesDuration, ...counts };
    }
    return null;
  }

  // How one's own picture goes out: {rid or '': {...}}.
  async function pictureSent() {
    const outbound = (await reports('outbound-rtp')).filter((one) => one.kind === 'video');
    return Object.fromEntries(
      outbound.map((one) => [
        one.rid ?? '',
        { framesSent: one.framesSent, frameWidth: one.frameWidth, repaired: one.retransmittedPacketsSent },
      ]),
    );
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
    publishDrawing,
    receiving,
    streamOf: (userId) => remote.get(userId),
    sendOnly,
    showNo,
    picture,
    pictureSent,
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
