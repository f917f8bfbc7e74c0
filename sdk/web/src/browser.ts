import type { Platform, Socket, SocketEvents } from './platform.js';

// max-bundle: the gateway has one transport, so nothing is gathered for a second one.
const BUNDLE_POLICY = 'max-bundle';

/** The real browser. */
export const browser: Platform = {
  pageProtocol: () => location.protocol,
  openSocket,
  openPeerConnection: () => new RTCPeerConnection({ bundlePolicy: BUNDLE_POLICY }),
  setIce: (connection, iceServers, iceTransportPolicy) =>
    connection.setConfiguration({ bundlePolicy: BUNDLE_POLICY, iceServers, iceTransportPolicy }),
  sendableCodecs: (kind) => RTCRtpSender.getCapabilities(kind)?.codecs ?? [],
  receivableCodecs: (kind) => RTCRtpReceiver.getCapabilities(kind)?.codecs ?? [],
  get captureScreen() {
    // Not there on phones either.
    const devices = navigator.mediaDevices as Partial<MediaDevices> | undefined;
    return devices?.getDisplayMedia?.bind(devices);
  },
  get captureDevices() {
    // Declared as always there, but undefined on http:// addresses other than this machine's own.
    const devices = navigator.mediaDevices as MediaDevices | undefined;
    return devices && ((constraints: MediaStreamConstraints) => devices.getUserMedia(constraints));
  },
  newMediaStream: (tracks) => new MediaStream(tracks),
  now: () => performance.now(),
  every: (ms, callback) => {
    const timer = setInterval(callback, ms);
    return () => clearInterval(timer);
  },
  random: () => Math.random(),
  // Looked up when used: a bundler may evaluate this module where there is no document.
  get page() {
    return document;
  },
};

function openSocket(address: string, events: SocketEvents): Socket {
  const socket = new WebSocket(address);
  socket.onopen = () => events.opened();
  socket.onmessage = (event: MessageEvent<unknown>) => {
    if (typeof event.data === 'string') events.received(event.data);
  };
  // A page that the browser keeps, to go back to it, would stay in the room: its socket goes on answering pings.
  const leaveKept = (event: PageTransitionEvent) => {
    if (event.persisted) socket.close(1000);
  };
  addEventListener('pagehide', leaveKept);
  // onerror says nothing that the onclose after it does not.
  socket.onclose = (event) => {
    removeEventListener('pagehide', leaveKept);
    events.closed(event.code, event.reason);
  };
  return {
    send(text) {
      // Browsers warn of what is sent after the gateway has begun to close, which is before the close event.
      if (socket.readyState === WebSocket.OPEN) socket.send(text);
    },
    close(code) {
      socket.close(code);
    },
  };
}
