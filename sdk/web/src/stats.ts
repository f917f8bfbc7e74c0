import type { PeerConnection } from './platform.js';

// The shapes and names are the vendor's.

export interface LocalAudioStats {
  bytesSent: number;
  packetsSent: number;
}

export interface LocalVideoStats extends LocalAudioStats {
  framesEncoded: number;
  framesSent: number;
  frameWidth: number;
  frameHeight: number;
}

export interface RemoteAudioStats {
  bytesReceived: number;
  packetsReceived: number;
  packetsLost: number;
}

export interface RemoteVideoStats extends RemoteAudioStats {
  framesDecoded: number;
  frameWidth: number;
  frameHeight: number;
}

export interface TransportStats {
  /** Of the connection that media is sent over, in milliseconds. */
  rtt: number;
  /** For each user, of the connection that media is received over. There is one for all. */
  downlinksRTT: Record<string, number>;
}

/** 1 best, 6 down. */
export type QualityLevel = 1 | 2 | 3 | 4 | 5 | 6;

export interface NetworkQuality {
  uplinkNetworkQuality: QualityLevel;
  downlinkNetworkQuality: QualityLevel;
  uplinkRTT: number;
  /** In percent, since the last event; as is the downlink's. */
  uplinkLoss: number;
  downlinkRTT: number;
  downlinkLoss: number;
}

/** What browsers report, with the fields that are read here; each may be missing. */
export type Report = { id: string; type: string; kind?: string } & Record<string, unknown>;

/** How a connection does: over all that goes one way on it. */
export interface Way {
  rtt: number;
  packets: number;
  lost: number;
}

export async function reportsOf(connection: PeerConnection | null | undefined): Promise<Report[]> {
  if (!connection || connection.connectionState === 'closed') return [];
  const reports: Report[] = [];
  (await connection.getStats()).forEach((report) => reports.push(report as Report));
  return reports;
}

export function localAudio(reports: Report[]): LocalAudioStats {
  const sent = reports.filter(({ type, kind }) => type === 'outbound-rtp' && kind === 'audio');
  return { bytesSent: sum(sent, 'bytesSent'), packetsSent: sum(sent, 'packetsSent') };
}

/** Of a picture in two sizes: what is sent together, and the frames of the big one. */
export function localVideo(reports: Report[]): LocalVideoStats {
  const sent = reports.filter(({ type, kind }) => type === 'outbound-rtp' && kind === 'video');
  const largest = sent.reduce<Report | undefined>((one, other) => (isWider(other, one) ? other : one), undefined);
  return {
    bytesSent: sum(sent, 'bytesSent'),
    packetsSent: sum(sent, 'packetsSent'),
    framesEncoded: numberOf(largest, 'framesEncoded'),
    framesSent: numberOf(largest, 'framesSent'),
    frameWidth: numberOf(largest, 'frameWidth'),
    frameHeight: numberOf(largest, 'frameHeight'),
  };
}

export function remoteAudio(reports: Report[], track: MediaStreamTrack): RemoteAudioStats {
  const received = inbound(reports, track);
  return {
    bytesReceived: numberOf(received, 'bytesReceived'),
    packetsReceived: numberOf(received, 'packetsReceived'),
    packetsLost: numberOf(received, 'packetsLost'),
  };
}

export function remoteVideo(reports: Report[], track: MediaStreamTrack): RemoteVideoStats {
  const received = inbound(reports, track);
  return {
    ...remoteAudio(reports, track),
    framesDecoded: numberOf(received, 'framesDecoded'),
    frameWidth: numberOf(received, 'frameWidth'),
    frameHeight: numberOf(received, 'frameHeight'),
  };
}

export function uplink(reports: Report[]): Way {
  const sent = reports.filter(({ type }) => type === 'outbound-rtp');
  // What arrived of it, as the gateway reports.
  const arrived = reports.filter(({ type }) => type === 'remote-inbound-rtp');
  return { rtt: rttOf(reports), packets: sum(sent, 'packetsSent'), lost: sum(arrived, 'packetsLost') };
}

export function downlink(reports: Report[]): Way {
  const received = reports.filter(({ type }) => type === 'inbound-rtp');
  const lost = sum(received, 'packetsLost');
  return { rtt: rttOf(reports), packets: sum(received, 'packetsReceived') + lost, lost };
}

/** Percent of what was sent between two looks. */
export function lossBetween(before: Way | undefined, now: Way): number {
  const packets = now.packets - (before?.packets ?? 0);
  const lost = now.lost - (before?.lost ?? 0);
  return packets > 0 ? Math.min(100, Math.max(0, Math.round((100 * lost) / packets))) : 0;
}

/** By the worse of the two; each limit is the last value of its level. */
export function levelOf(loss: number, rtt: number): QualityLevel {
  const level = (value: number, limits: number[]) => limits.filter((limit) => value > limit).length + 1;
  return Math.max(level(loss, [2, 5, 10, 20, 50]), level(rtt, [100, 200, 350, 600, 1500])) as QualityLevel;
}

function rttOf(reports: Report[]): number {
  const transport = reports.find(({ type }) => type === 'transport');
  const named = reports.find(({ id }) => id === transport?.['selectedCandidatePairId']);
  // Firefox has no transport.
  const pair = named ?? reports.find((one) => one.type === 'candidate-pair' && one['selected'] === true);
  return Math.round(1000 * numberOf(pair, 'currentRoundTripTime'));
}

function inbound(reports: Report[], track: MediaStreamTrack): Report | undefined {
  return reports.find((one) => one.type === 'inbound-rtp' && one['trackIdentifier'] === track.id);
}

function isWider(one: Report, other: Report | undefined): boolean {
  return !other || numberOf(one, 'frameWidth') > numberOf(other, 'frameWidth');
}

function sum(reports: Report[], field: string): number {
  return reports.reduce((total, report) => total + numberOf(report, field), 0);
}

function numberOf(report: Report | undefined, field: string): number {
  const value = report?.[field];
  return typeof value === 'number' ? value : 0;
}
