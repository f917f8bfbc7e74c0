import {
  downlink,
  levelOf,
  localAudio,
  localVideo,
  lossBetween,
  remoteAudio,
  remoteVideo,
  reportsOf,
  uplink,
  type LocalAudioStats,
  type LocalVideoStats,
  type NetworkQuality,
  type QualityLevel,
  type RemoteAudioStats,
  type RemoteVideoStats,
  type Report,
  type TransportStats,
  type Way,
} from './stats.js';
import type { PeerConnection, Platform } from './platform.js';
import type { RemoteStream } from './remote-stream.js';

/** The vendor's. */
const INTERVAL_MS = 2_000;
const DOWN: QualityLevel = 6;

/** What there is to measure of a session. */
export interface Measured {
  userId: string;
  sending(): PeerConnection | undefined;
  receiving(): PeerConnection | null;
  remotes(): RemoteStream[];
}

/** How a session's media does: asked for, and told every two seconds. */
export class Quality {
  readonly #platform: Platform;
  readonly #measured: Measured;
  readonly #onQuality: (quality: NetworkQuality) => void;
  #end: (() => void) | undefined;
  #up: Way | undefined;
  #down: Way | undefined;

  constructor(platform: Platform, measured: Measured, onQuality: (quality: NetworkQuality) => void) {
    this.#platform = platform;
    this.#measured = measured;
    this.#onQuality = onQuality;
  }

  start(): void {
    this.#end ??= this.#platform.every(INTERVAL_MS, () => void this.#tell());
  }

  stop(): void {
    this.#end?.();
    this.#end = undefined;
  }

  async transport(): Promise<TransportStats> {
    const rtt = uplink(await this.#sent()).rtt;
    const down = downlink(await this.#received()).rtt;
    const users = this.#measured.remotes().map((stream) => [stream.getUserId(), down] as const);
    return { rtt, downlinksRTT: Object.fromEntries(users) };
  }

  async localAudio(): Promise<Record<string, LocalAudioStats>> {
    return this.#measured.sending() ? { [this.#measured.userId]: localAudio(await this.#sent()) } : {};
  }

  async localVideo(): Promise<Record<string, LocalVideoStats>> {
    return this.#measured.sending() ? { [this.#measured.userId]: localVideo(await this.#sent()) } : {};
  }

  async remoteAudio(): Promise<Record<string, RemoteAudioStats>> {
    const reports = await this.#received();
    return this.#of('main', (stream) => {
      const track = stream.getAudioTrack();
      return track && remoteAudio(reports, track);
    });
  }

  async remoteVideo(type: 'main' | 'auxiliary'): Promise<Record<string, RemoteVideoStats>> {
    const reports = await this.#received();
    return this.#of(type, (stream) => {
      const track = stream.getVideoTrack();
      return track && remoteVideo(reports, track);
    });
  }

  #of<Stats>(type: 'main' | 'auxiliary', statsOf: (stream: RemoteStream) => Stats | null): Record<string, Stats> {
    const found: Record<string, Stats> = {};
    for (const stream of this.#measured.remotes()) {
      const stats = stream.getType() === type ? statsOf(stream) : null;
      if (stats) found[stream.getUserId()] = stats;
    }
    return found;
  }

  async #tell(): Promise<void> {
    const up = uplink(await this.#sent());
    const down = downlink(await this.#received());
    if (!this.#end) return;
    const uplinkLoss = lossBetween(this.#up, up);
    const downlinkLoss = lossBetween(this.#down, down);
    [this.#up, this.#down] = [up, down];
    this.#onQuality({
      uplinkNetworkQuality: isDown(this.#measured.sending()) ? DOWN : levelOf(uplinkLoss, up.rtt),
      downlinkNetworkQuality: isDown(this.#measured.receiving()) ? DOWN : levelOf(downlinkLoss, down.rtt),
      uplinkRTT: up.rtt,
      uplinkLoss,
      downlinkRTT: down.rtt,
      downlinkLoss,
    });
  }

  #sent(): Promise<Report[]> {
    return reportsOf(this.#measured.sending());
  }

  #received(): Promise<Report[]> {
    return reportsOf(this.#measured.receiving());
  }
}

function isDown(connection: PeerConnection | null | undefined): boolean {
  return ['disconnected', 'failed'].includes(connection?.connectionState ?? '');
}
